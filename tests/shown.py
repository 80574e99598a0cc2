"""What a reader of a message may find in it: blocks Slack accepts, and no markup or line that foreign text made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from bot.command import Reply
from playground.validate_blocks import MAX_MESSAGE_TEXT_CHARACTERS, check_message_blocks, text_characters

_CONTROL = re.compile(r"<([^<>]*)>")
_OURS = re.compile(
    r"@[UW][A-Z0-9]+|#C[A-Z0-9]+|!date\^\d+\^\{date_short_pretty\} \{time\}\|[\d: -]+ UTC|https?://[^|]+\|.*"
)
BLOCKS_PER_MESSAGE = 50


def markup(value: Any) -> Iterator[str]:
    """Every text of blocks that Slack reads as mrkdwn."""
    if isinstance(value, dict):
        if value.get("type") == "mrkdwn":
            yield value["text"]
        for part in value.values():
            yield from markup(part)
    elif isinstance(value, list):
        for part in value:
            yield from markup(part)


def texts(value: Any) -> Iterator[str]:
    """Every text of blocks, plain or not."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield value["text"]
        for part in value.values():
            yield from texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)


def words(shown: Reply) -> str:
    return "\n".join(texts(shown.blocks))


def buttons(blocks: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """(action id, value) of every button, in order."""
    return [
        (element["action_id"], element.get("value", ""))
        for block in blocks
        if block["type"] == "actions"
        for element in block["elements"]
    ]


def assert_acceptable(text: str, blocks: list[dict[str, Any]]) -> None:
    """Slack would accept the message, and a screen reader has a sentence to say."""
    assert text.strip(), "a message without a notification text"
    assert [str(problem) for problem in check_message_blocks(blocks)] == []
    assert len(blocks) <= BLOCKS_PER_MESSAGE
    assert text_characters(blocks) <= MAX_MESSAGE_TEXT_CHARACTERS


def assert_only_our_markup(*readings: str) -> None:
    """Every control sequence is one the bot writes; whatever else was meant as one stands there escaped."""
    for reading in readings:
        for control in _CONTROL.findall(reading):
            assert _OURS.fullmatch(control), f"foreign markup <{control}> in {reading!r}"


def assert_reply(reply: Reply) -> Reply:
    """What every answer of every command keeps."""
    if reply.blocks:
        assert_acceptable(reply.text, reply.blocks)
    assert_only_our_markup(reply.text, *markup(reply.blocks))
    return reply
