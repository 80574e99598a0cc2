"""Where a process can die: before and after everything that outlives it, named by what it is, found by looking on.

Nothing of the bot knows of this. Commits are seen by commits.py, what is sent to Slack at aiohttp, and what
happens to files and other processes through Python's audit hook. A point has a name, such as `after step.done repository 1`,
and not only a number: what runs side by side shifts the numbers between two lives, not the names.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import commits
import sqlalchemy as sa

WRITES = re.compile(
    r"\s*(?:INSERT(?: OR \w+)? INTO|UPDATE|DELETE FROM|CREATE TABLE(?: IF NOT EXISTS)?)\s+([\w.\"]+)",
    re.IGNORECASE,
)
EVENT = re.compile(r"(?:request|run|step|undo|service|deployment)\.\w+")
STEP = re.compile(r'"step":"([\w-]+)"')
ON_ITS_OWN = frozenset({"replicas"})
"""Tables that are written by the clock: as often as it happens to be."""
STOP = "stop "
POSTS = frozenset({"chat.postMessage", "chat.update"})
CHANGES = frozenset(
    {"init", "config", "fast-import", "update-ref", "commit-tree", "merge-tree", "fetch", "read-tree"}
    | {"checkout-index", "hash-object", "symbolic-ref", "push", "clone", "worktree"}
)
RANDOM = re.compile(r"(?<=render-)[^/]+|[0-9a-f]{7,}|[0-9]{3,}")


class Points:
    """Counts what happens in this process, writes it down, and dies at one of it."""

    def __init__(self, log: Path, deadly: str) -> None:
        """`deadly` is a point's name, or `#7` for the seventh whatever it is; empty for a life without a kill.

        After `stop ` the process is told to end in order there, as an operator would tell it.
        """
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._deadly = deadly.removeprefix(STOP)
        self._signal = signal.SIGTERM if deadly.startswith(STOP) else signal.SIGKILL
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def reached(self, moment: str, what: str) -> None:
        with self._lock:
            name = f"{moment} {what}"
            self._seen[name] += 1
            point = f"{name} {self._seen[name]}"
            os.write(self._log, f"{point}\n".encode())
            if self._deadly in {point, f"#{self._seen.total()}"}:
                os.kill(os.getpid(), self._signal)

    def watch(self, state_folder: Path) -> None:
        self._watch_database()
        self._watch_slack()
        self._watch_system(str(state_folder))

    # ------------------------------------------------------------ commits

    def _watch_database(self) -> None:
        def executing(info: commits.Info, statement: str, parameters: Any) -> None:
            if found := WRITES.match(statement):
                table = found.group(1).replace('"', "").rpartition(".")[2]
                if table not in ON_ITS_OWN:
                    # A list is one statement for several rows.
                    rows = parameters if isinstance(parameters, list) else [parameters]
                    info.setdefault("wrote", []).extend(_content(table, row) for row in rows)

        def committing(info: commits.Info) -> None:
            if content := info.pop("wrote", None):
                info["committed"] = name = commit_name(content)
                self.reached("before", name)

        def given_back(_connection: Any, record: Any) -> None:
            # A connection is given back before its caller goes on: nobody has been answered between the commit and this.
            if name := record.info.pop("committed", None):
                self.reached("after", name)

        commits.watch(
            executing=executing, committing=committing, rolled_back=lambda info: info.pop("wrote", None)
        )
        sa.event.listen(sa.pool.Pool, "checkin", given_back)

    # ------------------------------------------------------------ Slack

    def _watch_slack(self) -> None:
        """At the transport's own class: no module of ours is touched."""
        request = aiohttp.ClientSession._request

        async def watched(session: aiohttp.ClientSession, method: str, url: Any, **options: Any) -> Any:
            call = str(url).rpartition("/")[2]
            if call not in POSTS:
                return await request(session, method, url, **options)
            self.reached("before", call)
            answer = await request(session, method, url, **options)
            self.reached("after", call)
            return answer

        aiohttp.ClientSession._request = watched  # type: ignore[assignment, method-assign]

    # ------------------------------------------------------------ files and processes

    def _watch_system(self, state_folder: str) -> None:
        def seen(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "subprocess.Popen":
                if name := _program(arguments[1]):
                    self.reached("before", name)
            elif event in {"os.rename", "shutil.rmtree", "os.remove"}:
                path = str(arguments[1] if event == "os.rename" else arguments[0])
                if path.startswith(state_folder) and not path.endswith(("-wal", "-shm")):
                    short = RANDOM.sub("*", path.removeprefix(state_folder).lstrip("/"))
                    self.reached("before", f"{event.rpartition('.')[2]} {short}")

        sys.addaudithook(seen)


def _content(table: str, parameters: Any) -> str:
    """What a statement writes: the audit event it records, else the name of its table."""
    values = list(parameters.values()) if isinstance(parameters, dict) else list(_flat(parameters))
    words = [value for value in values if isinstance(value, str)]
    if table == "audit_events":
        event = next((word for word in words if EVENT.fullmatch(word)), table)
        step = next((found.group(1) for word in words if (found := STEP.search(word))), "")
        return f"{event} {step}".strip()
    return table


def _flat(parameters: Any) -> Any:
    for value in parameters or ():
        if isinstance(value, tuple | list):
            yield from _flat(value)
        elif isinstance(value, dict):
            yield from value.values()
        else:
            yield value


def commit_name(content: list[str]) -> str:
    """The most telling of what was written: facts before tables."""
    facts = [one for one in content if EVENT.match(one)]
    return ", ".join(dict.fromkeys(facts or sorted(set(content))))


def _program(argv: Any) -> str:
    words = [os.fsdecode(word) for word in argv] if isinstance(argv, list | tuple) else [str(argv)]
    program = Path(words[0]).name
    if program == "git":
        verb = next((word for word in words[1:] if word in CHANGES), "")
        return f"git {verb}" if verb else ""
    if program == "sh":
        return "start of a service"
    return "" if program.startswith("python") else program
