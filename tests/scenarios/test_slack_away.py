"""The bot starts while Slack is away: it runs, says so, and goes on where it was when Slack is back."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from memory_world import World
from own_ports import free_port
from stage import MovableClock, Stage

from bot import manifest, registry
from bot.app import health_only
from bot.errors import StartError
from playground.server import Playground

PATIENCE_SECONDS = 20.0


class Workspace:
    """A Slack that can go away and come back at the same address, remembering what was said."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self._file = folder / "slack.json"
        self._manifest = manifest.build(registry.load_commands(), url="")

    def open(self, *, bot_token: str = "xoxb-away") -> Playground:
        slack = Playground(
            self._manifest,
            delivery="socket",
            port=self._port,
            state_file=self._file,
            bot_token=bot_token,
            app_token="xapp-away",
            signing_secret="away",
        )
        # Known before it listens, as Slack's address is.
        slack.world.base_url = f"http://127.0.0.1:{self._port}/"
        return slack


def stage_of(playground: Playground, folder: Path, world: World, database: Path) -> Stage:
    return Stage(
        playground=playground,
        folder=folder,
        world=world,
        clock=MovableClock(),
        request_url="",
        real=False,
        database_url=f"sqlite:///{database}",
    )


async def test_what_was_confirmed_goes_on_when_slack_is_back(tmp_path: Path) -> None:
    workspace, world, database = Workspace(tmp_path), World(), tmp_path / "platform.db"
    async with workspace.open() as slack:
        before = stage_of(slack, tmp_path, world, database)
        await before.start()
        card = await before.propose("orders")
        await before.person("alice").click(card, "confirm")
        await before.stop()

    slack = workspace.open()
    after = stage_of(slack, tmp_path, world, database)
    try:
        await after.start(slack_away=True)
        async with health_only(after.bot, host="127.0.0.1", port=0) as port, httpx.AsyncClient() as client:
            assert (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
        async with slack:
            await slack.until_connected(timeout_seconds=PATIENCE_SECONDS)
            await after.until_shown(card, "done")
            assert "staging" in await after.types("alice", "/platform status orders")
            await after.stop()
    finally:
        await after.stop()


async def test_a_page_of_a_proxy_is_no_refusal_of_the_token(tmp_path: Path) -> None:
    async with Workspace(tmp_path).open() as slack:
        slack.fail_call("auth.test", "html_502")
        slack.fail_call("apps.connections.open", "html_502")
        stage = stage_of(slack, tmp_path, World(), tmp_path / "platform.db")
        try:
            await stage.start(slack_away=True)
            await slack.until_connected(timeout_seconds=PATIENCE_SECONDS)
            assert "There is no service yet" in await stage.types("alice", "/platform services")
        finally:
            await stage.stop()


async def test_a_refused_token_still_ends_the_start(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    async with workspace.open():
        stage = stage_of(workspace.open(bot_token="xoxb-wrong"), tmp_path, World(), tmp_path / "platform.db")
        with pytest.raises(StartError, match="Slack refuses the bot token"):
            await stage.start()
        await stage.stop()
