"""A process of its own that outlives the bot, and is found again without a doubt.

Who is alive is told by a lock, not by a number. The starter takes an exclusive `flock` on a file and lets the child inherit
it; the kernel drops it when the last process of that child's family has ended. So a recycled pid is never mistaken for
ours, a zombie does not count as alive, and there is no instant, not even between `fork` and the first write, at which a
kill -9 of the bot could leave a process that the next start does not see. The child writes its own pid before it becomes
the program. Linux and macOS alike; no `ps`, no /proc.

Blocking calls are short; only `stop` waits. Knows nothing of services, ports or health.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import random
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_PROBE_SECONDS: Final = 0.02
_PID_DEADLINE_SECONDS: Final = 5.0
_KILL_DEADLINE_SECONDS: Final = 5.0
_PORTS: Final = range(30000, 32768)
"""Below what Linux, and far below what macOS, gives to outgoing connections."""

_LAUNCHER: Final = 'printf "%s\\n" "$$" >"$1" && shift && exec "$@"'
"""The shell becomes the program: the pid it wrote is the program's."""


class DetachedProcess:
    """One run of one program, named by its lock file. Making the object starts nothing."""

    def __init__(self, folder: Path, name: str) -> None:
        self._lock = folder / f"{name}.lock"
        self._pid = folder / f"{name}.pid"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, argv: Sequence[str], *, cwd: Path, environment: Mapping[str, str], log: Path) -> None:
        """Raises OSError. A program that cannot be executed ends with exit code 126 or 127."""
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with log.open("ab") as output:
                self._child = subprocess.Popen(
                    ["/bin/sh", "-c", _LAUNCHER, "launcher", str(self._pid), *argv],
                    cwd=cwd,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(lock,),
                    # Ctrl-C in the terminal reaches the bot, which then stops its services in order.
                    start_new_session=True,
                )
        finally:
            os.close(lock)

    def is_alive(self) -> bool:
        """Whether the program itself runs; children that it left behind do not count."""
        if self._child is not None:
            return self._child.poll() is None
        pid = self.pid
        return _is_held(self._lock) and (pid is None or _exists(pid))

    @property
    def exit_code(self) -> int | None:
        """Negative for a signal; None while it runs, and for a process that an earlier bot started."""
        return self._child.poll() if self._child is not None else None

    @property
    def pid(self) -> int | None:
        """None until the child has written it."""
        try:
            text = self._pid.read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        return int(text) if text.endswith("\n") else None

    async def stop(self, *, grace_seconds: float) -> None:
        """SIGTERM to the whole group, SIGKILL after the grace period. Succeeds when nothing runs."""
        for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, _KILL_DEADLINE_SECONDS)):
            if not self._is_held_or_alive():
                break
            await self._signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while self._is_held_or_alive():  # noqa: ASYNC110 - the kernel tells nobody that a lock is free
                        await asyncio.sleep(_PROBE_SECONDS)
        if not self._is_held_or_alive():
            self._lock.unlink(missing_ok=True)
            self._pid.unlink(missing_ok=True)

    async def _signal(self, number: int) -> None:
        if self._child is not None:
            # Our own child leads the group and keeps its number until it is reaped; a held lock proves that
            # the group still has members.
            _signal_group(self._child.pid, number)
            return
        async with asyncio.timeout(_PID_DEADLINE_SECONDS):
            while (pid := self.pid) is None:
                if not _is_held(self._lock):
                    return
                await asyncio.sleep(_PROBE_SECONDS)
        _signal_group(pid, number)

    def _is_held_or_alive(self) -> bool:
        return (self._child is not None and self._child.poll() is None) or _is_held(self._lock)


def _is_held(lock: Path) -> bool:
    try:
        # A shared lock, so that two who ask at the same time do not see each other.
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def find_free_port() -> int:
    """A port that nobody listens on now; another program may take it before the caller does. OSError where none is free.

    Not one of those that systems give to outgoing connections: one of these would have it for a moment, long enough to make
    the start of a service fail, and would be gone when somebody looks for the reason.
    """
    free = next((port for port in random.sample(_PORTS, len(_PORTS)) if is_port_free(port)), None)
    if free is None:
        raise OSError(errno.EADDRINUSE, f"no port from {_PORTS.start} to {_PORTS.stop - 1} is free")
    return free


def is_port_free(port: int) -> bool:
    with socket.socket() as probe:
        # Connections that just ended must not make the port look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
