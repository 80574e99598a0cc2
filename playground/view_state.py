"""The state of a view or message: which elements have one, its shape with nothing filled in, and what a client checks first.

Pure. Shapes follow https://docs.slack.dev/reference/views/view-submission: an untouched element is present with null or an
empty list, never absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

# element type -> (key of its value in state, value when nothing is chosen, key of its initial value)
STATEFUL: dict[str, tuple[str, Any, str]] = {
    "plain_text_input": ("value", None, "initial_value"),
    "email_text_input": ("value", None, "initial_value"),
    "url_text_input": ("value", None, "initial_value"),
    "number_input": ("value", None, "initial_value"),
    "rich_text_input": ("rich_text_value", None, "initial_value"),
    "static_select": ("selected_option", None, "initial_option"),
    "external_select": ("selected_option", None, "initial_option"),
    "users_select": ("selected_user", None, "initial_user"),
    "conversations_select": ("selected_conversation", None, "initial_conversation"),
    "channels_select": ("selected_channel", None, "initial_channel"),
    "multi_static_select": ("selected_options", [], "initial_options"),
    "multi_external_select": ("selected_options", [], "initial_options"),
    "multi_users_select": ("selected_users", [], "initial_users"),
    "multi_conversations_select": ("selected_conversations", [], "initial_conversations"),
    "multi_channels_select": ("selected_channels", [], "initial_channels"),
    "checkboxes": ("selected_options", [], "initial_options"),
    "radio_buttons": ("selected_option", None, "initial_option"),
    "datepicker": ("selected_date", None, "initial_date"),
    "timepicker": ("selected_time", None, "initial_time"),
    "datetimepicker": ("selected_date_time", None, "initial_date_time"),
    "file_input": ("files", [], "initial_files"),
}
REQUIRED = "Please complete this required field."
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_URL = re.compile(r"https?://\S+")


def elements(blocks: list[Json]) -> Iterator[tuple[Json, Json]]:
    """(block, element) for everything a person can press or fill in, in reading order."""
    for block in blocks:
        if block.get("type") == "input":
            yield block, block["element"]
        elif block.get("type") == "section" and block.get("accessory"):
            yield block, block["accessory"]
        elif block.get("type") in ("actions", "context_actions"):
            for element in block["elements"]:
                yield block, element
        elif block.get("type") in ("container", "card"):
            yield from elements([*block.get("child_blocks", []), *_card_actions(block)])


def _card_actions(block: Json) -> list[Json]:
    buttons = block.get("actions") or []
    return [{"type": "actions", "block_id": block.get("block_id"), "elements": buttons}] if buttons else []


def find_element(
    blocks: list[Json], *, action_id: str, block_id: str | None = None
) -> tuple[Json, Json] | None:
    for block, element in elements(blocks):
        if element.get("action_id") == action_id and (block_id is None or block.get("block_id") == block_id):
            return block, element
    return None


def initial_values(blocks: list[Json]) -> Json:
    """`state.values` as it is before anybody touched anything."""
    values: Json = {}
    for block, element in elements(blocks):
        if element["type"] in STATEFUL:
            key, nothing, initial = STATEFUL[element["type"]]
            result = {"type": element["type"], key: element.get(initial, nothing)}
            values.setdefault(block["block_id"], {})[element["action_id"]] = result
    return values


def merged_values(blocks: list[Json], *changes: Json) -> Json:
    """The initial values with what a person entered on top; what no longer has an element, or another type, is dropped.

    That is how typed input survives an update that keeps block_id and action_id, and is reset by one that does not.
    """
    values = initial_values(blocks)
    for change in changes:
        for block_id, actions in change.items():
            for action_id, result in actions.items():
                known = values.get(block_id, {}).get(action_id)
                if known is None or result.get("type", known["type"]) != known["type"]:
                    continue
                key, nothing, _ = STATEFUL[known["type"]]
                entered = result.get(key, nothing)
                # A cleared text field is sent as null, not as an empty string.
                known[key] = nothing if entered == "" else entered
    return values


def client_errors(blocks: list[Json], values: Json) -> dict[str, str]:
    """What the client itself refuses to submit, by block_id: the app never hears of it."""
    errors: dict[str, str] = {}
    for block in blocks:
        if block.get("type") != "input":
            continue
        element = block["element"]
        key, _, _ = STATEFUL.get(element["type"], ("value", None, ""))
        entered = values.get(block["block_id"], {}).get(element["action_id"], {}).get(key)
        if entered in (None, "", []):
            if not block.get("optional", False):
                errors[block["block_id"]] = REQUIRED
            continue
        if (problem := _format_problem(element, entered)) is not None:
            errors[block["block_id"]] = problem
    return errors


def _format_problem(element: Json, entered: Any) -> str | None:
    kind = element["type"]
    if kind == "plain_text_input":
        if len(entered) < element.get("min_length", 0):
            return f"Must be at least {element['min_length']} characters."
        if len(entered) > element.get("max_length", 3000):
            return f"Must be at most {element.get('max_length', 3000)} characters."
    if kind == "email_text_input" and not _EMAIL.fullmatch(entered):
        return "Please enter a valid email address."
    if kind == "url_text_input" and not _URL.fullmatch(entered):
        return "Please enter a valid URL."
    if kind == "number_input":
        return _number_problem(element, entered)
    if kind.startswith("multi_") and len(entered) > element.get("max_selected_items", len(entered)):
        return f"Choose at most {element['max_selected_items']}."
    return None


def _number_problem(element: Json, entered: str) -> str | None:
    try:
        number = float(entered)
    except ValueError:
        return "Please enter a number."
    if not element.get("is_decimal_allowed") and not number.is_integer():
        return "Please enter a whole number."
    if "min_value" in element and number < float(element["min_value"]):
        return f"Must be {element['min_value']} or more."
    if "max_value" in element and number > float(element["max_value"]):
        return f"Must be {element['max_value']} or less."
    return None
