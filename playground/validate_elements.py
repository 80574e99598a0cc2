"""Block elements: which keys each has, how long they may be, and what belongs together.

Pure. Limits: https://docs.slack.dev/reference/block-kit/block-elements.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playground.validate_text import (
    Json,
    Problems,
    check_boolean,
    check_choice,
    check_confirm,
    check_integer,
    check_keys,
    check_list,
    check_option,
    check_option_groups,
    check_options,
    check_string,
    check_text,
    is_object,
)

Check = Callable[[Json, str, Problems], None]

NAME_LENGTH = 255
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_CONVERSATION_TYPES = ("im", "mpim", "private", "public")


def _interactive(
    element: Json,
    pointer: str,
    problems: Problems,
    *,
    required: tuple[str, ...] = (),
    optional: tuple[str, ...] = (),
) -> None:
    """What nearly every element shares: action_id, confirm, placeholder, focus_on_load."""
    common = ("action_id", "confirm", "focus_on_load", "placeholder")
    check_keys(element, pointer, problems, required=required, optional=(*optional, *common))
    check_string(element.get("action_id"), f"{pointer}/action_id", problems, maximum=NAME_LENGTH, minimum=1)
    check_confirm(element.get("confirm"), f"{pointer}/confirm", problems)
    check_boolean(element, "focus_on_load", pointer, problems)
    check_text(element.get("placeholder"), f"{pointer}/placeholder", problems, maximum=150, plain_only=True)


def _button(element: Json, pointer: str, problems: Problems) -> None:
    agent = ("agent_prompt", "agent_prompt_display", "visible_to_user_ids")
    optional = ("action_id", "confirm", "url", "value", "style", "accessibility_label", *agent)
    check_keys(element, pointer, problems, required=("text",), optional=optional)
    check_string(element.get("action_id"), f"{pointer}/action_id", problems, maximum=NAME_LENGTH, minimum=1)
    check_confirm(element.get("confirm"), f"{pointer}/confirm", problems)
    check_text(element.get("text"), f"{pointer}/text", problems, maximum=75, plain_only=True)
    check_string(element.get("value"), f"{pointer}/value", problems, maximum=2000)
    check_string(element.get("url"), f"{pointer}/url", problems, maximum=3000, minimum=1)
    check_string(element.get("accessibility_label"), f"{pointer}/accessibility_label", problems, maximum=75)
    check_string(element.get("agent_prompt"), f"{pointer}/agent_prompt", problems, maximum=4000)
    check_choice(element, "style", pointer, problems, choices=("primary", "danger"))


def _image(element: Json, pointer: str, problems: Problems) -> None:
    check_keys(element, pointer, problems, required=("alt_text",), optional=("image_url", "slack_file"))
    check_image_source(element, pointer, problems)


def check_image_source(element: Json, pointer: str, problems: Problems) -> None:
    if not element.get("image_url") and not element.get("slack_file"):
        problems.add(pointer, "must provide either image_url or slack_file")
    check_string(element.get("image_url"), f"{pointer}/image_url", problems, maximum=3000, minimum=1)
    check_string(element.get("alt_text"), f"{pointer}/alt_text", problems, maximum=2000, minimum=1)


def _select_choices(element: Json, pointer: str, problems: Problems) -> None:
    if ("options" in element) == ("option_groups" in element):
        problems.add(pointer, "must provide either options or option_groups")
    if "options" in element:
        check_options(element["options"], f"{pointer}/options", problems, maximum=100)
    if "option_groups" in element:
        check_option_groups(element["option_groups"], f"{pointer}/option_groups", problems)


def offered_options(element: Json) -> list[Json]:
    """The options of an element that is valid, grouped or not."""
    grouped = [option for group in element.get("option_groups") or [] for option in group["options"]]
    return [*(element.get("options") or []), *grouped]


def _check_initial(element: Json, chosen: list[Any], key: str, pointer: str, problems: Problems) -> None:
    if problems:
        # Options that are no options cannot be compared with.
        return
    values = [option["value"] for option in offered_options(element)]
    for option in chosen:
        if not isinstance(option, dict) or option.get("value") not in values:
            problems.add(f"{pointer}/{key}", "initial option must match one of the options")


def _static_select(element: Json, pointer: str, problems: Problems) -> None:
    _interactive(element, pointer, problems, optional=("options", "option_groups", "initial_option"))
    _select_choices(element, pointer, problems)
    if element.get("initial_option") is not None:
        check_option(element["initial_option"], f"{pointer}/initial_option", problems, plain_only=True)
        _check_initial(element, [element["initial_option"]], "initial_option", pointer, problems)


def _multi_static_select(element: Json, pointer: str, problems: Problems) -> None:
    optional = ("options", "option_groups", "initial_options", "max_selected_items")
    _interactive(element, pointer, problems, optional=optional)
    _select_choices(element, pointer, problems)
    check_integer(element, "max_selected_items", pointer, problems, minimum=1)
    if element.get("initial_options") is not None:
        chosen = check_list(element["initial_options"], f"{pointer}/initial_options", problems, maximum=100)
        _check_initial(element, chosen, "initial_options", pointer, problems)


def _external_select(element: Json, pointer: str, problems: Problems) -> None:
    _interactive(element, pointer, problems, optional=("min_query_length", "initial_option"))
    check_integer(element, "min_query_length", pointer, problems, minimum=0)
    if element.get("initial_option") is not None:
        check_option(element["initial_option"], f"{pointer}/initial_option", problems, plain_only=True)


def _multi_external_select(element: Json, pointer: str, problems: Problems) -> None:
    optional = ("min_query_length", "initial_options", "max_selected_items")
    _interactive(element, pointer, problems, optional=optional)
    check_integer(element, "min_query_length", pointer, problems, minimum=0)
    check_integer(element, "max_selected_items", pointer, problems, minimum=1)
    if element.get("initial_options") is not None:
        check_options(element["initial_options"], f"{pointer}/initial_options", problems, maximum=100)


def _directory_select(initial: str, *extra: str) -> Check:
    def check(element: Json, pointer: str, problems: Problems) -> None:
        _interactive(element, pointer, problems, optional=(initial, *extra))
        check_boolean(element, "response_url_enabled", pointer, problems)
        check_integer(element, "max_selected_items", pointer, problems, minimum=1)
        _check_filter(element, pointer, problems)

    return check


def _check_filter(element: Json, pointer: str, problems: Problems) -> None:
    wanted = element.get("filter")
    if wanted is None:
        return
    if not isinstance(wanted, dict) or not wanted:
        problems.add(f"{pointer}/filter", "must provide an object with at least one field")
        return
    optional = ("include", "exclude_external_shared_channels", "exclude_bot_users")
    check_keys(wanted, f"{pointer}/filter", problems, required=(), optional=optional)
    if "include" in wanted:
        for kind in check_list(wanted["include"], f"{pointer}/filter/include", problems, maximum=4):
            if kind not in _CONVERSATION_TYPES:
                problems.add(f"{pointer}/filter/include", "must be a valid enum value")


def _overflow(element: Json, pointer: str, problems: Problems) -> None:
    check_keys(element, pointer, problems, required=("options",), optional=("action_id", "confirm"))
    check_string(element.get("action_id"), f"{pointer}/action_id", problems, maximum=NAME_LENGTH, minimum=1)
    check_confirm(element.get("confirm"), f"{pointer}/confirm", problems)
    check_options(element.get("options"), f"{pointer}/options", problems, maximum=5, with_url=True)


def _ticks(initial: str) -> Check:
    def check(element: Json, pointer: str, problems: Problems) -> None:
        optional = ("action_id", "confirm", "focus_on_load", initial)
        check_keys(element, pointer, problems, required=("options",), optional=optional)
        check_string(
            element.get("action_id"), f"{pointer}/action_id", problems, maximum=NAME_LENGTH, minimum=1
        )
        check_confirm(element.get("confirm"), f"{pointer}/confirm", problems)
        check_boolean(element, "focus_on_load", pointer, problems)
        check_options(element.get("options"), f"{pointer}/options", problems, maximum=10, plain_only=False)
        chosen = element.get(initial)
        if chosen is not None:
            as_list = chosen if isinstance(chosen, list) else [chosen]
            if not as_list:
                problems.add(f"{pointer}/{initial}", "must provide at least 1 items")
            _check_initial(element, as_list, initial, pointer, problems)

    return check


def _plain_text_input(element: Json, pointer: str, problems: Problems) -> None:
    optional = ("initial_value", "multiline", "min_length", "max_length", "dispatch_action_config")
    _interactive(element, pointer, problems, optional=optional)
    check_integer(element, "min_length", pointer, problems, minimum=0, maximum=3000)
    check_integer(element, "max_length", pointer, problems, minimum=1, maximum=3000)
    check_string(
        element.get("initial_value"), f"{pointer}/initial_value", problems, maximum=element_maximum(element)
    )
    check_boolean(element, "multiline", pointer, problems)
    _check_dispatch(element, pointer, problems)


def element_maximum(element: Json) -> int:
    maximum = element.get("max_length")
    return maximum if isinstance(maximum, int) else 3000


def _check_dispatch(element: Json, pointer: str, problems: Problems) -> None:
    config = element.get("dispatch_action_config")
    if config is None:
        return
    at = f"{pointer}/dispatch_action_config"
    if is_object(config, at, problems):
        check_keys(config, at, problems, required=("trigger_actions_on",), optional=())
        for trigger in check_list(config.get("trigger_actions_on"), at, problems, maximum=2):
            if trigger not in ("on_enter_pressed", "on_character_entered"):
                problems.add(at, "must be a valid enum value")


def _typed_input(*extra: str) -> Check:
    def check(element: Json, pointer: str, problems: Problems) -> None:
        _interactive(element, pointer, problems, optional=("initial_value", "dispatch_action_config", *extra))
        _check_dispatch(element, pointer, problems)

    return check


def _number_input(element: Json, pointer: str, problems: Problems) -> None:
    optional = ("initial_value", "min_value", "max_value", "dispatch_action_config")
    _interactive(element, pointer, problems, required=("is_decimal_allowed",), optional=optional)
    check_boolean(element, "is_decimal_allowed", pointer, problems)
    for key in ("initial_value", "min_value", "max_value"):
        check_string(element.get(key), f"{pointer}/{key}", problems, maximum=100, minimum=1)
    _check_dispatch(element, pointer, problems)


def _moment(initial: str, pattern: re.Pattern[str], shape: str, *extra: str) -> Check:
    def check(element: Json, pointer: str, problems: Problems) -> None:
        _interactive(element, pointer, problems, optional=(initial, *extra))
        value = element.get(initial)
        if value is not None and not (isinstance(value, str) and pattern.fullmatch(value)):
            problems.add(f"{pointer}/{initial}", f"must be in the format {shape}")

    return check


def _datetimepicker(element: Json, pointer: str, problems: Problems) -> None:
    optional = ("action_id", "confirm", "focus_on_load", "initial_date_time")
    check_keys(element, pointer, problems, required=(), optional=optional)
    check_confirm(element.get("confirm"), f"{pointer}/confirm", problems)
    # Ten digits: Slack takes seconds, and refuses milliseconds by their length.
    check_integer(element, "initial_date_time", pointer, problems, minimum=10**9, maximum=10**10 - 1)


def _file_input(element: Json, pointer: str, problems: Problems) -> None:
    check_keys(element, pointer, problems, required=(), optional=("action_id", "filetypes", "max_files"))
    check_integer(element, "max_files", pointer, problems, minimum=1, maximum=10)


def _feedback_buttons(element: Json, pointer: str, problems: Problems) -> None:
    required = ("positive_button", "negative_button")
    check_keys(element, pointer, problems, required=required, optional=("action_id",))
    for key in required:
        button, at = element.get(key), f"{pointer}/{key}"
        if button is not None and is_object(button, at, problems):
            check_keys(button, at, problems, required=("text", "value"), optional=("accessibility_label",))
            check_text(button.get("text"), f"{at}/text", problems, maximum=75, plain_only=True)


def _icon_button(element: Json, pointer: str, problems: Problems) -> None:
    optional = ("action_id", "value", "confirm", "accessibility_label", "visible_to_user_ids")
    check_keys(element, pointer, problems, required=("icon", "text"), optional=optional)
    check_text(element.get("text"), f"{pointer}/text", problems, maximum=75, plain_only=True)
    check_choice(element, "icon", pointer, problems, choices=("trash",))


_MULTI = ("max_selected_items",)
_CONVERSATION = ("default_to_current_conversation", "filter")

ELEMENTS: dict[str, Check] = {
    "button": _button,
    "image": _image,
    "static_select": _static_select,
    "multi_static_select": _multi_static_select,
    "external_select": _external_select,
    "multi_external_select": _multi_external_select,
    "users_select": _directory_select("initial_user"),
    "multi_users_select": _directory_select("initial_users", *_MULTI),
    "conversations_select": _directory_select("initial_conversation", "response_url_enabled", *_CONVERSATION),
    "multi_conversations_select": _directory_select("initial_conversations", *_MULTI, *_CONVERSATION),
    "channels_select": _directory_select("initial_channel", "response_url_enabled"),
    "multi_channels_select": _directory_select("initial_channels", *_MULTI),
    "overflow": _overflow,
    "checkboxes": _ticks("initial_options"),
    "radio_buttons": _ticks("initial_option"),
    "plain_text_input": _plain_text_input,
    "email_text_input": _typed_input(),
    "url_text_input": _typed_input(),
    "rich_text_input": _typed_input(),
    "number_input": _number_input,
    "datepicker": _moment("initial_date", _DATE, "YYYY-MM-DD"),
    "timepicker": _moment("initial_time", _TIME, "HH:mm", "timezone"),
    "datetimepicker": _datetimepicker,
    "file_input": _file_input,
    "feedback_buttons": _feedback_buttons,
    "icon_button": _icon_button,
    "workflow_button": _button,
}

_SELECTS = {name for name in ELEMENTS if name.endswith("select")}
_PICKERS = {"checkboxes", "radio_buttons", "datepicker", "timepicker"}
_TYPED = {"plain_text_input", "email_text_input", "url_text_input", "rich_text_input", "number_input"}

IN_SECTION = {"button", "image", "overflow", *_SELECTS, *_PICKERS}
IN_ACTIONS = {
    "button",
    "overflow",
    "datetimepicker",
    "workflow_button",
    *_SELECTS,
    *_PICKERS,
    "rich_text_input",
}
IN_INPUT = {"datetimepicker", "file_input", *_SELECTS, *_PICKERS, *_TYPED}
IN_CONTEXT_ACTIONS = {"feedback_buttons", "icon_button"}


def check_element(element: Any, pointer: str, problems: Problems, *, accepted: set[str]) -> None:
    if not is_object(element, pointer, problems):
        return
    kind = element.get("type")
    if kind not in accepted or kind not in ELEMENTS:
        problems.add(f"{pointer}/type", f"unsupported type: {kind}")
        return
    ELEMENTS[kind](element, pointer, problems)
