"""The audit chain: any tampering is found, and the first bad event is named."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from damaging import tampering
from hypothesis import assume, given
from hypothesis import strategies as st
from requests_made import ALICE, awaiting, ballot, new_request

from bot import audit, stored_chain
from bot.audit import GENESIS, Fact, Head, StoredEvent, StoredRow, Verification
from bot.database import async_url, open_engines
from bot.domain import AuditEvent, Gate, Plan, PlannedStep, Verdict, plan_hash
from bot.store import Store

START = datetime(2026, 1, 1, tzinfo=UTC)
WRITTEN = "its content is not what was hashed when it was written"
FOLLOWS = "it does not follow the event before it"
texts = st.text(max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
TEXTS = ("at", "actor", "event", "request_id", "service", "environment")
CONTROLS = "".join(map(chr, range(32)))
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


# ---------------------------------------------------------------- pages as they are stored


def stored(event: AuditEvent) -> StoredRow:
    values = {**asdict(event), "data": audit.canonical_json(event.data)}
    row: Any = tuple(values[field.name] for field in fields(StoredEvent))
    return row


def found_one_by_one(rows: list[StoredRow], head: Head) -> Verification:
    verifier = audit.Verifier(head.hash, first_sequence=head.sequence + 1)
    for row in rows:
        verifier.check_stored(StoredEvent(*row))
    return verifier.close()


@given(chains, st.data())
def test_a_page_follows_where_it_was_written_to_follow(events: list[AuditEvent], data: Any) -> None:
    cut = data.draw(st.integers(1, len(events) - 1))
    head = Head(cut, events[cut - 1].hash)
    written = "".join(getattr(event, name) for event in events[cut:] for name in TEXTS)

    found = audit.follows([stored(event) for event in events[cut:]], head)

    # What would have had to be escaped is left to whoever checks one by one.
    assert found is not any(character in written for character in '"\\' + CONTROLS)
    assert found_one_by_one([stored(event) for event in events], Head()).ok


@given(chains, st.data())
def test_no_page_follows_in_which_anything_was_changed(events: list[AuditEvent], data: Any) -> None:
    rows = [stored(event) for event in events]
    at = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.integers(0, len(rows[at]) - 1))
    other = data.draw(
        st.none() | st.binary(max_size=3) | st.integers() | texts | st.just(f"{rows[at][column]} ")
    )
    assume(other != rows[at][column])
    harmed: Any = (*rows[at][:column], other, *rows[at][column + 1 :])
    rows[at] = harmed

    assert not audit.follows(rows, Head())


def test_columns_that_only_read_alike_when_glued_do_not_follow() -> None:
    """Who may change rows could move the place where one column ends and the next begins, and leave what was hashed as it was."""
    [event] = chained(Fact("a", "u", environment="e", data={"k": {"a": 1, "environment": "x", "event": "y"}}))
    [escaped] = chained(Fact("a", "u\n"))
    moved = {"data": '{"k":{"a":1', "environment": 'x","event":"y"}},"environment":"e'}
    assert glued(replace(StoredEvent(*stored(event)), **moved)) == glued(StoredEvent(*stored(event)))

    assert audit.follows([stored(event)], Head())
    assert not audit.follows([changed(event, **moved)], Head())
    assert not audit.follows([changed(escaped, actor="u\\n")], Head())


def glued(event: StoredEvent) -> str:
    return f'{event.data},"environment":"{event.environment}"'


def changed(event: AuditEvent, **columns: str) -> StoredRow:
    found = replace(StoredEvent(*stored(event)), **columns)
    row: Any = tuple(getattr(found, field.name) for field in fields(StoredEvent))
    return row


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


async def test_the_recorded_chain_is_checked_page_by_page(store: Store) -> None:
    for n in range(7):
        await store.open_request(new_request(f"r{n}"))

    assert await store.verify_audit(batch=2) == Verification(
        count=7, head_hash=(await store.audit_head()).hash
    )


@pytest.mark.parametrize(
    ("statement", "first_bad", "why"),
    [
        ("UPDATE audit_events SET actor = 'UMALLORY' WHERE sequence = 3", 3, WRITTEN),
        ("UPDATE audit_events SET actor = actor || '\"' WHERE sequence = 3", 3, WRITTEN),
        ("UPDATE audit_events SET data = '{}' WHERE sequence = 2", 2, WRITTEN),
        ("UPDATE audit_events SET data = '{' WHERE sequence = 2", 2, "its content cannot be read: .+"),
        ("UPDATE audit_events SET hash = previous_hash WHERE sequence = 2", 2, WRITTEN),
        ("UPDATE audit_events SET previous_hash = hash WHERE sequence = 4", 4, FOLLOWS),
        ("DELETE FROM audit_events WHERE sequence = 4", 4, "event 4 is missing: event 5 stands in its place"),
        ("DELETE FROM audit_events WHERE sequence = 1", 1, "event 1 is missing: event 2 stands in its place"),
        ("DELETE FROM audit_events WHERE sequence >= 5", 5, "the chain should reach event 6 but ends at 4"),
        (
            "UPDATE audit_events SET sequence = 99 WHERE sequence = 6",
            6,
            "the chain should reach event 6 but ends at 5",
        ),
        ("UPDATE audit_head SET sequence = 7", 7, "the chain should reach event 7 but ends at 6"),
        ("UPDATE audit_head SET hash = 'x'", 6, "it is not the event the chain ended with"),
    ],
)
@pytest.mark.parametrize("batch", [1, 2, 100])
async def test_tampering_in_the_database_is_found_and_the_first_bad_row_named(
    store: Store, statement: str, first_bad: int, why: str, batch: int
) -> None:
    await store.decide("r1", ballot(await awaiting(store)))
    for n in range(2, 5):
        await store.open_request(new_request(f"r{n}"))
    async with tampering(store) as connection:
        await connection.execute(sa.text(statement))

    found = await store.verify_audit(batch=batch)

    assert found.first_bad == first_bad
    assert re.fullmatch(why, found.why)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "value", ["CAST(actor AS BLOB)", "CAST(x'ff' AS TEXT)", "actor || CAST(x'00' AS TEXT)"]
)
async def test_what_only_sqlite_keeps_in_a_column_of_texts_is_found(store: Store, value: str) -> None:
    for n in range(3):
        await store.open_request(new_request(f"r{n}"))
    async with tampering(store) as connection:
        await connection.execute(sa.text(f"UPDATE audit_events SET actor = {value} WHERE sequence = 2"))

    found = await store.verify_audit()

    assert found.first_bad == 2
    assert re.match(f"{WRITTEN}|its content cannot be hashed: ", found.why)


async def test_pages_are_proven_without_a_look_at_each_event(store: Store, database_url: str) -> None:
    for n in range(7):
        await store.open_request(new_request(f"r{n}"))
    head = await store.audit_head()

    async with open_engines(async_url(database_url)) as engines:
        assert stored_chain.follow(engines.bulk, Head(), upto=head.sequence, batch=3) == head
        assert stored_chain.follow(engines.bulk, Head(), upto=5, batch=3).sequence == 5


async def test_texts_that_had_to_be_escaped_are_no_fault(store: Store, database_url: str) -> None:
    for n in range(6):
        await store.open_request(new_request(f"r{n}", service='"a\\\nb"' if n == 2 else "orders"))
    head = await store.audit_head()

    async with open_engines(async_url(database_url)) as engines:
        assert stored_chain.follow(engines.bulk, Head(), upto=6, batch=2).sequence == 2
    assert await store.verify_audit(batch=2) == Verification(count=6, head_hash=head.hash)


async def test_an_export_holds_every_event_and_can_be_continued(store: Store) -> None:
    for n in range(5):
        await store.open_request(new_request(f"r{n}", arguments={"text": "a\nb\u2028c"}))

    lines = [one async for one in store.export_audit(batch=2)]
    rest = [one async for one in store.export_audit(after=3)]

    events = [audit.parse_line(one) for one in lines]
    assert audit.verify(events, head=await store.audit_head()).count == 5
    assert rest == lines[3:]
    assert {event.actor for event in events} == {ALICE}
