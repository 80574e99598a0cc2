"""Bolt: payloads in, replies out. Translates; decides nothing, stores nothing.

One listener per kind of payload hands over to `bot.dispatch` and `bot.decisions`: Bolt's own matching is linear and each
matcher costs. With `process_before_response` the HTTP answer leaves when a listener returns, so what takes longer is started
as a task after the ack and answers through the response_url.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import structlog
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot import forms, slack_payloads, views
from bot.command import Reply
from bot.decisions import Decisions
from bot.dispatch import Dispatcher, Later, OpenForm, Outcome
from bot.domain import Choice, Decision, Invocation
from bot.errors import PlatformError, UsageError
from bot.metrics import Metrics
from bot.people import Directory, error_code
from bot.store import Store
from bot.tasks import Tasks

log = structlog.get_logger(__name__)

COMMAND = "/platform"
NOT_DELIVERED = (SlackApiError, aiohttp.ClientError, TimeoutError)
_NOT_OPENED = slack_payloads.warning("The form could not be opened: Slack did not take it. Try again.")
ANYTHING = re.compile(r".+", re.DOTALL)
Ack = Callable[..., Awaitable[Any]]


def _quiet() -> logging.Logger:
    """Bolt takes the root's level and logs whole payloads at DEBUG, with everything that people typed. It also warns that
    SLACK_BOT_TOKEN is not used; it is, by our own authorize function."""
    quiet = logging.getLogger("slack_bolt")
    quiet.setLevel(logging.ERROR)
    return quiet


# ---------------------------------------------------------------- the listeners


class SlackEdge:
    """Wires one Bolt app; `app` is what Socket Mode and the HTTP endpoint run."""

    def __init__(
        self,
        *,
        client: AsyncWebClient,
        signing_secret: str,
        identity: Callable[[], Awaitable[Mapping[str, Any]]],
        dispatcher: Dispatcher,
        decisions: Decisions,
        people: Directory,
        store: Store,
        tasks: Tasks,
        metrics: Metrics,
    ) -> None:
        """`identity` is the answer of auth.test; it is waited for where Slack was away at the start, and at hand otherwise."""
        self._client = client
        self._dispatcher = dispatcher
        self._decisions = decisions
        self._people = people
        self._store = store
        self._tasks = tasks
        self._metrics = metrics
        token = client.token

        async def authorize() -> AuthorizeResult:
            return AuthorizeResult.from_auth_test_response(
                bot_token=token, auth_test_response=dict(await identity())
            )

        self.app = AsyncApp(
            logger=_quiet(),
            client=client,
            signing_secret=signing_secret,
            authorize=authorize,
            process_before_response=True,
            raise_error_for_unhandled_request=False,
        )
        self.app.command(COMMAND)(self.on_command)
        self.app.action(ANYTHING)(self.on_click)
        self.app.view(ANYTHING)(self.on_submission)
        self.app.options(ANYTHING)(self.on_suggestion)
        self.app.event(ANYTHING)(self.on_event)
        self.app.error(self.on_error)

    async def on_command(self, ack: Ack, body: dict[str, Any], context: dict[str, Any]) -> None:
        context["verified"] = True
        invocation = slack_payloads.parse_command(body)
        try:
            with self._metrics.acknowledging("command"):
                outcome = await self._dispatcher.typed(invocation)
        except PlatformError as error:
            await ack(**slack_payloads.acknowledgement(slack_payloads.error_reply(error)))
            return
        if isinstance(outcome, OpenForm):
            await ack()
            self._open_form(outcome, invocation, body["trigger_id"])
        elif isinstance(outcome, Later):
            await ack(**slack_payloads.acknowledgement(outcome.reply)) if outcome.reply else await ack()
            self._later(outcome.answer, lambda reply: self._respond(body["response_url"], reply, invocation))
        else:
            await ack(**slack_payloads.acknowledgement(outcome)) if outcome else await ack()

    async def on_click(self, ack: Ack, body: dict[str, Any], context: dict[str, Any]) -> None:
        context["verified"] = True
        click = slack_payloads.parse_click(body)
        try:
            with self._metrics.acknowledging("click"):
                outcome = await self._click(click)
        except PlatformError as error:
            outcome = slack_payloads.error_reply(error)
        await ack()
        if isinstance(outcome, OpenForm):
            self._open_form(outcome, slack_payloads.from_click(click), click.trigger_id)
        elif isinstance(outcome, Later):
            self._later(outcome.answer, lambda reply: self._answer_click(click, reply))
        elif outcome is not None and outcome.text:
            self._tasks.start(self._answer_click(click, outcome), name="slack.answer_click")

    async def _click(self, click: slack_payloads.Click) -> Outcome:
        """What a button means. Link buttons and buttons of an earlier release mean nothing: the ack is all they need."""
        decide = self._decisions
        match click.name:
            case "approve":
                return await decide.decide(
                    click.value, click.user_id, Decision.APPROVE, reason="", seen_block=click.block_id
                )
            case "deny":
                form = slack_payloads.deny_form(click.value, click.block_id)
                opening = self._open(form, click.trigger_id, slack_payloads.from_click(click))
                self._tasks.start(opening, name="slack.open_view")
                return None
            case "confirm":
                return await decide.confirm(click.value, click.user_id, seen_block=click.block_id)
            case "cancel":
                return await decide.cancel(click.value, click.user_id)
            case "retry" | "undo":
                return await decide.choose(click.value, click.user_id, click.name)
            case "continue" | "abort":
                return await decide.steer(
                    click.value, click.user_id, Choice(click.name), seen_block=click.block_id
                )
            case "form":
                key, equals, value = click.value.partition("=")
                return OpenForm(self._dispatcher.form(click.arguments[0]), {key: value} if equals else {})
            case "edit":
                request = await self._store.get_request(click.value)
                given = {name: str(value) for name, value in request.arguments.items() if value}
                return OpenForm(self._dispatcher.form(click.arguments[0]), given)
            case "run":
                return await self._run(click)
        return None

    async def _run(self, click: slack_payloads.Click) -> Outcome:
        verb, *environment = click.arguments
        command = self._dispatcher.form(verb)
        first, *others = forms.arguments(command.args)
        given = {first.name: click.value}
        if environment:
            target = next(one.name for one in others if one.choices == "promotable_environments")
            given[target] = environment[0]
        return await self._dispatcher.pressed(slack_payloads.from_click(click), verb, given)

    async def on_submission(self, ack: Ack, body: dict[str, Any], context: dict[str, Any]) -> None:
        context["verified"] = True
        kind, _, verb = body["view"]["callback_id"].partition(":")
        with self._metrics.acknowledging("form"):
            if kind == slack_payloads.DENY_CALLBACK:
                await self._deny(ack, body)
            elif kind == forms.CALLBACK_ID:
                await self._form(ack, body, verb)
            else:
                await ack()

    async def _form(self, ack: Ack, body: dict[str, Any], verb: str) -> None:
        invocation = slack_payloads.parse_submission(body)
        command = self._dispatcher.form(verb)
        try:
            outcome = await self._dispatcher.submitted(
                invocation, verb, forms.read(body["view"]["state"]["values"])
            )
        except UsageError as error:
            await ack(response_action="errors", errors=forms.field_errors(command, error))
            return
        except PlatformError as error:
            await ack(
                response_action="update",
                view=slack_payloads.note(command.name, slack_payloads.error_reply(error)),
            )
            return
        if isinstance(outcome, Later):
            await ack()
            self._later(outcome.answer, lambda reply: self._tell(invocation, reply))
        elif isinstance(outcome, Reply) and outcome.text:
            await ack(response_action="update", view=slack_payloads.note(command.name, outcome))
        else:
            await ack()

    async def _deny(self, ack: Ack, body: dict[str, Any]) -> None:
        request_id, _, block_id = body["view"]["private_metadata"].partition(" ")
        reason = forms.read(body["view"]["state"]["values"]).get("reason", "")
        try:
            reply = await self._decisions.decide(
                request_id, body["user"]["id"], Decision.DENY, reason=reason, seen_block=block_id
            )
        except UsageError as error:
            await ack(response_action="errors", errors={"reason": error.fields.get("reason", error.sentence)})
        except PlatformError as error:
            await ack(
                response_action="update",
                view=slack_payloads.note("Not denied", slack_payloads.error_reply(error)),
            )
        else:
            await ack(response_action="update", view=slack_payloads.note("Denied", reply))

    async def on_suggestion(self, ack: Ack, body: dict[str, Any], context: dict[str, Any]) -> None:
        context["verified"] = True
        if body.get("action_id") != f"suggest:{forms.SUGGEST_SERVICES}":
            await ack(options=[])
            return
        found = await self._store.list_services(text=body.get("value", ""), limit=50)
        await ack(options=[views.option(one.name) for one in found])

    async def on_event(self, event: dict[str, Any], body: dict[str, Any], context: dict[str, Any]) -> None:
        context["verified"] = True
        kind = event.get("type", "")
        if kind.startswith("subteam_"):
            self._people.forget_groups()
        elif kind == "user_change":
            self._people.forget_user(event["user"]["id"])
        elif kind == "app_home_opened" and event.get("tab", "home") == "home":
            self._tasks.start(self._publish_home(event["user"]), name="slack.home")
        elif kind in {"app_mention", "message"} and event.get("user") and not event.get("bot_id"):
            await self._greet(kind, event, body)

    async def _greet(self, kind: str, event: dict[str, Any], body: dict[str, Any]) -> None:
        direct = kind == "message" and event.get("channel_type") == "im" and "subtype" not in event
        if (direct or kind == "app_mention") and not await self._store.seen(
            slack_payloads.dedupe_key("event", body.get("event_id", ""))
        ):
            self._tasks.start(
                self._client.chat_postMessage(
                    channel=event["channel"],
                    thread_ts=event.get("thread_ts"),
                    text=f"Type `{COMMAND}` to see what I can do for you.",
                ),
                name="slack.greet",
            )

    async def on_error(self, error: Exception, body: Any, context: dict[str, Any]) -> BoltResponse:
        """What nobody foresaw: the person gets a reference that is also in the log. Unverified callers get nothing."""
        if not context.get("verified"):
            log.warning("slack.rejected", exc_info=error)
            return BoltResponse(status=401, body="")
        reference = secrets.token_hex(4)
        log.error("slack.failed", reference=reference, exc_info=error)
        if isinstance(body, dict) and "command" in body:
            return BoltResponse(status=200, body=slack_payloads.message(slack_payloads.apology(reference)))
        return BoltResponse(status=200, body="")

    # ------------------------------------------------------------ answering

    def _open_form(self, form: OpenForm, invocation: Invocation, trigger_id: str) -> None:
        self._tasks.start(self._open_form_now(form, invocation, trigger_id), name="slack.open_form")

    async def _open_form_now(self, form: OpenForm, invocation: Invocation, trigger_id: str) -> None:
        actor = await self._people.actor(invocation.user_id)
        modal = forms.modal(
            form.command,
            given=form.given,
            choices=self._dispatcher.choices(actor),
            metadata=invocation.channel_id,
            problem=form.problem,
        )
        await self._open(modal, trigger_id, invocation)

    async def _open(self, view: views.Block, trigger_id: str, invocation: Invocation) -> None:
        """A trigger lives for three seconds; who waits for a view in vain is told."""
        try:
            await self._client.views_open(trigger_id=trigger_id, view=view)
        except NOT_DELIVERED as error:
            log.warning("slack.view_not_opened", error=_why(error))
            await self._tell(invocation, _NOT_OPENED)

    def _later(self, answer: Awaitable[Reply | None], deliver: Callable[[Reply], Awaitable[None]]) -> None:
        self._tasks.start(_deliver(answer, deliver), name="slack.later")

    async def _respond(
        self, url: str, reply: Reply, invocation: Invocation, *, replace: bool = False
    ) -> None:
        """Through the response_url, which half an hour or five answers use up; then another way."""
        try:
            webhook = AsyncWebhookClient(url, session=self._client.session)
            response = await webhook.send_dict(slack_payloads.message(reply, replace=replace))
            why = "" if response.status_code == 200 else str(response.status_code)
        except NOT_DELIVERED as error:
            why = _why(error)
        if why:
            log.warning("slack.respond_failed", error=why)
            await self._tell(invocation, reply)

    async def _answer_click(self, click: slack_payloads.Click, reply: Reply) -> None:
        invocation = slack_payloads.from_click(click)
        if click.response_url:
            refresh = click.name == "run" and click.arguments[:1] == ("status",)
            await self._respond(click.response_url, reply, invocation, replace=refresh)
        else:
            await self._open(slack_payloads.note("platform", reply), click.trigger_id, invocation)

    async def _tell(self, invocation: Invocation, reply: Reply) -> None:
        """Where no response_url is left, and after a form: in private where the person is, else by DM."""
        blocks = views.fit(reply.blocks)
        try:
            await self._client.chat_postEphemeral(
                channel=invocation.channel_id or invocation.user_id,
                user=invocation.user_id,
                text=reply.text,
                blocks=blocks,
            )
        except SlackApiError:
            await self._client.chat_postMessage(channel=invocation.user_id, text=reply.text, blocks=blocks)

    async def _publish_home(self, user_id: str) -> None:
        blocks = await self._dispatcher.home(user_id)
        await self._client.views_publish(
            user_id=user_id, view={"type": "home", "blocks": views.fit(blocks, limit=views.VIEW_BLOCKS)}
        )


def _why(error: Exception) -> str:
    return (isinstance(error, SlackApiError) and error_code(error)) or type(error).__name__


async def _deliver(answer: Awaitable[Reply | None], deliver: Callable[[Reply], Awaitable[None]]) -> None:
    """Wait for an answer and hand it over; what nobody foresaw is told with a reference and raised for the log."""
    try:
        reply = await answer
    except PlatformError as error:
        reply = slack_payloads.error_reply(error)
    except Exception as error:
        reference = secrets.token_hex(4)
        error.add_note(f"reference {reference}")
        await deliver(slack_payloads.apology(reference))
        raise
    if reply is not None and reply.text:
        await deliver(reply)
