"""The validator knows every documented limit: what is at the limit passes, what is beyond is named with its place."""

from __future__ import annotations

from typing import Any

import pytest

from playground.validate_blocks import check_message_blocks
from playground.validate_views import check_home, check_modal, view_too_large

Json = dict[str, Any]


def plain(text: str = "x") -> Json:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str = "x") -> Json:
    return {"type": "mrkdwn", "text": text}


def option(value: str = "a", **more: Any) -> Json:
    return {"text": plain(), "value": value, **more}


def options(count: int) -> list[Json]:
    return [option(str(number)) for number in range(count)]


def button(**more: Any) -> Json:
    return {"type": "button", "text": plain(), "action_id": "b", **more}


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def section(**more: Any) -> Json:
    return {"type": "section", "text": mrkdwn(), **more}


def element(kind: str, **more: Any) -> Json:
    return {"type": kind, "action_id": "e", **more}


def field(inner: Json, **more: Any) -> Json:
    return {"type": "input", "label": plain(), "element": inner, **more}


def select(**more: Any) -> Json:
    return element("static_select", **more)


def rich(*elements: Json) -> Json:
    return {"type": "rich_text", "elements": list(elements)}


def rich_section(*elements: Json) -> Json:
    return {"type": "rich_text_section", "elements": list(elements)}


def table(rows: list[list[Json]], **more: Any) -> Json:
    return {"type": "table", "rows": rows, **more}


def cell(text: str = "x") -> Json:
    return {"type": "raw_text", "text": text}


def confirm(**more: Any) -> Json:
    return {"title": plain(), "text": plain(), "confirm": plain(), "deny": plain(), **more}


VALID: list[Json] = [
    {"type": "divider"},
    {"type": "header", "text": plain("x" * 150)},
    {"type": "header", "text": plain(), "level": 2},
    section(text=mrkdwn("x" * 3000), block_id="b" * 255),
    {"type": "section", "fields": [mrkdwn("x" * 2000)] * 10},
    section(accessory=select(options=options(100))),
    section(accessory={"type": "image", "image_url": "https://e.com/x.png", "alt_text": "x"}),
    section(accessory=element("overflow", options=[option("a", url="https://example.com")])),
    {"type": "context", "elements": [mrkdwn()] * 10},
    {"type": "context", "elements": [{"type": "image", "image_url": "https://e.com/x.png", "alt_text": "x"}]},
    actions(*[button(action_id=f"b{number}") for number in range(25)]),
    actions(
        button(text=plain("x" * 75), value="v" * 2000, url="https://e.com", style="danger", confirm=confirm())
    ),
    actions(select(option_groups=[{"label": plain(), "options": options(2)}])),
    actions(element("radio_buttons", options=options(10), initial_option=option("0"))),
    actions(
        element("datepicker", initial_date="2026-01-31"),
        element("timepicker", action_id="t", initial_time="23:59"),
    ),
    {"type": "image", "image_url": "https://example.com/x.png", "alt_text": "x", "title": plain()},
    {"type": "markdown", "text": "# Title"},
    rich(
        rich_section(
            {"type": "text", "text": "x", "style": {"bold": True}}, {"type": "user", "user_id": "U1"}
        )
    ),
    rich(
        {
            "type": "rich_text_list",
            "style": "bullet",
            "elements": [rich_section({"type": "text", "text": "x"})],
        }
    ),
    rich({"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "x"}], "border": 0}),
    table(
        [[cell(), rich(rich_section({"type": "text", "text": "x"}))]] * 100,
        column_settings=[None, {"align": "right"}],
    ),
    field(
        element("plain_text_input", multiline=True, max_length=3000), hint=plain("x" * 2000), optional=True
    ),
    field(element("multi_static_select", options=options(3), max_selected_items=2)),
    field(element("checkboxes", options=[option("a", description=mrkdwn())])),
    field(
        element("conversations_select", filter={"include": ["public"]}, default_to_current_conversation=True)
    ),
    field(element("external_select", min_query_length=0)),
    field(element("users_select", placeholder=plain("x" * 150), focus_on_load=True)),
    field(element("number_input", is_decimal_allowed=False, min_value="1")),
    field(element("datetimepicker", initial_date_time=1_700_000_000)),
    {"type": "card", "title": mrkdwn("x" * 150), "body": mrkdwn("x" * 200), "actions": [button()]},
    {"type": "container", "child_blocks": [section()] * 10, "width": "wide"},
    {"type": "context_actions", "elements": [element("icon_button", icon="trash", text=plain())]},
]


@pytest.mark.parametrize("block", VALID, ids=lambda block: block["type"])
def test_what_is_within_the_limits_passes(block: Json) -> None:
    assert check_message_blocks([block]) == []


INVALID: list[tuple[Json, str, str]] = [
    # (block, pointer below /blocks/0, words of the message)
    ({}, "/type", "unsupported type"),
    ({"type": "fancy"}, "/type", "unsupported type: fancy"),
    ({"type": "alert", "text": plain()}, "/type", "unsupported type: alert"),
    ({"type": "divider", "color": "red"}, "", "invalid additional property: color"),
    ({"type": "divider", "block_id": "b" * 256}, "/block_id", "less than 256 characters"),
    ({"type": "header", "text": plain("x" * 151)}, "/text/text", "less than 151 characters"),
    ({"type": "header", "text": mrkdwn()}, "/text/type", "must be plain_text"),
    ({"type": "header"}, "", "missing required field: text"),
    ({"type": "section"}, "", "must provide either text or fields"),
    (section(text=mrkdwn("")), "/text/text", "more than 0 characters"),
    (section(text=mrkdwn("x" * 3001)), "/text/text", "less than 3001 characters"),
    (section(text={"type": "html", "text": "x"}), "/text/type", "unsupported type: html"),
    (section(text="x"), "/text", "must provide an object"),
    (section(text={**mrkdwn(), "emoji": True}), "/text", "invalid additional property: emoji"),
    ({"type": "section", "fields": [mrkdwn()] * 11}, "/fields", "no more than 10 items"),
    ({"type": "section", "fields": []}, "", "must provide either text or fields"),
    ({"type": "section", "fields": [mrkdwn("x" * 2001)]}, "/fields/0/text", "less than 2001 characters"),
    (section(accessory=element("plain_text_input")), "/accessory/type", "unsupported type"),
    ({"type": "context", "elements": [mrkdwn()] * 11}, "/elements", "no more than 10 items"),
    ({"type": "context", "elements": []}, "/elements", "at least 1 items"),
    ({"type": "context", "elements": [button()]}, "/elements/0/type", "unsupported type"),
    (actions(*[button(action_id=f"b{n}") for n in range(26)]), "/elements", "no more than 25 items"),
    (actions(), "/elements", "at least 1 items"),
    (actions(button(), button()), "/elements/1", "already exists for another action"),
    (actions(button(text=plain("x" * 76))), "/elements/0/text/text", "less than 76 characters"),
    (actions(button(text=plain(""))), "/elements/0/text/text", "more than 0 characters"),
    (actions(button(text=mrkdwn())), "/elements/0/text/type", "must be plain_text"),
    (actions(button(value="v" * 2001)), "/elements/0/value", "less than 2001 characters"),
    (actions(button(url="u" * 3001)), "/elements/0/url", "less than 3001 characters"),
    (actions(button(style="green")), "/elements/0/style", "valid enum value"),
    (actions(button(disabled=True)), "/elements/0", "invalid additional property: disabled"),
    (actions(button(action_id="a" * 256)), "/elements/0/action_id", "less than 256 characters"),
    (actions(button(accessibility_label="x" * 76)), "/elements/0/accessibility_label", "less than 76"),
    (actions(button(confirm={"title": plain()})), "/elements/0/confirm", "missing required field: text"),
    (
        actions(button(confirm=confirm(title=plain("x" * 101)))),
        "/elements/0/confirm/title/text",
        "less than 101",
    ),
    (
        actions(button(confirm=confirm(text=plain("x" * 301)))),
        "/elements/0/confirm/text/text",
        "less than 301",
    ),
    (actions(button(confirm=confirm(deny=plain("x" * 31)))), "/elements/0/confirm/deny/text", "less than 31"),
    (actions(select()), "/elements/0", "either options or option_groups"),
    (actions(select(options=options(101))), "/elements/0/options", "no more than 100 items"),
    (actions(select(options=[])), "/elements/0/options", "at least 1 items"),
    (actions(select(options=[option(), option()])), "/elements/0/options", "must be unique"),
    (actions(select(options=[option("v" * 151)])), "/elements/0/options/0/value", "less than 151"),
    (
        actions(select(options=[{"text": plain("x" * 76), "value": "a"}])),
        "/elements/0/options/0/text/text",
        "less than 76",
    ),
    (
        actions(select(options=[{"text": mrkdwn(), "value": "a"}])),
        "/elements/0/options/0/text/type",
        "plain_text",
    ),
    (
        actions(select(options=[option(description=plain("x" * 76))])),
        "/elements/0/options/0/description/text",
        "76",
    ),
    (
        actions(select(options=options(2), initial_option=option("9"))),
        "/elements/0/initial_option",
        "must match",
    ),
    (
        actions(select(options=options(2), placeholder=plain("x" * 151))),
        "/elements/0/placeholder/text",
        "less than 151",
    ),
    (actions(element("overflow", options=options(6))), "/elements/0/options", "no more than 5 items"),
    (actions(element("radio_buttons", options=options(11))), "/elements/0/options", "no more than 10 items"),
    (actions(element("datepicker", initial_date="31.1.2026")), "/elements/0/initial_date", "YYYY-MM-DD"),
    (actions(element("timepicker", initial_time="24:00")), "/elements/0/initial_time", "HH:mm"),
    (actions(element("plain_text_input")), "/elements/0/type", "unsupported type"),
    (field(element("plain_text_input", max_length=3001)), "/element/max_length", "between 1 and 3000"),
    (field(element("plain_text_input"), label=plain("x" * 2001)), "/label/text", "less than 2001"),
    (field(element("plain_text_input"), label=mrkdwn()), "/label/type", "plain_text"),
    (field(button()), "/element/type", "unsupported type"),
    (field(element("number_input")), "/element", "missing required field: is_decimal_allowed"),
    (
        field(element("checkboxes", options=options(2), initial_options=[])),
        "/element/initial_options",
        "at least 1",
    ),
    (field(element("multi_users_select", max_selected_items=0)), "/element/max_selected_items", "between 1"),
    (field(element("conversations_select", filter={})), "/element/filter", "at least one field"),
    (
        field(element("datetimepicker", initial_date_time=1_700_000_000_000)),
        "/element/initial_date_time",
        "between",
    ),
    ({"type": "image", "alt_text": "x"}, "", "either image_url or slack_file"),
    ({"type": "image", "image_url": "https://e.com/x.png"}, "", "missing required field: alt_text"),
    ({"type": "image", "image_url": "u" * 3001, "alt_text": "x"}, "/image_url", "less than 3001"),
    ({"type": "markdown", "text": "x" * 12_001}, "/text", "less than 12001"),
    (rich({"type": "rich_text_table", "elements": []}), "/elements/0/type", "unsupported type"),
    (rich(rich_section({"type": "text", "text": ""})), "/elements/0/elements/0/text", "more than 0"),
    (
        rich(rich_section({"type": "text", "text": "x", "style": {"big": True}})),
        "/elements/0/elements/0/style",
        "big",
    ),
    (rich(rich_section({"type": "link"})), "/elements/0/elements/0", "missing required field: url"),
    (rich({"type": "rich_text_list", "elements": []}), "/elements/0", "missing required field: style"),
    (table([[cell()] * 21]), "/rows/0", "no more than 20 items"),
    (table([[cell()]] * 101), "/rows", "no more than 100 items"),
    (table([[cell()], [cell(), cell()]]), "/rows", "same number of cells"),
    (table([[cell("")]]), "/rows/0/0/text", "more than 0"),
    (table([[cell("x" * 5001)], [cell("x" * 5000)]]), "/rows", "less than 10001 characters in total"),
    (table([[cell()]], column_settings=[{"align": "top"}]), "/column_settings/0/align", "valid enum value"),
    ({"type": "card", "title": mrkdwn("x" * 151)}, "/title/text", "less than 151"),
    ({"type": "container", "child_blocks": [section()] * 11}, "/child_blocks", "no more than 10"),
    (
        {"type": "container", "child_blocks": [{"type": "container", "child_blocks": []}]},
        "/child_blocks/0/type",
        "unsupported",
    ),
]


@pytest.mark.parametrize(("block", "pointer", "words"), INVALID)
def test_what_is_beyond_is_named_with_its_place(block: Json, pointer: str, words: str) -> None:
    problems = check_message_blocks([block])
    assert any(
        problem.pointer == f"/blocks/0{pointer}" and words in problem.message for problem in problems
    ), problems


def test_fifty_blocks_in_a_message() -> None:
    assert check_message_blocks([{"type": "divider"}] * 50) == []
    [problem] = check_message_blocks([{"type": "divider"}] * 51)
    assert str(problem) == "[ERROR] no more than 50 items allowed [json-pointer:/blocks]"


def test_block_ids_are_unique() -> None:
    [problem] = check_message_blocks([section(block_id="a"), section(block_id="a")])
    assert problem.pointer == "/blocks/1/block_id"


def test_the_same_action_id_may_stand_in_two_blocks() -> None:
    assert check_message_blocks([actions(button()), actions(button())]) == []


def test_totals_over_a_message() -> None:
    markdown = {"type": "markdown", "text": "x" * 6001}
    assert [p.pointer for p in check_message_blocks([markdown, markdown])] == ["/blocks"]
    assert [p.pointer for p in check_message_blocks([table([[cell()]]), table([[cell()]])])] == ["/blocks"]


def modal(**more: Any) -> Json:
    return {"type": "modal", "title": plain(), "blocks": [section()], **more}


@pytest.mark.parametrize(
    "view",
    [
        modal(title=plain("x" * 24), submit=plain("x" * 24), close=plain("x" * 24), callback_id="c" * 255),
        modal(private_metadata="x" * 3000, external_id="e" * 255, notify_on_close=True, clear_on_close=False),
        modal(blocks=[field(element("plain_text_input"))], submit=plain()),
        modal(blocks=[{"type": "divider"}] * 100),
        modal(blocks=[]),
        modal(blocks=[{"type": "alert", "text": plain("x" * 200), "level": "warning"}]),
    ],
)
def test_modals_within_the_limits_pass(view: Json) -> None:
    assert check_modal(view) == []


@pytest.mark.parametrize(
    ("view", "pointer", "words"),
    [
        ([], "/view", "must provide an object"),
        ({"type": "modal", "blocks": []}, "/view", "missing required field: title"),
        (modal(type="home"), "/view/type", "valid enum value"),
        (modal(title=plain("x" * 25)), "/view/title/text", "less than 25"),
        (modal(title=mrkdwn()), "/view/title/type", "plain_text"),
        (modal(submit=plain("x" * 25)), "/view/submit/text", "less than 25"),
        (modal(close=plain("x" * 25)), "/view/close/text", "less than 25"),
        (modal(callback_id="c" * 256), "/view/callback_id", "less than 256"),
        (modal(external_id="c" * 256), "/view/external_id", "less than 256"),
        (modal(private_metadata="x" * 3001), "/view/private_metadata", "less than 3001"),
        (modal(private_metadata={"id": 1}), "/view/private_metadata", "must be a string"),
        (modal(blocks=[{"type": "divider"}] * 101), "/view/blocks", "no more than 100"),
        (modal(blocks=[field(element("plain_text_input"))]), "/view", "missing required field: submit"),
        (
            modal(blocks=[{"type": "markdown", "text": "x"}]),
            "/view/blocks/0/type",
            "unsupported type: markdown",
        ),
        (modal(blocks=[table([[cell()]])]), "/view/blocks/0/type", "unsupported type: table"),
        (modal(response_url="x"), "/view", "invalid additional property: response_url"),
    ],
)
def test_modals_beyond_the_limits(view: Any, pointer: str, words: str) -> None:
    problems = check_modal(view)
    assert any(problem.pointer == pointer and words in problem.message for problem in problems), problems


@pytest.mark.parametrize(
    ("view", "pointer", "words"),
    [
        ({"type": "home", "blocks": []}, "/view/blocks", "at least 1 items"),
        (
            {"type": "home", "blocks": [section()], "title": plain()},
            "/view",
            "invalid additional property: title",
        ),
        ({"type": "home"}, "/view", "missing required field: blocks"),
        (
            {"type": "home", "blocks": [{"type": "alert", "text": plain()}]},
            "/view/blocks/0/type",
            "unsupported",
        ),
    ],
)
def test_home_tabs(view: Json, pointer: str, words: str) -> None:
    assert check_home({"type": "home", "blocks": [section(), field(element("plain_text_input"))]}) == []
    problems = check_home(view)
    assert any(problem.pointer == pointer and words in problem.message for problem in problems), problems


def test_a_view_has_at_most_250_kilobytes() -> None:
    assert not view_too_large(modal())
    assert view_too_large(modal(blocks=[section(text=mrkdwn("é" * 3000))] * 50))
