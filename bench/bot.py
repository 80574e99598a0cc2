"""The real bot under measurement: `python -m bot serve --mode http` with a configuration, a database and a Slack of the bench."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench import seed
from bench.fake_slack import DEVELOPERS, TEAM_ID, channel
from bench.load import now_seconds
from bench.processes import Cores, Server, free_port, python, serving
from bench.signing import Caller, slash_command

ROOT = Path(__file__).parents[1]
SECRET = "bench-signing-secret"  # noqa: S105 - of the bench alone
PORTS = ("golden_paths", "code_host", "infrastructure", "delivery", "catalog")
_numbers = itertools.count(1)


@dataclass
class Slack:
    """The fake Slack's address, and the person who types."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def caller(self, user_id: str = DEVELOPERS[0]) -> Caller:
        return Caller(SECRET, user_id, TEAM_ID, seed.CHANNEL, f"{self.url}/response")

    def told(self, *, after: float = 0.0) -> dict[str, Any]:
        """What it counted (`calls`), and what it was `sent` since `after` (seconds)."""
        with urllib.request.urlopen(f"{self.url}/told?after={after}") as answer:  # noqa: S310 - our own address
            found: dict[str, Any] = json.load(answer)
        return found


@contextmanager
def fake_slack(cores: Cores, folder: Path, *, limited: bool = False) -> Iterator[Slack]:
    port = free_port()
    command = python("-m", "bench.fake_slack", str(port), *(["--limited"] if limited else []))
    with serving(f"fake-slack-{port}", command, port=port, core=cores.loading, folder=folder):
        yield Slack(port)


@dataclass(frozen=True)
class Setting:
    """How the bot is set up. `answers` says how slow each backend is, in seconds; an optional one is there if it is named."""

    database_url: str
    answers: Mapping[str, float] = field(default_factory=dict)
    name: str = "bot"
    more_path: str = ""
    """One more folder to find plug-ins in."""
    counted_in: str = ""
    """A file in which the backends count what they are asked."""
    teams: int = 0
    """So many more teams, each with channels of its own."""


@contextmanager
def running(setting: Setting, slack: Slack, *, core: int, folder: Path) -> Iterator[Server]:
    """A migrated, listening bot."""
    port = free_port()
    with ExitStack() as stack:
        home = folder / f"{setting.name}-{port}"
        home.mkdir()
        environment = environment_of(setting, slack, home)
        begin = time.perf_counter()
        run_bot(["migrate"], environment)
        prepared = time.perf_counter() - begin
        command = python("-m", "bot", "serve", "--mode", "http", "--host", "127.0.0.1", "--port", str(port))
        server = stack.enter_context(
            serving(setting.name, command, port=port, core=core, environment=environment, folder=home)
        )
        server.prepared_seconds = prepared
        yield server


def environment_of(setting: Setting, slack: Slack, home: Path) -> dict[str, str]:
    config = home / "platform.yml"
    config.write_text(
        yaml.safe_dump(
            platform(setting.answers, counted_in=setting.counted_in, teams=setting.teams), sort_keys=False
        )
    )
    return {
        "PLATFORM_CONFIG": str(config),
        "PLATFORM_STATE": str(home),
        "DATABASE_URL": setting.database_url,
        "SLACK_API_URL": f"{slack.url}/api/",
        "SLACK_BOT_TOKEN": "xoxb-bench",
        "SLACK_SIGNING_SECRET": SECRET,
        "PYTHONPATH": os.pathsep.join(
            [str(ROOT), str(ROOT / "bench" / "plugin"), *filter(None, [setting.more_path])]
        ),
        "LOG_LEVEL": "warning",
    }


def run_bot(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"`python -m bot {' '.join(arguments)}` failed: {done.stderr[-2000:]}")
    return done.stdout


def platform(answers: Mapping[str, float], *, counted_in: str = "", teams: int = 0) -> dict[str, Any]:
    """platform.yml as it ships, with the bench's people and backends."""
    data: dict[str, Any] = yaml.safe_load((ROOT / "platform.yml").read_text(encoding="utf-8"))
    data["people"] = []
    data["teams"]["orders"]["members"] = {"team_lead": ["@orders-leads"], "developer": ["@payments"]}
    data["teams"]["payments"]["members"] = {"team_lead": ["@platform-admins"], "developer": ["@payments"]}
    data["teams"] |= {team(number): _section(number, among=2 * teams) for number in range(teams)}
    data["integrations"] = {
        port: {
            "use": f"bench_{port}",
            "answer_after_seconds": answers.get(port, 0.0),
            "counted_in": counted_in,
        }
        for port in dict.fromkeys((*PORTS, *answers))
    }
    return data


def team(number: int) -> str:
    return f"team-{number:03d}"


def _section(number: int, *, among: int) -> dict[str, Any]:
    """A team of platform.yml: a channel for its requests, another one for its deployments."""
    return {
        "title": f"Team {number}",
        "channel": channel(2 * number, among=among),
        "members": {"team_lead": ["@orders-leads"], "developer": ["@payments"]},
        "notifications": {"deployments": {"production": channel(2 * number + 1, among=among)}},
    }


def everybody(slack: Slack, people: Sequence[str], text: str) -> list[bytes]:
    """The same typed by each of them."""
    return [request for person in people for request in commands(slack.caller(person), [text])]


def trigger_id() -> str:
    """Never the same one again."""
    return f"{os.getpid()}.{next(_numbers)}"


def commands(caller: Caller, texts: Sequence[str]) -> list[bytes]:
    """One signed request for each text, good for five minutes."""
    now = now_seconds()
    return [slash_command(caller, text, trigger_id=trigger_id(), timestamp=now) for text in texts]
