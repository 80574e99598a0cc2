"""The folder that holds the repositories: what lies there while one is made or thrown away. Synchronous; local disk."""

from __future__ import annotations

import contextlib
import errno
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from integrations._git import translate_os_error
from integrations._git_format import DEFAULT_BRANCH, is_name, parse_head

ABANDONED_SECONDS: Final = 3600.0
"""Making a repository takes milliseconds; what has lain unfinished so long belongs to nobody any more."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise translate_os_error(error) from error


def making_path(folder: Path, name: str) -> Path:
    """Names of repositories never start with a dot, so no request can reach in here."""
    return folder / ".making" / f"{name}-{uuid.uuid4().hex}.git"


def put_in_place(made: Path, place: Path) -> None:
    """Somebody else may have been faster: then the other one stays, and the caller reads whose it is."""
    try:
        made.rename(place)
    except OSError as error:
        if error.errno not in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
            raise


def discard(path: Path, folder: Path) -> None:
    """Gone at once by a rename; a kill while files are deleted leaves only trash, which the next start empties."""
    trash = folder / ".trash"
    trash.mkdir(exist_ok=True)
    place = trash / f"{path.name}-{uuid.uuid4().hex}"
    with contextlib.suppress(FileNotFoundError):
        path.rename(place)
    shutil.rmtree(place, ignore_errors=True)


def prepare(folder: Path, home: Path) -> None:
    """Make the folder, empty the trash, forget repositories that were never finished."""
    home.mkdir(parents=True, exist_ok=True)
    (folder / ".making").mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / ".trash", ignore_errors=True)
    oldest = time.time() - ABANDONED_SECONDS
    for left in (folder / ".making").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if left.stat().st_mtime < oldest:
                shutil.rmtree(left, ignore_errors=True)


def repository_names(folder: Path) -> list[str]:
    return sorted(filter(is_name, (one.name.removesuffix(".git") for one in folder.glob("*.git"))))


def is_there(path: Path) -> bool:
    return path.exists()


def default_branch(path: Path) -> str:
    head = path / "HEAD"
    return parse_head(head.read_text("utf-8", "replace")) if head.is_file() else DEFAULT_BRANCH
