"""Databases that a play starts from and that the next play gets a copy of, on both engines."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from database import PostgreSQL

NewDatabase = Callable[[str], str]


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewDatabase]:
    """Given the URL of a database that nobody uses (empty: a migrated, empty one), the URL of a copy."""
    if request.param == "sqlite":
        yield _files(tmp_path, request.getfixturevalue("migrated_sqlite_file"))
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    made: list[str] = []

    def copy(template: str) -> str:
        if not template:
            made.append(server.create())
            return made[-1]
        source = template.partition("@/")[2].partition("?")[0]
        name = f"{source}_{len(made)}"
        server.execute(f"CREATE DATABASE {name} TEMPLATE {source}")
        made.append(server.url(name))
        return made[-1]

    yield copy
    for url in made:
        server.drop(url)


def _files(folder: Path, migrated: Path) -> NewDatabase:
    made = 0

    def copy(template: str) -> str:
        nonlocal made
        made += 1
        file = folder / f"bot-{made}.db"
        shutil.copyfile(template.removeprefix("sqlite:///") or migrated, file)
        return f"sqlite:///{file}"

    return copy
