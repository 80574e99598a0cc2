"""A request as Slack shows it: the card, the deploy notification, the notice to the requester, one line of a list. Pure.

Everything is rendered from the request alone, so that a card can be drawn again at any time from the database. Its buttons are
`bot.request_buttons`'.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bot import views
from bot.domain import (
    CardKind,
    Decision,
    Gate,
    Plan,
    Request,
    RequestState,
    StepRecord,
    StepState,
    Verdict,
)
from bot.request_buttons import buttons

COMMITS_SHOWN = 8
FILES_SHOWN = 6

STATE_WORDS = {
    RequestState.PLANNING: ":hourglass_flowing_sand: planning",
    RequestState.PROPOSED: ":memo: waiting for you to confirm",
    RequestState.AWAITING: ":raised_hand: waiting for approval",
    RequestState.QUEUED: ":hourglass_flowing_sand: about to start",
    RequestState.RUNNING: ":gear: running",
    RequestState.STOPPED: ":octagonal_sign: stopped, a choice is needed",
    RequestState.UNDOING: ":rewind: undoing",
    RequestState.SUCCEEDED: ":white_check_mark: done",
    RequestState.UNDONE: ":leftwards_arrow_with_hook: undone",
    RequestState.REFUSED: ":no_entry: refused",
    RequestState.DENIED: ":no_entry: denied",
    RequestState.CANCELLED: ":heavy_multiplication_x: cancelled",
    RequestState.EXPIRED: ":hourglass: expired",
}
_STEP_MARKS = {
    StepState.WAITING: ":white_circle:",
    StepState.RUNNING: ":large_blue_circle:",
    StepState.DONE: ":white_check_mark:",
    StepState.FAILED: ":x:",
    StepState.UNDOING: ":rewind:",
    StepState.UNDONE: ":leftwards_arrow_with_hook:",
    StepState.UNDO_FAILED: ":x:",
}
_GATE_MARKS = {
    Verdict.PASS: ":white_check_mark:",
    Verdict.NEEDS_APPROVAL: ":raised_hand:",
    Verdict.DENY: ":no_entry:",
    Verdict.UNKNOWN: ":grey_question:",
}
_CHANGE_MARKS = {"create": "+", "register": "+", "move": "→", "deploy": "↑", "delete": "-"}
_BEFORE_THE_RUN = frozenset({RequestState.PLANNING, RequestState.PROPOSED, RequestState.AWAITING})
_PLAN_SHOWN_IN_FULL = frozenset({RequestState.PROPOSED, RequestState.AWAITING})
_NEVER_RAN = frozenset(
    {RequestState.REFUSED, RequestState.DENIED, RequestState.CANCELLED, RequestState.EXPIRED}
)
_FAILED = frozenset({RequestState.STOPPED, RequestState.UNDOING, RequestState.UNDONE})


@dataclass(frozen=True)
class Rendered:
    """A message. `text` is the notification: a whole sentence with what decides."""

    text: str
    blocks: list[views.Block]


def render(request: Request, kind: CardKind, *, confirm_label: str) -> Rendered | None:
    """What a card of this kind says now; None while it has nothing to say (it is not posted, or stays as it was)."""
    if kind is CardKind.REQUEST:
        return request_card(request, confirm_label)
    if kind is CardKind.DEPLOY:
        return _deploy_card(request)
    if kind is CardKind.DEPLOY_FAILURE:
        return _deploy_failure(request)
    return _notice(request)


def title(request: Request) -> str:
    if request.plan:
        return request.plan.title
    return f"{request.command} {request.service}".strip()


def row(request: Request) -> str:
    """One line of a list."""
    return (
        f"{views.code(request.id)} *{views.escape(title(request))}* · {STATE_WORDS[request.state]} · "
        f"{views.mention(request.requester)} · {views.moment(request.created_at)}"
    )


# ---------------------------------------------------------------- the request's card


def request_card(request: Request, confirm_label: str) -> Rendered | None:
    if request.plan is None:
        return None
    blocks: list[views.Block] = [
        views.header(request.plan.title),
        views.section(f"*{STATE_WORDS[request.state]}*\n{views.escape(request.plan.summary)}"),
        *_outcome(request),
        *_plan_changes(request),
    ]
    if request.state in _PLAN_SHOWN_IN_FULL:
        blocks += [*plan_blocks(request.plan), *_gate_blocks(request)]
    elif request.state in _NEVER_RAN:
        blocks += _decisions(request)
    else:
        blocks += [*_decisions(request), *_checklist(request), *_links(request)]
    blocks.append(_footer(request))
    blocks += buttons(request, confirm_label)
    return Rendered(_sentence(request), views.fit(blocks))


def _sentence(request: Request) -> str:
    who = views.mention(request.requester)
    words = STATE_WORDS[request.state].split(": ", 1)[1]
    summary = views.escape(request.plan.summary) if request.plan else ""
    return f"{views.escape(title(request))} by {who}: {words}. {summary}".strip()


def _outcome(request: Request) -> list[views.Block]:
    return [views.section(views.quote(request.outcome))] if request.outcome else []


def _plan_changes(request: Request) -> list[views.Block]:
    if not request.plan_changes or request.state not in _PLAN_SHOWN_IN_FULL:
        return []
    rows = [":warning: *The plan changed, so it was not run. Earlier approvals no longer count.*"]
    rows += [f"• {views.escape(line)}" for line in request.plan_changes[:10]]
    return views.lines(rows)


def plan_blocks(plan: Plan) -> list[views.Block]:
    """Exactly what will happen: changes, commits, files, notes, cost."""
    rows = ["*What will happen*"]
    rows += [
        f"{_CHANGE_MARKS.get(one.action, '•')} {one.action} {one.kind} {views.code(one.name)}"
        + (f" · {views.escape(one.detail)}" if one.detail else "")
        for one in plan.changes
    ]
    blocks = views.lines(rows)
    blocks += _commit_blocks(plan)
    if any(plan.notes):
        blocks.append(views.context("\n".join(views.escape(note) for note in plan.notes)))
    if plan.cost:
        detail = ", ".join(f"{name} {amount:g}" for name, amount in plan.cost.lines)
        blocks.append(
            views.context(
                f":moneybag: about *{plan.cost.monthly:g} {plan.cost.currency} a month* ({views.escape(detail)})"
            )
        )
    return blocks


def _commit_blocks(plan: Plan) -> list[views.Block]:
    blocks: list[views.Block] = []
    if plan.commits:
        count = len(plan.commits)
        rows = [f"*{views.count(count, 'commit')}*"]
        rows += [
            f"{views.code(one.sha[:7])} {views.escape(views.cut(one.subject, 90))} · {views.escape(one.author_name)}"
            for one in plan.commits[:COMMITS_SHOWN]
        ]
        if count > COMMITS_SHOWN:
            authors = Counter(one.author_name for one in plan.commits[COMMITS_SHOWN:])
            rows.append(f"and {count - COMMITS_SHOWN} more, by {views.escape(', '.join(authors))}")
        blocks += views.lines(rows)
    if plan.files:
        shown = ", ".join(views.code(one.path) for one in plan.files[:FILES_SHOWN])
        more = len(plan.files) - FILES_SHOWN
        blocks.append(
            views.context(
                f"{views.count(len(plan.files), 'file')}: {shown}" + (f" and {more} more" if more > 0 else "")
            )
        )
    return blocks


def _gate_blocks(request: Request) -> list[views.Block]:
    if not request.gates:
        return []
    return views.lines(["*Gates*", *(_gate_row(gate, request) for gate in request.gates)])


def _gate_row(gate: Gate, request: Request) -> str:
    row = f"{_GATE_MARKS[gate.verdict]} {views.escape(gate.reason)}"
    if gate.verdict is Verdict.NEEDS_APPROVAL:
        given = [one for one in request.approvals if counts(one.plan_hash, one.rule, gate, request)]
        if given:
            row += " · " + ", ".join(f"{views.mention(one.user_id)} approved" for one in given)
    if gate.fix and gate.verdict in {Verdict.DENY, Verdict.UNKNOWN}:
        row += f" {views.escape(gate.fix)}"
    if gate.exception:
        row += f" · by the policy {views.code(gate.exception)}"
    return row


def counts(plan_hash: str, rule: str, gate: Gate, request: Request) -> bool:
    """Whether an approval fills this gate of the current plan."""
    return plan_hash == request.plan_hash and rule == gate.rule


def _decisions(request: Request) -> list[views.Block]:
    rows = []
    for one in request.approvals:
        verb = "approved" if one.decision is Decision.APPROVE else "denied"
        old = "" if one.plan_hash == request.plan_hash else " (an earlier plan)"
        row = f"{views.mention(one.user_id)} {verb}{old} {views.moment(one.decided_at)}"
        rows.append(f"{row}: {views.escape(one.reason)}" if one.reason else row)
    return views.lines(rows)


def _checklist(request: Request) -> list[views.Block]:
    return views.lines(_step_row(step, request.plan) for step in request.steps)


def _step_row(step: StepRecord, plan: Plan | None) -> str:
    title = step.title
    if step.state is StepState.UNDOING and plan:
        undo = next((one.undo_title for one in plan.steps if one.key == step.key), "")
        title = undo or title
    failed = step.state in {StepState.FAILED, StepState.UNDO_FAILED}
    row = f"{_STEP_MARKS[step.state]} {views.escape(title)}" + ("" if failed else _progress(step))
    if step.error and (failed or step.state is StepState.UNDOING):
        row += f"\n{views.quote(views.cut(step.error, 400))}"
    return row


def _progress(step: StepRecord) -> str:
    row = f" · _{views.escape(views.cut(step.detail, 300))}_" if step.detail else ""
    if step.halt and step.halt.choice:
        row += f" · {step.halt.choice.value} chosen by {views.mention(step.halt.chosen_by)}"
    if step.state is StepState.DONE and step.started_at and step.finished_at:
        seconds = (step.finished_at - step.started_at).total_seconds()
        row += f" · {seconds:.0f} s" if seconds >= 1 else ""
    return row


def _links(request: Request) -> list[views.Block]:
    if request.state is not RequestState.SUCCEEDED:
        return []
    links = [views.link(link.url, link.title) for step in request.steps for link in step.links]
    rows = [" · ".join(links)] if links else []
    if request.command == "create-service":
        rows.append(
            f"Owner: {views.escape(request.team)}. Next: {views.code(f'/platform status {request.service}')}, "
            f"then {views.code(f'/platform promote {request.service}')}"
        )
    return views.lines(rows)


def _footer(request: Request) -> views.Block:
    parts = [
        views.code(request.id),
        f"asked by {views.mention(request.requester)} {views.moment(request.created_at)}",
    ]
    if request.plan_hash:
        parts.append(f"plan {views.code(request.plan_hash[:12])}")
    if request.due_at and request.state in _PLAN_SHOWN_IN_FULL:
        parts.append(f"expires {views.moment(request.due_at)}")
    return views.context(" · ".join(parts))


# ---------------------------------------------------------------- deploy notifications and notices


def _deploy_card(request: Request) -> Rendered | None:
    if request.plan is None or request.state in _BEFORE_THE_RUN | _NEVER_RAN:
        return None
    plan = request.plan
    words = {
        RequestState.SUCCEEDED: ":white_check_mark: deployed",
        RequestState.UNDOING: ":rewind: degraded, rolling back",
        RequestState.UNDONE: ":warning: rolled back",
        RequestState.STOPPED: ":octagonal_sign: stopped, a choice is needed",
    }.get(request.state, ":gear: deploying")
    revision = plan.facts.get("source_revision") or plan.facts.get("goal_revision", "")
    rows = [
        f"{words} · *{views.escape(plan.announce)}* · {views.code(views.short(revision))}",
        f"by {views.mention(request.requester)}{_approvers(request)} · {views.code(request.id)}",
    ]
    running = next((one for one in request.steps if one.state is StepState.RUNNING), None)
    if running:
        rows.append(f"{views.escape(running.title)} {views.escape(running.detail)}".strip())
    sentence = f"{views.escape(plan.announce)} {views.short(revision)}: {words.split(': ', 1)[1]}"
    return Rendered(sentence, [*views.lines(rows), *_links(request)])


def _approvers(request: Request) -> str:
    names = [
        views.mention(one.user_id)
        for one in request.approvals
        if one.decision is Decision.APPROVE and one.plan_hash == request.plan_hash
    ]
    return f", approved by {', '.join(names)}" if names else ""


def _deploy_failure(request: Request) -> Rendered | None:
    if request.plan is None or request.state not in _FAILED:
        return None
    failed = [one for one in request.steps if one.error]
    why = failed[-1].error if failed else request.outcome
    text = f":rotating_light: *{views.escape(request.plan.announce)} failed*: {views.escape(views.cut(why, 400))}"
    if request.state is RequestState.UNDONE:
        before = request.plan.facts.get("target_revision")
        text += "\nThe last good revision runs again." if before else "\nNothing runs there, as before."
    if request.state is RequestState.STOPPED:
        text += "\nThe card of the request offers *Retry from here* and *Undo*."
    return Rendered(f"{views.escape(request.plan.announce)} failed", [views.section(text)])


def _notice(request: Request) -> Rendered | None:
    """The requester's own message about an end they did not bring about themselves."""
    denial = next((one for one in request.approvals if one.decision is Decision.DENY), None)
    name = f"*{views.escape(title(request))}* ({views.code(request.id)})"
    if request.state is RequestState.DENIED and denial:
        text = f":no_entry: {views.mention(denial.user_id)} denied {name}:\n{views.quote(denial.reason)}"
    elif request.state is RequestState.EXPIRED:
        text = f":hourglass: {name} expired: nobody approved it in time. Type the same command to ask again."
    elif request.state is RequestState.REFUSED:
        text = f":no_entry: {name} was not run.\n{views.quote(request.outcome)}"
    elif request.state is RequestState.UNDONE:
        text = f":leftwards_arrow_with_hook: {name} failed and was undone.\n{views.quote(request.outcome)}"
    elif request.state is RequestState.STOPPED:
        text = (
            f":octagonal_sign: {name} stopped; the card asks you to choose.\n{views.quote(request.outcome)}"
        )
    elif request.state is RequestState.SUCCEEDED and request.approvals:
        text = f":white_check_mark: {name} is done."
    else:
        return None
    return Rendered(text.replace("*", "").split("\n")[0], [views.section(text)])


def cards_of(requests: Sequence[Request]) -> list[views.Block]:
    """A short list for App Home and status."""
    return views.lines(row(one) for one in requests)
