"""Slack messages as projections of rows: posts them, edits them, heals them. Nothing is decided here, and nothing is read back.

A card is dirty while its row's revision is above what was sent. The pump renders the whole card from the database and sends the
latest state; whatever happened in between is coalesced. A first post is noted before it is sent, so that after a crash the pump
looks for the message by its metadata instead of posting a second one.
"""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot import outbox, request_views
from bot.command import Command
from bot.domain import Card, CardKind, Request
from bot.metrics import Metrics
from bot.pace import Pace
from bot.people import error_code, retry_after_seconds
from bot.store import Store
from bot.tasks import Tasks

log = structlog.get_logger(__name__)

EVENT_TYPE = "platform_card"
IDLE_SECONDS = 5.0
BATCH = 10
"""Each is drawn and sent at once, and whoever else wants the event loop waits for all of them."""
RETRY_MOST_SECONDS = 300.0
PATIENCE_SECONDS = 5.0
LEAD_SECONDS = 1.0
"""How long before its turn a card that was given back is drawn."""
LOOKS_APART_SECONDS = 0.25
SEND_MOST_SECONDS = 45.0
"""What one send may take: three calls of Slack, each with its turn."""
CLAIM_SECONDS = 60.0
"""The claimed cards of a request are sent one after the other: so long that one more may be begun after a slow one."""
LOOK_BACK_MESSAGES = 100
_GONE = frozenset(
    {"message_not_found", "is_inactive", "cant_update_message", "edit_window_closed", "is_archived"}
)
_NOT_HERE = frozenset(
    {"not_in_channel", "channel_not_found", "is_archived", "user_not_found"}
    | {"restricted_action", "restricted_action_read_only_channel", "restricted_action_thread_only_channel"}
)
_PERHAPS_DONE = frozenset({"", "internal_error", "fatal_error", "service_unavailable", "request_timeout"})
"""Refusals after which the message may be there all the same (docs of chat.postMessage); every other one says that it is not."""


class _NotItsTurnError(Exception):
    """The card is to be looked at again in `seconds`: longer than anybody should wait with the card in hand."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Cards:
    """The pump. One per process; rows are claimed, so several processes share the work."""

    def __init__(
        self,
        *,
        store: Store,
        client: AsyncWebClient,
        commands: Mapping[str, Command],
        pace: Pace,
        tasks: Tasks,
        metrics: Metrics,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._metrics = metrics
        self._client = client
        self._commands = commands
        self._pace = pace
        self._clock = clock
        self._looks: list[float] = []
        self._alarm: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Send what is dirty, for ever; woken by every commit that dirtied a card, and now and then for what failed.

        Requests are sent side by side: a channel that has to wait holds up no other. Cards are claimed, so none is sent twice
        at once. Raises what the database does; whoever keeps it going begins it again.
        """
        while True:
            self._store.dirty.clear()
            claimed = 0
            for request_id, cards in (await self._claim()).items():
                claimed += len(cards)
                self._tasks.start(self._send_all(request_id, cards), name="cards.send")
            if claimed == BATCH:  # There may be more of them.
                continue
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._store.dirty.wait()
            except TimeoutError:
                continue

    async def flush(self) -> int:
        """Send what is dirty now and wait for it; the number of cards that reached Slack."""
        claimed = await self._claim()
        return sum(await asyncio.gather(*(self._send_all(one, cards) for one, cards in claimed.items())))

    async def _claim(self) -> dict[str, list[Card]]:
        cards = await self._store.claim_dirty_cards(limit=BATCH, claim_seconds=CLAIM_SECONDS)
        by_request: dict[str, list[Card]] = defaultdict(list)
        for card in cards:
            by_request[card.request_id].append(card)
        return by_request

    async def _send_all(self, request_id: str, cards: list[Card]) -> int:
        near = [card for card in cards if not await self._is_far_off(card)]
        if not near:
            return 0
        request = await self._store.get_request(request_id)
        begun_until = self._clock() + timedelta(seconds=CLAIM_SECONDS - SEND_MOST_SECONDS)
        done = 0
        for card in near:
            if self._clock() > begun_until:
                # Slack is slow: the claim could run out while this one is sent, and somebody else would send it, too.
                await self._give_back(card, 0.0)
                continue
            try:
                done += await self._send(card, request)
            except _NotItsTurnError as error:
                await self._give_back(card, error.seconds)
            except SlackApiError as error:
                await self._failed(card, request, error)
            except (aiohttp.ClientError, TimeoutError) as error:
                log.warning("cards.unreachable", card=card.id, error=type(error).__name__)
                self._metrics.card("unreachable")
                await self._store.card_failed(card.id, retry_at=self._later(card))
        return done

    async def _send(self, card: Card, request: Request) -> bool:
        command = self._commands.get(request.command)
        rendered = request_views.render(
            request, card.kind, confirm_label=command.confirm_label if command else "Confirm"
        )
        if rendered is None:
            self._pace.used(_sent_with(card), card.id)
            await self._store.card_sent(card.id, revision=card.revision)
            return False
        body: dict[str, Any] = {"text": rendered.text, "blocks": rendered.blocks}
        thread_ts = await self._thread(card)
        if _may_be_posted(card):
            card = await self._find_posted(card, thread_ts)
        if card.ts:
            edit = partial(self._client.chat_update, channel=card.channel_id, ts=card.ts, **body)
            await self._call("chat.update", card, edit)
            await self._store.card_sent(card.id, revision=card.revision)
            self._metrics.card("edited")
            return True
        await self._post(card, thread_ts, body)
        self._metrics.card("posted")
        return True

    async def _post(self, card: Card, thread_ts: str | None, body: dict[str, Any]) -> None:
        async def noted() -> AsyncSlackResponse:
            await self._store.note_post_started(card.id, self._clock())
            return await self._client.chat_postMessage(
                channel=card.channel_id,
                thread_ts=thread_ts,
                metadata={"event_type": EVENT_TYPE, "event_payload": {"card_id": card.id}},
                unfurl_links=False,
                unfurl_media=False,
                **body,
            )

        try:
            answer = await self._call("chat.postMessage", card, noted)
        except SlackApiError as error:
            if error_code(error) not in _PERHAPS_DONE:
                await self._store.write(lambda tx: outbox.note_not_posted(tx, card.id))
            raise
        await self._store.card_posted(
            card.id, channel_id=answer["channel"], ts=answer["ts"], revision=card.revision
        )

    # ------------------------------------------------------------ turns

    async def _is_far_off(self, card: Card) -> bool:
        """A card whose turn is far off is given back, before anything is read for it and before its claim runs out.

        One that may turn out to have nothing to say is drawn first: every request has a card for #deploys from the beginning, and a
        turn for each of them would keep real news waiting.
        """
        if _may_be_posted(card) or _may_be_silent(card):
            return False
        seconds = self._pace.book(_sent_with(card), card.channel_id, card.id)
        if seconds <= PATIENCE_SECONDS:
            return False
        await self._give_back(card, seconds - LEAD_SECONDS)
        return True

    async def _call(
        self, method: str, card: Card, call: Callable[[], Awaitable[AsyncSlackResponse]]
    ) -> AsyncSlackResponse:
        """In the card's turn. Raises _NotItsTurnError where that is far off, and whatever Slack's client raises."""
        seconds = self._pace.book(method, card.channel_id, card.id)
        if seconds > PATIENCE_SECONDS:
            raise _NotItsTurnError(seconds - LEAD_SECONDS)
        await self._pace.sleep(seconds)
        self._pace.used(method, card.id)
        try:
            return await call()
        except SlackApiError as error:
            if error_code(error) == "ratelimited":
                self._pace.hold(method, card.channel_id, seconds=retry_after_seconds(error))
            raise

    async def _give_back(self, card: Card, seconds: float) -> None:
        until = self._clock() + timedelta(seconds=seconds)
        await self._store.write(lambda tx: outbox.put_off(tx, card.id, until))
        self._look_again_in(seconds)

    def _look_again_in(self, seconds: float) -> None:
        """The pump looks when what was given back is due; what is due at nearly the same moment shares a look."""
        at = (
            math.ceil((asyncio.get_running_loop().time() + seconds) / LOOKS_APART_SECONDS)
            * LOOKS_APART_SECONDS
        )
        place = bisect_left(self._looks, at)
        if self._looks[place : place + 1] != [at]:
            self._looks.insert(place, at)
            if place == 0:
                self._set_alarm()

    def _set_alarm(self) -> None:
        """One alarm, for the first: a thousand cards that wait would be a thousand alarms."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(self._looks[0], self._look)

    def _look(self) -> None:
        self._alarm = None
        del self._looks[0]
        if self._looks:
            self._set_alarm()
        self._store.dirty.set()

    async def _thread(self, card: Card) -> str | None:
        """A failure is a reply under the deploy notification, because an edit notifies nobody.

        It waits until that is posted: _NotItsTurnError. Where it is gone, the failure stands on its own.
        """
        notification = await self._notification(card)
        if notification is None or notification.gone:
            return None
        if not notification.ts:
            raise _NotItsTurnError(_retry_seconds(notification.attempts))
        return notification.ts

    async def _notification(self, card: Card) -> Card | None:
        if card.kind is not CardKind.DEPLOY_FAILURE:
            return None
        return next(
            (
                one
                for one in await self._store.list_cards(card.request_id)
                if one.kind is CardKind.DEPLOY and one.channel_id == card.channel_id
            ),
            None,
        )

    async def _find_posted(self, card: Card, thread_ts: str | None) -> Card:
        """After a lost answer or a crash: the message may be there already. Looked for by its metadata.

        A channel's history does not hold the replies in its threads, so those are looked for in theirs.
        """
        channel = card.channel_id
        if channel.startswith(("U", "W")):
            asked = partial(self._client.conversations_open, users=channel)
            opened = await self._call("conversations.open", card, asked)
            channel = opened["channel"]["id"]
        oldest = f"{card.post_started_at.timestamp() - 60:.6f}" if card.post_started_at else "0"
        where: dict[str, Any] = {
            "channel": channel,
            "oldest": oldest,
            "limit": LOOK_BACK_MESSAGES,
            "include_all_metadata": True,
        }
        if thread_ts:
            replies = partial(self._client.conversations_replies, ts=thread_ts, **where)
            found = await self._call("conversations.replies", card, replies)
        else:
            history = partial(self._client.conversations_history, **where)
            found = await self._call("conversations.history", card, history)
        for one in found["messages"]:
            payload = one.get("metadata", {}).get("event_payload", {})
            if payload.get("card_id") == card.id:
                await self._store.card_posted(card.id, channel_id=channel, ts=one["ts"], revision=0)
                return replace(card, channel_id=channel, ts=one["ts"])
        return card

    async def _failed(self, card: Card, request: Request, error: SlackApiError) -> None:
        code = error_code(error)
        if code == "ratelimited":
            self._metrics.card("limited")
            await self._give_back(card, retry_after_seconds(error))
            return
        self._metrics.card("refused")
        gone = code in _GONE | _NOT_HERE
        log.warning("cards.refused", card=card.id, channel=card.channel_id, error=code, given_up=gone)
        if code == "thread_not_found" and (notification := await self._notification(card)) is not None:
            await self._store.card_failed(notification.id, gone=True)
            await self._give_back(card, 0.0)
        elif code in _NOT_HERE and _is_moved_to_its_requester(card, request):
            await self._store.write(lambda tx: outbox.redirect(tx, card.id, request.requester))
        else:
            await self._store.card_failed(card.id, gone=gone, retry_at=self._later(card))

    def _later(self, card: Card) -> datetime:
        return self._clock() + timedelta(seconds=_retry_seconds(card.attempts))


def _retry_seconds(attempts: int) -> float:
    """How long to wait before the next try: shortly at first, then longer and longer, never for ever."""
    return min(RETRY_MOST_SECONDS, 2.0 ** min(attempts, 10))


def _is_moved_to_its_requester(card: Card, request: Request) -> bool:
    """A request's card that could not be posted where it was meant to be; others are given up."""
    return card.kind is CardKind.REQUEST and not card.ts and card.channel_id != request.requester


def _may_be_posted(card: Card) -> bool:
    """A post was begun, and nobody noted what became of it."""
    return not card.ts and card.post_started_at is not None


def _may_be_silent(card: Card) -> bool:
    """Only a request's own card has something to say from the first; what was said once is kept up to date."""
    return not card.ts and card.kind is not CardKind.REQUEST


def _sent_with(card: Card) -> str:
    """The method of Slack that shows the card."""
    return "chat.update" if card.ts else "chat.postMessage"
