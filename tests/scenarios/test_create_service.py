"""Creating a service: the plan to confirm, what refuses it, what may be asked, and what happens when a step fails."""

from __future__ import annotations

import pytest
from memory_world import Repo, permanent, temporary
from stage import OpenStage, Stage, request_id

from integrations.ports import Entity, Phase, Repository
from playground.actor import view_text
from playground.messages import Message

LINE = "/platform create-service orders --team orders --template python-service"


async def test_the_requester_sees_exactly_what_will_happen_and_nothing_happens_yet(house: Stage) -> None:
    card = await house.propose("orders", db="postgresql")

    said = house.says(card)
    assert "2 files from python-service" in said
    assert "+ create claim `orders-staging-db` · postgresql, size small" in said
    assert "+ create application `orders-staging`" in said
    assert "+ register catalog entry `orders` · owner orders" in said
    assert "13 EUR a month" in said
    assert house.labels(card) == ["Create", "Cancel"]
    assert not house.world.repos


async def test_a_created_service_is_there_everywhere(house: Stage) -> None:
    card = await house.create("orders", db="postgresql")

    assert list(house.world.repos) == ["orders"]
    assert list(house.world.claims) == [("orders-staging-db", "staging")]
    assert house.world.apps["orders", "staging"].spec.secrets == ("orders-staging-db-secret",)
    assert list(house.world.entities) == ["orders"]
    assert "Owner: orders. Next: `/platform status orders`" in house.says(card)
    assert house.labels(card) == []
    assert "orders" in await house.types("alice", "/platform services")


@pytest.mark.parametrize("who", ["omar", "lena", "sam"])
async def test_nobody_else_confirms_what_one_person_asked_for(house: Stage, who: str) -> None:
    card = await house.propose("orders")
    await house.person(who).click(card, "confirm")
    await house.told(who, "Only <@UALICE0001>, who asked for it, can confirm this.")
    assert house.labels(card) == ["Create", "Cancel"]
    assert not house.world.repos


async def test_the_requester_cancels_a_plan(house: Stage) -> None:
    card = await house.propose("orders")
    await house.person("alice").click(card, "cancel")
    await house.until_shown(card, "cancelled")
    assert house.labels(card) == []
    again = await house.propose("orders")
    assert again.ts != card.ts


async def test_what_a_lead_cancelled_or_the_requester_confirmed_is_said_to_who_confirms_again(
    house: Stage,
) -> None:
    card = await house.propose("orders")
    await house.person("lena").click(card, "cancel")
    await house.person("alice").click(card, "confirm")
    assert (await house.told("alice", "Nothing was changed")).endswith(") was cancelled.")
    done = await house.create("billing")
    await house.person("alice").click(done, "confirm")
    await house.told("alice", "is decided already. It was approved and is done.")


async def test_a_confirmation_after_the_deadline_creates_nothing(house: Stage) -> None:
    card = await house.propose("orders")
    house.clock.advance(hours=2)
    await house.person("alice").click(card, "confirm")
    await house.told("alice", "expired")
    await house.expire()
    await house.until_shown(card, "expired")
    assert house.labels(card) == []
    assert not house.world.repos


# ---------------------------------------------------------------- names and arguments


async def test_a_service_of_that_name_exists(house: Stage) -> None:
    await house.create("orders")
    said = await house.types("alice", LINE)
    assert "`orders` exists already; it belongs to team orders." in said
    assert "/platform status orders" in said


async def test_a_repository_of_that_name_exists(house: Stage) -> None:
    url = "https://git.example.com/orders"
    house.world.repos["orders"] = Repo(Repository("orders", f"{url}.git", url, "main", None))
    said = await house.types("alice", LINE)
    assert "A repository called `orders` exists already" in said
    assert "Choose another name." in said


async def test_the_catalog_knows_that_name_and_its_words_stay_text(house: Stage) -> None:
    house.world.entities["orders"] = Entity("orders", "Orders", "", "<!channel>", "python-service")
    said = await house.types("alice", LINE)
    assert "The catalog has `orders` already; it belongs to &lt;!channel&gt;." in said


async def test_a_second_request_for_the_same_name_finds_the_first(house: Stage) -> None:
    card = await house.propose("orders")
    said = await house.types("omar", LINE)
    assert f"There is an open request for this already: `{request_id(card)}`" in said


async def test_a_reserved_name_is_refused_by_its_rule(house: Stage) -> None:
    said = await house.types("alice", LINE.replace(" orders", " backstage", 1))
    assert "The name backstage is reserved by the platform." in said


async def test_a_service_for_a_team_that_is_not_mine(house: Stage) -> None:
    said = await house.types("alice", LINE.replace("--team orders", "--team payments"))
    assert "You may not create a service for team Payments" in said
    assert "rights in one team are none in another" in said
    assert "<@UPRIYA0001>" in said


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"{LINE} --db redis", "No Redis server is configured here."),
        (LINE.replace("python-service", "node-service --db postgresql"), "Node service does not support"),
        (f"{LINE} --set colour=red", "Python service asks nothing called “colour”."),
        (f"{LINE} --set python_version=2.7", "Accepted: 3.11, 3.12."),
    ],
)
async def test_what_a_backend_cannot_do_opens_the_form_with_what_was_typed(
    house: Stage, line: str, expected: str
) -> None:
    alice = house.person("alice")
    await alice.command("#orders", line)
    view = await alice.wait_for_view("Create a service")
    assert expected in view_text(view)
    await alice.submit({"db": "none", "template": "python-service", "set": ""})
    card = await house.card("alice", "#orders", "Create service orders")
    assert "claim" not in house.says(card)


async def test_a_slow_refusal_comes_with_a_button_that_opens_the_form(house: Stage) -> None:
    alice = house.person("alice")
    house.world.slow("infrastructure.refusal", 1.2)
    assert "Making the plan" in await house.types("alice", f"{LINE} --db redis")
    await house.told("alice", "No Redis server is configured here.")
    await alice.click(alice.ephemerals("#orders")[-1], "Change and try again")
    await alice.wait_for_view("Create a service")
    house.world.slow("infrastructure.refusal", 0)
    await alice.submit({"db": "postgresql"})
    card = await house.card("alice", "#orders", "Create service orders")
    assert "claim `orders-staging-db`" in house.says(card)


async def test_answers_for_the_golden_path_reach_the_rendered_files(house: Stage) -> None:
    await house.person("alice").command("#orders", f'{LINE} --set "python_version=3.12, greeting=Hello you"')
    card = await house.card("alice", "#orders", "Create service orders")
    request = await house.request(card)
    assert request.plan is not None
    answers = request.plan.steps[0].arguments["answers"]
    assert (answers["python_version"], answers["greeting"]) == ("3.12", "Hello you")


async def test_a_machine_that_cannot_run_the_service_says_so_on_the_plan(house: Stage) -> None:
    await house.person("alice").command("#orders", LINE.replace("python-service", "go-service"))
    card = await house.card("alice", "#orders", "Create service orders")
    assert "This machine lacks go" in house.says(card)


# ---------------------------------------------------------------- approval, where the platform wants it


async def test_a_new_service_waits_for_approval_where_the_platform_says_so(open_stage: OpenStage) -> None:
    rule = {"from": "team_leads", "count": 1}
    async with open_stage(changes={"rules.create_service_approval": rule}) as house:
        card = await house.propose("orders")
        await house.person("alice").click(card, "confirm")
        await house.until_shown(card, "waiting for approval")
        assert "A new service needs approval by the leads of Orders." in house.says(card)
        assert not house.world.repos
        copy = await house.card("lena", "app", "Create service orders")
        await house.person("lena").click(copy, "Approve")
        await house.until_shown(card, "done")
        assert "<@ULENA00001> approved" in house.says(copy)


# ---------------------------------------------------------------- when a step fails

STEPS = {
    "code_host.ensure_repository": "Repository with the first commit",
    "infrastructure.ensure_claim": "postgresql for staging",
    "delivery.ensure_application": "Deployment to staging",
    "catalog.ensure_entity": "Catalog entry",
}


@pytest.mark.parametrize("call", STEPS)
async def test_a_temporary_failure_of_a_step_is_tried_again(house: Stage, call: str) -> None:
    card = await house.propose("orders", db="postgresql")
    house.world.fail(call, temporary(retry_after_seconds=0.02), times=2)
    await house.person("alice").click(card, "confirm")
    await house.until_shown(card, "done")
    assert house.world.calls.count(call) == 3


@pytest.mark.parametrize("call", STEPS)
async def test_a_refused_step_is_undone_with_all_before_it_and_the_card_says_so(
    house: Stage, call: str
) -> None:
    card = await house.propose("orders", db="postgresql")
    house.world.fail(call, permanent("the quota is used up"))
    await house.person("alice").click(card, "confirm")
    await house.until_shown(card, ":leftwards_arrow_with_hook: undone")

    said = house.says(card)
    assert f"{STEPS[call]}: the quota is used up" in said
    assert not house.world.repos
    assert not house.world.claims
    assert not house.world.apps
    assert not house.world.entities
    assert house.labels(card) == []
    events = await house.events(card)
    assert events[-1] == "request.undone"
    assert "There is no service" in await house.types("alice", "/platform status orders")
    await house.card("alice", "app", "failed and was undone")


async def test_steps_are_undone_in_reverse(house: Stage) -> None:
    card = await house.propose("orders", db="postgresql")
    house.world.fail("catalog.ensure_entity", permanent())
    await house.person("alice").click(card, "confirm")
    await house.until_shown(card, "undone")
    removed = [call for call in house.world.calls if ".remove_" in call]
    assert removed == [
        "catalog.remove_entity",
        "delivery.remove_application",
        "infrastructure.remove_claim",
        "code_host.remove_repository",
    ]


async def _stopped(house: Stage) -> Message:
    """A request whose database is not there when its time is over."""
    house.world.claim_phase = Phase.PENDING
    card = await house.propose("orders", db="postgresql")
    await house.person("alice").click(card, "confirm")
    await house.until_shown(card, "postgresql is pending")
    house.clock.advance(hours=1)
    await house.until_shown(card, "stopped, a choice is needed")
    return card


async def test_a_step_that_runs_out_of_time_leaves_the_choice_to_people(house: Stage) -> None:
    card = await _stopped(house)
    assert house.labels(card) == ["Retry from here", "Undo"]
    assert "It could not be finished in time" in house.says(card)
    assert list(house.world.repos) == ["orders"]
    await house.card("alice", "app", "stopped; the card asks you to choose")


async def test_retry_from_here_goes_on_where_it_stopped(house: Stage) -> None:
    card = await _stopped(house)
    house.world.claim_phase = Phase.READY
    await house.person("alice").click(card, "Retry from here")
    await house.until_shown(card, "done")
    assert house.world.calls.count("code_host.ensure_repository") == 1


async def test_undo_takes_everything_back(house: Stage) -> None:
    card = await _stopped(house)
    await house.person("alice").click(card, "Undo")
    await house.until_shown(card, "undone")
    assert not house.world.repos
    assert not house.world.claims


async def test_who_has_nothing_to_do_with_it_may_not_choose(house: Stage) -> None:
    card = await _stopped(house)
    await house.person("omar").click(card, "Undo")
    await house.told("omar", "it is <@UALICE0001>'s request. Nothing was changed.")
    assert house.labels(card) == ["Retry from here", "Undo"]
    await house.person("lena").click(card, "Undo")
    await house.until_shown(card, "undone")


async def test_two_choices_at_once_are_one(house: Stage) -> None:
    card = await _stopped(house)
    house.world.claim_phase = Phase.READY
    await house.person("alice").click(card, "Retry from here")
    await house.person("lena").click(card, "Undo")
    await house.told("lena", "is not stopped any more")
    await house.until_shown(card, "done")
    assert (await house.events(card)).count("request.retried") == 1


async def test_a_failed_undo_stops_and_offers_the_choice_again(house: Stage) -> None:
    card = await house.propose("orders", db="postgresql")
    house.world.fail("catalog.ensure_entity", permanent("the quota is used up"))
    house.world.fail("infrastructure.remove_claim", permanent("the database is protected"))
    await house.person("alice").click(card, "confirm")
    await house.until_shown(card, "stopped, a choice is needed")
    assert "Undo failed at postgresql for staging: the database is protected" in house.says(card)
    await house.person("alice").click(card, "Undo")
    await house.until_shown(card, "undone")
    assert not house.world.repos
