"""Modals as people meet them: stacks, hashes, what they typed, errors beside fields, and how they close."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from playground.acts_messages import ActError
from playground.server import Playground

from .conftest import Install, StartPlayground, eventually, make_manifest, web_client


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def option(value: str) -> dict[str, Any]:
    return {"text": plain(value), "value": value}


def field(name: str, element: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {
        "type": "input",
        "block_id": name,
        "label": plain(name),
        "element": element | {"action_id": name},
        **options,
    }


def text_field(name: str, **options: Any) -> dict[str, Any]:
    return field(name, {"type": "plain_text_input"}, **options)


def modal(title: str, *blocks: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {
        "type": "modal",
        "callback_id": "form",
        "title": plain(title),
        "submit": plain("Send"),
        "blocks": list(blocks) or [text_field("name")],
        **options,
    }


async def open_modal(playground: Playground, view: dict[str, Any], person: str = "alice") -> str:
    answer = await web_client(playground).views_open(trigger_id=playground.issue_trigger(person), view=view)
    return str(answer["view"]["id"])


def titles(playground: Playground, person: str = "alice") -> list[str]:
    return [view.payload["title"]["text"] for view in playground.actor(person).views()]


async def test_a_view_keeps_its_id_and_changes_its_hash(
    client: AsyncWebClient, playground: Playground
) -> None:
    opened = (await client.views_open(trigger_id=playground.issue_trigger("alice"), view=modal("One")))[
        "view"
    ]
    updated = (await client.views_update(view_id=opened["id"], view=modal("Two")))["view"]
    assert updated["id"] == opened["id"] == updated["root_view_id"]
    assert updated["hash"] != opened["hash"]
    with pytest.raises(SlackApiError, match="hash_conflict"):
        await client.views_update(view_id=opened["id"], hash=opened["hash"], view=modal("Three"))
    await client.views_update(view_id=opened["id"], hash=updated["hash"], view=modal("Three"))
    assert titles(playground) == ["Three"]
    with pytest.raises(SlackApiError, match="not_found"):
        await client.views_update(view_id="V0", view=modal("x"))


async def test_external_ids_are_unique_and_find_their_view(
    client: AsyncWebClient, playground: Playground
) -> None:
    await open_modal(playground, modal("One", external_id="mine"))
    await client.views_update(external_id="mine", view=modal("Two", external_id="mine"))
    assert titles(playground) == ["Two"]
    lenas = playground.issue_trigger("lena")
    with pytest.raises(SlackApiError, match="duplicate_external_id"):
        await client.views_open(trigger_id=lenas, view=modal("x", external_id="mine"))
    playground.actor("alice").close_view()
    assert (await client.views_open(trigger_id=lenas, view=modal("x", external_id="mine")))["ok"]


async def test_three_views_and_no_fourth(install: Install) -> None:
    installed = await install()
    playground, client = installed.playground, installed.client
    button = {"type": "actions", "elements": [{"type": "button", "action_id": "more", "text": plain("More")}]}
    failures: list[str] = []

    @installed.app.action("more")
    async def more(ack: Any, body: Any) -> None:
        await ack()
        try:
            title = f"V{len(playground.actor('alice').views()) + 1}"
            await client.views_push(trigger_id=body["trigger_id"], view=modal(title, button))
        except SlackApiError as error:
            failures.append(error.response["error"])

    await open_modal(playground, modal("V1", button))
    alice = playground.actor("alice")
    for title in ("V2", "V3"):
        assert (await alice.click(alice.view, "more")).ok
        await alice.wait_for_view(title)
    stack = alice.views()
    assert [view.previous_view_id for view in stack] == [None, stack[0].id, stack[1].id]
    assert {view.root_view_id for view in stack} == {stack[0].id}
    assert (await alice.click(alice.view, "more")).ok
    await playground.until(lambda: len(playground.calls("views.push")) == 3)
    await eventually(lambda: failures == ["push_limit_reached"])
    alice.close_view()
    assert titles(playground) == ["V1", "V2"]


async def test_pushing_needs_an_open_modal(client: AsyncWebClient, playground: Playground) -> None:
    with pytest.raises(SlackApiError, match="not_found"):
        await client.views_push(trigger_id=playground.issue_trigger("alice"), view=modal("x"))


STATE = [
    ({"type": "plain_text_input"}, {"value": None}),
    ({"type": "plain_text_input", "initial_value": "x"}, {"value": "x"}),
    ({"type": "number_input", "is_decimal_allowed": False}, {"value": None}),
    ({"type": "static_select", "options": [option("a")]}, {"selected_option": None}),
    ({"type": "multi_static_select", "options": [option("a")]}, {"selected_options": []}),
    ({"type": "external_select"}, {"selected_option": None}),
    ({"type": "users_select"}, {"selected_user": None}),
    ({"type": "users_select", "initial_user": "ULENA00001"}, {"selected_user": "ULENA00001"}),
    ({"type": "multi_users_select"}, {"selected_users": []}),
    ({"type": "conversations_select"}, {"selected_conversation": None}),
    ({"type": "channels_select"}, {"selected_channel": None}),
    ({"type": "checkboxes", "options": [option("a")]}, {"selected_options": []}),
    ({"type": "radio_buttons", "options": [option("a")]}, {"selected_option": None}),
    ({"type": "datepicker"}, {"selected_date": None}),
    ({"type": "timepicker"}, {"selected_time": None}),
    ({"type": "datetimepicker"}, {"selected_date_time": None}),
]


@pytest.mark.parametrize(("element", "value"), STATE)
async def test_untouched_fields_are_null_or_empty_and_never_absent(
    playground: Playground, element: dict[str, Any], value: dict[str, Any]
) -> None:
    await open_modal(playground, modal("Form", field("f", element, optional=True)))
    await playground.actor("alice").submit()
    submitted = playground.deliveries("view_submission")[-1].payload["view"]["state"]["values"]
    assert submitted == {"f": {"f": {"type": element["type"], **value}}}


async def test_what_was_filled_in_is_submitted_as_slack_shapes_it(playground: Playground) -> None:
    choices = [option("a"), option("b")]
    blocks = [
        text_field("name"),
        field("one", {"type": "static_select", "options": choices}),
        field("many", {"type": "checkboxes", "options": choices}),
        field("who", {"type": "users_select"}),
        field("empty", {"type": "plain_text_input", "initial_value": "x"}, optional=True),
    ]
    await open_modal(playground, modal("Form", *blocks, private_metadata="r1"))
    alice = playground.actor("alice")
    await alice.submit({"name": "orders", "one": "b", "many": ["a"], "who": "ULENA00001", "empty": ""})
    payload = playground.deliveries("view_submission")[-1].payload
    values = payload["view"]["state"]["values"]
    assert values["name"]["name"]["value"] == "orders"
    assert values["one"]["one"]["selected_option"] == option("b")
    assert values["many"]["many"]["selected_options"] == [option("a")]
    assert values["who"]["who"]["selected_user"] == "ULENA00001"
    assert values["empty"]["empty"]["value"] is None
    assert payload["view"]["private_metadata"] == "r1"
    assert payload["response_urls"] == []
    assert "channel" not in payload
    with pytest.raises(ActError, match="not among the options"):
        await alice.submit({"one": "c"})
    with pytest.raises(ActError, match="no field"):
        await alice.submit({"nope": "c"})


async def test_the_client_itself_refuses_what_is_missing_or_malformed(playground: Playground) -> None:
    blocks = [
        field("short", {"type": "plain_text_input", "min_length": 3, "max_length": 5}),
        field(
            "number",
            {"type": "number_input", "is_decimal_allowed": False, "min_value": "2", "max_value": "4"},
        ),
        field("mail", {"type": "email_text_input"}, optional=True),
        field("url", {"type": "url_text_input"}, optional=True),
    ]
    await open_modal(playground, modal("Form", *blocks))
    alice = playground.actor("alice")
    assert set((await alice.submit()).errors) == {"short", "number"}
    for values in (
        {"short": "ab", "number": "3"},
        {"short": "abcdef", "number": "3"},
        {"short": "abc", "number": "2.5"},
        {"short": "abc", "number": "5"},
        {"short": "abc", "number": "x"},
        {"short": "abc", "number": "3", "mail": "nope"},
        {"short": "abc", "number": "3", "mail": "", "url": "nope"},
    ):
        assert len((await alice.submit(values)).errors) == 1, values
    assert playground.deliveries("view_submission") == []


async def answer_with(install: Install, **answer: Any) -> tuple[Playground, Any]:
    """A modal is open for Alice and the app answers its submission like this."""
    installed = await install()

    @installed.app.view("form")
    async def submitted(ack: Any) -> None:
        await ack(**answer)

    await open_modal(
        installed.playground, modal("Form", text_field("name"), {"type": "divider", "block_id": "line"})
    )
    result = await installed.playground.actor("alice").submit({"name": "orders"})
    return installed.playground, result


async def test_an_empty_answer_closes_the_view(install: Install) -> None:
    playground, result = await answer_with(install)
    assert result.ok
    assert titles(playground) == []


async def test_errors_stand_beside_their_fields_and_keep_the_view(install: Install) -> None:
    playground, result = await answer_with(install, response_action="errors", errors={"name": "is taken"})
    assert result.errors == {"name": "is taken"}
    assert titles(playground) == ["Form"]
    assert playground.actor("alice").view.values["name"]["name"]["value"] == "orders"


async def test_an_update_keeps_what_was_typed_under_the_same_names(install: Install) -> None:
    view = modal("Again", text_field("name"), text_field("other"))
    playground, result = await answer_with(install, response_action="update", view=view)
    assert result.ok
    values = playground.actor("alice").view.values
    assert values["name"]["name"]["value"] == "orders"
    assert values["other"]["other"]["value"] is None


async def test_a_push_goes_on_top_and_clear_removes_everything(install: Install) -> None:
    playground, _ = await answer_with(install, response_action="push", view=modal("Next"))
    assert titles(playground) == ["Form", "Next"]
    playground, _ = await answer_with(install, response_action="clear")
    assert titles(playground) == []


@pytest.mark.parametrize(
    "answer",
    [
        {"response_action": "errors", "errors": {"line": "not an input"}},
        {"response_action": "errors", "errors": {"nowhere": "no block"}},
        {"response_action": "update", "view": modal("x" * 25)},
        {"response_action": "update", "view": {"type": "home", "blocks": []}},
        {"response_action": "explode"},
    ],
)
async def test_an_answer_slack_does_not_take_is_trouble_for_the_person(
    install: Install, answer: dict[str, Any]
) -> None:
    playground, result = await answer_with(install, **answer)
    assert result.notice == "We had some trouble connecting. Try again?"
    assert titles(playground) == ["Form"]
    assert playground.deliveries("view_submission")[-1].note


async def test_cancel_tells_only_apps_that_asked(install: Install) -> None:
    installed = await install()
    playground = installed.playground
    closed: list[tuple[str, bool]] = []

    @installed.app.view_closed("form")
    async def view_closed(ack: Any, body: Any) -> None:
        await ack()
        closed.append((body["view"]["title"]["text"], body["is_cleared"]))

    alice = playground.actor("alice")
    await open_modal(playground, modal("Silent"))
    alice.close_view()
    await open_modal(playground, modal("Cancelled", notify_on_close=True))
    alice.close_view()
    await open_modal(playground, modal("Cleared", notify_on_close=True))
    alice.close_view(clear=True)
    await playground.until(lambda: sum(d.acknowledged for d in playground.deliveries("view_closed")) == 2)
    assert sorted(closed) == [("Cancelled", False), ("Cleared", True)]


async def test_a_button_in_a_view_carries_the_view_and_its_state(install: Install) -> None:
    installed = await install()
    seen: list[Any] = []

    @installed.app.action("check")
    async def check(ack: Any, body: Any) -> None:
        await ack()
        seen.append(body)

    button = {
        "type": "actions",
        "elements": [{"type": "button", "action_id": "check", "text": plain("Check")}],
    }
    await open_modal(installed.playground, modal("Form", text_field("name"), button))
    alice = installed.playground.actor("alice")
    assert (await alice.choose(alice.view, "name", "orders")).delivery is None
    assert (await alice.click(alice.view, "Check")).ok
    [body] = seen
    assert body["container"] == {"type": "view", "view_id": alice.view.id}
    assert body["view"]["state"]["values"]["name"]["name"]["value"] == "orders"
    assert "response_url" not in body
    assert "channel" not in body


async def test_an_input_dispatches_only_when_told(install: Install) -> None:
    installed = await install()
    seen: list[Any] = []

    @installed.app.action("env")
    async def env(ack: Any, body: Any) -> None:
        await ack()
        seen.append(body["actions"][0])

    select = {"type": "static_select", "options": [option("staging"), option("production")]}
    await open_modal(installed.playground, modal("Form", field("env", select, dispatch_action=True)))
    alice = installed.playground.actor("alice")
    assert (await alice.choose(alice.view, "env", "staging")).ok
    await alice.choose(alice.view, "env", None)
    assert [action["selected_option"] for action in seen] == [option("staging"), None]
    with pytest.raises(ActError, match="not among the options"):
        await alice.choose(alice.view, "env", "moon")


async def test_suggestions(install: Install) -> None:
    installed = await install()
    asked: list[str] = []

    @installed.app.options("service")
    async def options(ack: Any, payload: Any) -> None:
        asked.append(payload["value"])
        found = {
            "many": [option(f"o{n}") for n in range(101)],
            "two": [option("orders"), option("orders-ui")],
        }
        await ack(options=found.get(payload["value"], []))

    @installed.app.view("form")
    async def take(ack: Any) -> None:
        await ack()

    await open_modal(installed.playground, modal("Form", field("service", {"type": "external_select"})))
    alice = installed.playground.actor("alice")
    assert await alice.suggest(alice.view, "service", "tw") == {"options": []}
    assert asked == []
    found = await alice.suggest(alice.view, "service", "two")
    assert [item["value"] for item in found["options"]] == ["orders", "orders-ui"]
    assert await alice.suggest(alice.view, "service", "many") == {"error": "The options could not be loaded."}
    assert await alice.suggest(alice.view, "service", "none") == {"options": []}
    await alice.submit({"service": found["options"][0]})
    state = installed.playground.deliveries("view_submission")[-1].payload["view"]["state"]["values"]
    assert state["service"]["service"]["selected_option"]["value"] == "orders"


async def test_a_chosen_conversation_brings_a_response_url(playground: Playground) -> None:
    element = {"type": "conversations_select", "response_url_enabled": True}
    await open_modal(playground, modal("Form", field("where", element)))
    await playground.actor("alice").submit({"where": "CORDERS001"})
    [url] = playground.deliveries("view_submission")[-1].payload["response_urls"]
    assert url["channel_id"] == "CORDERS001"
    assert url["response_url"].startswith(playground.base_url)


async def test_the_home_tab_of_each_person(client: AsyncWebClient, playground: Playground) -> None:
    home = {"type": "home", "blocks": [{"type": "divider"}]}
    first = (await client.views_publish(user_id="UALICE0001", view=home))["view"]
    second = (await client.views_publish(user_id="UALICE0001", view=home, hash=first["hash"]))["view"]
    assert (second["id"], second["hash"] != first["hash"]) == (first["id"], True)
    with pytest.raises(SlackApiError, match="hash_conflict"):
        await client.views_publish(user_id="UALICE0001", view=home, hash=first["hash"])
    playground.actor("alice").open_home()
    event = (await playground.until(lambda: playground.deliveries("app_home_opened")))[-1].payload["event"]
    assert (event["tab"], event["user"], event["view"]["id"]) == ("home", "UALICE0001", first["id"])
    playground.actor("lena").open_home()
    lenas = await playground.until(
        lambda: [d for d in playground.deliveries() if d.payload["event"]["user"] == "ULENA00001"]
    )
    assert "view" not in lenas[0].payload["event"]
    with pytest.raises(SlackApiError, match="invalid_arguments"):
        await client.views_publish(user_id="UDAN000001", view=home)


async def test_without_a_home_tab_nothing_is_published(start_playground: StartPlayground) -> None:
    playground = await start_playground(make_manifest(home_tab=False))
    with pytest.raises(SlackApiError, match="not_enabled"):
        await web_client(playground).views_publish(
            user_id="UALICE0001", view={"type": "home", "blocks": [{"type": "divider"}]}
        )
    with pytest.raises(ActError):
        playground.actor("alice").open_home()


async def test_views_belong_to_one_person(playground: Playground) -> None:
    await open_modal(playground, modal("Form"))
    view = playground.actor("alice").view
    with pytest.raises(ActError):
        await playground.actor("lena").click(view, "x")
    with pytest.raises(ActError):
        _ = playground.actor("lena").view
    with pytest.raises(ActError):
        await playground.actor("lena").submit(view=view)
