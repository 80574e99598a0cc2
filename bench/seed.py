"""History in bulk: services, requests with what belongs to them, and an audit chain that verifies. Deterministic.

Rows are written as the store would have written them, past SQLAlchemy: a million events take half a minute instead of an hour.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from bench.fake_slack import DEVELOPERS, LEADS, TEAM_ID
from bot.audit import GENESIS, event_hash
from bot.domain import canonical_json
from bot.rows import fragments

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
CHANNEL = "CORDERS001"
EVENTS_PER_REQUEST = 10
WORDS = ("checkout", "ledger", "invoice", "basket", "search", "mail", "stock", "price", "return", "label")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Size:
    """How much history. `services` of them, `requests` that ended, `events` of all kinds, `open_requests` that wait."""

    name: str
    services: int
    requests: int
    events: int
    open_requests: int = 0


SMALL = Size("small", services=100, requests=100, events=1_000, open_requests=50)
LARGE = Size("large", services=10_000, requests=100_000, events=1_000_000, open_requests=50)
WAITING = Size("waiting", services=10_000, requests=1_000, events=10_000, open_requests=1_000)
TINY = Size("tiny", services=100, requests=5, events=50, open_requests=5)
SIZES = (TINY, SMALL, WAITING, LARGE)


def service_name(index: int) -> str:
    return f"svc-{index:06d}"


def request_id(index: int) -> str:
    return f"r-{index:07d}"


def card_ts(index: int) -> str:
    """The message that is the card of request number `index`."""
    return f"{1_700_000_000 + index}.000100"


def plan_hash(index: int) -> str:
    return f"{index:064x}"


# ---------------------------------------------------------------- rows


def services(size: Size) -> Iterator[Row]:
    for index in range(size.services):
        name = service_name(index)
        url = f"https://git.example.com/{name}"
        description = f"The {WORDS[index % len(WORDS)]} service, number {index}"
        yield {
            "name": name,
            "team": "orders",
            "golden_path": "python-service",
            "description": description,
            "database": "none",
            "repository_url": f"{url}.git",
            "web_url": url,
            "created_by": DEVELOPERS[0],
            "created_at": _at(0),
            "request_id": request_id(0),
            "search_text": f"{name}\n{description}".casefold(),
        }


def service_fragments(size: Size) -> Iterator[Row]:
    for service in services(size):
        for fragment in fragments(service["search_text"]):
            yield {"fragment": fragment, "service": service["name"]}


def deployments(size: Size) -> Iterator[Row]:
    for index in range(size.requests):
        yield {
            "id": index + 1,
            "service": service_name(index % size.services),
            "environment": "staging",
            "revision": f"{index:040x}",
            "ref_revision": f"{index:040x}",
            "healthy": True,
            "deployed_by": "Omar Osman",
            "deployed_at": _at(index),
            "request_id": request_id(index),
        }


def requests(size: Size) -> Iterator[Row]:
    """The ones that ended, then the ones that wait for approval."""
    for index in range(size.requests + size.open_requests):
        waits = index >= size.requests
        name = service_name(index % size.services)
        yield {
            "id": request_id(index),
            "dedupe_key": f"seeded-{index}",
            "active_key": f"seeded:{index}" if waits else None,
            "command": "promote",
            "requester": DEVELOPERS[index % len(DEVELOPERS)],
            "requester_name": "Omar Osman",
            "team_id": TEAM_ID,
            "channel_id": CHANNEL,
            "team": "orders",
            "service": name,
            "environment": "production",
            "arguments": canonical_json({"service": name, "to": "production", "version": ""}),
            "state": "awaiting" if waits else ("succeeded", "denied", "undone")[index % 3],
            "version": 2,
            "run": 0 if waits else 1,
            "created_at": _at(index),
            "updated_at": _at(index + 1),
            "due_at": _at(10**9) if waits else None,
            "plan": canonical_json(_plan(name, index)),
            "gates": canonical_json([_GATE] if waits else []),
            "plan_hash": plan_hash(index),
            "plan_changes": "[]",
            "outcome": "",
        }


def _plan(name: str, index: int) -> dict[str, Any]:
    sha = f"{index:040x}"
    return {
        "command": "promote",
        "title": f"Promote {name} to production",
        "summary": f"{sha[:7]} from staging.",
        "service": name,
        "team": "orders",
        "environment": "production",
        "arguments": {"service": name, "to": "production", "version": ""},
        "changes": [
            {
                "kind": "ref",
                "action": "move",
                "name": "release",
                "environment": "production",
                "detail": f"to {sha[:7]}",
            }
        ],
        "steps": [],
        "facts": {"source_revision": sha},
    }


_GATE = {
    "rule": "approval:production",
    "verdict": "needs_approval",
    "reason": "A team lead has to approve.",
    "group": "leads:orders",
    "needed": 1,
}


def approvals(size: Size) -> Iterator[Row]:
    for index in range(size.requests):
        yield {
            "id": index + 1,
            "request_id": request_id(index),
            "user_id": LEADS[index % len(LEADS)],
            "decision": "approve",
            "rule": "approval:production",
            "plan_hash": plan_hash(index),
            "reason": "",
            "decided_at": _at(index),
        }


def steps(size: Size) -> Iterator[Row]:
    for index in range(size.requests):
        for position, key in enumerate(("release", "deploy")):
            yield {
                "request_id": request_id(index),
                "key": key,
                "position": position,
                "title": key.title(),
                "state": "done",
                "run": 1,
                "detail": "",
                "error": "",
                "external_id": f"{key}-{index}",
                "output": "{}",
                "links": "[]",
                "unsure": False,
                "started_at": _at(index),
                "finished_at": _at(index),
            }


def cards(size: Size) -> Iterator[Row]:
    """All of them were sent."""
    for index in range(size.requests + size.open_requests):
        owner = request_id(index)
        yield {
            "id": f"{owner}.request.{CHANNEL}",
            "request_id": owner,
            "kind": "request",
            "target": CHANNEL,
            "channel_id": CHANNEL,
            "ts": card_ts(index),
            "revision": 3,
            "sent_revision": 3,
            "attempts": 0,
            "gone": False,
            "not_before": _at(index),
        }


def audit_events(size: Size) -> Iterator[Row]:
    previous = GENESIS
    for sequence in range(1, size.events + 1):
        index = sequence // EVENTS_PER_REQUEST
        values: dict[str, Any] = {
            "sequence": sequence,
            "at": _moment(sequence).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "actor": DEVELOPERS[index % len(DEVELOPERS)] if sequence % 3 else "system",
            "event": ("request.opened", "request.planned", "step.started", "step.done")[sequence % 4],
            "request_id": request_id(index),
            "service": service_name(index % size.services),
            "environment": "production",
            "data": {"plan_hash": f"{index:064x}", "step": "deploy", "run": 1},
        }
        hashed = event_hash(values, previous_hash=previous)
        yield {**values, "data": canonical_json(values["data"]), "previous_hash": previous, "hash": hashed}
        previous = hashed


def _moment(number: int) -> datetime:
    return BEGIN + timedelta(seconds=number)


def _at(number: int) -> str:
    """As SQLite stores a moment: in UTC, as text of one width."""
    return _moment(number).strftime("%Y-%m-%d %H:%M:%S.%f")


Rows = Callable[[Size], Iterator[Row]]
ROWS: Mapping[str, Rows] = {
    "services": services,
    "service_fragments": service_fragments,
    "deployments": deployments,
    "requests": requests,
    "approvals": approvals,
    "steps": steps,
    "cards": cards,
    "audit_events": audit_events,
}
"""In an order that foreign keys allow."""


# ---------------------------------------------------------------- into a database


def fill(file: Path, size: Size) -> None:
    """Into a migrated SQLite file."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        for table, make in ROWS.items():
            rows = make(size)
            first = next(rows, None)
            if first is not None:
                names, holders = ", ".join(first), ", ".join(f":{name}" for name in first)
                statement = f"INSERT INTO {table} ({names}) VALUES ({holders})"  # noqa: S608 - our own names
                connection.executemany(statement, chain([first], rows))
        connection.execute(
            "UPDATE audit_head SET (sequence, hash) ="
            " (SELECT sequence, hash FROM audit_events ORDER BY sequence DESC LIMIT 1)"
        )
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def copy(source: Path, url: str) -> None:
    """The rows of a filled SQLite file into a migrated PostgreSQL database."""
    with closing(sqlite3.connect(source)) as origin:
        # SQLite's moments say no zone; they are in UTC.
        with psycopg.connect(url, options="-c timezone=UTC") as target:
            for table in ROWS:
                _copy_table(origin, target, table)
            head = origin.execute("SELECT sequence, hash FROM audit_head").fetchone()
            target.execute("UPDATE audit_head SET sequence = %s, hash = %s", head)
            for table in ("deployments", "approvals"):
                counter = f"pg_get_serial_sequence('{table}', 'id')"
                target.execute(f"SELECT setval({counter}, (SELECT max(id) FROM {table}))")  # noqa: S608
        with psycopg.connect(url, autocommit=True) as target:
            target.execute("VACUUM ANALYZE")


def _copy_table(origin: sqlite3.Connection, target: psycopg.Connection[Any], table: str) -> None:
    rows = origin.execute(f"SELECT * FROM {table}")  # noqa: S608 - our own names
    names = sql.SQL(", ").join(sql.Identifier(column[0]) for column in rows.description)
    into = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
    with target.cursor() as cursor, cursor.copy(into) as sink:
        for row in rows:
            sink.write_row(row)
