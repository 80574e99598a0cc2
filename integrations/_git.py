"""Runs one `git` at a time for `local_git`: clean environment, deadline, bounded output, translated failures.

Knows processes and what git says when it fails; knows nothing of repositories, releases or requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations.ports import Finding

BACKEND: Final = "local git"

IDENTITY: Final = "platform-bot"
EMAIL: Final = "platform-bot@localhost"

OUTPUT_LIMIT_BYTES: Final = 32 * 1024 * 1024
"""Far above any comparison a person would read; keeps one hostile repository from filling the bot's memory."""

ERROR_LIMIT_BYTES: Final = 64 * 1024
STALE_LOCK_SECONDS: Final = 120.0
"""Git holds a lock file for milliseconds; one this old was left by a killed process, and git never removes it."""

_CONFIGURATION: Final = (
    ("protocol.ext.allow", "never"),
    # Hooks in a folder that people can write to would run as the bot.
    ("core.hooksPath", os.devnull),
    # A release that was reported as moved has to survive a power cut.
    ("core.fsync", "committed"),
    ("gc.auto", "0"),
    ("core.quotePath", "false"),
    ("i18n.logOutputEncoding", "UTF-8"),
)

_VERSION: Final = re.compile(r"(\d+)\.(\d+)")
_OLDEST_GIT: Final = (2, 30)
_LOCK_FILE: Final = re.compile(r"Unable to create '([^']+\.lock)': File exists")
_MOVED: Final = re.compile(
    r"cannot lock ref .*(is at|reference already exists|unable to resolve)|Not updating "
)


@dataclass(frozen=True)
class GitResult:
    code: int
    stdout: bytes
    stderr: str

    @property
    def line(self) -> str:
        return self.stdout.decode("utf-8", "replace").strip()

    @property
    def lost_race(self) -> bool:
        """A ref stood elsewhere than the caller said: git's compare-and-swap refused."""
        return self.code != 0 and _MOVED.search(self.stderr) is not None


def clean_environment(home: Path, search_path: str) -> dict[str, str]:
    """Nothing of the bot's own environment: no secrets, no configuration of the person who started it."""
    settings = {
        "PATH": search_path,
        "HOME": str(home),
        "LC_ALL": "C",
        "TZ": "UTC",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        # People who push could otherwise show one commit in the plan and have another one deployed.
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_AUTHOR_NAME": IDENTITY,
        "GIT_AUTHOR_EMAIL": EMAIL,
        "GIT_COMMITTER_NAME": IDENTITY,
        "GIT_COMMITTER_EMAIL": EMAIL,
        "GIT_CONFIG_COUNT": str(len(_CONFIGURATION)),
    }
    for index, (key, value) in enumerate(_CONFIGURATION):
        settings[f"GIT_CONFIG_KEY_{index}"] = key
        settings[f"GIT_CONFIG_VALUE_{index}"] = value
    return settings


def translate(stderr: str) -> BackendError:
    """What git's last words mean for the caller."""
    said = [line for line in stderr.splitlines() if line.startswith(("fatal: ", "error: "))]
    text = " ".join(said) or stderr.strip() or "git failed without a word"
    if "No space left on device" in text or "Disk quota exceeded" in text:
        return disk_full(text)
    if ".lock': File exists" in text:
        return TemporaryBackendError(text, backend=BACKEND, kind=BackendErrorKind.NOT_READY)
    kind, fix = BackendErrorKind.UNKNOWN, None
    if "Permission denied" in text or "insufficient permission" in text or "Read-only file system" in text:
        kind, fix = BackendErrorKind.DENIED, "Let the bot's user write to the folder of the repositories."
    elif "not a git repository" in text:
        kind, fix = BackendErrorKind.INVALID, "Move the folder away or restore it from a clone."
    elif "bad object" in text or "unable to read" in text or "is corrupt" in text:
        kind, fix = BackendErrorKind.INVALID, "Run `git fsck` there and restore it from a clone."
    return PermanentBackendError(text, backend=BACKEND, kind=kind, fix=fix)


def translate_os_error(error: OSError) -> BackendError:
    """Failures of the machine below git: the disk, permissions, the program itself."""
    text = f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return disk_full(text)
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        fix = "Let the bot's user write to the folder of the repositories."
        return PermanentBackendError(text, backend=BACKEND, kind=BackendErrorKind.DENIED, fix=fix)
    return TemporaryBackendError(text, backend=BACKEND)


def disk_full(text: str) -> TemporaryBackendError:
    return TemporaryBackendError(
        text, backend=BACKEND, fix="Free some space on the disk; the bot tries again."
    )


def git_missing(program: str) -> PermanentBackendError:
    return PermanentBackendError(
        f"The program {program} was not found.",
        backend=BACKEND,
        kind=BackendErrorKind.UNAVAILABLE,
        fix="Install git 2.30 or newer and start the bot again.",
    )


class Git:
    """One git program. Every call is its own process, ended at the deadline together with its children."""

    def __init__(self, program: str, *, home: Path, deadline_seconds: float, processes: int = 16) -> None:
        self._program = program
        self._home = home
        self._environment = clean_environment(home, os.environ.get("PATH", os.defpath))
        self._deadline_seconds = deadline_seconds
        # A wave of status calls must not become a wave of processes.
        self._slots = asyncio.Semaphore(processes)

    async def run(
        self,
        *arguments: str,
        repository: Path | None = None,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        accept: frozenset[int] = frozenset({0}),
    ) -> GitResult:
        """Raises BackendError for exit codes outside `accept`. `lost_race` results are always returned."""
        command = (f"--git-dir={repository}", *arguments) if repository else arguments
        result = await self._run_once(command, stdin, environment or {})
        if result.code not in accept and _remove_stale_lock(result.stderr):
            result = await self._run_once(command, stdin, environment or {})
        if result.code in accept or result.lost_race:
            return result
        raise translate(result.stderr)

    async def _run_once(
        self, command: tuple[str, ...], stdin: bytes, environment: Mapping[str, str]
    ) -> GitResult:
        async with self._slots:
            process = await self._start(command, environment)
            try:
                async with asyncio.timeout(self._deadline_seconds):
                    stdout, stderr = await _communicate(process, stdin)
            except TimeoutError as error:
                message = f"git {command[-1][:40]} took longer than {self._deadline_seconds:g} s."
                raise TemporaryBackendError(message, backend=BACKEND) from error
            finally:
                await _end(process)
        return GitResult(process.returncode or 0, stdout, stderr.decode("utf-8", "replace"))

    async def _start(
        self, command: tuple[str, ...], environment: Mapping[str, str]
    ) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                self._program,
                *command,
                cwd=self._home,
                env={**self._environment, **environment},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                # Ctrl-C in the terminal is for the bot, which lets git finish.
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise git_missing(self._program) from error
        except OSError as error:
            raise translate_os_error(error) from error


async def _communicate(process: asyncio.subprocess.Process, stdin: bytes) -> tuple[bytes, bytes]:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.TaskGroup() as group:
        group.create_task(_feed(process.stdin, stdin))
        stdout = group.create_task(_read(process.stdout, OUTPUT_LIMIT_BYTES))
        stderr = group.create_task(_read(process.stderr, ERROR_LIMIT_BYTES))
    await process.wait()
    if len(stdout.result()) > OUTPUT_LIMIT_BYTES:
        raise PermanentBackendError(
            "git's answer is larger than 32 MiB.", backend=BACKEND, kind=BackendErrorKind.INVALID
        )
    return stdout.result(), stderr.result()


async def _feed(stream: asyncio.StreamWriter, data: bytes) -> None:
    # A git that fails early closes its input; its exit code and last words say why.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.write(data)
        await stream.drain()
    stream.close()


async def _read(stream: asyncio.StreamReader, limit_bytes: int) -> bytes:
    """At most one chunk more than the limit is kept; the rest is drained, so that git can end."""
    kept = bytearray()
    while chunk := await stream.read(65536):
        if len(kept) <= limit_bytes:
            kept += chunk
    return bytes(kept)


async def _end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM first: git then removes its lock files. Children share the session and go with it."""
    if process.returncode is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await process.wait()
                return


def _remove_stale_lock(stderr: str) -> bool:
    found = _LOCK_FILE.search(stderr)
    if found is None:
        return False
    lock = Path(found.group(1))
    with contextlib.suppress(OSError):
        if time.time() - lock.stat().st_mtime > STALE_LOCK_SECONDS:
            lock.unlink()
            return True
    return False


async def probe_version(git: Git) -> Finding:
    """Whether the program is there and new enough."""
    try:
        version = (await git.run("--version")).line
    except BackendError as error:
        return Finding("git", ok=False, detail=error.message, fix=error.fix or "Install git.")
    found = _VERSION.search(version)
    recent = found is not None and (int(found[1]), int(found[2])) >= _OLDEST_GIT
    return Finding("git", ok=recent, detail=version, fix="" if recent else "Install git 2.30 or newer.")
