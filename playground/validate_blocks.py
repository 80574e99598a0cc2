"""The Block Kit validator for messages, and for the blocks inside views: every documented count, length and combination.

Pure. Answers a list of problems with json-pointers, worded as Slack words them; empty means valid. Limits:
https://docs.slack.dev/reference/block-kit/blocks. Where Slack accepts more than it documents, this accepts what is documented.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from playground.validate_elements import (
    IN_ACTIONS,
    IN_CONTEXT_ACTIONS,
    IN_INPUT,
    IN_SECTION,
    check_element,
    check_image_source,
)
from playground.validate_rich_text import check_rich_text, check_table
from playground.validate_text import (
    Json,
    Problem,
    Problems,
    check_boolean,
    check_choice,
    check_integer,
    check_keys,
    check_list,
    check_string,
    check_text,
    is_object,
)

Surface = Literal["message", "modal", "home"]

MAX_BLOCKS = {"message": 50, "modal": 100, "home": 100}
MAX_MARKDOWN_CHARACTERS = 12_000
# Observed, not documented (bolt-js#2509): the text of all blocks of one message.
MAX_MESSAGE_TEXT_CHARACTERS = 13_200
BLOCK_ID_LENGTH = 255


def _section(block: Json, pointer: str, problems: Problems) -> None:
    check_keys(
        block, pointer, problems, required=(), optional=("block_id", "text", "fields", "accessory", "expand")
    )
    if not block.get("text") and not block.get("fields"):
        problems.add(pointer, "must provide either text or fields")
    check_text(block.get("text"), f"{pointer}/text", problems, maximum=3000)
    if "fields" in block:
        for index, text in enumerate(check_list(block["fields"], f"{pointer}/fields", problems, maximum=10)):
            check_text(text, f"{pointer}/fields/{index}", problems, maximum=2000)
    if block.get("accessory") is not None:
        check_element(block["accessory"], f"{pointer}/accessory", problems, accepted=IN_SECTION)


def _header(block: Json, pointer: str, problems: Problems) -> None:
    check_keys(block, pointer, problems, required=("text",), optional=("block_id", "level"))
    check_text(block.get("text"), f"{pointer}/text", problems, maximum=150, plain_only=True)
    check_integer(block, "level", pointer, problems, minimum=1, maximum=4)


def _divider(block: Json, pointer: str, problems: Problems) -> None:
    check_keys(block, pointer, problems, required=(), optional=("block_id",))


def _context(block: Json, pointer: str, problems: Problems) -> None:
    check_keys(block, pointer, problems, required=("elements",), optional=("block_id",))
    at = f"{pointer}/elements"
    for index, element in enumerate(check_list(block.get("elements"), at, problems, maximum=10)):
        if isinstance(element, dict) and element.get("type") == "image":
            check_element(element, f"{at}/{index}", problems, accepted={"image"})
        else:
            check_text(element, f"{at}/{index}", problems, maximum=3000)


def _with_elements(accepted: set[str], maximum: int) -> Callable[[Json, str, Problems], None]:
    def check(block: Json, pointer: str, problems: Problems) -> None:
        check_keys(block, pointer, problems, required=("elements",), optional=("block_id",))
        at = f"{pointer}/elements"
        for index, element in enumerate(check_list(block.get("elements"), at, problems, maximum=maximum)):
            check_element(element, f"{at}/{index}", problems, accepted=accepted)

    return check


def _input(block: Json, pointer: str, problems: Problems) -> None:
    optional = ("block_id", "hint", "optional", "dispatch_action")
    check_keys(block, pointer, problems, required=("label", "element"), optional=optional)
    check_text(block.get("label"), f"{pointer}/label", problems, maximum=2000, plain_only=True)
    check_text(block.get("hint"), f"{pointer}/hint", problems, maximum=2000, plain_only=True)
    check_boolean(block, "optional", pointer, problems)
    check_boolean(block, "dispatch_action", pointer, problems)
    if block.get("element") is not None:
        check_element(block["element"], f"{pointer}/element", problems, accepted=IN_INPUT)


def _image(block: Json, pointer: str, problems: Problems) -> None:
    optional = ("block_id", "image_url", "slack_file", "title")
    check_keys(block, pointer, problems, required=("alt_text",), optional=optional)
    check_image_source(block, pointer, problems)
    check_text(block.get("title"), f"{pointer}/title", problems, maximum=2000, plain_only=True)


def _markdown(block: Json, pointer: str, problems: Problems) -> None:
    check_keys(block, pointer, problems, required=("text",), optional=("block_id",))
    check_string(block.get("text"), f"{pointer}/text", problems, maximum=MAX_MARKDOWN_CHARACTERS, minimum=1)


def _alert(block: Json, pointer: str, problems: Problems) -> None:
    check_keys(block, pointer, problems, required=("text",), optional=("block_id", "level"))
    check_text(block.get("text"), f"{pointer}/text", problems, maximum=200)
    check_choice(
        block, "level", pointer, problems, choices=("default", "info", "warning", "error", "success")
    )


def _card(block: Json, pointer: str, problems: Problems) -> None:
    optional = (
        "block_id",
        "title",
        "subtitle",
        "body",
        "icon",
        "hero_image",
        "actions",
        "slack_icon",
        "subtext",
    )
    check_keys(block, pointer, problems, required=(), optional=optional)
    for key, maximum in (("title", 150), ("subtitle", 150), ("body", 200)):
        check_text(block.get(key), f"{pointer}/{key}", problems, maximum=maximum)
    if "actions" in block:
        for index, button in enumerate(
            check_list(block["actions"], f"{pointer}/actions", problems, maximum=5)
        ):
            check_element(button, f"{pointer}/actions/{index}", problems, accepted={"button"})


def _carousel(block: Json, pointer: str, problems: Problems) -> None:
    check_keys(block, pointer, problems, required=("elements",), optional=("block_id",))
    at = f"{pointer}/elements"
    for index, card in enumerate(check_list(block.get("elements"), at, problems, maximum=10)):
        if is_object(card, f"{at}/{index}", problems):
            _card(card, f"{at}/{index}", problems)


def _container(block: Json, pointer: str, problems: Problems) -> None:
    optional = ("block_id", "title", "subtitle", "icon", "width", "is_collapsible", "default_collapsed")
    check_keys(block, pointer, problems, required=("child_blocks",), optional=optional)
    check_text(block.get("title"), f"{pointer}/title", problems, maximum=150)
    check_text(block.get("subtitle"), f"{pointer}/subtitle", problems, maximum=150)
    check_choice(block, "width", pointer, problems, choices=("narrow", "standard", "wide", "full"))
    at = f"{pointer}/child_blocks"
    children = check_list(block.get("child_blocks"), at, problems, maximum=10)
    for index, child in enumerate(children):
        _check_block(child, f"{at}/{index}", problems, accepted=BLOCKS.keys() - {"container"})


Check = Callable[[Json, str, Problems], None]

BLOCKS: dict[str, Check] = {
    "section": _section,
    "header": _header,
    "divider": _divider,
    "context": _context,
    "actions": _with_elements(IN_ACTIONS, 25),
    "context_actions": _with_elements(IN_CONTEXT_ACTIONS, 5),
    "input": _input,
    "image": _image,
    "markdown": _markdown,
    "rich_text": check_rich_text,
    "table": check_table,
    "alert": _alert,
    "card": _card,
    "carousel": _carousel,
    "container": _container,
}
ACCEPTED: dict[Surface, set[str]] = {
    "message": set(BLOCKS) - {"alert"},
    "modal": set(BLOCKS) - {"markdown", "table", "context_actions", "card", "carousel"},
    "home": set(BLOCKS) - {"markdown", "table", "context_actions", "alert", "card", "carousel"},
}


def check_message_blocks(blocks: Any) -> list[Problem]:
    problems = Problems()
    check_blocks(blocks, "/blocks", problems, surface="message")
    if not problems:
        _check_message_totals(blocks, problems)
    return problems


def check_blocks(
    blocks: Any, pointer: str, problems: Problems, *, surface: Surface, minimum: int = 0
) -> None:
    accepted = ACCEPTED[surface]
    for index, block in enumerate(
        check_list(blocks, pointer, problems, maximum=MAX_BLOCKS[surface], minimum=minimum)
    ):
        _check_block(block, f"{pointer}/{index}", problems, accepted=accepted)
    if isinstance(blocks, list):
        _check_unique_names(blocks, pointer, problems)


def _check_block(block: Any, pointer: str, problems: Problems, *, accepted: set[str]) -> None:
    if not is_object(block, pointer, problems):
        return
    kind = block.get("type")
    if kind not in accepted:
        problems.add(f"{pointer}/type", f"unsupported type: {kind}")
        return
    check_string(block.get("block_id"), f"{pointer}/block_id", problems, maximum=BLOCK_ID_LENGTH, minimum=1)
    BLOCKS[kind](block, pointer, problems)


def _check_unique_names(blocks: list[Any], pointer: str, problems: Problems) -> None:
    """block_id once per message or view; action_id once as well, which Slack enforces within a block and advises beyond."""
    block_ids: set[str] = set()
    for index, block in enumerate(blocks):
        if not isinstance(block, dict):
            continue
        block_id = block.get("block_id")
        if isinstance(block_id, str):
            if block_id in block_ids:
                problems.add(
                    f"{pointer}/{index}/block_id", f"`block_id` {block_id!r} already exists for another block"
                )
            block_ids.add(block_id)
        action_ids: set[str] = set()
        for at, action_id in _action_ids(block):
            if action_id in action_ids:
                problems.add(
                    f"{pointer}/{index}/{at}", f"`action_id` {action_id!r} already exists for another action"
                )
            action_ids.add(action_id)


def _action_ids(block: Json) -> list[tuple[str, str]]:
    found: list[tuple[str, Any]] = []
    elements = block.get("elements")
    if isinstance(elements, list):
        found += [(f"elements/{at}", element) for at, element in enumerate(elements)]
    found += [(key, block.get(key)) for key in ("accessory", "element")]
    return [
        (at, e["action_id"]) for at, e in found if isinstance(e, dict) and isinstance(e.get("action_id"), str)
    ]


def _check_message_totals(blocks: list[Json], problems: Problems) -> None:
    markdown = sum(len(block["text"]) for block in blocks if block["type"] == "markdown")
    if markdown > MAX_MARKDOWN_CHARACTERS:
        problems.add(
            "/blocks", f"markdown text must be less than {MAX_MARKDOWN_CHARACTERS + 1} characters in total"
        )
    if sum(block["type"] == "table" for block in blocks) > 1:
        problems.add("/blocks", "only one table block is allowed")


def text_characters(value: Any) -> int:
    """All text a message's blocks show, for msg_blocks_too_long."""
    if isinstance(value, list):
        return sum(text_characters(item) for item in value)
    if isinstance(value, dict):
        own = len(value["text"]) if isinstance(value.get("text"), str) else 0
        return own + sum(text_characters(item) for item in value.values() if isinstance(item, dict | list))
    return 0
