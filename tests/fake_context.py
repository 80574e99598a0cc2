"""`bot.command.Context`, `Run` and `Knowledge` in memory, for tests of single commands and steps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import people_made as made
from fake_backends import FakeBackends

from bot import access
from bot.command import Command, Context, Knowledge, Reply, Run
from bot.domain import (
    JSON,
    Actor,
    AuditEvent,
    Choice,
    Decision,
    DeploymentRecord,
    Halt,
    Plan,
    Platform,
    Request,
    RequestState,
    Service,
    StepRecord,
    StepState,
    Verdict,
)
from bot.registry import load_commands

REQUEST_ID = "r-7k2m9xq"
T = TypeVar("T")


def make_service(name: str = "orders", **changes: object) -> Service:
    values: dict[str, object] = {
        "name": name,
        "team": "orders",
        "golden_path": "python-service",
        "description": "Takes orders",
        "database": "none",
        "repository_url": f"file:///git/{name}.git",
        "web_url": f"https://git.example.com/{name}",
        "created_by": "UALICE0001",
        "created_at": made.NOW,
        "request_id": "r-created",
    }
    return Service(**{**values, **changes})  # type: ignore[arg-type]


def make_plan(**changes: object) -> Plan:
    values: dict[str, object] = {
        "command": "promote",
        "title": "Promote orders to production",
        "summary": "abc1234 from staging.",
        "service": "orders",
        "team": "orders",
        "environment": "production",
    }
    return Plan(**{**values, **changes})


def make_event(sequence: int = 1, **changes: object) -> AuditEvent:
    values: dict[str, object] = {
        "sequence": sequence,
        "at": made.NOW.isoformat(timespec="microseconds"),
        "actor": "UALICE0001",
        "event": "request.opened",
        "request_id": REQUEST_ID,
        "service": "orders",
        "environment": "production",
        "data": {},
        "previous_hash": "0" * 64,
        "hash": f"{sequence:064x}",
    }
    return AuditEvent(**{**values, **changes})  # type: ignore[arg-type]


@dataclass
class FakeKnowledge:
    """Lists in memory, filtered and paged as the store does it. Requests and events are kept oldest first."""

    services: list[Service] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    deployments: list[DeploymentRecord] = field(default_factory=list)
    events: list[AuditEvent] = field(default_factory=list)

    async def find_service(self, name: str) -> Service | None:
        return next((one for one in self.services if one.name == name), None)

    async def list_services(
        self, *, text: str = "", teams: Sequence[str] = (), after: str = "", limit: int = 20
    ) -> Sequence[Service]:
        found = [
            one
            for one in sorted(self.services, key=lambda one: one.name)
            if text.lower() in f"{one.name} {one.description} {one.team}".lower()
            and (not teams or one.team in teams)
            and one.name > after
        ]
        return found[:limit]

    async def find_request(self, request_id: str) -> Request | None:
        return next((one for one in self.requests if one.id == request_id), None)

    async def list_requests(
        self,
        *,
        requester: str = "",
        service: str = "",
        teams: Sequence[str] = (),
        states: Sequence[RequestState] = (),
        only_open: bool = False,
        before: str = "",
        limit: int = 20,
    ) -> Sequence[Request]:
        newest_first = list(reversed(self.requests))
        if before:
            ids = [one.id for one in newest_first]
            newest_first = newest_first[ids.index(before) + 1 :]
        found = [
            one
            for one in newest_first
            if (not requester or one.requester == requester)
            and (not service or one.service == service)
            and (not teams or one.team in teams)
            and (not states or one.state in states)
            and (one.is_open or not only_open)
        ]
        return found[:limit]

    async def last_deployment(self, service: str, environment: str) -> DeploymentRecord | None:
        found = await self.list_deployments(service, environment, limit=1)
        return found[0] if found else None

    async def list_deployments(
        self, service: str, environment: str, *, limit: int = 10
    ) -> Sequence[DeploymentRecord]:
        found = [one for one in self.deployments if (one.service, one.environment) == (service, environment)]
        return list(reversed(found))[:limit]

    async def list_audit(
        self,
        *,
        service: str = "",
        actor: str = "",
        request_id: str = "",
        since: datetime | None = None,
        before: int = 0,
        steps: bool = True,
        limit: int = 20,
    ) -> Sequence[AuditEvent]:
        found = [
            one
            for one in reversed(self.events)
            if (not service or one.service == service)
            and (not actor or one.actor == actor)
            and (not request_id or one.request_id == request_id)
            and (since is None or datetime.fromisoformat(one.at) >= since)
            and (not before or one.sequence < before)
            and (steps or not one.event.startswith("step."))
        ]
        return found[:limit]


@dataclass
class FakeContext:
    """One person's conversation. `said` keeps the decisions that were handed on."""

    actor: Actor = field(default_factory=made.alice)
    now: datetime = made.NOW
    request_id: str = ""
    platform: Platform = field(default_factory=made.example_platform)
    backends: FakeBackends = field(default_factory=FakeBackends)
    knowledge: FakeKnowledge = field(default_factory=FakeKnowledge)
    commands: Mapping[str, Command] = field(default_factory=load_commands)
    people: dict[str, Actor] = field(default_factory=dict)
    said: list[tuple[str, ...]] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)

    def may(self, permission: str, *, team: str = "") -> bool:
        return access.may(self.actor, permission, team=team, platform=self.platform) is None

    def may_decide(self, request: Request) -> bool:
        return any(
            access.may_decide(self.actor, request, gate, platform=self.platform) is None
            for gate in request.gates
            if gate.verdict is Verdict.NEEDS_APPROVAL
        )

    async def find_person(self, user_id: str) -> Actor | None:
        return self.people.get(user_id)

    async def share(self, key: str, question: Callable[[], Awaitable[T]]) -> T:
        self.shared.append(key)
        return await question()

    async def observed(self, record: DeploymentRecord) -> None:
        self.knowledge.deployments.insert(0, record)

    async def decide(self, request_id: str, decision: Decision, *, reason: str) -> Reply:
        self.said.append((decision.value, request_id, reason))
        return Reply(f"{decision.value} {request_id}")

    async def cancel(self, request_id: str) -> Reply:
        self.said.append(("cancel", request_id))
        return Reply(f"cancel {request_id}")

    async def steer(self, request_id: str, choice: Choice) -> Reply:
        self.said.append((choice.value, request_id))
        return Reply(f"{choice.value} {request_id}")


@dataclass
class FakeRun:
    """One run of one request's steps; `outputs` are those of earlier steps."""

    backends: FakeBackends = field(default_factory=FakeBackends)
    outputs: dict[str, JSON] = field(default_factory=dict)
    halts: dict[str, Halt] = field(default_factory=dict)
    platform: Platform = field(default_factory=made.example_platform)
    request_id: str = REQUEST_ID
    requester: str = "UALICE0001"
    requester_name: str = "Alice Adams"
    now: datetime = made.NOW

    def operation(self, purpose: str) -> str:
        return f"{self.request_id}.{purpose}"

    def output(self, step_key: str) -> JSON:
        return self.outputs.get(step_key, {})

    async def halt(self, step_key: str) -> Halt | None:
        return self.halts.get(step_key)


def step_record(key: str, *, output: JSON | None = None) -> StepRecord:
    """What the ledger knows of a step that was done."""
    return StepRecord(REQUEST_ID, 0, key, key.title(), StepState.DONE, output=output or {})


def _fakes_keep_the_contracts() -> tuple[Context, Run, Knowledge]:
    """For the type checker: the fakes are what commands are promised."""
    return FakeContext(), FakeRun(), FakeKnowledge()
