"""Rows to domain values and back: the one place that knows both. Pure; it must not read or write anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row

from bot.audit import storable_text
from bot.domain import (
    JSON,
    Approval,
    AuditEvent,
    Card,
    CardKind,
    Choice,
    Decision,
    DeploymentRecord,
    Gate,
    Halt,
    Link,
    Plan,
    Request,
    RequestState,
    Service,
    StepRecord,
    StepState,
)
from integrations.ports import Entity

FRAGMENT_LENGTH = 16
"""Characters. Hardly two services share as many by chance, and a service with a long description still has a short index."""


def searchable(*texts: str) -> str:
    """What a case-insensitive search looks in and for: folded here, because the engines fold differently, and as it can be stored,
    so that it is cut into the same fragments on both sides."""
    return storable_text("\n".join(texts)).casefold()


def fragments(text: str) -> set[str]:
    """Whatever part of the text is looked for, one of these begins with it, or with its first characters."""
    return {text[at : at + FRAGMENT_LENGTH] for at in range(len(text))}


def to_request(row: Row[Any], approvals: Iterable[Approval], steps: Iterable[StepRecord]) -> Request:
    return Request(
        id=row.id,
        command=row.command,
        requester=row.requester,
        requester_name=row.requester_name,
        team_id=row.team_id,
        channel_id=row.channel_id,
        team=row.team,
        service=row.service,
        environment=row.environment,
        arguments=row.arguments,
        state=RequestState(row.state),
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
        due_at=row.due_at,
        plan=None if row.plan is None else Plan.model_validate(row.plan),
        gates=to_gates(row),
        plan_hash=row.plan_hash,
        plan_changes=tuple(row.plan_changes),
        approvals=tuple(approvals),
        steps=tuple(steps),
        outcome=row.outcome,
        run=row.run,
    )


def to_gates(row: Row[Any]) -> tuple[Gate, ...]:
    return tuple(Gate.model_validate(gate) for gate in row.gates)


def from_gates(gates: Sequence[Gate]) -> list[JSON]:
    return [gate.model_dump(mode="json") for gate in gates]


def to_approval(row: Row[Any]) -> Approval:
    return Approval(
        request_id=row.request_id,
        user_id=row.user_id,
        decision=Decision(row.decision),
        rule=row.rule,
        plan_hash=row.plan_hash,
        reason=row.reason,
        decided_at=row.decided_at,
    )


def to_step(row: Row[Any]) -> StepRecord:
    return StepRecord(
        request_id=row.request_id,
        position=row.position,
        key=row.key,
        title=row.title,
        state=StepState(row.state),
        detail=row.detail,
        error=row.error,
        external_id=row.external_id,
        output=row.output,
        links=tuple(Link(**link) for link in row.links),
        unsure=row.unsure,
        started_at=row.started_at,
        finished_at=row.finished_at,
        due_at=row.due_at,
        halt=to_halt(row.halt),
    )


def to_halt(stored: JSON | None) -> Halt | None:
    if stored is None:
        return None
    chosen = stored.get("choice")
    return Halt(
        at=stored["at"],
        choice=Choice(chosen) if chosen else None,
        chosen_by=stored.get("by", ""),
        chosen_by_name=stored.get("name", ""),
    )


def from_links(links: Iterable[Link]) -> list[JSON]:
    return [asdict(link) for link in links]


def to_service(row: Row[Any]) -> Service:
    return Service(
        name=row.name,
        team=row.team,
        golden_path=row.golden_path,
        description=row.description,
        database=row.database,
        repository_url=row.repository_url,
        web_url=row.web_url,
        created_by=row.created_by,
        created_at=row.created_at,
        request_id=row.request_id,
    )


def from_service(service: Service) -> JSON:
    return {**asdict(service), "search_text": searchable(service.name, service.description)}


def to_deployment(row: Row[Any]) -> DeploymentRecord:
    return DeploymentRecord(
        service=row.service,
        environment=row.environment,
        revision=row.revision,
        ref_revision=row.ref_revision,
        healthy=row.healthy,
        deployed_by=row.deployed_by,
        deployed_at=row.deployed_at,
        request_id=row.request_id,
    )


def to_card(row: Row[Any]) -> Card:
    return Card(
        id=row.id,
        request_id=row.request_id,
        kind=CardKind(row.kind),
        channel_id=row.channel_id,
        ts=row.ts,
        revision=row.revision,
        sent_revision=row.sent_revision,
        post_started_at=row.post_started_at,
        attempts=row.attempts,
        gone=row.gone,
    )


def to_event(row: Row[Any]) -> AuditEvent:
    return AuditEvent(
        sequence=row.sequence,
        at=row.at,
        actor=row.actor,
        event=row.event,
        request_id=row.request_id,
        service=row.service,
        environment=row.environment,
        data=row.data,
        previous_hash=row.previous_hash,
        hash=row.hash,
    )


def to_entity(row: Row[Any]) -> Entity:
    return Entity(
        name=row.name,
        title=row.title,
        description=row.description,
        owner=row.owner,
        golden_path=row.golden_path,
        lifecycle=row.lifecycle,
        links=row.links,
        request_id=row.request_id,
    )


def from_entity(entity: Entity) -> JSON:
    return {
        "name": entity.name,
        "title": entity.title,
        "description": entity.description,
        "owner": entity.owner,
        "golden_path": entity.golden_path,
        "lifecycle": entity.lifecycle,
        "links": dict(entity.links),
        "request_id": entity.request_id,
        "search_text": searchable(entity.name, entity.title, entity.description, entity.owner),
    }
