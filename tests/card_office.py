"""A card pump on a real database, the Slack it writes to, and a time that passes only when somebody waits."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from database import Clock
from requests_made import LENA, ballot
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot import manifest
from bot.cards import Cards
from bot.domain import Card, CardKind, Request
from bot.metrics import Metrics
from bot.pace import Pace
from bot.registry import load_commands
from bot.store import Store
from bot.tasks import Tasks
from playground.messages import Message
from playground.server import Playground

ORDERS, DEPLOYS = "CORDERS001", "CDEPLOYS01"
COMMANDS = load_commands()


@dataclass
class CardOffice:
    """The bot's clock and the pace's seconds pass together. `waits` is how long was waited for turns."""

    store: Store
    slack: Playground
    clock: Clock
    metrics: Metrics = field(default_factory=Metrics)
    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    call_seconds: float = 0.0
    """How long Slack takes to answer."""

    def __post_init__(self) -> None:
        self.client = _Client(self)
        self.pace = self._new_pace()
        self.pump = self._new_pump(self.pace)

    def another_pump(self) -> Cards:
        """Another process's: it knows of no turn that was booked here."""
        return self._new_pump(self._new_pace())

    def _new_pace(self) -> Pace:
        return Pace(now=lambda: self.now, sleep=self._sleep)

    def _new_pump(self, pace: Pace) -> Cards:
        return Cards(
            store=self.store, client=self.client, commands=COMMANDS, pace=pace, tasks=Tasks(), metrics=self.metrics,
            clock=self.clock,
        )  # fmt: skip

    # ------------------------------------------------------------ time

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.passes(seconds)

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.clock.move(seconds=seconds)

    def crowd(self, count: int, *, name: str = "other", method: str = "chat.postMessage") -> None:
        """So many others have booked turns in #orders; posts go three at once, then one a second."""
        for number in range(count):
            self.pace.book(method, ORDERS, f"{name} {number}")

    # ------------------------------------------------------------ what is there

    async def card(self, channel: str = ORDERS, *, kind: CardKind = CardKind.REQUEST) -> Card:
        """The card of the request r1 that was meant for this channel."""
        cards = await self.store.list_cards("r1")
        return next(one for one in cards if one.id == f"r1.{kind.value}.{channel}")

    def messages(self, channel: str = ORDERS) -> list[Message]:
        return self.slack.app_messages(channel)

    def counted(self, outcome: str) -> float:
        return self.metrics.registry.get_sample_value("platform_cards_total", {"outcome": outcome}) or 0.0

    async def approve(self, request: Request) -> Request:
        return await self.store.decide(request.id, ballot(request, LENA))


class _Client(AsyncWebClient):
    """Slack's, on whose calls the office's time passes."""

    def __init__(self, office: CardOffice) -> None:
        slack = office.slack
        super().__init__(token=slack.bot_token, base_url=slack.api_url, retry_handlers=[])
        self._office = office

    async def api_call(self, api_method: str, **arguments: Any) -> AsyncSlackResponse:
        self._office.passes(self._office.call_seconds)
        return await super().api_call(api_method, **arguments)


@asynccontextmanager
async def open_card_office(
    folder: Path, migrated_sqlite_file: Path, clock: Clock
) -> AsyncIterator[CardOffice]:
    file = folder / "bot.db"
    shutil.copyfile(migrated_sqlite_file, file)
    async with (
        Playground(manifest.build(COMMANDS)) as slack,
        Store.open(f"sqlite:///{file}", clock=clock) as store,
    ):
        # Cards note moments by the store's clock, messages by Slack's: they show the same time.
        slack.clock.set(clock().timestamp())
        yield CardOffice(store, slack, clock)
