"""Approve, deny, confirm, cancel, retry, undo, continue, abort: a person's word on an existing request.

Authority is looked up at the click, afresh. Exactly one decision wins, by compare-and-set in the store; everybody else gets
a sentence of their own. Who decides about one request at the same moment takes turns here, so that most of them need not be
looked up to be told that they were too late. Buttons say which plan they were drawn for, so a click on an outdated card
decides nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from bot import access, policy, request_buttons, request_views, views
from bot.command import Reply
from bot.domain import (
    Actor,
    Choice,
    Decision,
    Gate,
    Platform,
    Request,
    RequestState,
)
from bot.errors import ConflictError, NotAuthorizedError, UsageError
from bot.people import Directory
from bot.planning import Clock, after_confirmation
from bot.store import Ballot, Store, Word
from bot.targets import Targets
from bot.turns import Turn, Turns

TURN_SECONDS = 0.5
"""How long somebody waits for those before them to decide; with the time to look people up it fits into Slack's three seconds."""
_STANDS = {
    RequestState.PLANNING: "is still being planned. Try again in a moment.",
    RequestState.PROPOSED: "is not confirmed by its requester yet.",
    RequestState.AWAITING: "is confirmed and waits for approval.",
    RequestState.QUEUED: "is decided already. It is approved and about to run.",
    RequestState.RUNNING: "is decided already. It is approved and running.",
    RequestState.STOPPED: (
        "is decided already. It was approved, ran and stopped; its card offers to retry or undo."
    ),
    RequestState.UNDOING: "is decided already. It was approved, failed, and is being undone.",
    RequestState.SUCCEEDED: "is decided already. It was approved and is done.",
    RequestState.UNDONE: "is decided already. It was approved, failed, and was undone.",
    RequestState.REFUSED: "was refused by a rule.",
    RequestState.CANCELLED: "was cancelled.",
}


class Wake(Protocol):
    """Steps of the request that pause look again now. A hint: another replica's look when their pause is over."""

    def __call__(self, *, request_id: str, service: str) -> int: ...


class Decisions:
    """One method per thing a person can say about a request; each returns what that person sees."""

    def __init__(
        self,
        *,
        store: Store,
        people: Directory,
        platform: Platform,
        targets: Targets,
        wake: Wake,
        clock: Clock,
    ) -> None:
        self._store = store
        self._people = people
        self._platform = platform
        self._targets = targets
        self._wake = wake
        self._clock = clock
        self._turns: Turns[str] = Turns()

    async def decide(
        self, request_id: str, user_id: str, decision: Decision, *, reason: str, seen_block: str = ""
    ) -> Reply:
        """`seen_block` is the block id of the clicked buttons; empty for a typed decision."""
        async with self._turns.take(request_id, patience_seconds=TURN_SECONDS) as turn:
            request = await self._undecided(request_id, turn)
            actor = await self._people.decider(user_id)
            access.require_person(actor)
            gate = self._gate_for(actor, request)
            if decision is Decision.DENY and not reason.strip():
                raise UsageError(
                    "A denial needs a reason; the requester reads it.",
                    fix=f"`/platform deny {request.id} REASON`",
                    fields={"reason": "The requester reads it, so it may not be empty."},
                )
            if outdated := self._outdated(request, decision, seen_block):
                return outdated
            ballot = Ballot(
                actor=actor.user_id,
                decision=decision,
                rule=gate.rule,
                plan_hash=request.plan_hash,
                version=request.version,
                reason=reason.strip(),
            )
            decided = await self._cast(request_id, ballot, turn)
        return Reply(self._decided(decided, decision))

    async def _undecided(self, request_id: str, turn: Turn[str]) -> Request:
        """The request, as long as it waits for approval.

        Raises ConflictError for everybody else, whoever they are: what became of it stands on the card they pressed.
        """
        if turn.told is not None:
            raise ConflictError(turn.told)
        others = turn.others()
        request = await self._store.get_request(request_id)
        if request.state is not RequestState.AWAITING:
            said = how_it_stands(request)
            turn.tell(said, others)
            raise ConflictError(said)
        return request

    async def _cast(self, request_id: str, ballot: Ballot, turn: Turn[str]) -> Request:
        """Record the decision. Raises ConflictError where another one won, such as another replica's."""
        try:
            decided = await self._store.decide(request_id, ballot)
        except ConflictError:
            await self._undecided(request_id, turn)
            raise
        if decided.state is not RequestState.AWAITING:
            turn.tell(how_it_stands(decided), turn.others())
        return decided

    def _gate_for(self, actor: Actor, request: Request) -> Gate:
        """The first open gate this person may fill. Raises NotAuthorizedError with the reason for the last refusal."""
        waiting = policy.pending(request.gates, request.approvals, request.plan_hash)
        refusal: access.Refusal | None = None
        for gate in waiting:
            refusal = access.may_decide(actor, request, gate, platform=self._platform)
            if refusal is None:
                return gate
        if refusal is None:
            raise ConflictError("Every approval is given already.")
        raise refusal.error()

    def _outdated(self, request: Request, decision: Decision, seen_block: str) -> Reply | None:
        """The difference and fresh buttons for somebody who approves a plan they have not seen."""
        clicked_old = bool(seen_block) and not request_buttons.is_current(seen_block, request)
        typed_blind = not seen_block and bool(request.plan_changes)
        if decision is Decision.DENY or not (clicked_old or typed_blind):
            return None
        rendered = request_views.request_card(request, "Confirm")
        text = "The plan changed since you last saw it, so nothing was approved. This is the plan now:"
        return Reply(
            text, [views.section(text), *(rendered.blocks if rendered else [])][: views.MESSAGE_BLOCKS]
        )

    def _decided(self, request: Request, decision: Decision) -> str:
        name = f"`{request.id}` ({request_views.title(request)})"
        if decision is Decision.DENY:
            return f"You denied {name}. {views.mention(request.requester)} is told why."
        if request.state is RequestState.AWAITING:
            missing = sum(
                gate.needed for gate in policy.pending(request.gates, request.approvals, request.plan_hash)
            )
            return f"You approved {name}. It still needs {missing} more."
        return f"You approved {name}. It runs now."

    # ------------------------------------------------------------ the requester's own buttons

    async def confirm(self, request_id: str, user_id: str, *, seen_block: str) -> Reply:
        request = await self._store.get_request(request_id)
        actor = await self._people.decider(user_id)
        access.require_person(actor)
        if actor.user_id != request.requester:
            raise NotAuthorizedError(
                f"Only {views.mention(request.requester)}, who asked for it, can confirm this.",
                rule="requester-confirms",
                who=views.mention(request.requester),
                fix="Nothing was changed.",
            )
        if request.state is not RequestState.PROPOSED:
            raise ConflictError(how_it_stands(request))
        if not request_buttons.is_current(seen_block, request):
            raise ConflictError("The plan changed since this card was drawn. Look at it again, then confirm.")
        state = after_confirmation(request.gates)
        await self._store.confirm(
            request.id,
            actor=actor.user_id,
            version=request.version,
            state=state,
            due_at=self._clock() + timedelta(seconds=self._platform.request_ttl_seconds),
            cards=await self._targets.after_confirmation(request, state),
        )
        return Reply("")

    async def cancel(self, request_id: str, user_id: str) -> Reply:
        request = await self._store.get_request(request_id)
        actor = await self._people.decider(user_id)
        access.require_person(actor)
        refusal = access.may_cancel(actor, request, platform=self._platform)
        if refusal:
            raise refusal.error()
        if request.state not in {RequestState.PLANNING, RequestState.PROPOSED, RequestState.AWAITING}:
            raise ConflictError(how_it_stands(request))
        await self._store.cancel(request.id, actor=actor.user_id, version=request.version)
        return Reply(f"`{request.id}` is cancelled. Nothing was changed.")

    async def choose(self, request_id: str, user_id: str, choice: str) -> Reply:
        """`retry` or `undo` of a run that stopped."""
        request = await self._store.get_request(request_id)
        actor = await self._people.decider(user_id)
        access.require_person(actor)
        refusal = access.may_choose(actor, request, platform=self._platform)
        if refusal:
            raise refusal.error()
        if request.state is not RequestState.STOPPED:
            raise ConflictError(
                f"`{request.id}` is not stopped any more: {request_views.STATE_WORDS[request.state]}."
            )
        await self._store.stop_choice(
            request.id,
            actor=actor.user_id,
            choice="retry" if choice == "retry" else "undo",
            version=request.version,
        )
        return Reply("")

    async def steer(self, request_id: str, user_id: str, choice: Choice, *, seen_block: str = "") -> Reply:
        """Continue or abort a rollout that halts, with the same authority as the request itself: who could ask for it now.

        The word is recorded; the run that waits for it carries it out. `seen_block` as in `decide`.
        """
        request = await self._store.get_request(request_id)
        actor = await self._people.decider(user_id)
        access.require_person(actor)
        permission = f"{request.command}:{request.environment}"
        access.require(actor, permission, team=request.team, platform=self._platform)
        seen_at = request_buttons.halted_at(seen_block)
        await self._store.choose_at_halt(request.id, Word(choice, actor.user_id, actor.name, seen_at))
        self._wake(request_id=request.id, service="")
        return Reply("")


def how_it_stands(request: Request) -> str:
    """For whoever wanted what is not possible any more, or not yet."""
    name = f"`{request.id}` ({request_views.title(request)})"
    if request.state is RequestState.EXPIRED:
        when = f" {views.moment(request.due_at)}" if request.due_at else ""
        return (
            f"{name} expired{when}. {views.mention(request.requester)} can ask again with the same command."
        )
    if request.state is RequestState.DENIED:
        denial = next((one for one in request.approvals if one.decision is Decision.DENY), None)
        by = f" by {views.mention(denial.user_id)} {views.moment(denial.decided_at)}" if denial else ""
        return f"Nothing was changed: {name} was denied already{by}."
    approvals = ", ".join(
        f"{views.mention(one.user_id)} {views.moment(one.decided_at)}"
        for one in request.approvals
        if one.plan_hash == request.plan_hash and one.decision is Decision.APPROVE
    )
    by = f" Approved by {approvals}." if approvals else ""
    return f"Nothing was changed: {name} {_STANDS[request.state]}{by}"
