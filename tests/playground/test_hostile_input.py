"""Whatever an app or a person sends is answered, never a crash: validators, text encoding and state by generated input."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from playground.messages import Channel, escape_text
from playground.slash_text import Directory, encode, smart_punctuation
from playground.validate_blocks import BLOCKS, check_message_blocks, text_characters
from playground.validate_elements import ELEMENTS
from playground.validate_views import check_home, check_modal
from playground.view_state import client_errors, initial_values, merged_values
from playground.views import with_block_ids
from playground.workspace import load_workspace

from .test_validate import VALID

KEYS = [
    "type", "text", "elements", "element", "accessory", "fields", "options", "option_groups", "label", "value", "confirm",
    "blocks", "rows", "column_settings", "style", "initial_option", "initial_options", "filter", "include", "actions",
    "child_blocks", "block_id", "action_id", "title", "submit", "placeholder", "hint", "max_length", "private_metadata",
    "dispatch_action_config", "trigger_actions_on", "positive_button", "range",
]  # fmt: skip
TYPES = [
    *BLOCKS,
    *ELEMENTS,
    "plain_text",
    "mrkdwn",
    "modal",
    "home",
    "rich_text_section",
    "rich_text_list",
    "raw_text",
    "link",
]

scalars = st.none() | st.booleans() | st.integers(-1, 5000) | st.sampled_from(TYPES) | st.text(max_size=5)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=30,
)
typed = st.builds(
    lambda kind, rest: {**rest, "type": kind},
    st.sampled_from(TYPES),
    st.dictionaries(st.sampled_from(KEYS), anything, max_size=6),
)
few = settings(max_examples=150, deadline=None)


@few
@given(anything | st.lists(typed | anything, max_size=3))
def test_any_blocks_get_a_verdict(blocks: Any) -> None:
    problems = check_message_blocks(blocks)
    assert all(str(problem).startswith("[ERROR] ") for problem in problems)
    text_characters(blocks)


@few
@given(
    anything | st.builds(lambda view, blocks: {**view, "blocks": blocks}, typed, st.lists(typed, max_size=3))
)
def test_any_view_gets_a_verdict(view: Any) -> None:
    check_modal(view)
    check_home(view)


@few
@given(st.lists(typed, min_size=1, max_size=4))
def test_what_the_validator_passes_has_a_state(blocks: list[Any]) -> None:
    if not check_message_blocks(blocks):
        named = with_block_ids(blocks, "V0000000001")
        values = merged_values(named, initial_values(named))
        assert values == initial_values(named)
        client_errors(named, values)


def test_every_valid_block_has_a_state() -> None:
    for block in VALID:
        named = with_block_ids([block], "V0000000001")
        assert merged_values(named, initial_values(named)) == initial_values(named)


DIRECTORY = Directory(
    load_workspace(None), {"orders": Channel(id="CORDERS001", name="orders", kind="public")}
)
typed_text = st.text(max_size=60) | st.lists(
    st.sampled_from(
        ["@lena", "#orders", "<", ">", "&", "--", '"', "app.example.com", "a@b.co", " ", "https://x.y"]
    ),
    max_size=8,
).map("".join)


@few
@given(typed_text)
def test_encoded_text_has_no_bare_angle_brackets(text: str) -> None:
    encoded = encode(text, DIRECTORY, labels=True)
    assert encoded.count("<") == encoded.count(">")
    assert escape_text(encoded) == encoded


@few
@given(typed_text)
def test_escaping_twice_changes_nothing(text: str) -> None:
    once = escape_text(text)
    assert escape_text(once) == once
    smart_punctuation(text)
