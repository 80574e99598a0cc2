"""One model, four faces: flags, usage line, modal, errors beside the field."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import field_validator

from bot import forms
from bot.command import Args, Command, Context, Knowledge, Reply, Scope, argument
from bot.domain import Actor, Platform
from bot.errors import UsageError


class Example(Args):
    name: str = argument("Name", "What to call it.", positional=True)
    team: str = argument("Team", "Whose it is.", choices="teams")
    size: Literal["small", "large"] = argument(
        "Size", "How big.", default="small", choices=("small", "large")
    )
    force: bool = argument("Force", "Really.", default=False)
    reason: str = argument("Reason", "Why.", default="", positional=True, rest=True, multiline=True)
    page: str = argument("Page", "Where to go on.", default="", form=False)

    @field_validator("name")
    @classmethod
    def _lower(cls, name: str) -> str:
        if name != name.lower():
            raise ValueError(f"“{name}” has capitals; accepted: lower case")
        return name


async def _scope(_args: Example, _actor: Actor, _platform: Platform, _knowledge: Knowledge) -> Scope:
    return Scope(permission="look")


async def _answer(_ctx: Context, _args: Example) -> Reply:
    return Reply("done")


COMMAND = Command(
    name="example",
    summary="Make an example",
    example="/platform example a",
    args=Example,
    scope=_scope,
    answer=_answer,
)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["a", "--team", "orders"], {"name": "a", "team": "orders"}),
        (["--name", "a", "--team=orders"], {"name": "a", "team": "orders"}),
        (
            ["--team", "orders", "a", "because", "of", "x"],
            {"name": "a", "team": "orders", "reason": "because of x"},
        ),
        (
            ["a", "--force", "--team", "t", "--SIZE", "large"],
            {"name": "a", "team": "t", "force": True, "size": "large"},
        ),
    ],
)
def test_flags_and_positions_reach_their_fields(typed: list[str], expected: dict[str, object]) -> None:
    args = forms.parse(COMMAND, typed)
    assert {**Example(name="x", team="x").model_dump(), **expected} == args.model_dump()


def test_everything_that_is_wrong_is_said_at_once_and_what_was_typed_is_kept() -> None:
    with pytest.raises(UsageError) as refused:
        forms.parse(COMMAND, ["LOUD", "--size", "huge"])
    assert refused.value.fields == {
        "name": "“LOUD” has capitals; accepted: lower case.",
        "team": "This is needed.",
        "size": "“huge” is not one of small, large.",
    }
    assert refused.value.given == {"name": "LOUD", "size": "huge"}
    assert "Usage: /platform example NAME --team TEAM" in refused.value.sentence


def test_an_unknown_flag_is_named_with_what_is_accepted() -> None:
    with pytest.raises(UsageError, match="has no --colour") as refused:
        forms.parse(COMMAND, ["a", "--colour", "red"])
    assert "--team" in refused.value.sentence


def test_a_flag_without_its_value_is_named() -> None:
    with pytest.raises(UsageError, match="--team needs a value") as refused:
        forms.parse(COMMAND, ["a", "--team", "--force"])
    assert refused.value.fields == {"team": "A value is missing."}


def test_the_modal_is_filled_with_what_was_typed() -> None:
    modal = forms.modal(
        COMMAND,
        given={"name": "a", "team": "orders"},
        choices={"teams": ["orders", "payments"]},
        metadata="C1",
        problem="Size is missing.",
    )
    inputs = {block["block_id"]: block for block in modal["blocks"] if block["type"] == "input"}
    assert set(inputs) == {"name", "team", "size", "force", "reason"}
    assert inputs["name"]["element"]["initial_value"] == "a"
    assert inputs["team"]["element"]["initial_option"]["value"] == "orders"
    assert inputs["size"]["element"]["initial_option"]["value"] == "small"
    assert inputs["reason"]["element"]["multiline"] is True
    assert inputs["team"]["optional"] is False
    assert modal["private_metadata"] == "C1"


def test_a_submitted_form_reads_back_into_the_same_arguments() -> None:
    state = {
        "name": {"value": {"type": "plain_text_input", "value": "a"}},
        "team": {"value": {"type": "static_select", "selected_option": {"value": "orders"}}},
        "size": {"value": {"type": "static_select", "selected_option": None}},
        "reason": {"value": {"type": "plain_text_input", "value": None}},
    }
    assert Example(name="a", team="orders") == forms.build(COMMAND, forms.read(state))


def test_errors_stand_beside_fields_that_the_form_has() -> None:
    error = UsageError("Wrong.", fields={"team": "No such team.", "page": "not shown"})
    assert forms.field_errors(COMMAND, error) == {"team": "No such team."}
    assert forms.field_errors(COMMAND, UsageError("Wrong.")) == {"name": "Wrong."}
