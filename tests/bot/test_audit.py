"""The audit chain: any tampering is found, and the first bad event is named."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from requests_made import ALICE, awaiting, ballot, new_request

from bot import audit
from bot.audit import GENESIS, Fact, Head, Verification
from bot.domain import AuditEvent, Gate, Plan, PlannedStep, Verdict, plan_hash
from bot.store import Store

START = datetime(2026, 1, 1, tzinfo=UTC)
texts = st.text(max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
facts = st.builds(
    Fact,
    event=texts,
    actor=texts,
    request_id=texts,
    service=texts,
    environment=texts,
    data=st.dictionaries(texts, json_values, max_size=4),
)


def chained(*given_facts: Fact) -> list[AuditEvent]:
    events: list[AuditEvent] = []
    head = Head()
    for n, fact in enumerate(given_facts):
        events.append(audit.chain(fact, at=START + timedelta(seconds=n), previous=head))
        head = Head(events[-1].sequence, events[-1].hash)
    return events


chains = st.lists(facts, min_size=2, max_size=6).map(lambda made: chained(*made))


@given(chains)
def test_an_untouched_chain_is_good(events: list[AuditEvent]) -> None:
    head = Head(len(events), events[-1].hash)

    assert audit.verify(events, head=head) == Verification(count=len(events), head_hash=head.hash)


@given(chains, st.data())
def test_a_part_of_a_chain_is_checked_from_where_it_begins(events: list[AuditEvent], data: Any) -> None:
    cut = data.draw(st.integers(1, len(events) - 1))

    found = audit.verify(events[cut:], events[cut - 1].hash, first_sequence=cut + 1)

    assert (found.ok, found.count) == (True, len(events) - cut)


@given(chains, st.data())
def test_any_changed_field_is_found_in_its_event(events: list[AuditEvent], data: Any) -> None:
    at = data.draw(st.integers(0, len(events) - 1))
    name = data.draw(
        st.sampled_from(["at", "actor", "event", "request_id", "service", "environment", "data", "hash"])
    )
    old = getattr(events[at], name)
    other = {**old, "more": 1} if name == "data" else old + "x"
    if name == "data":
        other = data.draw(st.just(other) | st.dictionaries(texts, json_values, max_size=3))
    events[at] = replace(events[at], **{name: other})

    found = audit.verify(events)

    unchanged = name == "data" and audit.canonical_json(other) == audit.canonical_json(old)
    assert found.first_bad == (None if unchanged else at + 1)


@given(chains, st.data())
def test_a_removed_event_is_missed(events: list[AuditEvent], data: Any) -> None:
    head = Head(len(events), events[-1].hash)
    at = data.draw(st.integers(0, len(events) - 1))
    del events[at]

    assert audit.verify(events, head=head).first_bad == at + 1


@given(chains, st.data())
def test_two_swapped_events_are_found_at_the_first(events: list[AuditEvent], data: Any) -> None:
    first, second = sorted(
        data.draw(st.lists(st.integers(0, len(events) - 1), min_size=2, max_size=2, unique=True))
    )
    events[first], events[second] = events[second], events[first]

    assert audit.verify(events).first_bad == first + 1


@given(chains, facts, st.data())
def test_an_inserted_event_is_found(events: list[AuditEvent], fact: Fact, data: Any) -> None:
    at = data.draw(st.integers(0, len(events) - 1))
    previous = Head(events[at - 1].sequence, events[at - 1].hash) if at else Head()
    forged = audit.chain(replace(fact, actor="forger" + fact.actor), at=START, previous=previous)
    events.insert(at, forged)

    # The forged event follows its predecessor well; the true one after it is where the chain breaks.
    assert audit.verify(events).first_bad == at + 2


@given(chains)
def test_an_end_written_anew_is_found_by_the_head_that_was_kept(events: list[AuditEvent]) -> None:
    head = Head(len(events), events[-1].hash)
    last = events[-1]
    previous = Head(last.sequence - 1, last.previous_hash)
    events[-1] = audit.chain(Fact(event="forged", actor=f"{last.actor}x"), at=START, previous=previous)

    assert audit.verify(events).ok
    assert audit.verify(events, head=head).first_bad == len(events)


def test_events_beyond_the_head_are_found() -> None:
    events = chained(Fact("a", "u"), Fact("b", "u"), Fact("c", "u"))

    found = audit.verify(events, head=Head(2, events[1].hash))

    assert (found.first_bad, found.why) == (3, "the chain should end at event 2 but reaches 3")


def test_an_empty_chain_is_good() -> None:
    assert audit.verify([]) == Verification(count=0, head_hash=GENESIS)
    assert audit.verify([], head=Head(1, "x")).first_bad == 1


@given(chains)
def test_an_exported_chain_is_checked_offline(events: list[AuditEvent]) -> None:
    lines = [audit.line(event) for event in events]

    assert all("\n" not in one for one in lines)
    assert [audit.parse_line(one) for one in lines] == events
    assert audit.verify(map(audit.parse_line, lines)).ok


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "{", '{"sequence":1}'])
def test_a_line_that_is_no_event_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        audit.parse_line(text)


@pytest.mark.parametrize(
    ("name", "value"), [("sequence", "1"), ("sequence", True), ("data", []), ("hash", None), ("at", 1)]
)
def test_a_line_with_a_field_of_another_kind_is_refused(name: str, value: object) -> None:
    [event] = chained(Fact("a", "u"))
    values = {**json.loads(audit.line(event)), name: value}

    with pytest.raises(ValueError, match="not an audit event"):
        audit.parse_line(json.dumps(values))


def test_times_are_written_in_utc_and_sort_as_text() -> None:
    berlin = timezone(timedelta(hours=1))

    assert audit.timestamp(datetime(2026, 1, 1, 0, 30, tzinfo=berlin)) == "2025-12-31T23:30:00.000000Z"
    with pytest.raises(ValueError, match="time zone"):
        audit.timestamp(datetime(2026, 1, 1))  # noqa: DTZ001 - the naive time is what is refused


# ---------------------------------------------------------------- plan hashes


@given(texts, st.dictionaries(texts, texts, max_size=4), st.dictionaries(texts, json_values, max_size=3))
def test_a_plan_keeps_its_hash_through_storage_and_in_any_key_order(
    title: str, made_on: dict[str, str], arguments: dict[str, Any]
) -> None:
    def make(turned: bool) -> Plan:
        def order(values: dict[str, Any]) -> dict[str, Any]:
            return dict(reversed(values.items())) if turned else dict(values)

        return Plan(
            command="promote",
            title=title,
            summary="",
            service="orders",
            team="orders",
            facts=order(made_on),
            steps=(PlannedStep(key="a", title="A", arguments=order(arguments)),),
        )

    gates = (Gate(rule="r", verdict=Verdict.PASS, reason=title),)
    stored = Plan.model_validate_json(make(turned=False).model_dump_json())

    assert plan_hash(make(turned=True), gates) == plan_hash(make(turned=False), gates)
    assert plan_hash(stored, gates) == plan_hash(make(turned=False), gates)
    assert plan_hash(stored, ()) != plan_hash(stored, gates)


# ---------------------------------------------------------------- in the database


@asynccontextmanager
async def tampering(store: Store) -> AsyncIterator[Any]:
    """A connection of somebody who may do anything to the database, triggers included."""
    async with store.engine.begin() as connection:
        if store.engine.dialect.name == "sqlite":
            for trigger in ("no_update", "no_delete", "no_replace"):
                await connection.execute(sa.text(f"DROP TRIGGER audit_events_{trigger}"))
        else:
            await connection.execute(sa.text("ALTER TABLE audit_events DISABLE TRIGGER ALL"))
        yield connection


async def test_the_recorded_chain_is_checked_page_by_page(store: Store) -> None:
    for n in range(7):
        await store.open_request(new_request(f"r{n}"))

    assert await store.verify_audit(batch=2) == Verification(
        count=7, head_hash=(await store.audit_head()).hash
    )


@pytest.mark.parametrize(
    ("statement", "first_bad"),
    [
        ("UPDATE audit_events SET actor = 'UMALLORY' WHERE sequence = 3", 3),
        ("UPDATE audit_events SET data = '{}' WHERE sequence = 2", 2),
        ("DELETE FROM audit_events WHERE sequence = 4", 4),
        ("DELETE FROM audit_events WHERE sequence >= 5", 5),
        ("UPDATE audit_events SET sequence = 99 WHERE sequence = 6", 6),
    ],
)
async def test_tampering_in_the_database_is_found_and_the_first_bad_row_named(
    store: Store, statement: str, first_bad: int
) -> None:
    await store.decide("r1", ballot(await awaiting(store)))
    for n in range(2, 5):
        await store.open_request(new_request(f"r{n}"))
    async with tampering(store) as connection:
        await connection.execute(sa.text(statement))

    found = await store.verify_audit(batch=2)

    assert found.first_bad == first_bad
    assert found.why


async def test_an_export_holds_every_event_and_can_be_continued(store: Store) -> None:
    for n in range(5):
        await store.open_request(new_request(f"r{n}", arguments={"text": "a\nb\u2028c"}))

    lines = [one async for one in store.export_audit(batch=2)]
    rest = [one async for one in store.export_audit(after=3)]

    events = [audit.parse_line(one) for one in lines]
    assert audit.verify(events, head=await store.audit_head()).count == 5
    assert rest == lines[3:]
    assert {event.actor for event in events} == {ALICE}
