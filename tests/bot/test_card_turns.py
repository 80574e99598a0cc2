"""Many cards in one channel: Slack refuses none of them, and each is sent when its turn comes."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from database import Clock
from requests_made import awaiting
from slack_sdk.web.async_client import AsyncWebClient

from bot import manifest
from bot.cards import Cards
from bot.metrics import Metrics
from bot.pace import LIMITS, Pace
from bot.registry import load_commands
from bot.store import Store
from bot.tasks import Tasks
from playground.server import Playground

CHANNEL = "CORDERS001"
COMMANDS = load_commands()
COUNT = 12


@dataclass
class Office:
    """Slack keeps its limits; the bot's clock and the pace's seconds pass together, and only when somebody waits."""

    slack: Playground
    store: Store
    clock: Clock
    now: float = 0.0

    def pump(self) -> Cards:
        client = AsyncWebClient(token=self.slack.bot_token, base_url=self.slack.api_url, retry_handlers=[])
        return Cards(
            store=self.store, client=client, commands=COMMANDS, pace=Pace(now=lambda: self.now, sleep=self.sleep),
            tasks=Tasks(), metrics=Metrics(), clock=self.clock,
        )  # fmt: skip

    async def sleep(self, seconds: float) -> None:
        """All who wait wait at the same time."""
        until = self.now + seconds
        while self.now < until:
            await asyncio.sleep(0.01)

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.clock.move(seconds=seconds)
        self.slack.clock.advance(seconds)


@pytest.fixture
async def office(tmp_path: Path, migrated_sqlite_file: Path, clock: Clock) -> AsyncIterator[Office]:
    file = tmp_path / "bot.db"
    shutil.copyfile(migrated_sqlite_file, file)
    async with (
        Playground(manifest.build(COMMANDS)) as slack,
        Store.open(f"sqlite:///{file}", clock=clock) as store,
    ):
        slack.clock.set(clock().timestamp())
        slack.clock.freeze()
        slack.limit_rates()
        yield Office(slack, store, clock)


async def test_no_post_is_refused_and_the_last_is_as_early_as_the_limit_allows(office: Office) -> None:
    for number in range(COUNT):
        await awaiting(office.store, f"r{number}", channels=(CHANNEL,))
    pump = asyncio.create_task(office.pump().run())
    try:
        async with asyncio.timeout(30):
            while len(office.slack.app_messages(CHANNEL)) < COUNT:
                await asyncio.sleep(0.05)
                office.passes(0.25)
                office.store.dirty.set()
    finally:
        pump.cancel()
    assert [call.status for call in office.slack.calls("chat.postMessage")] == [200] * COUNT
    limit = LIMITS["chat.postMessage"]
    assert office.now <= (COUNT - limit.burst) / limit.per_second + 5
