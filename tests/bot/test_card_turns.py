"""A card whose turn is far off is given back, keeps its turn, and is drawn shortly before it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from database import Clock
from requests_made import LENA, awaiting, ballot
from slack_sdk.web.async_client import AsyncWebClient

from bot import manifest
from bot.cards import Cards
from bot.metrics import Metrics
from bot.pace import Pace
from bot.registry import load_commands
from bot.store import Store
from bot.tasks import Tasks
from playground.actor import shown_text
from playground.server import Playground

CHANNEL = "CORDERS001"
COMMANDS = load_commands()


@dataclass
class Office:
    """The bot's clock and the pace's seconds pass together, and only when somebody waits."""

    slack: Playground
    store: Store
    clock: Clock
    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pace = Pace(now=lambda: self.now, sleep=self.sleep)

    def pump(self) -> Cards:
        client = AsyncWebClient(token=self.slack.bot_token, base_url=self.slack.api_url, retry_handlers=[])
        return Cards(
            store=self.store, client=client, commands=COMMANDS, pace=self.pace, tasks=Tasks(), metrics=Metrics(),
            clock=self.clock,
        )  # fmt: skip

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.passes(seconds)

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.clock.move(seconds=seconds)

    def crowd(self, count: int, *, name: str = "other") -> None:
        """So many others have booked turns in this channel: three at once, then one a second."""
        for number in range(count):
            self.pace.book("chat.postMessage", CHANNEL, f"{name} {number}")


@pytest.fixture
async def office(tmp_path: Path, migrated_sqlite_file: Path, clock: Clock) -> AsyncIterator[Office]:
    file = tmp_path / "bot.db"
    shutil.copyfile(migrated_sqlite_file, file)
    async with (
        Playground(manifest.build(COMMANDS)) as slack,
        Store.open(f"sqlite:///{file}", clock=clock) as store,
    ):
        slack.clock.set(clock().timestamp())
        yield Office(slack, store, clock)


async def test_a_card_keeps_the_turn_it_was_given_back_for(office: Office) -> None:
    request = await awaiting(office.store, channels=(CHANNEL,))
    office.crowd(20)
    pump = office.pump()
    assert await pump.flush() == 0
    office.crowd(20, name="later")
    office.passes(16.5)
    assert await pump.flush() == 0
    await office.store.decide(request.id, ballot(request, LENA))
    office.passes(0.5)
    assert await pump.flush() == 1
    assert office.waits == [pytest.approx(1.0)], "drawn a second before its turn"
    (message,) = office.slack.app_messages(CHANNEL)
    assert "approved" in shown_text(message), "as the request stands then"


async def test_a_limit_of_slack_moves_the_turns_of_those_who_wait(office: Office) -> None:
    await awaiting(office.store, channels=(CHANNEL,))
    office.crowd(10)
    pump = office.pump()
    assert await pump.flush() == 0
    office.pace.hold("chat.postMessage", CHANNEL, seconds=60)
    office.passes(10)
    assert await pump.flush() == 0
    office.passes(49)
    assert await pump.flush() == 1
    assert office.waits == [pytest.approx(1.0)]
