"""Rows to domain values and back: the one place that knows both. Pure; it must not read or write anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeVar, cast

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

T = TypeVar("T")

FRAGMENT_LENGTH = 16
"""Characters. Hardly two services share as many by chance, and a service with a long description still has a short index."""


def searchable(*texts: str) -> str:
    """What a case-insensitive search looks in and for: folded here, because the engines fold differently, and as it can be stored,
    so that it is cut into the same fragments on both sides."""
    return storable_text("\n".join(texts)).casefold()


def fragments(text: str) -> set[str]:
    """Whatever part of the text is looked for, one of these begins with it, or with its first characters."""
    return {text[at : at + FRAGMENT_LENGTH] for at in range(len(text))}


def _value(kind: type[T], row: Row[Any], /, **others: Any) -> T:
    """A domain value whose fields are columns of the same names, but for `others`."""
    names = (field.name for field in fields(cast("Any", kind)) if field.name not in others)
    return kind(**{name: getattr(row, name) for name in names}, **others)


def to_request(row: Row[Any], approvals: Iterable[Approval], steps: Iterable[StepRecord]) -> Request:
    return _value(
        Request,
        row,
        state=RequestState(row.state),
        plan=None if row.plan is None else Plan.model_validate(row.plan),
        gates=to_gates(row),
        plan_changes=tuple(row.plan_changes),
        approvals=tuple(approvals),
        steps=tuple(steps),
    )


def to_gates(row: Row[Any]) -> tuple[Gate, ...]:
    return tuple(Gate.model_validate(gate) for gate in row.gates)


def from_gates(gates: Sequence[Gate]) -> list[JSON]:
    return [gate.model_dump(mode="json") for gate in gates]


def to_approval(row: Row[Any]) -> Approval:
    return _value(Approval, row, decision=Decision(row.decision))


def to_step(row: Row[Any]) -> StepRecord:
    links = tuple(Link(**link) for link in row.links)
    return _value(StepRecord, row, state=StepState(row.state), links=links, halt=to_halt(row.halt))


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
    return _value(Service, row)


def from_service(service: Service) -> JSON:
    return {**asdict(service), "search_text": searchable(service.name, service.description)}


def to_deployment(row: Row[Any]) -> DeploymentRecord:
    return _value(DeploymentRecord, row)


def to_card(row: Row[Any]) -> Card:
    return _value(Card, row, kind=CardKind(row.kind))


def to_event(row: Row[Any]) -> AuditEvent:
    return _value(AuditEvent, row)


def to_entity(row: Row[Any]) -> Entity:
    return _value(Entity, row)


def from_entity(entity: Entity) -> JSON:
    words = searchable(entity.name, entity.title, entity.description, entity.owner)
    return {**vars(entity), "links": dict(entity.links), "search_text": words}
