"""The whole house on one stage: the playground as Slack, the bot, the local backends, all real, in one process.

Scenario tests act as people and look at what people see. Nothing of the bot is patched.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from bot import config as configuration
from bot import manifest, registry
from bot.app import Bot, http_mode, open_bot, socket_mode
from bot.database import migrate
from playground.actor import Actor, shown_text
from playground.messages import Message
from playground.server import Playground

ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 40.0
Delivery = Literal["socket", "http"]


@dataclass
class Stage:
    """A running bot and the people around it."""

    playground: Playground
    bot: Bot
    folder: Path

    def person(self, name: str) -> Actor:
        return self.playground.actor(name)

    async def card(self, who: str, channel: str, containing: str) -> Message:
        """The newest message this person sees there with these words, once it is there."""
        return await self.person(who).wait_for_message(channel, containing, timeout_seconds=PATIENCE_SECONDS)

    async def create(self, service: str = "orders", *, db: str = "none", who: str = "alice") -> Message:
        """Alice's whole way from the command to a healthy service in staging; returns the card."""
        line = f"/platform create-service {service} --team orders --template python-service --db {db}"
        await self.person(who).command("#orders", line)
        card = await self.card(who, "#orders", f"Create service {service}")
        await self.person(who).click(card, "confirm")
        await self.until_shown(card, "done")
        return card

    async def until_shown(self, card: Message, containing: str) -> Message:
        """The same message, once it shows these words."""

        def look() -> Message | None:
            now = self.now(card)
            return now if now is not None and containing in shown_text(now) else None

        found = await self.playground.until(
            look, timeout_seconds=PATIENCE_SECONDS, what=f"the card says {containing!r}"
        )
        assert found is not None
        return found

    def now(self, card: Message) -> Message | None:
        """The message as it is now."""
        return next((one for one in self.playground.messages(card.channel) if one.ts == card.ts), None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings(changes: Mapping[str, Any]) -> dict[str, Any]:
    """platform.yml as it ships, with dotted paths replaced (`rules.request_expires_after`)."""
    data: dict[str, Any] = yaml.safe_load((ROOT / "platform.yml").read_text())
    for path, value in changes.items():
        *parents, last = path.split(".")
        node: Any = data
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        node[last] = value
    # Backends of a test look more often than people need them to.
    data["integrations"]["delivery"].setdefault("poll_interval_seconds", 0.1)
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


@asynccontextmanager
async def stage(
    folder: Path,
    *,
    delivery: Delivery = "socket",
    database_url: str = "",
    changes: Mapping[str, Any] | None = None,
) -> AsyncIterator[Stage]:
    """Open everything, connected and ready for the first command."""
    state = folder / "var"
    state.mkdir(exist_ok=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}/slack/events" if delivery == "http" else ""
    async with AsyncExitStack() as stack:
        playground = await stack.enter_async_context(
            Playground(
                manifest.build(registry.load_commands(), url=url),
                delivery=delivery,
                request_url=url or None,
            )
        )
        config = configuration.load(
            write_config(folder, changes or {}),
            environment(
                playground, database_url=database_url or f"sqlite:///{state / 'platform.db'}", state=state
            ),
        )
        migrate(config.secrets.database_url.get_secret_value())
        bot = await stack.enter_async_context(open_bot(config))
        if delivery == "http":
            await stack.enter_async_context(http_mode(bot, host="127.0.0.1", port=port))
        else:
            await stack.enter_async_context(socket_mode(bot))
            await playground.until_connected()
        yield Stage(playground, bot, folder)
