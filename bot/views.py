"""Block Kit builders shared by cards, forms and commands. Pure; they keep Slack's limits, so that callers need not.

Lengths are cut at Slack's documented limits with an ellipsis; `escape` is for every foreign or typed text that enters mrkdwn.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Block = dict[str, Any]

SECTION_LIMIT = 3000
FIELD_LIMIT = 2000
HEADER_LIMIT = 150
BUTTON_LIMIT = 75
TITLE_LIMIT = 24
OPTION_LIMIT = 75
MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
_USER_ID = re.compile(r"[UW][A-Z0-9]{2,}")
MESSAGE_CHARACTERS = 10_000
"""Text of all blocks of a message; Slack refuses somewhat more (observed: about 13,200, bolt-js#2509)."""


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def escape(text: str) -> str:
    """Foreign text for mrkdwn, on one line: no mention, link or channel can be made with it, and no line of the bot's own."""
    return " ".join(text.splitlines()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """Foreign text as inline code: one line, no way out of the backticks."""
    inside = escape(text).replace("`", "'")
    return f"`{inside or ' '}`"


def quote(text: str) -> str:
    """Foreign text as a quotation that cannot imitate the bot's own lines."""
    return "\n".join(f"> {escape(line)}" for line in text.splitlines() or [""])


def mention(user_id: str) -> str:
    """A person by Slack id; others who act are named as they are (`auto-sync`), the bot itself as the platform."""
    if _USER_ID.fullmatch(user_id):
        return f"<@{user_id}>"
    return escape(user_id) if user_id and user_id != "system" else "the platform"


def link(url: str, label: str) -> str:
    """A link for http(s) addresses; anything else is shown as text, because Slack does not link it."""
    if url.startswith(("https://", "http://")):
        return f"<{escape(url).replace('|', '%7C')}|{escape(label).replace('|', '/')}>"
    return f"{escape(label)}: {code(url)}"


def count(number: int, thing: str) -> str:
    """`1 service`, `2 services`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def short(revision: str) -> str:
    """The abbreviated hash people know."""
    return revision[:7]


def moment(at: datetime) -> str:
    """A date that every reader sees in their own time zone; the fallback says UTC."""
    at = at.astimezone(UTC)
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time}}|{at:%Y-%m-%d %H:%M} UTC>"


# ---------------------------------------------------------------- blocks


def plain(text: str, limit: int = SECTION_LIMIT) -> Block:
    return {"type": "plain_text", "text": cut(text, limit) or " ", "emoji": True}


def mrkdwn(text: str, limit: int = SECTION_LIMIT) -> Block:
    return {"type": "mrkdwn", "text": cut(text, limit) or " ", "verbatim": True}


def header(text: str) -> Block:
    return {"type": "header", "text": plain(text, HEADER_LIMIT)}


def section(text: str, *, accessory: Block | None = None) -> Block:
    block: Block = {"type": "section", "text": mrkdwn(text)}
    if accessory:
        block["accessory"] = accessory
    return block


def fields(pairs: Iterable[tuple[str, str]]) -> list[Block]:
    """Label and value pairs, ten to a section as Slack allows."""
    cells = [mrkdwn(f"*{label}*\n{value}", FIELD_LIMIT) for label, value in pairs]
    return [{"type": "section", "fields": cells[start : start + 10]} for start in range(0, len(cells), 10)]


def context(*texts: str) -> Block:
    return {"type": "context", "elements": [mrkdwn(text) for text in texts[:10] if text]}


def divider() -> Block:
    return {"type": "divider"}


def button(
    label: str,
    *,
    action: str,
    value: str = "",
    style: str = "",
    confirm: Block | None = None,
    url: str = "",
) -> Block:
    block: Block = {"type": "button", "text": plain(label, BUTTON_LIMIT), "action_id": action}
    if value:
        block["value"] = value
    if style:
        block["style"] = style
    if confirm:
        block["confirm"] = confirm
    if url:
        block["url"] = url
    return block


def actions(elements: Sequence[Block], *, block_id: str = "") -> list[Block]:
    """No block at all for no buttons: Slack refuses an empty one."""
    if not elements:
        return []
    block: Block = {"type": "actions", "elements": list(elements[:25])}
    if block_id:
        block["block_id"] = block_id
    return [block]


def confirmation(title: str, text: str, *, yes: str, no: str = "Not now", danger: bool = False) -> Block:
    block: Block = {
        "title": plain(title, 100),
        "text": plain(text, 300),
        "confirm": plain(yes, 30),
        "deny": plain(no, 30),
    }
    if danger:
        block["style"] = "danger"
    return block


def lines(rows: Iterable[str], *, limit: int = SECTION_LIMIT) -> list[Block]:
    """Rows of mrkdwn in as few sections as the length limit allows; no row is split."""
    blocks: list[Block] = []
    current = ""
    for row in (cut(one, limit) for one in rows):
        if current and len(current) + 1 + len(row) > limit:
            blocks.append(section(current))
            current = row
        else:
            current = f"{current}\n{row}" if current else row
    if current:
        blocks.append(section(current))
    return blocks


def fit(blocks: Sequence[Block], *, limit: int = MESSAGE_BLOCKS) -> list[Block]:
    """At most `limit` blocks and Slack's text for a message; what is left out is said. Buttons at the end are kept."""
    end = list(itertools.takewhile(lambda block: block["type"] in {"actions", "context"}, blocks[:-3:-1]))
    head, tail = blocks[: len(blocks) - len(end)], end[::-1]
    room = MESSAGE_CHARACTERS - sum(map(_characters, tail)) if limit == MESSAGE_BLOCKS else math.inf
    kept: list[Block] = []
    for block in head:
        room -= _characters(block)
        if room < 0:
            break
        kept.append(block)
    most = limit - len(tail)
    if len(kept) < len(head) or len(head) > most:
        kept = kept[: most - 1]
        kept.append(context(f"{len(head) - len(kept)} more blocks are not shown."))
    return [*kept, *tail]


def _characters(value: Any) -> int:
    """The text of a block with everything in it."""
    if isinstance(value, list):
        return sum(map(_characters, value))
    if isinstance(value, dict):
        text = value.get("text")
        return (len(text) if isinstance(text, str) else 0) + sum(map(_characters, value.values()))
    return 0


# ---------------------------------------------------------------- views and inputs


def view(
    *, callback_id: str, title: str, blocks: Sequence[Block], submit: str = "", metadata: str = ""
) -> Block:
    block: Block = {
        "type": "modal",
        "callback_id": callback_id,
        "title": plain(title, TITLE_LIMIT),
        "close": plain("Cancel", TITLE_LIMIT),
        "blocks": fit(blocks, limit=VIEW_BLOCKS),
        "private_metadata": metadata,
    }
    if submit:
        block["submit"] = plain(submit, TITLE_LIMIT)
    return block


def input_block(*, block_id: str, label: str, hint: str, element: Block, optional: bool) -> Block:
    block: Block = {
        "type": "input",
        "block_id": block_id,
        "label": plain(label, 2000),
        "element": element,
        "optional": optional,
    }
    if hint:
        block["hint"] = plain(hint, 2000)
    return block


def plain_input(*, action_id: str, initial: str = "", multiline: bool = False) -> Block:
    element: Block = {"type": "plain_text_input", "action_id": action_id, "multiline": multiline}
    if initial:
        element["initial_value"] = cut(initial, 3000)
    return element


def option(value: str, label: str = "") -> Block:
    return {"text": plain(label or value, OPTION_LIMIT), "value": cut(value, 150)}


def options(values: Iterable[str]) -> list[Block]:
    return [option(value) for value in list(values)[:100]]


def static_select(*, action_id: str, options: Sequence[Block], initial: str = "") -> Block:
    element: Block = {"type": "static_select", "action_id": action_id, "options": list(options)}
    chosen = next((one for one in options if one["value"] == initial), None)
    if chosen:
        element["initial_option"] = chosen
    return element


def external_select(*, action_id: str, initial: str = "") -> Block:
    element: Block = {"type": "external_select", "action_id": action_id, "min_query_length": 0}
    if initial:
        element["initial_option"] = option(initial)
    return element


def users_select(*, action_id: str, initial: str = "") -> Block:
    element: Block = {"type": "users_select", "action_id": action_id}
    if initial.startswith(("U", "W")):
        element["initial_user"] = initial
    return element


def table(rows: Mapping[str, str]) -> str:
    """Label and value lines for a narrow screen."""
    return "\n".join(f"*{label}:* {value}" for label, value in rows.items())
