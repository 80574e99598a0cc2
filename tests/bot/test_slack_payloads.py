"""Slack's payloads as values: samples in the shapes that docs.slack.dev prints, and what is lost when a part is missing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shown import assert_acceptable

from bot import slack_payloads, views
from bot.command import Reply
from bot.domain import Origin
from bot.errors import NotFoundError
from bot.slack_payloads import dedupe_key, parse_click, parse_command, parse_submission

# docs.slack.dev, "Slash commands": the fields of a command's payload.
COMMAND: dict[str, Any] = {
    "token": "verification-token-nobody-uses",
    "team_id": "T0001",
    "team_domain": "example",
    "enterprise_id": "E0001",
    "channel_id": "C2147483705",
    "channel_name": "test",
    "user_id": "U2147483697",
    "user_name": "Steve",
    "command": "/platform",
    "text": "status orders",
    "response_url": "https://hooks.slack.com/commands/1234/5678",
    "trigger_id": "13345224609.738474920.8088930838d88f008e0",
    "api_app_id": "A123456",
}
# docs.slack.dev, "block_actions payload": a button of a message.
CLICK: dict[str, Any] = {
    "type": "block_actions",
    "team": {"id": "T9TK3CUKW", "domain": "example"},
    "user": {"id": "UA8RXUSPL", "username": "jtorrance", "team_id": "T9TK3CUKW"},
    "api_app_id": "AABA1ABCD",
    "token": "verification-token-nobody-uses",
    "container": {
        "type": "message_attachment",
        "message_ts": "1548261231.000200",
        "channel_id": "CBR2V3XEX",
        "is_ephemeral": False,
    },
    "trigger_id": "12321423423.333649436676.d8c1bb837935619ccad0f624c448ffb3",
    "channel": {"id": "CBR2V3XEX", "name": "review-updates"},
    "message": {"bot_id": "BAH5CA16Z", "type": "message", "text": "A card", "ts": "1548261231.000200"},
    "response_url": "https://hooks.slack.com/actions/AABA1ABCD/1232321423432/D09sSasdasdAS9091209",
    "actions": [
        {
            "action_id": "run:promote:production",
            "block_id": "status",
            "text": {"type": "plain_text", "text": "Promote", "emoji": True},
            "value": "orders",
            "type": "button",
            "action_ts": "1548426417.840180",
        }
    ],
}
# docs.slack.dev, "block_actions payload": the same from App Home, where there is no channel and no response_url.
HOME_CLICK: dict[str, Any] = {
    **{key: value for key, value in CLICK.items() if key not in {"channel", "message", "response_url"}},
    "container": {"type": "view", "view_id": "V1234"},
    "view": {"id": "V1234", "type": "home", "hash": "1.abc"},
}
# docs.slack.dev, "view_submission payload".
SUBMISSION: dict[str, Any] = {
    "type": "view_submission",
    "team": {"id": "T0001", "domain": "example"},
    "user": {"id": "U2147483697", "username": "steve", "team_id": "T0001"},
    "view": {
        "id": "VNHU13V36",
        "type": "modal",
        "callback_id": "form:promote",
        "hash": "156663117.cd33ad1f",
        "private_metadata": "C2147483705",
        "state": {
            "values": {
                "service": {"value": {"type": "plain_text_input", "value": "orders"}},
                "to": {"value": {"type": "static_select", "selected_option": None}},
            }
        },
    },
}


def without(payload: dict[str, Any], *path: str) -> dict[str, Any]:
    made = copy.deepcopy(payload)
    node = made
    for part in path[:-1]:
        node = node[part]
    del node[path[-1]]
    return made


# ---------------------------------------------------------------- commands


def test_a_command_says_who_where_and_what() -> None:
    invocation = parse_command(COMMAND)
    assert (invocation.user_id, invocation.team_id, invocation.channel_id, invocation.text) == (
        "U2147483697",
        "T0001",
        "C2147483705",
        "status orders",
    )
    assert invocation.origin is Origin.SLASH


def test_a_command_without_words_has_no_text() -> None:
    assert parse_command(without(COMMAND, "text")).text == ""


def test_the_same_delivery_has_the_same_key_and_the_next_one_another() -> None:
    first = parse_command(COMMAND)
    assert first.dedupe_key == parse_command({**COMMAND, "response_url": "https://other"}).dedupe_key
    assert first.dedupe_key != parse_command({**COMMAND, "trigger_id": "1.2.3"}).dedupe_key


@given(
    st.lists(st.text(max_size=8), min_size=1, max_size=4),
    st.lists(st.text(max_size=8), min_size=1, max_size=4),
)
def test_keys_are_hashes_that_tell_parts_apart(first: list[str], second: list[str]) -> None:
    key = dedupe_key(*first)
    assert len(key) == 64
    assert all(letter in "0123456789abcdef" for letter in key)
    if "\x1f" not in "".join([*first, *second]):
        assert (dedupe_key(*second) == key) is (first == second)


def test_nothing_that_opens_a_door_is_in_a_key() -> None:
    assert COMMAND["trigger_id"] not in parse_command(COMMAND).dedupe_key


# ---------------------------------------------------------------- buttons


def test_a_click_says_which_button_of_which_card_in_whose_hand() -> None:
    click = parse_click(CLICK)
    assert (click.name, click.arguments, click.value, click.block_id) == (
        "run",
        ("promote", "production"),
        "orders",
        "status",
    )
    assert (click.user_id, click.team_id, click.channel_id) == ("UA8RXUSPL", "T9TK3CUKW", "CBR2V3XEX")
    assert click.response_url.startswith("https://hooks.slack.com/actions/")
    assert click.trigger_id == CLICK["trigger_id"]


def test_a_click_in_app_home_has_no_channel_and_no_response_url() -> None:
    click = parse_click(HOME_CLICK)
    assert (click.channel_id, click.response_url) == ("", "")
    assert slack_payloads.from_click(click).channel_id == ""


def test_a_click_on_an_ephemeral_message_knows_its_channel_from_the_container() -> None:
    assert parse_click(without(CLICK, "channel")).channel_id == "CBR2V3XEX"


def test_a_person_of_another_workspace_is_of_that_workspace() -> None:
    foreign = copy.deepcopy(CLICK)
    foreign["user"]["team_id"] = "T0FOREIGN"
    assert parse_click(foreign).team_id == "T0FOREIGN"
    assert parse_click(without(CLICK, "user", "team_id")).team_id == "T9TK3CUKW"


def test_a_select_is_no_button_and_still_readable() -> None:
    chosen = copy.deepcopy(CLICK)
    chosen["actions"][0] = {"type": "static_select", "action_id": "x", "selected_option": {"value": "a"}}
    click = parse_click(chosen)
    assert (click.name, click.arguments, click.value, click.block_id) == ("x", (), "", "")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("user", "id"), "UOTHER"),
        (("container", "message_ts"), "1548261231.000300"),
        (("actions", 0, "action_ts"), "1548426417.840181"),
        (("actions", 0, "value"), "billing"),
        (("actions", 0, "action_id"), "run:rollback:production"),
    ],
)
def test_a_click_delivered_twice_is_one_and_any_other_click_another(
    path: tuple[Any, ...], value: str
) -> None:
    other = copy.deepcopy(CLICK)
    node = other
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    assert parse_click(copy.deepcopy(CLICK)).key == parse_click(CLICK).key
    assert parse_click(other).key != parse_click(CLICK).key


def test_a_click_becomes_an_invocation_of_the_same_person() -> None:
    click = parse_click(CLICK)
    invocation = slack_payloads.from_click(click)
    assert (invocation.dedupe_key, invocation.user_id, invocation.origin) == (
        click.key,
        click.user_id,
        Origin.BUTTON,
    )


# ---------------------------------------------------------------- forms


def test_a_form_remembers_the_channel_it_was_opened_in() -> None:
    invocation = parse_submission(SUBMISSION)
    assert (invocation.user_id, invocation.team_id, invocation.channel_id) == (
        "U2147483697",
        "T0001",
        "C2147483705",
    )
    assert invocation.origin is Origin.MODAL


def test_a_form_delivered_twice_is_one_and_a_corrected_one_another() -> None:
    corrected = copy.deepcopy(SUBMISSION)
    corrected["view"]["state"]["values"]["service"]["value"]["value"] = "billing"
    assert parse_submission(copy.deepcopy(SUBMISSION)).dedupe_key == parse_submission(SUBMISSION).dedupe_key
    assert parse_submission(corrected).dedupe_key != parse_submission(SUBMISSION).dedupe_key


def test_a_form_without_a_channel_or_a_team_of_the_person_is_understood() -> None:
    bare = without(without(SUBMISSION, "view", "private_metadata"), "user", "team_id")
    invocation = parse_submission(bare)
    assert (invocation.channel_id, invocation.team_id) == ("", "T0001")


# ---------------------------------------------------------------- answers


def test_an_answer_is_seen_by_one_person_and_unfolds_nothing() -> None:
    body = slack_payloads.message(Reply("done", [views.section("done")]))
    assert body == {
        "response_type": "ephemeral",
        "text": "done",
        "replace_original": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": [views.section("done")],
    }
    assert slack_payloads.message(Reply("done"), replace=True)["replace_original"] is True
    assert "blocks" not in slack_payloads.message(Reply("done"))


def test_an_acknowledgement_is_seen_by_one_person() -> None:
    assert slack_payloads.acknowledgement(Reply("seen")) == {"response_type": "ephemeral", "text": "seen"}


@pytest.mark.parametrize("make", [slack_payloads.message, slack_payloads.acknowledgement])
def test_an_answer_of_any_length_is_one_slack_accepts(make: Any) -> None:
    body = make(Reply("many", [views.section("x" * 900)] * 80))
    assert_acceptable(body["text"], body["blocks"])


def test_an_error_says_its_sentence() -> None:
    reply = slack_payloads.error_reply(
        NotFoundError("There is no service “x”.", fix="Type `/platform services`.")
    )
    assert reply.text == "There is no service “x”. Type `/platform services`."
    assert_acceptable(reply.text, reply.blocks)


def test_what_nobody_foresaw_gives_a_reference_and_nothing_else() -> None:
    reply = slack_payloads.apology("abcd1234")
    assert "`abcd1234`" in reply.text
    assert_acceptable(reply.text, reply.blocks)


def test_a_denial_is_about_the_request_and_the_plan_that_was_seen() -> None:
    form = slack_payloads.deny_form("r-7k2m9xq", "decide:abc")
    assert form["private_metadata"] == "r-7k2m9xq decide:abc"
    assert form["callback_id"] == slack_payloads.DENY_CALLBACK
