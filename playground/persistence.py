"""The state file: one SQLite table of JSON records, so that a second start continues where the first stopped.

Written through at the end of every call that changed something. WAL without a sync per commit survives `kill -9` of the process
(the pages are the kernel's by then) and never leaves a half-written record; only a power cut may lose the last moment.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]


class StateFile:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS records ("
            "kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID"
        )
        self._dirty: dict[tuple[str, str], Record | None] = {}

    def load(self, kind: str) -> list[dict[str, Any]]:
        """All records of a kind, ordered by key."""
        rows = self._connection.execute("SELECT body FROM records WHERE kind = ? ORDER BY key", (kind,))
        return [json.loads(body) for (body,) in rows]

    def put(self, kind: str, key: str, record: Record) -> None:
        """Remembered now, read at the next flush: a record changed twice in between is written once."""
        self._dirty[kind, key] = record

    def remove(self, kind: str, key: str) -> None:
        self._dirty[kind, key] = None

    def flush(self) -> None:
        if not self._dirty:
            return
        kept = [
            (kind, key, json.dumps(dict(rec))) for (kind, key), rec in self._dirty.items() if rec is not None
        ]
        gone = [pair for pair, rec in self._dirty.items() if rec is None]
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(
                "INSERT INTO records (kind, key, body) VALUES (?, ?, ?) "
                "ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
                kept,
            )
            self._connection.executemany("DELETE FROM records WHERE kind = ? AND key = ?", gone)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        self._dirty.clear()

    def close(self) -> None:
        self.flush()
        self._connection.close()
