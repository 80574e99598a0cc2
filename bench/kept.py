"""What stays in var/bench from run to run: SQLite files full of history, each named after all that decides what is in it.

What no present version of the bench uses is removed at the start: a million events are 700 MB.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

from bench import seed
from bot.database import MIGRATIONS, known_revisions

SAMPLE_ROWS = 100
_PATTERNS = ("*.db", "*.db-wal", "*.db-shm", "*.unfinished", "*.unfinished.lock")
"""The last two were an earlier bench's."""


def file_name(size: seed.Size, rows: Mapping[str, seed.Rows] = seed.ROWS) -> str:
    return f"{size.name}-{known_revisions()[-1]}-{_fingerprint(size, rows)}.db"


def _fingerprint(size: seed.Size, rows: Mapping[str, seed.Rows]) -> str:
    """Of the seeding code and the schema, and of the first rows of each table, which show what the seed takes from elsewhere."""
    digest = hashlib.sha256(repr(size).encode())
    for source in (Path(seed.__file__), *sorted((MIGRATIONS / "versions").glob("*.py"))):
        digest.update(source.read_bytes())
    for make in rows.values():
        for row in islice(make(size), SAMPLE_ROWS):
            digest.update(repr(row).encode())
    return digest.hexdigest()[:12]


@contextmanager
def run_folder(kept: Path) -> Iterator[Path]:
    """A folder that is this run's alone, and gone at its end. What killed runs left is removed; what others hold is not."""
    kept.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        with _held(kept, wait=True):
            _remove_leftovers(kept)
            folder = Path(tempfile.mkdtemp(prefix="run-", dir=kept))
            stack.enter_context(_held(folder))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield folder


def _remove_leftovers(kept: Path) -> None:
    present = tuple(map(file_name, seed.SIZES))
    for file in (found for pattern in _PATTERNS for found in kept.glob(pattern)):
        if not file.name.startswith(present):
            file.unlink(missing_ok=True)
    for folder in kept.glob("run-*"):
        try:
            with _held(folder):
                shutil.rmtree(folder)
        except BlockingIOError:
            continue


@contextmanager
def _held(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """A lock that goes with the process, however it ends. Raises BlockingIOError where another one has it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
