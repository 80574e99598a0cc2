"""Keeps one warm Copier worker: starts it, hands it jobs one at a time, ends it at the deadline or when it is worn.

Knows the worker's conversation and nothing of golden paths.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError

BACKEND: Final = "golden paths"
RENDERS_PER_WORKER: Final = 200
"""A template engine that runs for months collects memory; a fresh process does not."""

_PROGRAM: Final = Path(__file__).with_name("_copier_worker.py")
_LINE_BYTES: Final = 1024 * 1024


class WorkerDiedError(Exception):
    """The worker ended without an answer."""


class CopierProcess:
    """Jobs wait for each other. Every job may be repeated: rendering changes nothing outside its folder."""

    def __init__(self, *, home: Path, deadline_seconds: float, renders: int = RENDERS_PER_WORKER) -> None:
        """`home` is an empty folder: no settings of a person there can make a template trusted."""
        self._home = home
        self._deadline_seconds = deadline_seconds
        self._renders = renders
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._left = 0
        self._version = ""
        self._closed = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def warm_up(self) -> str:
        """Returns Copier's version."""
        async with self._turn, self._deadline("started"):
            try:
                await self._start_if_needed()
            except WorkerDiedError as error:
                raise TemporaryBackendError(
                    "The renderer was ended while it started.", backend=BACKEND
                ) from error
        return self._version

    async def run(self, job: Mapping[str, Any]) -> Mapping[str, Any]:
        """One retry with a fresh worker: one that was killed from outside says nothing about the job."""
        line = json.dumps(dict(job)).encode() + b"\n"
        async with self._turn, self._deadline("rendered"):
            try:
                return await self._ask(line)
            except WorkerDiedError:
                await self._end()
            try:
                return await self._ask(line)
            except WorkerDiedError as error:
                await self._end()
                raise TemporaryBackendError("The renderer died twice.", backend=BACKEND) from error

    async def close(self) -> None:
        """What is being rendered ends with a temporary error, instead of holding up the stop."""
        self._closed = True
        await self._end()

    @contextlib.asynccontextmanager
    async def _deadline(self, done: str) -> AsyncIterator[None]:
        """A job that was cut off, by the clock or by its caller, leaves a worker in the middle of it: that one goes."""
        finished = False
        try:
            async with asyncio.timeout(self._deadline_seconds):
                yield
            finished = True
        except TimeoutError as error:
            message = f"The template was not {done} within {self._deadline_seconds:g} s."
            raise TemporaryBackendError(message, backend=BACKEND) from error
        finally:
            if not finished:
                await asyncio.shield(self._end())

    async def _ask(self, line: bytes) -> Mapping[str, Any]:
        process = await self._start_if_needed()
        self._left -= 1
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(line)
            await process.stdin.drain()
        return await self._answer(process)

    async def _start_if_needed(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None and self._left > 0:
            return self._process
        await self._end()
        if self._closed:
            raise TemporaryBackendError("The renderer is closed.", backend=BACKEND)
        try:
            self._process = process = await self._start()
        except OSError as error:
            raise _does_not_start() from error
        try:
            hello = await self._answer(process)
        except WorkerDiedError as error:
            if await process.wait() < 0:
                raise
            raise _does_not_start() from error
        self._left = self._renders
        self._version = str(hello["ready"])
        return process

    async def _start(self) -> asyncio.subprocess.Process:
        # -I: neither the current folder nor PYTHON* variables decide what the worker imports.
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-X",
            "utf8",
            str(_PROGRAM),
            cwd=self._home,
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(self._home),
                "XDG_CONFIG_HOME": str(self._home),
                "LC_ALL": "C.UTF-8",
                "TZ": "UTC",
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_GLOBAL": os.devnull,
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_ALLOW_PROTOCOL": "none",
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_LINE_BYTES,
            start_new_session=True,
        )

    async def _answer(self, process: asyncio.subprocess.Process) -> Mapping[str, Any]:
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line.endswith(b"\n"):
            raise WorkerDiedError
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _does_not_start() -> PermanentBackendError:
    return PermanentBackendError(
        "The renderer Copier does not start.",
        backend=BACKEND,
        kind=BackendErrorKind.UNAVAILABLE,
        fix="Install the locked dependencies again.",
    )
