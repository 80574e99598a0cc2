"""May this plan run now, and if not: which rule says so, why, and what would change it.

Pure: a plan and facts in, gates out. The same rules answer at intake and again right before the run, and their answers are
part of the plan's hash; so a gate may depend on nothing that changes by itself, such as the time of day. Who a person is, is
`bot.access`'s question.

Rules read these keys of `plan.facts` (strings; a key that is absent means nobody asked):

    source_environment    promote: where the revision comes from
    source_revision       promote: what is promoted
    source_health         promote: how that revision is in the source (healthy, progressing, degraded, missing, …, unknown)
    target_revision       promote, rollback: what runs in the target now; "" where nothing does
    target_health         how the target is now; "" or missing where nothing runs
    goal_revision         rollback: what to go back to
    rollback_known_good   rollback: "true" when that revision was healthy there before
    closed_window, opens_at       promote, rollback: why nothing is deployed there now, and when that ends; absent while it is open
    template, template_revision   create-service: the golden path and the content the plan is bound to
    name_taken_by         create-service: who owns the name already; "" for nobody
    commits_complete      "false" where commits are missing from the plan (default: the plan is not truncated)

and those of `bot.evidence_rules`, which is the part of this table that is about admission and reports.

"Could not ask" never passes: UNKNOWN blocks like DENY does, and says that it is no refusal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot import access, evidence_rules
from bot.domain import (
    Actor,
    Approval,
    ApprovalRule,
    Decision,
    Environment,
    Gate,
    Plan,
    Platform,
    Verdict,
)
from bot.gates import denied, passed, unknown

EMERGENCY_ROLLBACK = "emergency-rollback"
"""The permission that lets a rollback to a revision known as good run without approval: time matters more then."""
DNS_LABEL_LIMIT = 63

_DNS_LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_NOTHING_RUNS = frozenset({"", "missing"})
_SETTLED = frozenset({"healthy", "degraded"})


@dataclass(frozen=True)
class Facts:
    """What rules may know beside the plan. `now` is there for rules with a calendar; none exists yet."""

    requester: Actor
    platform: Platform
    now: datetime


Rule = Callable[[Plan, Facts], Gate | None]
"""None: the rule has nothing to say about this plan."""


def evaluate(plan: Plan, facts: Facts) -> tuple[Gate, ...]:
    """Every rule that applies, in the table's order."""
    gates = (rule(plan, facts) for rule in RULES)
    return tuple(gate for gate in gates if gate is not None)


def blocking(gates: Iterable[Gate]) -> Gate | None:
    """The gate that stops the plan: a denial before a question nobody could answer."""
    stopped = [gate for gate in gates if gate.verdict in (Verdict.DENY, Verdict.UNKNOWN)]
    return min(stopped, key=lambda gate: gate.verdict is not Verdict.DENY, default=None)


def pending(gates: Iterable[Gate], approvals: Sequence[Approval], plan_hash: str) -> tuple[Gate, ...]:
    """Gates that still wait for approval of exactly this plan; `needed` is how many are still missing.

    One person counts once, at the gate they approved first; excluded people never count.
    """
    given = _approvers_by_rule(approvals, plan_hash)
    waiting = []
    for gate in gates:
        if gate.verdict is not Verdict.NEEDS_APPROVAL:
            continue
        missing = max(gate.needed, 1) - len(given.get(gate.rule, set()) - set(gate.excluded))
        if missing > 0:
            waiting.append(gate.model_copy(update={"needed": missing}))
    return tuple(waiting)


def _approvers_by_rule(approvals: Sequence[Approval], plan_hash: str) -> dict[str, set[str]]:
    first: dict[str, str] = {}
    for one in sorted(approvals, key=lambda one: one.decided_at):
        if one.decision is Decision.APPROVE and one.plan_hash == plan_hash:
            first.setdefault(one.user_id, one.rule)
    given: dict[str, set[str]] = {}
    for person, rule in first.items():
        given.setdefault(rule, set()).add(person)
    return given


# ---------------------------------------------------------------- rules about what is asked


def owned_by_a_team(plan: Plan, facts: Facts) -> Gate | None:
    if plan.team in facts.platform.teams:
        return None
    return denied(
        "known-team",
        f"Team {plan.team or '(none)'} is not in platform.yml, so nobody would own the result.",
        fix="Choose one of: " + ", ".join(sorted(facts.platform.teams)) + ".",
    )


def known_environment(plan: Plan, facts: Facts) -> Gate | None:
    if not plan.environment or facts.platform.environment(plan.environment):
        return None
    names = ", ".join(one.name for one in facts.platform.environments)
    return denied(
        "known-environment", f"There is no environment {plan.environment}.", fix=f"Choose one of: {names}."
    )


def service_name(plan: Plan, facts: Facts) -> Gate | None:
    """A name has to hold everywhere it will stand: as a DNS label, with the longest environment behind it."""
    if plan.command != "create-service":
        return None
    longest = max((len(one.name) for one in facts.platform.environments), default=0)
    limit = DNS_LABEL_LIMIT - longest - 1
    if not _DNS_LABEL.fullmatch(plan.service) or len(plan.service) > limit:
        return denied(
            "service-name",
            f"“{plan.service}” cannot be the name of a service.",
            fix=f"Use at most {limit} lower-case letters, digits and dashes, beginning with a letter.",
        )
    if plan.service in facts.platform.reserved_names:
        return denied(
            "reserved-name",
            f"The name {plan.service} is reserved by the platform.",
            fix="Choose another name.",
        )
    if owner := plan.facts.get("name_taken_by", ""):
        return denied(
            "free-name", f"The name {plan.service} is taken by {owner}.", fix="Choose another name."
        )
    return passed("service-name", f"The name {plan.service} is valid and not reserved.")


def golden_path(plan: Plan, facts: Facts) -> Gate | None:
    if plan.command != "create-service":
        return None
    offered = facts.platform.golden_paths
    name = plan.facts.get("template", "")
    if name not in offered:
        return denied(
            "golden-path",
            f"The golden path {name or '(none)'} is not offered.",
            fix=f"Choose one of: {', '.join(offered)}.",
        )
    if not plan.facts.get("template_revision"):
        return unknown("golden-path", f"It is not known which content of {name} this plan would use.")
    return passed("golden-path", f"{name} is a golden path of this platform.")


# ---------------------------------------------------------------- rules about what is promoted


def promotion_order(plan: Plan, facts: Facts) -> Gate | None:
    """Nothing reaches an environment past the one before it."""
    target = facts.platform.environment(plan.environment)
    if plan.command != "promote" or target is None:
        return None
    before = facts.platform.before(target.name)
    if before is None:
        return denied(
            "promotion-order",
            f"{target.title} comes first and follows {target.follows}; nothing is promoted to it.",
            fix=f"Push to {target.follows}.",
        )
    if plan.facts.get("source_environment") == before.name:
        return None
    return denied(
        "promotion-order",
        f"A revision reaches {target.name} from {before.name} only.",
        fix=f"Bring it to {before.name} first.",
    )


def something_new(plan: Plan, _facts: Facts) -> Gate | None:
    """Promoting or rolling back to what runs already would only look like a change."""
    key = {"promote": "source_revision", "rollback": "goal_revision"}.get(plan.command)
    if key is None:
        return None
    wanted, running = plan.facts.get(key), plan.facts.get("target_revision")
    if wanted is None or running is None:
        return unknown("something-new", f"It is not known what runs in {plan.environment}.")
    if not wanted:
        return denied(
            "something-new",
            f"There is no revision to bring to {plan.environment}.",
            fix="Deploy one to the environment before, and wait until it is healthy.",
        )
    if wanted != running:
        return None
    return denied(
        "something-new",
        f"{plan.environment} runs {wanted[:7]} already; nothing would change.",
        fix=f"/platform status {plan.service} shows what runs where.",
    )


def healthy_source(plan: Plan, _facts: Facts) -> Gate | None:
    if plan.command != "promote":
        return None
    source = plan.facts.get("source_environment", "the environment before")
    revision = plan.facts.get("source_revision", "")[:7] or "The revision"
    health = plan.facts.get("source_health", "unknown")
    if health == "healthy":
        return passed("healthy-before", f"{revision} is healthy in {source}.")
    if health == "unknown":
        return unknown("healthy-before", f"{source} could not say whether {revision} is healthy.")
    if health in _NOTHING_RUNS:
        return denied(
            "healthy-before",
            f"{revision} never ran in {source}.",
            fix=f"Deploy it to {source} first, and wait until it is healthy.",
        )
    return denied(
        "healthy-before",
        f"{revision} is {health} in {source}, and only what is healthy there may go on.",
        fix=f"Wait until {source} is healthy, or repair it. /platform status {plan.service} shows why.",
    )


def settled_target(plan: Plan, _facts: Facts) -> Gate | None:
    """A deployment in progress is not overtaken. A degraded target passes: this may be its repair."""
    health = plan.facts.get("target_health")
    if plan.command != "promote" or health is None or health in _SETTLED | _NOTHING_RUNS:
        return None
    if health == "unknown":
        return unknown("settled-target", f"{plan.environment} could not say how {plan.service} is there now.")
    return denied(
        "settled-target",
        f"{plan.service} is {health} in {plan.environment}, and a deployment under way is not overtaken.",
        fix=f"Wait until it is done. /platform status {plan.service} shows how far it is.",
    )


WINDOW_FACTS = frozenset({"closed_window", "opens_at"})
OPEN_WINDOW = "open-window"


def open_window(plan: Plan, _facts: Facts) -> Gate | None:
    """The environment's own calendar. One that closes after this was asked makes the deployment wait."""
    reason, opens = plan.facts.get("closed_window"), plan.facts.get("opens_at")
    if not reason:
        return None
    fix = f"It opens at {opens}; ask again then." if opens else "The platform team knows when it opens."
    return denied(OPEN_WINDOW, f"Nothing is deployed to {plan.environment} now: {reason}.", fix=fix)


# ---------------------------------------------------------------- approval


def approval(plan: Plan, facts: Facts) -> Gate | None:
    """Who has to say yes: the rule for new services, else the environment's own."""
    if plan.command == "create-service":
        rule = facts.platform.create_needs_approval
        return (
            _ask(plan, facts, rule, name="create-approval", what="A new service")
            if rule
            else passed("create-approval", "A new service needs no approval here.")
        )
    environment = facts.platform.environment(plan.environment)
    if environment is None:
        return None
    if environment.approval is None:
        return passed(_rule_name(environment), f"Changes in {environment.name} need no approval.")
    if emergency := _emergency(plan, facts, environment):
        return emergency
    return _ask(
        plan,
        facts,
        environment.approval,
        name=_rule_name(environment),
        what=f"A change in {environment.name}",
    )


def complete_authors(plan: Plan, facts: Facts) -> Gate | None:
    """Where commit authors may not approve, all of them have to be known."""
    environment = facts.platform.environment(plan.environment)
    rule = environment.approval if environment else None
    if plan.command == "create-service" or rule is None or not rule.exclude_commit_authors:
        return None
    complete = plan.facts.get("commits_complete", "false" if plan.truncated else "true")
    if complete == "true" or _is_emergency(plan, facts):
        return None
    return denied(
        "known-authors",
        "The code host cut the list of commits, so not all authors are known, and authors may not approve.",
        fix="Bring an earlier revision first, in smaller steps: --version SHA.",
    )


def _rule_name(environment: Environment) -> str:
    return f"{environment.name}-approval"


def _is_emergency(plan: Plan, facts: Facts) -> bool:
    if plan.command != "rollback" or plan.facts.get("rollback_known_good") != "true":
        return False
    held = access.permissions(facts.requester, facts.platform, plan.team)
    return access.grants(held, f"{EMERGENCY_ROLLBACK}:{plan.environment}")


def _emergency(plan: Plan, facts: Facts, environment: Environment) -> Gate | None:
    if not _is_emergency(plan, facts):
        return None
    revision = plan.facts.get("goal_revision", "")[:7] or "the earlier revision"
    return Gate(
        rule=_rule_name(environment),
        verdict=Verdict.PASS,
        reason=f"{revision} was healthy in {environment.name} before, so no approval is waited for.",
        exception=EMERGENCY_ROLLBACK,
    )


def _ask(plan: Plan, facts: Facts, rule: ApprovalRule, *, name: str, what: str) -> Gate:
    group = approval_group(rule.group, plan.team, facts.platform)
    emails = {one.author_email.casefold() for one in plan.commits if one.author_email}
    asked = access.group_title(group, facts.platform)
    count = "approval" if rule.count == 1 else f"{rule.count} approvals"
    return Gate(
        rule=name,
        verdict=Verdict.NEEDS_APPROVAL,
        reason=f"{what} needs {count} by {asked}.",
        fix=_who_may_not(rule),
        who=access.group_name(group, facts.platform),
        group=group,
        needed=rule.count,
        excluded=(facts.requester.user_id,) if rule.exclude_requester else (),
        excluded_emails=tuple(sorted(emails)) if rule.exclude_commit_authors else (),
        exception="" if rule.exclude_requester else "requester-may-approve",
    )


def _who_may_not(rule: ApprovalRule) -> str:
    excluded = ["the requester"] * rule.exclude_requester + ["commit authors"] * rule.exclude_commit_authors
    return f"Not by {' or '.join(excluded)}." if excluded else ""


def approval_group(source: str, team: str, platform: Platform) -> str:
    """`team_leads`, `platform_admins` or a role, as a group of `bot.access`.

    A role that may everything the named one may counts as it, so that a lead can stand in for a senior developer.
    """
    if source == "team_leads":
        return f"leads:{team}"
    if source == access.PLATFORM_ADMINS:
        return source
    asked = platform.roles[source].permissions if source in platform.roles else frozenset()
    standing_in = [
        name
        for name, role in platform.roles.items()
        if name not in (source, access.PLATFORM_ADMIN)
        and asked
        and all(access.grants(role.permissions, one) for one in asked)
    ]
    return f"role:{','.join([source, *standing_in])}:{team}"


# ---------------------------------------------------------------- the table


def _about_evidence(rule: evidence_rules.Rule) -> Rule:
    return lambda plan, facts: rule(plan, facts.platform.environment(plan.environment))


RULES: tuple[Rule, ...] = (
    owned_by_a_team,
    known_environment,
    service_name,
    golden_path,
    promotion_order,
    something_new,
    healthy_source,
    settled_target,
    open_window,
    *map(_about_evidence, evidence_rules.RULES),
    complete_authors,
    approval,
)
