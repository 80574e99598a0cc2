"""`make run`'s program: what it starts, with which environment, and the sentence for everything that goes wrong.

The app is a small program of the test's own, found where the real one would be: as `python -m bot` in the working folder.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from own_ports import free_port

from playground.server import Playground
from playground.try_out import environment_for, parse_arguments, tail

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30.0
HEAD = """
import json, os, pathlib, signal, sys, time
verb = sys.argv[1]
def note(name, text=""): pathlib.Path(name).write_text(text)
"""
STAYS = """
if verb == "serve":
    note("environment.json", json.dumps(dict(os.environ)))
    note("arguments.json", json.dumps(sys.argv[1:]))
    def stop(*_): note("stopped"); sys.exit(0)
    signal.signal(signal.SIGTERM, stop)
    print("connected", flush=True)
    while True: time.sleep(60)
"""


def write_app(folder: Path, text: str) -> None:
    package = folder / "bot"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(HEAD + text)


def command(port: int, *more: str) -> list[str]:
    manifest = str(ROOT / "manifest.yml")
    return [sys.executable, "-m", "playground.try_out", "--port", str(port), "--manifest", manifest, *more]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def try_out(folder: Path, app: str, *, port: int = 0) -> subprocess.CompletedProcess[str]:
    write_app(folder, app)
    return subprocess.run(
        command(port or free_port()), cwd=folder, env=environment(), capture_output=True, text=True,
        timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip


@contextmanager
def running(folder: Path, app: str, *, port: int, **more: str) -> Iterator[subprocess.Popen[str]]:
    """Until the person was told that it runs."""
    write_app(folder, app)
    process = subprocess.Popen(
        command(port), cwd=folder, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


# ---------------------------------------------------------------- what goes wrong


def test_a_port_in_use_is_said_with_the_next_one(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        refused = try_out(tmp_path, STAYS, port=port)
    assert refused.returncode == 1
    assert refused.stderr == f"Port {port} is in use. Choose another: make run PORT={port + 1}\n"
    assert not (tmp_path / "arguments.json").exists(), "the app was not started"


ENDS = {
    "its database cannot be prepared": (
        'if verb == "migrate": print("no disk", file=sys.stderr); sys.exit(3)',
        "`python -m bot migrate` failed.\nno disk\n(the whole log: var/bot.log)\n",
    ),
    "it does not start": (
        'if verb == "serve": print("bad token", file=sys.stderr); sys.exit(2)',
        "The bot did not start.\nbad token\n(the whole log: var/bot.log)\n",
    ),
    "it ends by itself": (
        'if verb == "serve": print("connected", flush=True); print("fell over", file=sys.stderr)',
        "The bot ended by itself.\nfell over\n(the whole log: var/bot.log)\n",
    ),
}


@pytest.mark.parametrize(("app", "said"), ENDS.values(), ids=ENDS.keys())
def test_an_app_that_ends_is_said_with_the_end_of_its_log(tmp_path: Path, app: str, said: str) -> None:
    ended = try_out(tmp_path, app)
    assert ended.returncode == 1
    assert ended.stderr == said


def test_a_manifest_that_is_not_there_is_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        command(free_port(), "--manifest", "nowhere.yml"), cwd=tmp_path, env=environment(),
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "nowhere.yml" in done.stderr
    assert "Traceback" not in done.stderr


def test_only_the_end_of_a_long_log_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "bot.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    lines = tail(log).splitlines()
    assert lines[0] == "line 95"
    assert lines[-1] == f"(the whole log: {log})"


# ---------------------------------------------------------------- what goes right


def test_the_app_finds_its_slack_by_its_environment_and_nobody_elses_proxies(tmp_path: Path) -> None:
    port = free_port()
    proxies = {
        "HTTP_PROXY": "http://proxy:1",
        "https_proxy": "http://proxy:2",
        "NO_PROXY": "x",
        "All_Proxy": "y",
    }
    with running(tmp_path, STAYS, port=port, KEPT="yes", **proxies) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        assert told.startswith(f"Platform is running: http://127.0.0.1:{port}")
    given = json.loads((tmp_path / "environment.json").read_text())
    assert [name for name in given if name.lower().endswith("_proxy")] == []
    assert given["KEPT"] == "yes"
    assert given["SLACK_API_URL"] == f"http://127.0.0.1:{port}/api/"
    assert given["PLATFORM_STATE"] == str(tmp_path / "var")
    for secret in ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET"):
        assert given[secret]
    assert json.loads((tmp_path / "arguments.json").read_text()) == ["serve", "--mode", "socket"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_stops_the_app_too_and_is_no_failure(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path, STAYS, port=free_port()) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, said) == (0, "")
    assert (tmp_path / "stopped").exists()


def test_what_happened_is_kept_beside_the_log(tmp_path: Path) -> None:
    with running(tmp_path, STAYS, port=free_port()) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert {"bot.log", "playground.db"} <= {file.name for file in (tmp_path / "var").iterdir()}


def test_by_default_it_is_what_the_documents_say() -> None:
    options = parse_arguments([])
    assert (options.port, str(options.folder), str(options.manifest)) == (8080, "var", "manifest.yml")


async def test_secrets_of_the_persons_own_slack_are_not_used(tmp_path: Path) -> None:
    async with Playground(ROOT / "manifest.yml") as playground:
        theirs = {"SLACK_BOT_TOKEN": "real", "SLACK_API_URL": "https://slack.com/api/", "PATH": "/bin"}
        given = environment_for(playground, tmp_path, theirs)
        assert (given["SLACK_BOT_TOKEN"], given["SLACK_API_URL"]) == (
            playground.bot_token,
            playground.api_url,
        )
        assert given["PATH"] == "/bin"


async def test_a_real_database_in_the_shell_is_never_touched(tmp_path: Path) -> None:
    async with Playground(ROOT / "manifest.yml") as playground:
        theirs = {
            "DATABASE_URL": "postgresql://production",
            "DATABASE_URL_FILE": "/run/secrets/database",
            "PLATFORM_CONFIG": "/etc/platform.yml",
            "SLACK_BOT_TOKEN_FILE": "/run/secrets/token",
        }
        given = environment_for(playground, tmp_path, theirs)
        assert not set(theirs) & set(given)
        assert given["PLATFORM_STATE"] == str(tmp_path)
