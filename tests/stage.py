"""The whole house on one stage: the playground as Slack, the bot, and its backends, in one process.

Scenario tests act as people and look at what people see. Nothing of the bot is patched. Backends are in memory where a scenario is
about people (memory_backends.py), and the real local ones where it is about the whole.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import re
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import yaml
from memory_backends import open_world
from memory_world import World
from own_ports import free_port, own_ports

from bot import config as configuration
from bot import manifest, registry
from bot.app import Bot, http_mode, open_bot, socket_mode
from bot.command import Backends
from bot.config import Config
from bot.domain import Request, RequestState
from bot.migrating import migrate
from integrations.ports import Surroundings
from playground.actor import Actor, buttons, shown_text
from playground.messages import Message
from playground.server import Playground

ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 20.0
Delivery = Literal["socket", "http"]
_REQUEST_ID = re.compile(r"\br-[a-z0-9]{7}\b")


@dataclass
class MovableClock:
    """The bot's clock: runs with the machine's, and may be moved forward."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return datetime.now(tz=UTC) + self.ahead

    def advance(self, **span: float) -> None:
        self.ahead += timedelta(**span)


OpenWorld = Callable[[World, Config, Surroundings], AbstractAsyncContextManager[Backends]]
"""Opens backends over a world; a test may put some of its own in the place of `open_world`'s."""


@dataclass
class Stage:
    """A running bot and the people around it. `world` is what the backends in memory hold."""

    playground: Playground
    folder: Path
    world: World
    clock: MovableClock
    request_url: str
    real: bool
    database_url: str
    opening: OpenWorld = open_world
    patience_seconds: float = PATIENCE_SECONDS
    _running: AsyncExitStack = field(default_factory=AsyncExitStack)
    _bot: Bot | None = None

    @property
    def bot(self) -> Bot:
        assert self._bot is not None, "the bot is stopped"
        return self._bot

    # ------------------------------------------------------------ the bot

    async def start(self, changes: Mapping[str, Any] | None = None, *, slack_away: bool = False) -> None:
        """The bot, connected and ready for the next command; or running, where there is no Slack to connect to."""
        state = self.folder / "var"
        config = configuration.load(
            write_config(self.folder, changes or {}),
            environment(self.playground, database_url=self.database_url, state=state),
        )
        migrate(config.secrets.database_url.get_secret_value())
        opener = registry.open_backends if self.real else functools.partial(self.opening, self.world)
        bot = await self._running.enter_async_context(
            open_bot(config, clock=self.clock, open_backends=opener)
        )
        if self.request_url:
            await self._running.enter_async_context(
                http_mode(bot, host="127.0.0.1", port=urlsplit(self.request_url).port or 0)
            )
        else:
            await self._running.enter_async_context(socket_mode(bot))
            if not slack_away:
                await self.playground.until_connected()
        self._bot = bot

    async def stop(self) -> None:
        """As a redeployment would: what runs is left where it stands."""
        self._bot = None
        await self._running.aclose()

    def person(self, name: str) -> Actor:
        return self.playground.actor(name)

    # ------------------------------------------------------------ what people do

    async def types(self, who: str, line: str, *, channel: str = "#orders", smart: bool = False) -> str:
        """A command and everything its first private answer says; empty where the card is the answer."""
        person = self.person(who)
        before = {message.ts for message in person.ephemerals(channel)}
        sent = await person.command(channel, line, smart=smart)
        assert sent.ok, sent.notice
        fresh = [message for message in person.ephemerals(channel) if message.ts not in before]
        return shown_text(fresh[-1]) if fresh else ""

    async def told(self, who: str, containing: str, *, channel: str = "#orders") -> str:
        """What this person is told there in private, once it is there."""

        def look() -> str | None:
            texts = [shown_text(message) for message in self.person(who).ephemerals(channel)]
            return next((text for text in reversed(texts) if containing in text), None)

        what = f"{who} is told {containing!r}"
        found = await self.playground.until(look, timeout_seconds=self.patience_seconds, what=what)
        assert found is not None
        return found

    async def create(self, service: str = "orders", *, db: str = "none", who: str = "alice") -> Message:
        """Alice's whole way from the command to a healthy service in staging; returns the card."""
        card = await self.propose(service, db=db, who=who)
        await self.person(who).click(card, "confirm")
        await self.until_shown(card, "done")
        return card

    async def propose(self, service: str = "orders", *, db: str = "none", who: str = "alice") -> Message:
        """The card with the plan of a new service, not yet confirmed."""
        line = f"/platform create-service {service} --team orders --template python-service --db {db}"
        return await self.asks(who, line, f"Create service {service}")

    async def promote(self, service: str = "orders", *, who: str = "alice") -> Message:
        """The card of a promotion that waits for approval, in the team's channel."""
        return await self.asks(who, f"/platform promote {service}", f"Promote {service}")

    async def asks(self, who: str, line: str, title: str, *, channel: str = "#orders") -> Message:
        """A command that changes something, and the new card it gets there."""
        seen = {message.ts for message in self.playground.messages(channel)}
        sent = await self.person(who).command(channel, line)
        assert sent.ok, sent.notice

        def look() -> Message | None:
            news = [one for one in self.playground.messages(channel) if one.ts not in seen]
            return next((one for one in news if title in shown_text(one)), None)

        try:
            found = await self.playground.until(
                look, timeout_seconds=self.patience_seconds, what=f"a card: {title}"
            )
        except TimeoutError as error:
            told = [shown_text(message) for message in self.person(who).ephemerals(channel)]
            error.add_note(f"what {who} was told in private last: {told[-3:]}")
            raise
        assert found is not None
        return found

    async def released(self, service: str = "orders") -> Message:
        """A promotion approved by Lena and done."""
        card = await self.promote(service)
        await self.person("lena").click(card, "approve")
        await self.until_shown(card, "done")
        return card

    # ------------------------------------------------------------ what people see

    async def card(self, who: str, channel: str, containing: str) -> Message:
        """The newest message this person sees there with these words, once it is there."""
        return await self.person(who).wait_for_message(
            channel, containing, timeout_seconds=self.patience_seconds
        )

    async def until_shown(self, card: Message, containing: str) -> Message:
        """The same message, once it shows these words."""

        def look() -> Message | None:
            now = self.now(card)
            return now if now is not None and containing in shown_text(now) else None

        what = f"the card says {containing!r}"
        found = await self.playground.until(look, timeout_seconds=self.patience_seconds, what=what)
        assert found is not None
        return found

    def now(self, card: Message) -> Message | None:
        """The message as it is now."""
        return next((one for one in self.playground.messages(card.channel) if one.ts == card.ts), None)

    def says(self, card: Message) -> str:
        """What the message says now."""
        return shown_text(self.now(card) or card)

    def labels(self, card: Message) -> list[str]:
        """The labels of the buttons the message has now."""
        return [button["text"]["text"] for button in buttons(self.now(card) or card)]

    # ------------------------------------------------------------ what is recorded

    async def request(self, card: Message) -> Request:
        return await self.bot.store.get_request(request_id(card))

    async def until_state(self, card: Message, state: RequestState) -> None:
        """The card's request is so in the database, whatever Slack shows; TimeoutError."""
        async with asyncio.timeout(self.patience_seconds):
            while (await self.request(card)).state is not state:
                await asyncio.sleep(0.02)

    async def events(self, card: Message) -> list[str]:
        """The audit events of the card's request, oldest first."""
        found = await self.bot.store.list_audit(request_id=request_id(card), limit=100)
        return [event.event for event in reversed(found)]

    async def expire(self) -> None:
        """Let what is due expire now, as the tick would."""
        await self.bot.ticker.expire()


def request_id(card: Message) -> str:
    """The number on a card."""
    found = _REQUEST_ID.search(shown_text(card))
    assert found, shown_text(card)
    return found.group(0)


@functools.cache
def shipped_settings() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((ROOT / "platform.yml").read_text())
    return data


def settings(changes: Mapping[str, Any]) -> dict[str, Any]:
    """platform.yml as it ships, with dotted paths replaced (`rules.request_expires_after`)."""
    data = copy.deepcopy(shipped_settings())
    for path, value in changes.items():
        *parents, last = path.split(".")
        node: Any = data
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        node[last] = value
    if data["integrations"]["delivery"]["use"] == "local_processes":
        # Backends of a test look more often than people need them to.
        data["integrations"]["delivery"].setdefault("poll_interval_seconds", 0.1)
        data["integrations"]["delivery"].setdefault("port_range", list(own_ports()))
    return data


def write_config(folder: Path, changes: Mapping[str, Any]) -> Path:
    data = settings(changes)
    data["integrations"]["golden_paths"].setdefault("folder", str(ROOT / "golden_paths"))
    path = folder / "platform.yml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def environment(playground: Playground, *, database_url: str, state: Path) -> dict[str, str]:
    return {
        "SLACK_API_URL": playground.api_url,
        "SLACK_BOT_TOKEN": playground.bot_token,
        "SLACK_APP_TOKEN": playground.app_token,
        "SLACK_SIGNING_SECRET": playground.signing_secret,
        "DATABASE_URL": database_url,
        "PLATFORM_STATE": str(state),
    }


def _database(state: Path, template: Path | None) -> str:
    """A migrated SQLite database; migrating takes longer than copying one."""
    file = state / "platform.db"
    if template is not None and not file.exists():
        shutil.copyfile(template, file)
    return f"sqlite:///{file}"


OpenStage = Callable[..., AbstractAsyncContextManager[Stage]]
"""`stage` with the folder given."""


@asynccontextmanager
async def stage(
    folder: Path,
    *,
    delivery: Delivery = "socket",
    real: bool = False,
    changes: Mapping[str, Any] | None = None,
    template: Path | None = None,
    opening: OpenWorld = open_world,
) -> AsyncIterator[Stage]:
    """Open everything, connected and ready for the first command; `real` opens the backends that platform.yml names."""
    state = folder / "var"
    state.mkdir(exist_ok=True)
    url = f"http://127.0.0.1:{free_port()}/slack/events" if delivery == "http" else ""
    described = manifest.build(registry.load_commands(), url=url)
    async with Playground(described, delivery=delivery, request_url=url or None) as playground:
        opened = Stage(
            playground=playground,
            folder=folder,
            world=World(),
            clock=MovableClock(),
            request_url=url,
            real=real,
            database_url=_database(state, template),
            opening=opening,
        )
        try:
            await opened.start(changes)
            yield opened
        finally:
            await opened.stop()
