"""Small files that must survive a kill or a power cut, and locks that end with the process that holds them.

Blocking on purpose: each call takes about a millisecond, and a caller that does not await between reading its state and
writing it cannot be torn apart by another coroutine. Knows nothing of what is written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from bot.errors import InUseError, StartError, TemporaryBackendError

HOLD_WAIT_SECONDS = 1.0


@contextlib.contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """A full or closed disk is for people to mend; what was to be written is tried again afterwards."""
    try:
        yield
    except OSError as error:
        raise TemporaryBackendError(
            f"{what} could not be written: {error.strerror or error}.",
            backend="local disk",
            fix="Free some space, or let the bot's user write there.",
        ) from error


def write_atomically(path: Path, content: str, *, mode: int = 0o600) -> None:
    """After this the file holds either what it held before or all of `content`, even after a power cut.

    Raises TemporaryBackendError.
    """
    with disk_errors(path.name):
        _write_atomically(path, content, mode)


def _write_atomically(path: Path, content: str, mode: int) -> None:
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            # The umask may have taken bits away; a secret's mode must not depend on it either way.
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """A rename is on disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def point_link(link: Path, target: str) -> None:
    """Make the symbolic link point to `target` in one step: no reader finds it missing."""
    fresh = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
    fresh.symlink_to(target)
    fresh.replace(link)


@contextlib.contextmanager
def hold_folder(folder: Path, *, purpose: str) -> Iterator[None]:
    """Keep the folder for this process. The kernel lets go when the process ends, however it ends.

    Raises StartError when another process holds it, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise StartError(
            f"{purpose[0].upper()}{purpose[1:]} cannot use {folder}: {error.strerror}.",
            fix="Let the bot's user write there, or name another state folder.",
        ) from error
    with file:
        # What a killed process was about to start holds its lock until it is started.
        deadline = time.monotonic() + HOLD_WAIT_SECONDS
        while not _held(file):
            if time.monotonic() >= deadline:
                file.seek(0)
                owner = file.read().strip() or "unknown"
                raise InUseError(
                    f"Another process (pid {owner}) already runs {purpose} in {folder}.",
                    fix="Stop it first, or give this one another state folder.",
                )
            time.sleep(0.02)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _held(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
