"""Slack, while it is there and while it is not: who the bot is, and the websocket, asked for until Slack answers.

A bot that starts while Slack is away does all its other work: approved requests run, deadlines pass, cards wait in their outbox. Only a
Slack that answers and refuses the token ends the start: waiting would not change that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import structlog
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.errors import StartError
from bot.people import error_code
from bot.tasks import going_on

log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
PASSING = frozenset(
    {"", "ratelimited", "service_unavailable", "internal_error", "fatal_error", "request_timeout"}
)
"""Refusals that say nothing about the token (docs of auth.test); empty: the answer was none of Slack's, such as a proxy's page."""
AWAY = (aiohttp.ClientError, TimeoutError)


class Identity:
    """The answer of auth.test: who the bot is. Waiting for it is for what cannot go on without."""

    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client
        self._known: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> Mapping[str, Any]:
        return await asyncio.shield(self._known)

    @property
    def is_known(self) -> bool:
        return self._known.done()

    async def ask(self) -> None:
        """Raises StartError where Slack refuses the token; what `AWAY` says where there is no answer."""
        try:
            answer = await self._client.auth_test()
        except SlackApiError as error:
            if error_code(error) in PASSING:
                raise TimeoutError(error_code(error)) from error
            raise StartError(
                f"Slack refuses the bot token: {error_code(error)}.",
                fix="Check SLACK_BOT_TOKEN; `python -m bot check` says more.",
            ) from error
        self._known.set_result(answer.data if isinstance(answer.data, dict) else {})

    @asynccontextmanager
    async def asked(self) -> AsyncIterator[Identity]:
        """Known after the first try, or asked for in the background while the context is open. Raises StartError."""
        async with trying(self.ask, what="who the bot is"):
            yield self


@asynccontextmanager
async def socket_mode(client: AsyncWebClient, app: AsyncApp, token: str) -> AsyncIterator[bool]:
    """Receive over a websocket, without a public address; yields whether it is connected by now. Raises StartError when the app
    token does not work."""
    handler = AsyncSocketModeHandler(app, token)

    async def connect() -> None:
        try:
            await client.apps_connections_open(app_token=token)
            await handler.connect_async()  # type: ignore[no-untyped-call]
        except SlackApiError as error:
            if error_code(error) in PASSING:
                raise TimeoutError(error_code(error)) from error
            raise StartError(
                f"Slack refuses the app token: {error_code(error)}.",
                fix="Socket Mode needs SLACK_APP_TOKEN with the scope connections:write.",
            ) from error

    try:
        async with trying(connect, what="the websocket") as connected:
            yield connected
    finally:
        await handler.close_async()  # type: ignore[no-untyped-call]


@asynccontextmanager
async def trying(attempt: Callable[[], Awaitable[None]], *, what: str) -> AsyncIterator[bool]:
    """One try now; where Slack is away, further ones in the background. Yields whether the first one succeeded.

    A refusal at the first try is raised: somebody is looking. Later it is logged and tried again, because what runs must not end
    over it.
    """
    try:
        await attempt()
    except AWAY as error:
        log.warning("slack.away", waits_for=what, error=type(error).__name__)
        async with going_on(partial(_until_done, attempt, what), name=f"slack: {what}"):
            yield False
    else:
        yield True


async def _until_done(attempt: Callable[[], Awaitable[None]], what: str) -> None:
    pause = FIRST_PAUSE_SECONDS
    while True:
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
        try:
            await attempt()
        except AWAY:
            continue
        except StartError as error:
            # The sentence says it all; a traceback of Slack's client would bury it.
            log.error("slack.refused", waits_for=what, error=error.message, fix=error.fix)  # noqa: TRY400
        else:
            log.info("slack.back", waited_for=what)
            return
