"""The way in, over Socket Mode and over signed HTTP: commands, forms, clicks, suggestions, App Home, mentions."""

from __future__ import annotations

import aiohttp
import pytest
from stage import OpenStage, Stage

from playground.actor import buttons, shown_text, view_text

CREATE = "/platform create-service orders --team orders --template python-service"


# ---------------------------------------------------------------- commands


async def test_the_bare_command_lists_what_i_may_do_with_buttons(both: Stage) -> None:
    said = await both.types("alice", "/platform")
    assert "/platform create-service" in said
    assert "/platform promote" in said
    labels = [one["text"]["text"] for one in buttons(both.person("alice").ephemerals("#orders")[-1])]
    assert labels[:3] == ["Create a service", "Show how things stand", "Promote a service"]


async def test_who_may_only_look_is_offered_only_what_they_may_do(both: Stage) -> None:
    said = await both.types("noel", "/platform", channel="#platform")
    assert "/platform status" in said
    assert "/platform create-service" not in said
    assert "/platform approve" not in said


async def test_a_verb_is_explained(both: Stage) -> None:
    said = await both.types("alice", "/platform help promote")
    assert "/platform promote SERVICE [--to TO] [--version VERSION]" in said
    assert "For example: `/platform promote orders --to production`" in said


async def test_an_explained_verb_opens_its_form(both: Stage) -> None:
    alice = both.person("alice")
    await both.types("alice", "/platform help create-service")
    await alice.click(alice.ephemerals("#orders")[-1], "Open the form")
    assert (await alice.wait_for_view("Create a service")).payload["submit"]["text"] == "Continue"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("/platform stauts orders", "Did you mean `/platform status`?"),
        ("/platform xyzzy", "`/platform` lists what you can do."),
        ("/platform help promot", "Did you mean `/platform help promote`?"),
        ("/platform status ordres", "There is no service “ordres”."),
        ("/platform status r-2345678", "There is no request “r-2345678”."),
        ("/platform promote orders --colour red", "`promote` has no --colour."),
        ("/platform services one --after", "--after needs a value."),
        ("/platform whoami loudly", "I do not know what “loudly” means here."),
    ],
)
async def test_what_is_not_understood_is_answered_with_the_way_out(
    both: Stage, typed: str, expected: str
) -> None:
    assert expected in await both.types("alice", typed)


async def test_a_misspelled_service_suggests_the_nearest(both: Stage) -> None:
    await both.create("orders")
    assert "Did you mean `orders`?" in await both.types("alice", "/platform status ordres")


async def test_dashes_quotes_and_spaces_of_a_phone_are_understood(both: Stage) -> None:
    line = (
        "/platform create-service orders —team orders –\u2060-template\u00a0python-service "
        "—description “the buyers’ orders”"
    )
    await both.person("alice").command("#orders", line)
    card = await both.card("alice", "#orders", "Create service orders")
    request = await both.request(card)
    assert request.arguments["description"] == "the buyers' orders"
    assert request.arguments["template"] == "python-service"


async def test_a_keyboard_that_makes_text_pretty_changes_nothing(both: Stage) -> None:
    await both.person("alice").command("#orders", f'{CREATE} --description "all orders"', smart=True)
    card = await both.card("alice", "#orders", "Create service orders")
    assert (await both.request(card)).arguments["description"] == "all orders"


async def test_the_name_may_be_given_as_a_flag(both: Stage) -> None:
    await both.person("alice").command("#orders", CREATE.replace(" orders", " --name=orders", 1))
    await both.card("alice", "#orders", "Create service orders")


# ---------------------------------------------------------------- forms


async def test_missing_arguments_open_a_form_that_holds_what_was_typed(both: Stage) -> None:
    alice = both.person("alice")
    sent = await alice.command("#orders", "/platform create-service orders --db postgresql")
    assert sent.ok
    view = await alice.wait_for_view("Create a service")
    assert "This is needed." in view_text(view)
    await alice.submit({"team": "orders", "template": "python-service"})
    card = await both.card("alice", "#orders", "Create service orders")
    assert "claim `orders-staging-db`" in both.says(card)
    assert not alice.views()


async def test_the_verb_alone_opens_its_form(both: Stage) -> None:
    alice = both.person("alice")
    await alice.command("#orders", "/platform create-service")
    view = await alice.wait_for_view("Create a service")
    assert ":warning:" not in view_text(view)


async def test_a_wrong_argument_opens_the_form_and_the_other_fields_are_kept(both: Stage) -> None:
    alice = both.person("alice")
    await alice.command("#orders", CREATE.replace(" orders", " Orders_1", 1) + " --description hello")
    view = await alice.wait_for_view("Create a service")
    assert "“Orders_1” cannot be a name" in view_text(view)
    await alice.submit({"name": "orders-1"})
    card = await both.card("alice", "#orders", "Create service orders-1")
    assert (await both.request(card)).arguments["description"] == "hello"


async def test_a_wrong_environment_opens_the_form_with_the_service_kept(both: Stage) -> None:
    await both.create("orders")
    alice = both.person("alice")
    await alice.command("#orders", "/platform promote orders --to mars")
    view = await alice.wait_for_view("Promote a service")
    assert "There is no environment “mars”." in view_text(view)
    await alice.submit({"to": "production"})
    await both.card("alice", "#orders", "Promote orders to production")


async def test_errors_stand_beside_their_fields_and_a_corrected_form_goes_on(both: Stage) -> None:
    alice = both.person("alice")
    await alice.command("#orders", "/platform create-service")
    await alice.wait_for_view()
    values = {"name": "Not A Name", "team": "orders", "template": "python-service", "set": "nonsense"}
    refused = await alice.submit(values)
    assert not refused.ok
    assert set(refused.errors) == {"name", "set"}
    assert "cannot be a name" in refused.errors["name"]
    corrected = await alice.submit({**values, "name": "orders", "set": ""})
    assert corrected.ok, corrected
    await both.card("alice", "#orders", "Create service orders")


async def test_what_only_a_backend_knows_is_said_beside_its_field_too(both: Stage) -> None:
    alice = both.person("alice")
    await alice.command("#orders", "/platform create-service")
    await alice.wait_for_view()
    values = {"name": "orders", "team": "orders", "template": "python-service", "db": "redis"}
    refused = await alice.submit(values)
    assert "No Redis server" in refused.errors.get("db", ""), refused
    assert (await alice.submit({**values, "db": "none"})).ok
    await both.card("alice", "#orders", "Create service orders")


async def test_a_name_that_is_taken_is_said_in_the_form(both: Stage) -> None:
    await both.create("orders")
    alice = both.person("alice")
    await alice.command("#orders", "/platform create-service")
    await alice.wait_for_view()
    await alice.submit({"name": "orders", "team": "orders", "template": "python-service"})
    assert "`orders` exists already" in view_text(alice.view)


async def test_a_form_suggests_services_by_what_is_typed(both: Stage) -> None:
    await both.create("orders")
    await both.create("billing")
    alice = both.person("alice")
    await alice.command("#orders", "/platform promote")
    view = await alice.wait_for_view("Promote a service")
    offered = await alice.suggest(view, "suggest:services", "bil")
    assert [one["value"] for one in offered["options"]] == ["billing"]
    await alice.submit({"service": offered["options"][0]})
    await both.card("alice", "#orders", "Promote billing to production")


async def test_a_button_on_the_status_does_what_the_command_does(both: Stage) -> None:
    await both.create("orders")
    alice = both.person("alice")
    await both.types("alice", "/platform status orders")
    await alice.click(alice.ephemerals("#orders")[-1], "Promote to production")
    await both.card("alice", "#orders", "Promote orders to production")


async def test_a_status_is_refreshed_in_its_place(both: Stage) -> None:
    await both.create("orders")
    alice = both.person("alice")
    await both.types("alice", "/platform status orders")
    status = alice.ephemerals("#orders")[-1]
    sha = both.world.push("orders", "Add a page")
    await alice.click(status, "Refresh")
    assert sha[:7] in await both.told("alice", sha[:7])
    assert len([one for one in alice.ephemerals("#orders") if "Staging" in shown_text(one)]) == 1


# ---------------------------------------------------------------- App Home, mentions, messages


async def test_home_shows_what_waits_for_me_and_what_i_may_do(both: Stage) -> None:
    await both.create("orders")
    await both.promote("orders")
    lena = both.person("lena")
    lena.open_home()

    def shown() -> bool:
        home = lena.home()
        return home is not None and "Waits for you" in view_text(home)

    await both.playground.until(shown, what="Lena's home")
    home = lena.home()
    assert home is not None
    assert "Promote orders to production" in view_text(home)
    assert "Create a service" in [one["text"]["text"] for one in buttons(home)]


async def test_a_button_at_home_opens_its_form_and_the_card_comes_to_the_person(both: Stage) -> None:
    alice = both.person("alice")
    alice.open_home()
    await both.playground.until(lambda: alice.home() is not None, what="Alice's home")
    home = alice.home()
    assert home is not None
    await alice.click(home, "Create a service")
    await alice.wait_for_view("Create a service")
    await alice.submit({"name": "orders", "team": "orders", "template": "python-service"})
    await both.card("alice", "app", "Create service orders")


async def test_home_of_a_guest_says_why_it_is_empty(both: Stage) -> None:
    grace = both.person("grace")
    grace.open_home()
    await both.playground.until(lambda: grace.home() is not None, what="Grace's home")
    home = grace.home()
    assert home is not None
    assert "You are a guest in this workspace" in view_text(home)


async def test_a_mention_and_a_direct_message_are_greeted_once(both: Stage) -> None:
    alice = both.person("alice")
    both.playground.disturb_delivery("app_mention", "duplicate")
    await alice.say("#orders", f"<@{both.playground.world.app.bot_user_id}> hello")
    await both.card("alice", "#orders", "Type `/platform`")
    both.playground.disturb_delivery("message", "duplicate")
    await alice.say("app", "hello?")
    await both.card("alice", "app", "Type `/platform`")
    await both.types("alice", "/platform whoami")
    for channel in ("#orders", "app"):
        greetings = [one for one in alice.sees(channel) if "Type `/platform`" in shown_text(one)]
        assert len(greetings) == 1


# ---------------------------------------------------------------- not Slack


@pytest.mark.parametrize("headers", [{}, {"X-Slack-Signature": "v0=00", "X-Slack-Request-Timestamp": "1"}])
async def test_what_slack_did_not_sign_is_refused_without_a_word(
    open_stage: OpenStage, headers: dict[str, str]
) -> None:
    async with open_stage(delivery="http") as house, aiohttp.ClientSession() as session:
        form = {"command": "/platform", "text": "whoami", "user_id": "ULENA00001", "team_id": "TACME00001"}
        async with session.post(house.request_url, data=form, headers=headers) as answer:
            assert answer.status == 401
            assert "Lena" not in await answer.text()
