"""Databases that are really damaged: a page of the audit trail is overwritten in the file itself, or a row past the bot."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from database import Clock, PostgreSQL

from bot.audit import Fact
from bot.store import Store
from bot.transaction import Transaction

EVENTS = 300
MIDDLE = b"event-0150"


@dataclass(frozen=True)
class Damaged:
    url: str
    first: int
    """The first event that stood on the page that was overwritten."""


async def write_events(url: str, clock: Clock) -> None:
    async def write(tx: Transaction) -> None:
        for n in range(1, EVENTS + 1):
            await tx.record(Fact("harmed", "system", service="orders", data={"name": f"event-{n:04}"}))

    async with Store.open(url, clock=clock) as store:
        await store.write(write)


def overwrite_page(file: Path, page_bytes: int, *, holding: bytes, by: bytes = b"\xff") -> int:
    """Returns the number of the first event that was on it."""
    content = file.read_bytes()
    at = content.index(holding) // page_bytes * page_bytes
    page = content[at : at + page_bytes]
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(by * page_bytes)
    return min(int(number) for number in re.findall(rb"event-(\d{4})", page))


async def damage_sqlite(url: str, clock: Clock) -> Damaged:
    await write_events(url, clock)
    file = Path(url.removeprefix("sqlite:///"))
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    return Damaged(url, overwrite_page(file, page_bytes, holding=MIDDLE))


async def damage_postgresql(server: PostgreSQL, url: str, clock: Clock) -> Damaged:
    """A copy is damaged: nobody was connected to it, so the server holds none of its pages in memory."""
    await write_events(url, clock)
    original = url.partition("@/")[2].partition("?")[0]
    server.execute(f"CREATE DATABASE damaged TEMPLATE {original} STRATEGY FILE_COPY")
    with psycopg.connect(url) as connection:
        (folder,) = connection.execute("SHOW data_directory").fetchone() or ("",)
        (path,) = connection.execute("SELECT pg_relation_filepath('audit_events')").fetchone() or ("",)
        (oid,) = connection.execute("SELECT oid FROM pg_database WHERE datname = 'damaged'").fetchone() or (
            0,
        )
    file = Path(folder) / "base" / str(oid) / Path(path).name
    return Damaged(server.url("damaged"), overwrite_page(file, 8192, holding=MIDDLE))


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
