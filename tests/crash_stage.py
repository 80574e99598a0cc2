"""A world in which the bot is killed: playground and people in this process, the bot in one that can die, backends on disk.

`Workshop.play` lives one story with one or more kills and says what is there in the end. Every play starts from the same snapshot:
the same folder, so that addresses in it stay true, and a copy of the same database.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from crash_points import STOP
from crash_report import (
    Rows,
    applications,
    comparable,
    no_process_left,
    read_audit,
    read_repositories,
    read_runtime,
    read_slack,
    running,
)
from crash_stories import STORIES, Story
from forking import Forked, Forker
from own_ports import own_ports

from bot import manifest, registry
from playground.server import Playground

ROOT = Path(__file__).parent.parent
KILLED = -signal.SIGKILL
PATIENCE_SECONDS = 120.0
SECONDS_BETWEEN_HOURS = 1.5
AWAY_SECONDS = 60.0
"""What the bot's clock says it was away after a kill: whatever the dead one had claimed for a moment is free again."""

SERVICE_PROGRAM = """
import http.server, json, os

SICK_IN = "{{ sick_in }}"
if os.environ["ENVIRONMENT"] == SICK_IN:
    raise SystemExit(3)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = {"version": os.environ["SERVICE_VERSION"], "environment": os.environ["ENVIRONMENT"]}
        said["database"] = "DATABASE_URL_FILE" in os.environ
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""


def write_golden_paths(folder: Path, mark: str) -> None:
    """Services that start at once. `mark` stands in their command line, where `ps` shows it."""
    for name, sick_in in (("tiny-service", ""), ("sick-service", "staging")):
        path = folder / name
        (path / "template").mkdir(parents=True)
        described = {
            "title": name.replace("-", " ").capitalize(),
            "description": "The smallest service.",
            "language": "python",
            "databases": ["none", "postgresql"],
            "run": ["{python}", "-S", "service.py", mark],
        }
        (path / "golden_path.yml").write_text(yaml.safe_dump(described))
        questions = {
            "_subdirectory": "template",
            "sick_in": {"type": "str", "when": False, "default": sick_in},
        }
        (path / "copier.yml").write_text(yaml.safe_dump(questions))
        (path / "template" / "service.py.jinja").write_text(SERVICE_PROGRAM)


def write_config(folder: Path) -> Path:
    """platform.yml as it ships, with backends that look often and do not wait long."""
    data = yaml.safe_load((ROOT / "platform.yml").read_text())
    data["golden_paths"] = ["tiny-service", "sick-service"]
    data["integrations"]["golden_paths"]["folder"] = str(folder / "golden_paths")
    data["integrations"]["delivery"] |= {
        "port_range": list(own_ports()),
        "poll_interval_seconds": 0.05,
        "follow_interval_seconds": 0.1,
        "health_timeout_seconds": 30.0,
        "stop_grace_seconds": 1.0,
    }
    path = folder / "platform.yml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


# ---------------------------------------------------------------- processes


Setting = tuple[Path | None, str]
"""The world before a story: a copy of the state folder and the database to copy."""


@dataclass
class Life:
    """One process of the bot, from its start to its end."""

    process: Forked
    code: asyncio.Task[int]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_over(self) -> bool:
        return self.code.done()

    async def stop(self) -> int:
        """As an operator does; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.code


# ---------------------------------------------------------------- one play


@dataclass
class Played:
    """`deaths` are the exit codes of the lives before the last; `found` is comparable, `points` are of the first life."""

    kills: tuple[str, ...]
    deaths: list[int]
    last: int
    found: dict[str, Any]
    points: list[str]
    log: str


@dataclass
class Scene:
    """What people of a story may touch, and how it goes on when the bot dies."""

    playground: Playground
    state: Path
    clock: Path
    rows: Rows
    life: Life
    clicked: set[str] = field(default_factory=set)
    moved_at: float = 0.0

    async def unless_killed(self, act: Coroutine[Any, Any, Any]) -> Any:
        doing = asyncio.ensure_future(act)
        await asyncio.wait({doing, self.life.code}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)
        return None

    def let_time_pass(self, seconds: float) -> None:
        """Now and then, and never while a message is on its way: that would take a moment, and not the hours of our clock."""
        now = asyncio.get_running_loop().time()
        if now - self.moved_at > SECONDS_BETWEEN_HOURS and not self.rows.unsaid():
            self.moved_at = now
            self.move_clock(seconds)

    def move_clock(self, seconds: float) -> None:
        """The bot's and Slack's: a lost post is looked for by the time at which it was begun."""
        self.playground.clock.advance(seconds)
        moved = float(self.clock.read_text()) + seconds
        fresh = self.clock.with_suffix(".new")
        fresh.write_text(str(moved))
        fresh.replace(self.clock)


@dataclass
class Workshop:
    """One folder, one database at a time, one play after the other."""

    folder: Path
    forker: Forker
    new_database: Callable[[str], str]
    """Given the URL of the database to copy (empty: a migrated, empty one), the URL of a new one."""
    mark: str
    config: Path

    @classmethod
    @asynccontextmanager
    async def open(
        cls, folder: Path, forker: Forker, new_database: Callable[[str], str]
    ) -> AsyncIterator[Workshop]:
        mark = f"crash-{secrets.token_hex(6)}"
        write_golden_paths(folder / "golden_paths", mark)
        config = write_config(folder)
        with no_process_left(mark):
            yield cls(folder, forker, new_database, mark, config)

    @property
    def state(self) -> Path:
        return self.folder / "var"

    async def setting(self, name: str) -> Setting:
        """Empty for the first story."""
        story = STORIES[name]
        if not story.setting:
            return None, ""
        kept = self.folder / f"before-{name}"
        before = await self.setting(story.setting)
        played, url = await self._play(STORIES[story.setting], before, ())
        assert played.last == 0, played.log
        shutil.move(self.state, kept)
        return kept, url

    async def play(self, name: str, before: Setting, kills: tuple[str, ...]) -> Played:
        return await self.live(STORIES[name], before, kills)

    async def live(self, story: Story, before: Setting, kills: tuple[str, ...]) -> Played:
        played, _ = await self._play(story, before, kills)
        return played

    async def _play(self, story: Story, before: Setting, kills: tuple[str, ...]) -> tuple[Played, str]:
        kept, template = before
        shutil.rmtree(self.state, ignore_errors=True)
        if kept is not None:
            shutil.copytree(kept, self.state, symlinks=True)
        else:
            self.state.mkdir()
        url = self.new_database(template)
        story.prepare(self.state)
        async with Playground(manifest.build(registry.load_commands(), url="")) as playground:
            play = _Play(self, story, playground, url, kills)
            return await play.run(), url


class _Play:
    def __init__(
        self, workshop: Workshop, story: Story, playground: Playground, url: str, kills: tuple[str, ...]
    ) -> None:
        self._workshop = workshop
        self._story = story
        self._playground = playground
        self._url = url
        self._kills = kills
        self._rows = Rows(url)
        self._clock = workshop.state / "clock"
        self._logs: list[Path] = []

    async def run(self) -> Played:
        self._clock.write_text("0")
        self._requests = len(self._story.ends)
        scene = Scene(self._playground, self._workshop.state, self._clock, self._rows, self._start(0))
        deaths: list[int] = []
        deeds = list(self._story.deeds)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while deeds or not self._is_at_rest(len(deaths)):
                    if scene.life.is_over:
                        deaths.append(scene.life.code.result())
                        assert len(deaths) < 5, "it dies again and again"
                        scene.move_clock(AWAY_SECONDS)
                        scene.life = self._start(len(deaths))
                    elif self._is_connected and deeds and await deeds[0](scene):
                        deeds.pop(0)
                    await asyncio.sleep(0.03)
                found = await self._look()
        except TimeoutError as error:
            shown = json.dumps(read_slack(self._playground), indent=1, ensure_ascii=False)
            deployed = [one["operations"][-1:] for one in applications(self._workshop.state)]
            waiting = f"{len(deeds)} deeds left, {self._rows.states()}, {deployed}, {shown}"
            await scene.life.stop()
            raise AssertionError(f"{self._kills}: it never ended ({waiting})\n{self._log_text()}") from error
        last = await scene.life.stop()
        if last == KILLED:
            # It died while it was stopping; the next one finds everything done.
            deaths.append(last)
            self._kills = self._kills[: len(deaths)]
            scene.life = self._start(len(deaths))
            await self._playground.until_connected(timeout_seconds=PATIENCE_SECONDS)
            found = await self._look()
            last = await scene.life.stop()
        found |= {"slack": read_slack(self._playground), "audit": await read_audit(self._url)}
        found |= {"database": self._rows.read(), "left running": running(self._workshop.mark)}
        points = self._points(0).read_text().splitlines()
        return Played(self._kills, deaths, last, comparable(found), points, self._log_text())

    def _is_at_rest(self, number: int) -> bool:
        """All is done, and this life is the last: one that has just begun could not be told to stop in order, and one that was
        told may finish the work on its way out, but it goes."""
        if not self._is_connected:
            return False
        kill = self._kills[number] if number < len(self._kills) else ""
        if kill.startswith(STOP) and f"{kill.removeprefix(STOP)}\n" in self._points(number).read_text():
            return False
        return self._rows.settled(requests=self._requests)

    @property
    def _is_connected(self) -> bool:
        return (
            self._playground.connections_opened > self._opened_before
            and self._playground.connection_count > 0
        )

    async def _look(self) -> dict[str, Any]:
        state = self._workshop.state
        return {
            "repositories": await asyncio.to_thread(read_repositories, state),
            "runtime": await read_runtime(state, self._workshop.mark),
        }

    def _start(self, number: int) -> Life:
        self._opened_before = self._playground.connections_opened
        self._points(number).unlink(missing_ok=True)
        self._logs.append(self._workshop.folder / f"log-{number}")
        self._logs[-1].unlink(missing_ok=True)
        process = self._workshop.forker.start("crash_child:live", self._job(number), output=self._logs[-1])
        return Life(process, asyncio.create_task(process.wait()))

    def _job(self, number: int) -> dict[str, Any]:
        return {
            "config": str(self._workshop.config),
            "environ": {
                "SLACK_API_URL": self._playground.api_url,
                "SLACK_BOT_TOKEN": self._playground.bot_token,
                "SLACK_APP_TOKEN": self._playground.app_token,
                "SLACK_SIGNING_SECRET": self._playground.signing_secret,
                "DATABASE_URL": self._url,
                "PLATFORM_STATE": str(self._workshop.state),
            },
            "kill": self._kills[number] if number < len(self._kills) else "",
            "points": str(self._points(number)),
            "clock": str(self._clock),
        }

    def _points(self, number: int) -> Path:
        return self._workshop.folder / f"points-{number}"

    def _log_text(self) -> str:
        return self._logs[-1].read_text()[-6000:] if self._logs and self._logs[-1].exists() else ""
