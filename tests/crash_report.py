"""What must be the same after a kill as in an undisturbed life: repositories, what runs, rows, audit, what Slack shows.

Everything is read from outside, as an operator would: git, the runtime's own files, `ps`, the service's address, the tables. What
differs between any two lives (ids, hashes, ports, times) is replaced by the order in which it first appears.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from bot.app import utc_now
from bot.database import sync_url
from bot.domain import OPEN_STATES
from bot.store import Store
from playground.actor import buttons, shown_text
from playground.control import Control
from playground.messages import Message

REQUEST_ID = r"\br-[23456789a-z]{7}\b"
HASH = r"(?:(?<![0-9A-Za-z])|(?<=\\n))[0-9a-f]{7,64}(?![0-9A-Za-z])"
MOMENT = r"<!date\^[^>]*>|\b\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z|\+00:00)?"
PORT = r"127\.0\.0\.1:\d+"
SPAN = r" · \d+ s\b"
VOLATILE = re.compile(
    f"(?P<moment>{MOMENT})|(?P<span>{SPAN})|(?P<port>{PORT})|(?P<request>{REQUEST_ID})|(?P<hash>{HASH})"
)
TABLES = {
    "requests": "id command requester channel_id team service environment state version run outcome plan_hash active_key",
    "approvals": "request_id user_id decision rule reason",
    "steps": "request_id position key state run detail error external_id output unsure",
    "services": "name team golden_path description database repository_url created_by request_id",
    "deployments": "service environment revision ref_revision healthy deployed_by request_id",
    "cards": "request_id kind target gone",
    "entities": "name description owner golden_path lifecycle request_id",
}
BY_AGE = "(SELECT created_at FROM requests WHERE requests.id = request_id)"
ORDER = {
    "requests": "created_at",
    "deployments": "id",
    "approvals": f"{BY_AGE}, user_id",
    "steps": f"{BY_AGE}, position",
    "cards": f"{BY_AGE}, kind, target",
}
KEPT = str.maketrans("0123456789abcdef", "ghijklmnopqrstuv")
"""A hash in other letters: two lives must agree on a tree, so it must not look like just any hash."""
DIFFERENCES_SHOWN = 80
SECONDS_TO_SETTLE = 60.0


def comparable(found: dict[str, Any]) -> dict[str, Any]:
    """The same with everything replaced that no two lives have in common."""
    names: dict[str, str] = {}

    def named(match: re.Match[str]) -> str:
        kind, text = str(match.lastgroup), match.group()
        if kind == "span":
            # Written only where something took long enough to be worth saying.
            return ""
        if kind in {"moment", "port"}:
            return f"<{kind}>"
        if kind == "hash":
            # People see seven digits of a hash, or twelve.
            text = next((one for one in names if one.startswith(text) or text.startswith(one)), text)
        return names.setdefault(text, f"<{kind} {len(names)}>")

    result: dict[str, Any] = json.loads(VOLATILE.sub(named, json.dumps(found, ensure_ascii=False)))
    return result


def differences(undisturbed: dict[str, Any], found: dict[str, Any]) -> str:
    """Line by line; empty where there are none."""
    before, after = (
        json.dumps(one, indent=1, ensure_ascii=False).splitlines() for one in (undisturbed, found)
    )
    lines = difflib.unified_diff(before, after, "undisturbed", "killed", lineterm="", n=4)
    return "\n".join(islice(lines, DIFFERENCES_SHOWN))


# ---------------------------------------------------------------- the database


class Rows:
    """The bot's database through a connection of our own, while the bot runs or after."""

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(sync_url(url), poolclass=sa.NullPool)

    def settled(self, *, requests: int) -> bool:
        """Whether that many requests have ended, and Slack was told everything."""
        states = self.states()
        return len(states) >= requests and not set(states) & OPEN_STATES and not self.unsaid()

    def unsaid(self) -> int:
        """Cards that are not yet as they should be."""
        query = sa.text("SELECT count(*) FROM cards WHERE revision > sent_revision AND NOT gone")
        with self._engine.connect() as connection:
            return int(connection.scalar(query) or 0)

    def states(self) -> list[str]:
        with self._engine.connect() as connection:
            return list(connection.scalars(sa.text("SELECT state FROM requests ORDER BY created_at")))

    def read(self) -> dict[str, Any]:
        with self._engine.connect() as connection:
            return {name: _rows(connection, name, columns) for name, columns in TABLES.items()}


def _rows(connection: sa.Connection, table: str, columns: str) -> list[list[Any]]:
    order = ORDER.get(table, columns.replace(" ", ", "))
    query = f"SELECT {columns.replace(' ', ', ')} FROM {table} ORDER BY {order}"
    return [[_plain(value) for value in row] for row in connection.execute(sa.text(query))]


def _plain(value: Any) -> Any:
    """SQLite has no truth of its own."""
    return int(value) if isinstance(value, bool) else value


async def read_audit(url: str) -> dict[str, Any]:
    async with Store.open_for_reading(url, clock=utc_now) as store:
        verified = await store.verify_audit()
        events = [event async for event in store.walk_audit()]
    return {
        "first bad": verified.first_bad,
        "count": verified.count == len(events),
        "events": [
            [event.event, event.actor, event.request_id, event.service, event.environment, event.data]
            for event in events
        ],
    }


# ---------------------------------------------------------------- the backends


def read_repositories(state: Path) -> dict[str, Any]:
    """Every repository's refs: how many commits each has, and exactly which files they hold.

    What a kill left half made is hidden, and swept when it has lain there for an hour.
    """
    found = {}
    for repository in sorted(state.glob("git/*.git")):
        refs = _git(repository, "for-each-ref", "--format=%(refname)").split()
        found[repository.name] = {
            "sound": _git(repository, "fsck", "--no-progress", "--no-dangling").strip(),
            **{
                ref: {
                    "commits": int(_git(repository, "rev-list", "--count", ref)),
                    "tree": _git(repository, "rev-parse", f"{ref}^{{tree}}").strip().translate(KEPT),
                    "commit": _git(repository, "rev-parse", f"{ref}^{{commit}}").strip(),
                }
                for ref in refs
            },
        }
    return found


def _git(repository: Path, *arguments: str) -> str:
    # The repositories are this test's own, whoever it runs as.
    command = ["git", "-c", "safe.directory=*", "-C", str(repository), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def applications(state: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(state.glob("runtime/[!.]*/application.json"))]


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    command: str


def processes() -> list[Process]:
    """Everything that runs on this machine; the dead that nobody has buried do not."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,args="],
        check=True,
        capture_output=True,
        text=True,
        # It cuts lines at this width, whatever it is told.
        env={**os.environ, "COLUMNS": "10000"},
    )
    rows = [line.split(maxsplit=3) for line in listed.stdout.splitlines()]
    return [
        Process(int(row[0]), int(row[1]), row[3])
        for row in rows
        if len(row) == 4 and not row[2].startswith("Z")
    ]


def running(mark: str) -> int:
    """How many processes of services carry this word in their command line."""
    return sum(mark in process.command for process in processes())


async def read_runtime(state: Path, mark: str) -> dict[str, Any]:
    """Each application with its history and what its stable address says; looked at until the old processes have gone."""
    deadline = asyncio.get_running_loop().time() + SECONDS_TO_SETTLE
    while True:
        told = applications(state)
        live = sum(application["live"] is not None for application in told)
        unrest = any(one["retiring"] or one["candidate"] for one in told) or running(mark) != live
        if not unrest or asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.05)
    return {
        "processes": running(mark),
        "folders": sorted(one.name for one in state.glob("runtime/[!.]*") if one.is_dir()),
        "applications": {
            f"{one['service']}-{one['environment']}": {
                "request": one["request_id"],
                "answers": await _ask(one["port"]) if one["live"] else None,
                "live": one["live"] and one["live"]["revision"],
                "unrest": [one["candidate"], one["retiring"]],
                "history": [[each["revision"], each["phase"], each["actor"]] for each in one["operations"]],
            }
            for one in told
        },
    }


async def _ask(port: int) -> Any:
    """What the service behind a stable address says of itself; a switch may take a moment to reach the address."""
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        deadline = asyncio.get_running_loop().time() + SECONDS_TO_SETTLE
        while asyncio.get_running_loop().time() < deadline:
            try:
                return (await client.get(f"http://127.0.0.1:{port}/")).json()
            except (httpx.HTTPError, ValueError):
                await asyncio.sleep(0.05)
    return "silent"


# ---------------------------------------------------------------- Slack


def read_slack(playground: Control) -> dict[str, Any]:
    """Every message of the app in every conversation, as people see it, and what is broken among private answers."""
    shown = {}
    for channel in playground.world.state.channels.values():
        own = [one for one in playground.messages(channel.id) if one.bot_id == playground.world.app.bot_id]
        if own:
            name = channel.name if channel.kind != "dm" else "with " + " and ".join(sorted(channel.members))
            shown[name] = [_shown(one) for one in own]
    private = [one for kept in playground.world.state.ephemerals.values() for one in kept.values()]
    return {
        "messages": shown,
        "apologies": [one.text for one in private if "unexpected" in shown_text(one)],
    }


def _shown(message: Message) -> dict[str, Any]:
    return {
        "reply": message.thread_ts is not None and message.thread_ts != message.ts,
        "text": shown_text(message),
        "buttons": [button.get("text", {}).get("text") for button in buttons(message)],
    }


@contextmanager
def no_process_left(mark: str) -> Iterator[None]:
    """Services outlive a killed bot: whatever a failed test left of them goes."""
    try:
        yield
    finally:
        for process in processes():
            if mark in process.command:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
