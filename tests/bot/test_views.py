"""Block builders keep Slack's limits, and every command's form is one that Slack opens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests_drawn import FORGED, NASTY, texts
from shown import assert_acceptable, assert_only_our_markup, markup

from bot import forms, slack_payloads, views
from bot.command import Reply
from bot.registry import load_commands
from playground.validate_blocks import check_message_blocks
from playground.validate_views import check_home, check_modal

COMMANDS = load_commands()


def problems(found: list[Any]) -> list[str]:
    return [str(one) for one in found]


# ---------------------------------------------------------------- foreign text


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("<!channel>", "&lt;!channel&gt;"),
        ("<@U1> & <#C1|x>", "&lt;@U1&gt; &amp; &lt;#C1|x&gt;"),
        ("&lt;!here&gt;", "&amp;lt;!here&amp;gt;"),
        ("two\nlines\r\nthree", "two lines three"),
        ("", ""),
    ],
)
def test_foreign_text_is_shown_as_it_was_written(foreign: str, shown: str) -> None:
    assert views.escape(foreign) == shown


@given(texts)
def test_foreign_text_has_no_markup_and_no_line_of_its_own(text: str) -> None:
    for made in (views.escape(text), views.code(text)):
        assert "<" not in made
        assert ">" not in made
        assert len(made.splitlines()) <= 1


@given(texts)
def test_code_has_no_way_out_of_its_backticks(text: str) -> None:
    made = views.code(text)
    assert made.count("`") == 2
    assert made[0] == made[-1] == "`"
    assert len(made) > 2, "Slack shows two backticks as two backticks"


@given(texts)
def test_every_line_of_a_quotation_is_marked_as_one(text: str) -> None:
    for line in views.quote(text).splitlines():
        assert line.startswith("> ")
        assert "<" not in line


@pytest.mark.parametrize(
    ("url", "label", "shown"),
    [
        ("https://a.example/x", "Open", "<https://a.example/x|Open>"),
        ("http://a.example/?a=1&b=2", "a|b", "<http://a.example/?a=1&amp;b=2|a/b>"),
        ("https://a.example/|<!here>", "x", "<https://a.example/%7C&lt;!here&gt;|x>"),
        ("file:///git/orders.git", "Repository", "Repository: `file:///git/orders.git`"),
        ("javascript:alert(1)", "<x>", "&lt;x&gt;: `javascript:alert(1)`"),
        ("", "Nowhere", "Nowhere: ` `"),
    ],
)
def test_only_web_addresses_are_links(url: str, label: str, shown: str) -> None:
    assert views.link(url, label) == shown


@given(url=texts, label=texts)
def test_a_link_leads_where_it_was_meant_to_and_nowhere_else(url: str, label: str) -> None:
    made = views.link(url, label)
    assert_only_our_markup(made)
    assert made.count("<") <= 1
    assert not any(line.startswith(FORGED) for line in made.splitlines())


def test_people_and_moments_are_shown_in_each_readers_own_way() -> None:
    assert views.mention("UALICE0001") == "<@UALICE0001>"
    assert views.mention("system") == views.mention("") == "the platform"
    berlin = datetime(2026, 3, 2, 10, 30, tzinfo=timezone(timedelta(hours=1)))
    assert views.moment(berlin) == "<!date^1772443800^{date_short_pretty} {time}|2026-03-02 09:30 UTC>"
    assert views.moment(berlin) == views.moment(berlin.astimezone(UTC))
    assert views.short("a" * 40) == "aaaaaaa"


# ---------------------------------------------------------------- limits


@given(text=texts, limit=st.integers(1, 200))
def test_text_is_cut_with_an_ellipsis(text: str, limit: int) -> None:
    made = views.cut(text, limit)
    assert len(made) <= limit
    assert made == text or made.endswith("…")


@given(text=texts, many=st.lists(texts, max_size=30))
def test_whatever_is_put_into_blocks_slack_accepts_them(text: str, many: list[str]) -> None:
    blocks = [
        views.header(text),
        views.section(views.escape(text), accessory=views.button(text, action="x")),
        *views.fields((label, views.escape(label)) for label in many),
        views.context("always", *map(views.escape, many)),
        views.divider(),
        *views.lines(views.escape(one) for one in many),
        *views.actions(
            [views.button(one, action=f"press:{at}", value="r-1") for at, one in enumerate(many)],
            block_id="b",
        ),
    ]
    assert problems(check_message_blocks(blocks)) == []


def test_no_buttons_are_no_block() -> None:
    assert views.actions([]) == []
    assert len(views.actions([views.button("x", action=f"a{n}") for n in range(30)])[0]["elements"]) == 25


@given(st.lists(texts, max_size=60))
def test_rows_are_never_split_or_lost(rows: list[str]) -> None:
    said = [views.escape(row) for row in rows]
    blocks = views.lines(said)
    shown = "\n".join(block["text"]["text"] for block in blocks)
    assert len(shown.replace("\n", "")) == sum(
        len(views.cut(row, views.SECTION_LIMIT)) for row in said if row
    )


BUTTONS = views.actions([views.button("Approve", action="approve", value="r-1")])
FOOTER = views.context("footer")


@pytest.mark.parametrize("count", [0, 1, 48, 49, 60, 300])
def test_a_message_has_at_most_fifty_blocks_and_keeps_its_buttons(count: int) -> None:
    blocks = [*(views.section(f"row {number}") for number in range(count)), FOOTER, *BUTTONS]
    made = views.fit(blocks)
    assert made[-2:] == [FOOTER, *BUTTONS]
    assert len(made) == min(count + 2, views.MESSAGE_BLOCKS)
    if count > 48:
        assert made[-3] == views.context(f"{count - 47} more blocks are not shown.")
        assert made[:47] == blocks[:47]
    else:
        assert made == blocks


@given(st.lists(st.sampled_from((views.section("s"), FOOTER, views.divider(), *BUTTONS)), max_size=70))
def test_what_fits_is_left_as_it_is_and_what_does_not_is_counted(blocks: list[views.Block]) -> None:
    made = views.fit(blocks)
    if len(blocks) <= views.MESSAGE_BLOCKS:
        assert made == blocks
        return
    assert len(made) == views.MESSAGE_BLOCKS
    said = next(at for at, block in enumerate(made) if "more blocks" in str(block))
    assert made[:said] == blocks[:said]
    rest = made[said + 1 :]
    assert rest == blocks[len(blocks) - len(rest) :]
    assert made[said] == views.context(f"{len(blocks) - said - len(rest)} more blocks are not shown.")


def test_a_message_that_is_too_long_says_how_much_is_left_out() -> None:
    blocks = [*(views.section("x" * 3000) for _ in range(6)), FOOTER, *BUTTONS]
    made = views.fit(blocks)
    assert made == [*blocks[:3], views.context("3 more blocks are not shown."), FOOTER, *BUTTONS]
    assert_acceptable("text", made)


def test_a_view_may_be_longer_than_a_message() -> None:
    blocks = [views.section("x" * 3000) for _ in range(60)]
    assert views.fit(blocks, limit=views.VIEW_BLOCKS) == blocks
    assert (
        problems(check_home({"type": "home", "blocks": views.fit(blocks * 2, limit=views.VIEW_BLOCKS)})) == []
    )


def test_options_of_a_select_are_cut_to_what_slack_takes() -> None:
    select = views.static_select(
        action_id="value", options=views.options([f"{n}-" + "x" * 200 for n in range(150)])
    )
    view = views.view(
        callback_id="c", title="T" * 50, submit="Go",
        blocks=[views.input_block(block_id="b", label="L", hint="", element=select, optional=False)],
    )  # fmt: skip
    assert problems(check_modal(view)) == []
    assert len(select["options"]) == 100


def test_an_initial_choice_that_is_not_on_offer_is_left_out() -> None:
    offered = views.options(["a", "b"])
    assert views.static_select(action_id="v", options=offered, initial="b")["initial_option"] == offered[1]
    assert "initial_option" not in views.static_select(action_id="v", options=offered, initial="z")
    assert "initial_user" not in views.users_select(action_id="v", initial="alice")


def test_label_and_value_lines() -> None:
    assert views.table({"Owner": "orders", "Path": "go"}) == "*Owner:* orders\n*Path:* go"


# ---------------------------------------------------------------- forms of all commands

WITH_FORM = [
    name
    for name, command in COMMANDS.items()
    if any(argument.in_form for argument in forms.arguments(command.args))
]
CHOICES = {
    "teams": ["orders", "payments"],
    "golden_paths": ["python-service"],
    "promotable_environments": ["production"],
}


@pytest.mark.parametrize("verb", WITH_FORM)
@pytest.mark.parametrize("typed", ["", "orders", *NASTY[2:12]])
@pytest.mark.parametrize("choices", [CHOICES, {}], ids=["choices", "none"])
def test_every_commands_form_opens_whatever_was_typed(
    verb: str, typed: str, choices: dict[str, list[str]]
) -> None:
    command = COMMANDS[verb]
    given = {one.name: typed for one in forms.arguments(command.args)}
    modal = forms.modal(
        command, given=given, choices=choices, metadata="CORDERS001", problem=views.escape(typed)
    )
    assert problems(check_modal(modal)) == []
    assert_only_our_markup(*markup(modal["blocks"]))


@pytest.mark.parametrize("verb", WITH_FORM)
def test_every_forms_errors_stand_beside_inputs_it_has(verb: str) -> None:
    command = COMMANDS[verb]
    modal = forms.modal(command, given={}, choices=CHOICES, metadata="")
    inputs = {block["block_id"] for block in modal["blocks"] if block["type"] == "input"}
    assert inputs == {one.name for one in forms.arguments(command.args) if one.in_form}


def test_the_denial_form_and_notes_open() -> None:
    assert problems(check_modal(slack_payloads.deny_form("r-7k2m9xq", "decide:" + "a" * 16))) == []
    for text in NASTY:
        note = slack_payloads.note("create-service", Reply(views.escape(text)))
        assert problems(check_modal(note)) == []
