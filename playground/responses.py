"""What an app may say back: in the answer to a command, and by POST to a response URL.

Defaults are Slack's: only the person sees it unless the app says in_channel; a command's own line cannot be replaced.
https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
"""

from __future__ import annotations

from typing import Any

from playground import posting
from playground.posting import Content
from playground.response_urls import ResponseUrl
from playground.validate_blocks import check_message_blocks
from playground.world import World

Json = dict[str, Any]


class ResponseRefusedError(Exception):
    """`code` becomes the body of the error answer."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def response_content(payload: Json) -> Content:
    text, blocks = payload.get("text") or "", payload.get("blocks")
    if blocks is not None and check_message_blocks(blocks):
        raise ResponseRefusedError("invalid_blocks")
    if not text and not blocks:
        raise ResponseRefusedError("no_text")
    return Content(text=str(text), blocks=blocks or None)


def respond(world: World, url: ResponseUrl, payload: Json) -> None:
    """One use of a response URL; ResponseRefusedError leaves it unused."""
    if payload.get("delete_original"):
        _delete_original(world, url)
    elif _replaces(url, payload):
        _replace_original(world, url, response_content(payload))
    else:
        _post_new(world, url, payload)
    url.uses += 1


def _replaces(url: ResponseUrl, payload: Json) -> bool:
    """A command has no original to replace. Unstated, an ephemeral message is replaced and a channel's message is not."""
    if url.origin in ("command", "view"):
        return False
    return bool(payload.get("replace_original", url.origin == "ephemeral"))


def _delete_original(world: World, url: ResponseUrl) -> None:
    if url.origin == "ephemeral":
        ephemeral = world.state.ephemerals[url.user, url.channel].get(url.ts or "")
        if ephemeral is not None:
            posting.remove_ephemeral(world, ephemeral)
    elif url.origin == "message" and (message := world.state.message(url.channel, url.ts or "")) is not None:
        posting.remove(world, message)
    else:
        raise ResponseRefusedError("invalid_payload")


def _replace_original(world: World, url: ResponseUrl, content: Content) -> None:
    if url.origin == "ephemeral":
        ephemeral = world.state.ephemerals[url.user, url.channel].get(url.ts or "")
        if ephemeral is None:
            # The person reloaded or dismissed it: there is nothing left to replace, and Slack does not say so.
            return
        posting.replace_ephemeral(world, ephemeral, content)
    elif (message := world.state.message(url.channel, url.ts or "")) is not None:
        posting.change(world, message, content)
    else:
        raise ResponseRefusedError("message_not_found")


def _post_new(world: World, url: ResponseUrl, payload: Json) -> None:
    content = response_content(payload)
    channel = world.state.channels[url.channel]
    in_channel = payload.get("response_type") == "in_channel"
    # A click on an ephemeral message cannot be answered to the whole channel by replacing, but a new message can.
    if in_channel:
        posting.post_by_app(world, channel, content, thread_ts=payload.get("thread_ts"))
    else:
        posting.post_ephemeral(
            world, url.user, channel, content, thread_ts=payload.get("thread_ts") or url.thread_ts
        )
