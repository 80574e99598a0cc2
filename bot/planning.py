"""Making a plan, and looking at it again right before it runs: the same function twice, compared by hash.

Owns the answer to "is this still what was approved?". Writes nothing: `bot.dispatch` records plans, `bot.workflow` acts on
what `replan` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from bot import access
from bot.command import Backends, Command, Knowledge, Reply
from bot.domain import (
    Actor,
    Approval,
    Choice,
    Decision,
    DeploymentRecord,
    Gate,
    PersonKind,
    Plan,
    Platform,
    Request,
    RequestState,
    Verdict,
    plan_hash,
)
from bot.errors import NotAuthorizedError, PlatformError, TemporaryBackendError
from bot.freshness import Freshness
from bot.policy import OPEN_WINDOW, WINDOW_FACTS, Facts, blocking, evaluate
from bot.replanned import Changed, CouldNotAsk, Refused, Replanned, Same

Clock = Callable[[], datetime]
T = TypeVar("T")


class People(Protocol):
    """Who somebody is, now."""

    async def actor(self, user_id: str, *, fresh: bool = False) -> Actor: ...


class Memory(Knowledge, Protocol):
    """What the database knows, and may be told about what was seen."""

    async def record_observed_deployment(self, record: DeploymentRecord) -> bool: ...


class Decider(Protocol):
    """What a conversation hands decisions to."""

    async def decide(
        self, request_id: str, user_id: str, decision: Decision, *, reason: str, seen_block: str = ""
    ) -> Reply: ...

    async def cancel(self, request_id: str, user_id: str) -> Reply: ...

    async def steer(
        self, request_id: str, user_id: str, choice: Choice, *, seen_block: str = ""
    ) -> Reply: ...


@dataclass(frozen=True)
class Conversation:
    """`bot.command.Context` for one person and one moment."""

    actor: Actor
    now: datetime
    request_id: str
    platform: Platform
    backends: Backends
    knowledge: Memory
    commands: Mapping[str, Command]
    people: People
    freshness: Freshness
    decider: Decider | None
    """None while planning: a plan decides nothing."""
    afresh: bool = False
    """A button was pressed to see how things are now."""

    def may(self, permission: str, *, team: str = "") -> bool:
        return access.may(self.actor, permission, team=team, platform=self.platform) is None

    def may_decide(self, request: Request) -> bool:
        return any(
            access.may_decide(self.actor, request, gate, platform=self.platform) is None
            for gate in request.gates
            if gate.verdict is Verdict.NEEDS_APPROVAL
        )

    async def find_person(self, user_id: str) -> Actor | None:
        actor = await self.people.actor(user_id)
        return None if actor.kind is PersonKind.UNKNOWN else actor

    async def share(self, key: str, question: Callable[[], Awaitable[T]]) -> T:
        if self.decider is None:
            raise TypeError("A plan asks for itself.")
        return await self.freshness.share(key, question, afresh=self.afresh)

    async def observed(self, record: DeploymentRecord) -> None:
        await self.knowledge.record_observed_deployment(record)

    async def decide(self, request_id: str, decision: Decision, *, reason: str) -> Reply:
        if self.decider is None:
            raise TypeError("A plan cannot decide.")
        return await self.decider.decide(request_id, self.actor.user_id, decision, reason=reason)

    async def cancel(self, request_id: str) -> Reply:
        if self.decider is None:
            raise TypeError("A plan cannot cancel.")
        return await self.decider.cancel(request_id, self.actor.user_id)

    async def steer(self, request_id: str, choice: Choice) -> Reply:
        if self.decider is None:
            raise TypeError("A plan cannot steer.")
        return await self.decider.steer(request_id, self.actor.user_id, choice)


@dataclass(frozen=True)
class Planned:
    """A plan with the rules' answers; `state` is where the request goes with it."""

    plan: Plan
    gates: tuple[Gate, ...]
    hash: str
    state: RequestState


class Planner:
    """Makes plans for requests, at intake and again at execution."""

    def __init__(
        self,
        *,
        platform: Platform,
        commands: Mapping[str, Command],
        backends: Backends,
        knowledge: Memory,
        people: People,
        clock: Clock,
    ) -> None:
        self._platform = platform
        self._commands = commands
        self._backends = backends
        self._knowledge = knowledge
        self._people = people
        self._clock = clock
        self._freshness = Freshness()

    def conversation(
        self, actor: Actor, *, decider: Decider | None, request_id: str = "", afresh: bool = False
    ) -> Conversation:
        return Conversation(
            actor=actor,
            now=self._clock(),
            request_id=request_id,
            platform=self._platform,
            backends=self._backends,
            knowledge=self._knowledge,
            commands=self._commands,
            people=self._people,
            freshness=self._freshness,
            decider=decider,
            afresh=afresh,
        )

    async def plan(self, request: Request, actor: Actor) -> Planned:
        """Gather facts, plan, ask the rules. Raises PlatformError: refusals and backends that could not be asked."""
        command = self._commands[request.command]
        if command.plan is None:
            raise TypeError(f"{command.name} does not plan")
        conversation = self.conversation(actor, decider=None, request_id=request.id)
        plan = await command.plan(conversation, command.args.model_validate(request.arguments))
        gates = evaluate(plan, Facts(requester=actor, platform=self._platform, now=conversation.now))
        return Planned(plan, gates, plan_hash(plan, gates), _next_state(command, gates))

    async def authorize(self, request: Request, actor: Actor) -> None:
        """The same question as at intake. Raises NotAuthorizedError."""
        command = self._commands[request.command]
        args = command.args.model_validate(request.arguments)
        scope = await command.scope(args, actor, self._platform, self._knowledge)
        access.require(actor, scope.permission, team=scope.team, platform=self._platform)

    async def replan(self, request: Request) -> Replanned:
        """What an approved request finds right before it runs: people's rights first, then the plan itself."""
        if request.plan is None:
            return Refused("This request has no plan.", "plan")
        approvals = [
            one
            for one in request.approvals
            if one.plan_hash == request.plan_hash and one.decision is Decision.APPROVE
        ]
        # All at once, so that they share one answer about Slack's user groups.
        requester, *approvers = await asyncio.gather(
            *(
                self._people.actor(one, fresh=True)
                for one in (request.requester, *(approval.user_id for approval in approvals))
            )
        )
        if requester.kind is PersonKind.UNKNOWN:
            return CouldNotAsk("Slack could not be asked who the requester is now.")
        if any(approver.kind is PersonKind.UNKNOWN for approver in approvers):
            return CouldNotAsk("Slack could not be asked who the approver is now.")
        lost = _lost(request, zip(approvals, approvers, strict=True))
        try:
            await self.authorize(request, requester)
            planned = _whenever_it_opens(await self.plan(request, requester))
        except TemporaryBackendError as error:
            return CouldNotAsk(f"{error.backend}: {error.message}", error.retry_after_seconds)
        except NotAuthorizedError as error:
            # The card is for everybody and shows text only: no mentions of those who could help.
            return Refused(f"The requester lost the right to it: {error.message}", error.rule)
        except PlatformError as error:
            return Refused(error.sentence, getattr(error, "rule", "plan"))
        gate = blocking(planned.gates)
        if gate:
            if gate.verdict is Verdict.UNKNOWN:
                return CouldNotAsk(gate.reason)
            return Refused(f"{gate.reason} {gate.fix}".strip(), gate.rule)
        if planned.hash == request.plan_hash:
            # The approvals are of this very plan, so one that no longer counts cannot be asked for again by showing it.
            return (
                Refused(f"{' '.join(lost)} Type the same command to ask again.", "approver")
                if lost
                else Same()
            )
        changes = differences(request.plan, request.gates, planned.plan, planned.gates)
        due_at = self._clock() + timedelta(seconds=self._platform.request_ttl_seconds)
        return Changed(planned.plan, planned.gates, planned.hash, changes, due_at)


def _whenever_it_opens(planned: Planned) -> Planned:
    """What is approved waits at its deployment for a window that closed since; only asking anew is refused."""
    if not planned.plan.facts.keys() & WINDOW_FACTS:
        return planned
    facts = {name: value for name, value in planned.plan.facts.items() if name not in WINDOW_FACTS}
    plan = planned.plan.model_copy(update={"facts": facts})
    gates = tuple(gate for gate in planned.gates if gate.rule != OPEN_WINDOW)
    return Planned(plan, gates, plan_hash(plan, gates), planned.state)


def _next_state(command: Command, gates: tuple[Gate, ...]) -> RequestState:
    if command.confirm:
        return RequestState.PROPOSED
    return after_confirmation(gates)


def after_confirmation(gates: tuple[Gate, ...]) -> RequestState:
    waiting = any(gate.verdict is Verdict.NEEDS_APPROVAL for gate in gates)
    return RequestState.AWAITING if waiting else RequestState.QUEUED


# ---------------------------------------------------------------- what changed


def differences(
    old: Plan, old_gates: tuple[Gate, ...], new: Plan, new_gates: tuple[Gate, ...]
) -> tuple[str, ...]:
    """What differs between two plans, one line each, in the words a card can show."""
    lines = list(_facts(old.facts, new.facts))
    lines += _set_difference(
        {_name(one.action, one.kind, one.name, one.detail) for one in old.changes},
        {_name(one.action, one.kind, one.name, one.detail) for one in new.changes},
    )
    was, now = len(old.commits), len(new.commits)
    if {one.sha for one in old.commits} != {one.sha for one in new.commits}:
        lines.append(f"commits: {was} before, {now} now")
    gates_before = {gate.rule: gate for gate in old_gates}
    for gate in new_gates:
        before = gates_before.pop(gate.rule, None)
        if before is None:
            lines.append(f"new rule: {gate.reason}")
        elif before != gate:
            lines.append(f"rule {gate.rule}: {gate.reason} (before: {before.reason})")
    lines += [f"rule {rule} no longer applies" for rule in gates_before]
    if not lines:
        lines.append("the details of a step")
    return tuple(lines)


def _facts(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    changed = [
        name for name in (*old, *(one for one in new if one not in old)) if old.get(name) != new.get(name)
    ]
    return [
        f"{name.replace('_', ' ')}: {_short(new.get(name, ''))} (before: {_short(old.get(name, ''))})"
        for name in changed
    ]


def _short(value: str) -> str:
    is_hash = len(value) >= 40 and all(letter in "0123456789abcdef" for letter in value)
    return (value[:7] if is_hash else value) or "nothing"


def _name(action: str, kind: str, name: str, detail: str) -> str:
    return f"{action} {kind} {name}" + (f" ({detail})" if detail else "")


def _set_difference(old: set[str], new: set[str]) -> list[str]:
    return [f"now also: {one}" for one in sorted(new - old)] + [
        f"no longer: {one}" for one in sorted(old - new)
    ]


def _lost(request: Request, approved: Iterable[tuple[Approval, Actor]]) -> tuple[str, ...]:
    """Lines about approvers who could not approve any more, now."""
    groups = {gate.rule: gate.group for gate in request.gates}
    return tuple(
        f"{approver.name} approved, but may no longer approve this."
        for approval, approver in approved
        if approval.rule not in groups or not access.holds(approver, groups[approval.rule])
    )
