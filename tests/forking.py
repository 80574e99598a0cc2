"""Processes to be killed: forked from one that has imported everything, a start costs milliseconds instead of seconds.

`Forker.start("toy_replica:live", url, folder)` calls that function in a process of its own. The program at the end of this file is
the one that forks: it has no thread and no event loop, it answers each line of its input with one line, at once.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import json
import os
import pkgutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.01
PRELOADED = ("crash_child", "toy_crash", "toy_replica")
FIRST_USED_LATE = (
    "anyio._backends._asyncio",
    "apscheduler.executors.asyncio",
    "httpcore",
)
DRIVERS = {"asyncpg": "postgresql", "psycopg": "postgresql"}


@dataclass(frozen=True)
class Forked:
    """A process that somebody else is the parent of."""

    pid: int
    output: Path
    """What it says, on standard output and standard error."""
    forker: Forker

    def send_signal(self, number: int) -> None:
        """Nothing happens to one that has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def poll(self) -> int | None:
        """The exit code of one that has ended; -9 for one that was killed."""
        code: int | None = self.forker.ask({"poll": self.pid})
        return code

    async def wait(self) -> int:
        while (code := self.poll()) is None:
            await asyncio.sleep(POLL_SECONDS)
        return code


class Forker:
    """The process that forks. Used from one thread."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._forked: list[Forked] = []

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Forker]:
        """Whatever it forked ends with it, also when the test process ends without a word."""
        with subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        ) as process:
            forker = cls(process)
            forker._hear()
            yield forker

    def start(self, function: str, *arguments: Any, output: Path) -> Forked:
        """`function` is `module:name`, of a preloaded module; its arguments can be written as JSON."""
        pid = self.ask({"call": function, "arguments": arguments, "output": str(output)})
        self._forked.append(Forked(pid, output, self))
        return self._forked[-1]

    def kill_all(self) -> None:
        while self._forked:
            one = self._forked.pop()
            one.send_signal(signal.SIGKILL)

    def ask(self, question: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process that forks has ended: why stands in the captured standard error"
        return json.loads(line)


# ---------------------------------------------------------------- the program that forks


def main() -> None:
    _import_everything()
    _say("ready")
    codes: dict[int, int | None] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if "poll" in asked:
            _say(_look(codes, asked["poll"]))
            continue
        child = os.fork()
        if child == 0:
            _live(**asked)
        codes[child] = None
        _say(child)
    for child in codes:
        if _look(codes, child) is None:
            os.kill(child, signal.SIGKILL)


def _import_everything() -> None:
    """What a start of the bot would import, once for all."""
    import integrations
    from bot import registry

    registry.load_commands()
    for name in PRELOADED:
        importlib.import_module(name)
    for found in pkgutil.iter_modules(integrations.__path__, "integrations."):
        importlib.import_module(found.name)
    for driver, dialect in DRIVERS.items():
        importlib.import_module(f"sqlalchemy.dialects.{dialect}.{driver}")
        importlib.import_module(driver)
    for name in FIRST_USED_LATE:
        importlib.import_module(name)
    # Bolt asks who called it: the first answer in a process takes a look at the file of every module.
    inspect.stack()
    # Everything up to here stays: no forked process need look at it again for what could go, nor copy it for that.
    gc.collect()
    gc.freeze()


def _look(codes: dict[int, int | None], child: int) -> int | None:
    if codes[child] is None:
        ended, status = os.waitpid(child, os.WNOHANG)
        codes[child] = os.waitstatus_to_exitcode(status) if ended else None
    return codes[child]


def _say(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _live(call: str, arguments: list[Any], output: str) -> None:
    """In the forked process; never returns, because it must not run on as its parent."""
    code = 1
    try:
        written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(written, 1)
        os.dup2(written, 2)
        module, _, function = call.partition(":")
        getattr(sys.modules[module], function)(*arguments)
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it was, the process ends here
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
