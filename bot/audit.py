"""The audit chain: how an event is hashed, checked and written as a line. Pure; it must not know a database or a clock.

Every event holds the hash of the one before it, so an event cannot be changed, removed, inserted or moved without
breaking the chain at that place. What a chain cannot show by itself is that its end was cut off or written anew: for that
the head (last sequence number and hash) is kept beside the events, and an operator may keep it elsewhere too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from bot.domain import JSON, AuditEvent, canonical_json, sha256_hex

GENESIS = "0" * 64
"""What the first event holds as the hash of its predecessor."""

_FIELDS = frozenset(field.name for field in fields(AuditEvent))


@dataclass(frozen=True)
class Head:
    """The end of the chain: how many events there are and the hash of the last one."""

    sequence: int = 0
    hash: str = GENESIS


@dataclass(frozen=True)
class Fact:
    """What happened, before it has a place in the chain. `data` never holds secrets."""

    event: str
    actor: str
    request_id: str = ""
    service: str = ""
    environment: str = ""
    data: JSON | None = None


@dataclass(frozen=True)
class Verification:
    """What checking a chain found: `first_bad` is the sequence number of the first event that is not as written."""

    count: int
    head_hash: str
    first_bad: int | None = None
    why: str = ""

    @property
    def ok(self) -> bool:
        return self.first_bad is None


def timestamp(at: datetime) -> str:
    """ISO 8601 in UTC with microseconds: always 27 characters, so that texts sort as the times do."""
    if at.tzinfo is None:
        raise ValueError("a naive datetime says no moment; give it a time zone")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def storable_text(text: str) -> str:
    """The text without what PostgreSQL or UTF-8 cannot hold: NUL characters and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def chain(fact: Fact, *, at: datetime, previous: Head) -> AuditEvent:
    """The event that follows `previous`, in the form it is stored in."""
    values: dict[str, Any] = {
        "sequence": previous.sequence + 1,
        "at": timestamp(at),
        "actor": storable_text(fact.actor),
        "event": storable_text(fact.event),
        "request_id": storable_text(fact.request_id),
        "service": storable_text(fact.service),
        "environment": storable_text(fact.environment),
        # Through JSON once: what is hashed is what will be read back (keys are texts, tuples are lists).
        "data": json.loads(storable_text(canonical_json(fact.data or {}))),
    }
    return AuditEvent(
        **values, previous_hash=previous.hash, hash=event_hash(values, previous_hash=previous.hash)
    )


def event_hash(values: JSON, *, previous_hash: str) -> str:
    """SHA-256 over the canonical JSON of every field but the hash itself."""
    return sha256_hex(canonical_json({**values, "previous_hash": previous_hash}))


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as its row holds it: `data` is still the text it was stored as."""

    sequence: int
    at: str
    actor: str
    event: str
    request_id: str
    service: str
    environment: str
    data: str
    previous_hash: str
    hash: str

    def parsed(self) -> AuditEvent:
        """Raises TypeError or ValueError where `data` is no JSON."""
        values = {name: getattr(self, name) for name in _FIELDS}
        return AuditEvent(**{**values, "data": json.loads(self.data)})


StoredRow = tuple[int, str, str, str, str, str, str, str, str, str]
"""The columns of a `StoredEvent`, in its order, as a driver hands them out; in a harmed database they may be anything."""


def follows(rows: Sequence[StoredRow], head: Head) -> bool:
    """Whether these are the events after `head`, each as it was written. False says only that they must be checked one by one.

    What was hashed is written here without escaping, which is right while no text holds a quote or a backslash. Then it can be
    taken apart in one way only: a text ends at the next quote, and `data` is what is left between two of them. So where the
    hash is right, every column is.
    """
    sequences, *texts, _data, previous_hashes, hashes = zip(*rows, strict=True)
    try:
        written = "".join(map("".join, texts))
    except TypeError:  # NULL, or bytes, in a column of texts.
        return False
    if '"' in written or "\\" in written:
        return False
    hashed = [
        sha256(
            f'{{"actor":"{actor}","at":"{at}","data":{data},"environment":"{environment}","event":"{event}",'
            f'"previous_hash":"{previous_hash}","request_id":"{request_id}","sequence":{sequence},'
            f'"service":"{service}"}}'.encode()
        ).hexdigest()
        for sequence, at, actor, event, request_id, service, environment, data, previous_hash, _ in rows
    ]
    first = head.sequence + 1
    return (
        sequences == tuple(range(first, first + len(rows)))
        and previous_hashes == (head.hash, *hashed[:-1])
        and hashes == tuple(hashed)
    )


class Verifier:
    """Checks a chain event by event, in constant memory; it stops looking at the first bad one."""

    def __init__(self, previous: str = GENESIS, *, first_sequence: int = 1) -> None:
        self._first = first_sequence
        self._next = first_sequence
        self._hash = previous
        self._bad: tuple[int, str] | None = None

    def check(self, event: AuditEvent) -> bool:
        """Take the next event; False once the chain is broken."""
        if self._bad is None:
            why = self._fault(event)
            if why:
                self._bad = (self._next, why)
            else:
                self._next += 1
                self._hash = event.hash
        return self._bad is None

    def check_stored(self, event: StoredEvent) -> bool:
        """As `check`, of an event that may hold anything."""
        try:
            parsed = event.parsed()
        except (TypeError, ValueError) as error:
            self._bad = self._bad or (self._next, f"its content cannot be read: {error}")
            return False
        return self.check(parsed)

    def break_off(self, why: str) -> None:
        """The next event cannot be looked at."""
        self._bad = self._bad or (self._next, why)

    def go_on(self, head: Head) -> None:
        """Take every event up to `head`, which `follows` found to be as written."""
        self._next, self._hash = head.sequence + 1, head.hash

    @property
    def head(self) -> Head:
        """The last event that is known to be as written."""
        return Head(self._next - 1, self._hash)

    def _fault(self, event: AuditEvent) -> str:
        if event.sequence != self._next:
            return f"event {self._next} is missing: event {event.sequence} stands in its place"
        if event.previous_hash != self._hash:
            return "it does not follow the event before it"
        values = asdict(event)
        del values["hash"], values["previous_hash"]
        try:
            expected = event_hash(values, previous_hash=event.previous_hash)
        except (TypeError, ValueError) as error:
            return f"its content cannot be hashed: {error}"
        return "" if event.hash == expected else "its content is not what was hashed when it was written"

    def close(self, head: Head | None = None) -> Verification:
        """The finding; `head`, where it is known, shows events missing at the end."""
        count = self._next - self._first
        if (
            self._bad is None
            and head is not None
            and (head.sequence, head.hash)
            != (
                self._next - 1,
                self._hash,
            )
        ):
            self._bad = self._beyond(head)
        if self._bad is None:
            return Verification(count=count, head_hash=self._hash)
        return Verification(count=count, head_hash=self._hash, first_bad=self._bad[0], why=self._bad[1])

    def _beyond(self, head: Head) -> tuple[int, str]:
        last = self._next - 1
        if head.sequence > last:
            return self._next, f"the chain should reach event {head.sequence} but ends at {last}"
        if head.sequence < last:
            return head.sequence + 1, f"the chain should end at event {head.sequence} but reaches {last}"
        return last, "it is not the event the chain ended with"


def verify(
    events: Iterable[AuditEvent],
    previous: str = GENESIS,
    *,
    first_sequence: int = 1,
    head: Head | None = None,
) -> Verification:
    """Check a chain, or the part of one that follows `previous`."""
    verifier = Verifier(previous, first_sequence=first_sequence)
    for event in events:
        if not verifier.check(event):
            break
    return verifier.close(head)


def line(event: AuditEvent) -> str:
    """One line of an export (JSON Lines), without the line break."""
    return canonical_json(asdict(event))


def parse_line(text: str) -> AuditEvent:
    """Read a line of an export back, for checking it offline. Raises ValueError where it is no event."""
    values = json.loads(text)
    if not isinstance(values, dict) or set(values) != _FIELDS:
        raise ValueError("not an audit event: its fields are not those of one")
    if type(values["sequence"]) is not int or not isinstance(values["data"], dict):
        raise ValueError("not an audit event: sequence must be a number and data an object")
    if any(type(value) is not str for name, value in values.items() if name not in {"sequence", "data"}):
        raise ValueError("not an audit event: every field but sequence and data is a text")
    return AuditEvent(**values)
