"""`make run`: a workspace in the browser and an app connected to it, in one go.

The app is a program of its own that is told, by its environment, where its Slack is: exactly as a real one would be. Nothing of
the app is imported here. What it logs goes to a file; what a person needs to know goes to the terminal.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from playground.manifest import ManifestError
from playground.server import Playground
from playground.workspace import WorkspaceError

START_SECONDS = 60.0
STOP_SECONDS = 20.0
LOG_LINES_SHOWN = 5
_PR_SET_PDEATHSIG = 1
REAL_SETUP = ("SLACK_", "DATABASE_URL", "PLATFORM_")
"""Beginnings of variables that would lead a try-out to somebody's real workspace, database or configuration."""

TRY_THIS = """\
Platform is running: {url}   (Ctrl-C stops everything; what happened is kept in {folder}/)
  1. as Alice, in #orders:  /platform create-service orders --team orders --template python-service --db postgresql
  2. when it is healthy:    /platform status orders   and   /platform promote orders
  3. as Lena (switch person at the top left): press Approve on the card in #orders, then look at #deploys
"""


class TryOutError(Exception):
    """The app could not be started; the message says what to do."""


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m playground.try_out", description=__doc__)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--folder", type=Path, default=Path("var"), help="where state and logs are kept")
    parser.add_argument("--manifest", type=Path, default=Path("manifest.yml"))
    return parser.parse_args(argv)


def environment_for(playground: Playground, folder: Path, base: Mapping[str, str]) -> dict[str, str]:
    """The environment the app is started with: this workspace, this folder, and nothing of a real set-up that the shell may
    hold. Proxies are left out too: everything is on this machine."""
    kept = {name: value for name, value in base.items() if not name.upper().startswith(REAL_SETUP)}
    return {
        **{name: value for name, value in kept.items() if not name.lower().endswith("_proxy")},
        "SLACK_API_URL": playground.api_url,
        "SLACK_BOT_TOKEN": playground.bot_token,
        "SLACK_APP_TOKEN": playground.app_token,
        "SLACK_SIGNING_SECRET": playground.signing_secret,
        "PLATFORM_STATE": str(folder.absolute()),
        "PYTHONUNBUFFERED": "1",
    }


def _die_with_parent() -> None:
    """Linux: a kill -9 of this program takes the app along, so that the next start finds nothing in its way."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def run(options: argparse.Namespace) -> None:
    options.folder.mkdir(parents=True, exist_ok=True)
    log = options.folder / "bot.log"
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    playground = Playground(options.manifest, state_file=options.folder / "playground.db", port=options.port)
    async with playground:
        environment = environment_for(playground, options.folder, os.environ)
        await _finished(environment, log, "migrate")
        app = await _start(environment, log)
        try:
            if await _ready(app, log, stopped):
                sys.stdout.write(TRY_THIS.format(url=playground.base_url, folder=options.folder))
                sys.stdout.flush()
                await _until(app, stopped)
        finally:
            await _stop(app)
    if not stopped.is_set():
        raise TryOutError(f"The bot ended by itself.\n{tail(log)}")


async def _finished(environment: Mapping[str, str], log: Path, verb: str) -> None:
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", verb, env=dict(environment), stdout=output, stderr=output
        )
        if await process.wait() != 0:
            raise TryOutError(f"`python -m bot {verb}` failed.\n{tail(log)}")


async def _start(environment: Mapping[str, str], log: Path) -> asyncio.subprocess.Process:
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bot",
            "serve",
            "--mode",
            "socket",
            env=dict(environment),
            stdout=asyncio.subprocess.PIPE,
            stderr=output,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )


async def _ready(app: asyncio.subprocess.Process, log: Path, stopped: asyncio.Event) -> bool:
    """The app says one line when it is connected. False when the person stopped it before."""
    assert app.stdout is not None, "the app was started with a pipe"
    said = asyncio.create_task(app.stdout.readline())
    asked_to_stop = asyncio.create_task(stopped.wait())
    await asyncio.wait({said, asked_to_stop}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    asked_to_stop.cancel()
    if said.done() and said.result():
        return True
    said.cancel()
    if stopped.is_set():
        return False
    raise TryOutError(f"The bot did not start.\n{tail(log)}")


async def _until(app: asyncio.subprocess.Process, stopped: asyncio.Event) -> None:
    ended = asyncio.create_task(app.wait())
    asked_to_stop = asyncio.create_task(stopped.wait())
    await asyncio.wait({ended, asked_to_stop}, return_when=asyncio.FIRST_COMPLETED)
    for task in (ended, asked_to_stop):
        task.cancel()


async def _stop(app: asyncio.subprocess.Process) -> None:
    if app.returncode is not None:
        return
    _signal(app, signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await app.wait()
    except TimeoutError:
        _signal(app, signal.SIGKILL)
        await app.wait()


def _signal(app: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Process.terminate looks whether the process has ended, and so takes its exit code away from the loop that waits for it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(app.pid, number)


def tail(log: Path) -> str:
    """The end of the log, for the terminal."""
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
    return "\n".join([*lines, f"(the whole log: {log})"])


def main(argv: Sequence[str]) -> int:
    options = parse_arguments(argv)
    try:
        asyncio.run(run(options))
    except OSError as error:
        in_use = f"Port {options.port} is in use. Choose another: make run PORT={options.port + 1}"
        sys.stderr.write((in_use if "address already in use" in str(error) else str(error)) + "\n")
        return 1
    except (TryOutError, ManifestError, WorkspaceError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
