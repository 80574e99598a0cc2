"""The bricks of the Block Kit validator: problems with json-pointers, strings, text objects, options, confirm dialogs.

Pure. Limits: https://docs.slack.dev/reference/block-kit/composition-objects.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

OPTION_TEXT = 75
OPTION_VALUE = 150
OPTION_DESCRIPTION = 75


@dataclass(frozen=True)
class Problem:
    message: str
    pointer: str

    def __str__(self) -> str:
        return f"[ERROR] {self.message} [json-pointer:{self.pointer}]"


class Problems(list[Problem]):
    """Collects; every check takes it last and returns nothing."""

    def add(self, pointer: str, message: str) -> None:
        self.append(Problem(message, pointer))


def is_object(value: Any, pointer: str, problems: Problems) -> bool:
    if not isinstance(value, dict):
        problems.add(pointer, "must provide an object")
        return False
    if not isinstance(value.get("type", ""), str):
        problems.add(f"{pointer}/type", "must be a string")
        return False
    return True


def check_keys(
    value: Json, pointer: str, problems: Problems, *, required: Iterable[str], optional: Iterable[str]
) -> None:
    required = tuple(required)
    for key in required:
        if value.get(key) is None:
            problems.add(pointer, f"missing required field: {key}")
    allowed = {"type", *required, *optional}
    for key in value:
        if key not in allowed:
            problems.add(pointer, f"invalid additional property: {key}")


def check_string(value: Any, pointer: str, problems: Problems, *, maximum: int, minimum: int = 0) -> None:
    """Absent is fine; whether a field is required is check_keys' question."""
    if value is None:
        return
    if not isinstance(value, str):
        problems.add(pointer, "must be a string")
    elif len(value) > maximum:
        problems.add(pointer, f"must be less than {maximum + 1} characters")
    elif len(value) < minimum:
        problems.add(pointer, f"must be more than {minimum - 1} characters")


def check_boolean(value: Json, key: str, pointer: str, problems: Problems) -> None:
    if key in value and not isinstance(value[key], bool):
        problems.add(f"{pointer}/{key}", "must be a boolean")


def check_integer(
    value: Json, key: str, pointer: str, problems: Problems, *, minimum: int, maximum: int | None = None
) -> None:
    if key not in value:
        return
    number = value[key]
    if not isinstance(number, int) or isinstance(number, bool):
        problems.add(f"{pointer}/{key}", "must be an integer")
    elif number < minimum or (maximum is not None and number > maximum):
        problems.add(f"{pointer}/{key}", f"must be between {minimum} and {maximum or 'any'}")


def check_choice(value: Json, key: str, pointer: str, problems: Problems, *, choices: Iterable[str]) -> None:
    accepted = list(choices)
    if key in value and value[key] not in accepted:
        problems.add(f"{pointer}/{key}", f"must be a valid enum value; accepted: {', '.join(accepted)}")


def check_list(value: Any, pointer: str, problems: Problems, *, maximum: int, minimum: int = 1) -> list[Any]:
    """The items to go on with; none when the list itself is wrong."""
    if not isinstance(value, list):
        problems.add(pointer, "must be an array")
        return []
    if len(value) > maximum:
        problems.add(pointer, f"no more than {maximum} items allowed")
    if len(value) < minimum:
        problems.add(pointer, f"must provide at least {minimum} items")
    return value


def check_text(
    value: Any, pointer: str, problems: Problems, *, maximum: int, plain_only: bool = False
) -> None:
    """A text object; absent is fine."""
    if value is None or not is_object(value, pointer, problems):
        return
    kinds = ("plain_text",) if plain_only else ("plain_text", "mrkdwn")
    kind = value.get("type")
    if kind not in kinds:
        problems.add(f"{pointer}/type", f"unsupported type: {kind}; must be {' or '.join(kinds)}")
        return
    only = ("emoji",) if kind == "plain_text" else ("verbatim",)
    check_keys(value, pointer, problems, required=("text",), optional=only)
    check_string(value.get("text"), f"{pointer}/text", problems, maximum=maximum, minimum=1)


def check_option(
    value: Any, pointer: str, problems: Problems, *, plain_only: bool, with_url: bool = False
) -> None:
    if not is_object(value, pointer, problems):
        return
    optional = ("description", "url") if with_url else ("description",)
    check_keys(value, pointer, problems, required=("text", "value"), optional=optional)
    check_text(value.get("text"), f"{pointer}/text", problems, maximum=OPTION_TEXT, plain_only=plain_only)
    check_string(value.get("value"), f"{pointer}/value", problems, maximum=OPTION_VALUE, minimum=1)
    check_text(
        value.get("description"),
        f"{pointer}/description",
        problems,
        maximum=OPTION_DESCRIPTION,
        plain_only=plain_only,
    )
    check_string(value.get("url"), f"{pointer}/url", problems, maximum=3000)


def check_options(
    value: Any,
    pointer: str,
    problems: Problems,
    *,
    maximum: int,
    plain_only: bool = True,
    with_url: bool = False,
) -> None:
    options = check_list(value, pointer, problems, maximum=maximum)
    for index, option in enumerate(options):
        check_option(option, f"{pointer}/{index}", problems, plain_only=plain_only, with_url=with_url)
    values = [option.get("value") for option in options if isinstance(option, dict)]
    if len(set(map(str, values))) != len(values):
        problems.add(pointer, "option values must be unique")


def check_option_groups(value: Any, pointer: str, problems: Problems) -> None:
    for index, group in enumerate(check_list(value, pointer, problems, maximum=100)):
        at = f"{pointer}/{index}"
        if is_object(group, at, problems):
            check_keys(group, at, problems, required=("label", "options"), optional=())
            check_text(group.get("label"), f"{at}/label", problems, maximum=75, plain_only=True)
            check_options(group.get("options"), f"{at}/options", problems, maximum=100)


def check_confirm(value: Any, pointer: str, problems: Problems) -> None:
    if value is None or not is_object(value, pointer, problems):
        return
    check_keys(value, pointer, problems, required=("title", "text", "confirm", "deny"), optional=("style",))
    check_text(value.get("title"), f"{pointer}/title", problems, maximum=100, plain_only=True)
    check_text(value.get("text"), f"{pointer}/text", problems, maximum=300)
    check_text(value.get("confirm"), f"{pointer}/confirm", problems, maximum=30, plain_only=True)
    check_text(value.get("deny"), f"{pointer}/deny", problems, maximum=30, plain_only=True)
    check_choice(value, "style", pointer, problems, choices=("primary", "danger"))
