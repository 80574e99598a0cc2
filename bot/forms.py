"""Arguments <-> what people type and fill in: one pydantic model gives flags, usage line, modal and its errors. Pure.

The ids of a modal's blocks and inputs never leave this module, so that what builds a form and what reads it cannot drift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from bot.command import Args, Command
from bot.errors import UsageError
from bot.views import (
    Block,
    escape,
    external_select,
    input_block,
    options,
    plain_input,
    static_select,
    users_select,
    view,
)

CALLBACK_ID = "form"
SUGGEST_SERVICES = "services"
_TRUE = "true"


@dataclass(frozen=True)
class Argument:
    """One field of an Args model, as forms see it."""

    name: str
    title: str
    description: str
    required: bool
    default: str
    positional: bool
    choices: str | tuple[str, ...]
    rest: bool
    multiline: bool
    in_form: bool
    flag_only: bool

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


@cache
def arguments(model: type[Args]) -> tuple[Argument, ...]:
    """The model's fields in order."""
    return tuple(_argument(name, info) for name, info in model.model_fields.items())


def _argument(name: str, info: FieldInfo) -> Argument:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    choices: Any = extra.get("choices", ())
    default = info.default
    return Argument(
        name=name,
        title=info.title or name,
        description=info.description or "",
        required=info.is_required(),
        default="" if default in (PydanticUndefined, None, False) else str(default),
        positional=bool(extra.get("positional")),
        choices=choices if isinstance(choices, str) else tuple(choices),
        rest=bool(extra.get("rest")),
        multiline=bool(extra.get("multiline")),
        in_form=bool(extra.get("form", True)),
        flag_only=info.annotation is bool,
    )


def usage(command: Command) -> str:
    """`/platform promote SERVICE [--to ENVIRONMENT]`."""
    parts = [f"/platform {command.name}"]
    for one in arguments(command.args):
        word = one.name.upper().replace("_", "-")
        if one.positional:
            part = f"{word}…" if one.rest else word
        elif one.flag_only:
            part = one.flag
        else:
            part = f"{one.flag} {_choice_hint(one) or word}"
        parts.append(part if one.required else f"[{part}]")
    return " ".join(parts)


def _choice_hint(one: Argument) -> str:
    return "|".join(one.choices) if not isinstance(one.choices, str) else ""


# ---------------------------------------------------------------- typed text


def parse(command: Command, words: Sequence[str]) -> Args:
    """Words after the verb -> the command's arguments. Raises UsageError with `fields` and what was `given`."""
    return build(command, collect(command, words))


def collect(command: Command, words: Sequence[str]) -> dict[str, str]:
    """Assign words to arguments by flag and position, without judging the values."""
    known = {one.flag: one for one in arguments(command.args)}
    free = [one for one in arguments(command.args) if one.positional]
    given: dict[str, str] = {}
    loose: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith("--") or word == "--":
            loose.append(word)
            continue
        flag, has_value, value = word.partition("=")
        one = known.get(flag.lower())
        if one is None:
            raise UsageError(
                f"`{command.name}` has no {flag}.", fix=f"It takes: {usage(command)}", given=given
            )
        if one.flag_only:
            given[one.name] = _TRUE
        elif has_value:
            given[one.name] = value
        elif queue and not queue[0].startswith("--"):
            given[one.name] = queue.pop(0)
        else:
            raise UsageError(f"{flag} needs a value.", fields={one.name: "A value is missing."}, given=given)
    _place(command, [one for one in free if one.name not in given], loose, given)
    return given


def _place(command: Command, free: list[Argument], loose: list[str], given: dict[str, str]) -> None:
    for one in free:
        if not loose:
            return
        if one.rest:
            given[one.name] = " ".join(loose)
            return
        given[one.name] = loose.pop(0)
    if loose:
        raise UsageError(
            f"I do not know what “{' '.join(loose)}” means here.", fix=f"Usage: {usage(command)}", given=given
        )


def build(command: Command, given: Mapping[str, str]) -> Args:
    """Validate. Raises UsageError naming every wrong or missing field at once."""
    known = {one.name: one for one in arguments(command.args)}
    values = {name: value for name, value in given.items() if value != ""}
    try:
        return command.args.model_validate(values)
    except ValidationError as error:
        fields = {
            str(problem["loc"][0]) if problem["loc"] else "": _complaint(known, problem)
            for problem in error.errors()
        }
    listed = "; ".join(
        f"{known[name].title}: {text}" if name in known else text for name, text in fields.items()
    )
    raise UsageError(listed, fix=f"Usage: {usage(command)}", fields=fields, given=dict(given))


def _complaint(known: Mapping[str, Argument], problem: Any) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else ""
    if problem["type"] == "missing":
        return "This is needed."
    if problem["type"] == "literal_error" and name in known:
        return f"“{problem['input']}” is not one of {_choice_hint(known[name]).replace('|', ', ')}."
    message = str(problem["msg"]).removeprefix("Value error, ")
    return message if message.endswith((".", "…")) else f"{message}."


# ---------------------------------------------------------------- the modal


def modal(
    command: Command,
    *,
    given: Mapping[str, str],
    choices: Mapping[str, Sequence[str]],
    metadata: str,
    problem: str = "",
) -> dict[str, Any]:
    """The command's form. `choices` holds the named lists (teams, golden_paths, …); `metadata` ids only."""
    blocks: list[Block] = []
    if problem:
        blocks.append(
            {"type": "context", "elements": [{"type": "mrkdwn", "text": f":warning: {escape(problem)}"}]}
        )
    blocks += [
        _input(one, given.get(one.name, one.default), choices)
        for one in arguments(command.args)
        if one.in_form
    ]
    return view(
        callback_id=f"{CALLBACK_ID}:{command.name}",
        title=command.summary if len(command.summary) <= 24 else command.name,
        submit="Continue",
        blocks=blocks,
        metadata=metadata,
    )


def _input(one: Argument, value: str, choices: Mapping[str, Sequence[str]]) -> Block:
    element = _element(one, value, choices)
    return input_block(
        block_id=one.name,
        label=one.title,
        hint=one.description,
        element=element,
        optional=not one.required,
    )


def _element(one: Argument, value: str, choices: Mapping[str, Sequence[str]]) -> Block:
    if one.choices == "people":
        return users_select(action_id="value", initial=value)
    if one.choices == SUGGEST_SERVICES:
        return external_select(action_id=f"suggest:{SUGGEST_SERVICES}", initial=value)
    offered = choices.get(one.choices, ()) if isinstance(one.choices, str) else one.choices
    if one.flag_only:
        offered = (_TRUE,)
    if offered:
        return static_select(action_id="value", options=options(offered), initial=value)
    return plain_input(action_id="value", initial=value, multiline=one.multiline)


def read(state: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, str]:
    """`view.state.values` -> argument name to text; what was left empty is absent."""
    given: dict[str, str] = {}
    for block_id, inputs in state.items():
        for element in inputs.values():
            value = (
                (element.get("selected_option") or {}).get("value")
                or element.get("selected_user")
                or element.get("value")
            )
            if value:
                given[block_id] = str(value)
    return given


def field_errors(command: Command, error: UsageError) -> dict[str, str]:
    """UsageError -> `response_action: errors`, which accepts block ids of inputs only."""
    shown = [one.name for one in arguments(command.args) if one.in_form]
    errors = {name: text[:300] for name, text in error.fields.items() if name in shown}
    return errors or {shown[0]: error.sentence[:300]}


def needs_input(command: Command) -> bool:
    """Whether the verb alone cannot be meant: something required is missing."""
    return any(one.required for one in arguments(command.args))


def can_ask(command: Command, fields: Mapping[str, str]) -> bool:
    """Whether the command's form has one of these fields, so that it can be corrected there."""
    return any(one.in_form and one.name in fields for one in arguments(command.args))
