"""create-service: what it refuses, the exact plan, and each step done and undone twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import people_made as made
import pytest
from fake_backends import python_service, sha
from fake_context import REQUEST_ID, FakeContext, FakeKnowledge, FakeRun, make_service, step_record
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.command import Done, Pending, Scope
from bot.domain import JSON, Change, OnFailure, plan_hash
from bot.errors import (
    BackendErrorKind,
    ConflictError,
    PermanentBackendError,
    TemporaryBackendError,
    UsageError,
)
from bot.new_service import parse_answers
from commands.create_service import CreateService, command, plan, scope
from integrations.ports import Entity, Health, Parameter, Preview

ARGS: dict[str, Any] = {"name": "orders", "team": "orders", "template": "python-service"}


def args(**changes: str) -> CreateService:
    return CreateService(**{**ARGS, **changes})


@pytest.fixture
def ctx() -> FakeContext:
    return FakeContext(request_id=REQUEST_ID)


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize("name", ["ord", "a-b", "orders-2", "x" * 40])
def test_names_that_are_accepted(name: str) -> None:
    assert args(name=name).name == name


@pytest.mark.parametrize(
    "name", ["", "or", "Orders", "1st", "-a-", "ab-", "a_b", "a.b", "x" * 41, "ord\n", "órders"]
)
def test_names_that_are_refused_say_what_is_accepted(name: str) -> None:
    if name == "ord\n":
        assert args(name=name).name == "ord", "white space around what was typed is not part of it"
        return
    with pytest.raises(ValidationError, match="3 to 40 characters"):
        args(name=name)


def test_an_unknown_database_and_a_long_description_are_refused() -> None:
    with pytest.raises(ValidationError, match="'none', 'postgresql' or 'redis'"):
        args(db="oracle")
    assert args(description="x" * 200)
    with pytest.raises(ValidationError, match="201 characters; accepted: at most 200"):
        args(description="x" * 201)


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        (" a = 1 , b=two words,c=", {"a": "1", "b": "two words", "c": ""}),
        ("a=1\nb=x=y", {"a": "1", "b": "x=y"}),
    ],
)
def test_template_answers_are_pairs(text: str, answers: dict[str, str]) -> None:
    assert parse_answers(text) == answers


@pytest.mark.parametrize(("text", "part"), [("alone", "alone"), ("a=1,=2", "=2"), ("a=1, b", "b")])
def test_an_answer_that_is_no_pair_is_named(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=f"“{part}” is not key=value"):
        parse_answers(text)
    with pytest.raises(ValidationError, match="is not key=value"):
        args(set=text)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), st.text("abc =:/", max_size=9)))
def test_pairs_read_back_as_they_were_meant(answers: dict[str, str]) -> None:
    meant = {key: value.strip() for key, value in answers.items()}
    assert parse_answers(",".join(f"{key}={value}" for key, value in answers.items())) == meant


# ---------------------------------------------------------------- scope


async def test_the_request_is_about_the_new_name_in_the_owning_team(ctx: FakeContext) -> None:
    assert await scope(args(), ctx.actor, ctx.platform, ctx.knowledge) == Scope(
        permission="create-service", team="orders", service="orders", active_key="create-service:orders"
    )


@pytest.mark.parametrize(
    ("changes", "sentence", "field"),
    [
        ({"team": "moon"}, "There is no team “moon”. Accepted: orders, payments.", "team"),
        (
            {"template": "cobol"},
            "There is no golden path “cobol”. Accepted: python-service, node-service, go-service.",
            "template",
        ),
    ],
)
async def test_what_is_not_on_offer_is_said_beside_its_field(
    ctx: FakeContext, changes: dict[str, str], sentence: str, field: str
) -> None:
    with pytest.raises(UsageError) as refused:
        await scope(args(**changes), ctx.actor, ctx.platform, ctx.knowledge)
    assert refused.value.sentence == sentence
    assert set(refused.value.fields) == {field}
    assert refused.value.given["name"] == "orders"


async def test_a_name_in_use_names_its_owner(ctx: FakeContext) -> None:
    knowledge = FakeKnowledge(services=[make_service("orders", team="payments")])
    with pytest.raises(ConflictError) as refused:
        await scope(args(), ctx.actor, ctx.platform, knowledge)
    assert refused.value.sentence == (
        "`orders` exists already; it belongs to team payments. "
        "Choose another name, or look at it: `/platform status orders`."
    )


# ---------------------------------------------------------------- the plan


async def test_the_plan_says_exactly_what_will_exist(ctx: FakeContext) -> None:
    made_plan = await plan(ctx, args(db="postgresql", description="Takes orders"))
    assert made_plan.title == "Create service orders"
    assert made_plan.summary == "Python service for team orders, running in staging."
    assert made_plan.changes == (
        Change(
            kind="repository",
            action="create",
            name="orders",
            detail="2 files from python-service 111111111111",
        ),
        Change(
            kind="claim",
            action="create",
            name="orders-staging-db",
            environment="staging",
            detail="postgresql, size small",
        ),
        Change(
            kind="application",
            action="create",
            name="orders-staging",
            environment="staging",
            detail="syncs by itself",
        ),
        Change(kind="catalog entry", action="register", name="orders", detail="owner orders"),
    )
    assert [step.key for step in made_plan.steps] == [
        "repository",
        "claim",
        "application",
        "catalog",
        "healthy",
    ]
    assert made_plan.facts == {
        "template": "python-service", "template_revision": "1" * 64, "name": "orders"
    }  # fmt: skip
    assert made_plan.cost is not None
    assert made_plan.cost.monthly == 13
    assert made_plan.on_failure is OnFailure.UNDO
    assert (made_plan.announce, made_plan.notes, made_plan.commits) == ("", (), ())


async def test_every_step_of_every_plan_is_one_the_command_can_do(ctx: FakeContext) -> None:
    for database in ("none", "postgresql"):
        made_plan = await plan(ctx, args(db=database))
        keys = [step.key for step in made_plan.steps]
        assert set(keys) <= set(command.steps)
        assert len(keys) == len(set(keys))
        assert ("claim" in keys) is (database != "none")


async def test_planning_changes_nothing_and_twice_gives_the_same_plan(ctx: FakeContext) -> None:
    first, second = await plan(ctx, args(db="postgresql")), await plan(ctx, args(db="postgresql"))
    assert plan_hash(first, ()) == plan_hash(second, ())
    assert ctx.backends.effects == []


async def test_a_plan_made_again_while_its_own_steps_are_half_done_is_the_same(ctx: FakeContext) -> None:
    before = await plan(ctx, args())
    ctx.backends.code_host.add_repository("orders", request_id=REQUEST_ID)
    assert plan_hash(await plan(ctx, args()), ()) == plan_hash(before, ())


ANOTHER: dict[str, Callable[[FakeContext], dict[str, str]]] = {
    "the golden path changed": lambda ctx: (
        ctx.backends.golden_paths.paths.update({"python-service": python_service(revision="2" * 64)}) or {}
    ),
    "another database": lambda _ctx: {"db": "postgresql"},
    "another description": lambda _ctx: {"description": "Something else"},
    "another health path": lambda ctx: (
        ctx.backends.golden_paths.paths.update({"python-service": python_service(health_path="/up")}) or {}
    ),
}


@pytest.mark.parametrize("change", ANOTHER.values(), ids=ANOTHER.keys())
async def test_other_facts_are_another_plan(
    ctx: FakeContext, change: Callable[[FakeContext], dict[str, str]]
) -> None:
    before = plan_hash(await plan(ctx, args()), ())
    changes = change(ctx)
    assert plan_hash(await plan(ctx, args(**changes)), ()) != before


async def test_what_this_machine_lacks_is_noted(ctx: FakeContext) -> None:
    ctx.backends.golden_paths.paths["python-service"] = python_service(missing=("go", "make"))
    assert (await plan(ctx, args())).notes == (
        "This machine lacks go, make: the service cannot run here until it is installed.",
    )


async def test_answers_to_the_golden_path_reach_the_repository_step(ctx: FakeContext) -> None:
    parameters = (Parameter("port", "Port"), Parameter("size", "Size", choices=("s", "l")))
    ctx.backends.golden_paths.paths["python-service"] = python_service(parameters=parameters)
    made_plan = await plan(ctx, args(set="port=8080,size=l"))
    assert made_plan.steps[0].arguments["answers"] == {
        "port": "8080",
        "size": "l",
        "service_name": "orders",
        "team": "orders",
        "owner": "group:default/orders",
        "description": "orders, a service of team orders",
        "database": "none",
    }


async def test_what_the_golden_path_asks_of_itself_cannot_be_answered_for_it(ctx: FakeContext) -> None:
    """`service_name` is the platform's answer, whatever a person types."""
    ctx.backends.golden_paths.paths["python-service"] = python_service(
        parameters=(Parameter("service_name", "Name"),)
    )
    made_plan = await plan(ctx, args(set="service_name=evil"))
    assert made_plan.steps[0].arguments["answers"]["service_name"] == "orders"


REFUSED = {
    "an answer nobody asked for": (
        {"set": "colour=red"},
        "Python service asks nothing called “colour”. It asks: size.",
        "set",
    ),
    "an answer that is not on offer": (
        {"set": "size=xxl"},
        "size: “xxl” is not on offer. Accepted: s, l.",
        "set",
    ),
    "a database the golden path does not know": (
        {"db": "redis"},
        "Python service does not support redis. It supports: postgresql, none.",
        "db",
    ),
    "a database that cannot be made here": (
        {"db": "postgresql"},
        "There is no PostgreSQL on this machine.",
        "db",
    ),
}


@pytest.mark.parametrize(("changes", "sentence", "field"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_plan_that_cannot_be_made_says_why_beside_the_field(
    ctx: FakeContext, changes: dict[str, str], sentence: str, field: str
) -> None:
    ctx.backends.golden_paths.paths["python-service"] = python_service(
        parameters=(Parameter("size", "Size", choices=("s", "l")),)
    )
    ctx.backends.infrastructure.refusals["postgresql"] = "There is no PostgreSQL on this machine."
    with pytest.raises(UsageError) as refused:
        await plan(ctx, args(**changes))
    assert refused.value.sentence == sentence
    assert set(refused.value.fields) == {field}


async def test_a_repository_or_catalog_entry_of_that_name_is_never_adopted(ctx: FakeContext) -> None:
    ctx.backends.code_host.add_repository("orders", request_id="r-other")
    with pytest.raises(ConflictError, match=r"A repository called `orders` exists already") as one:
        await plan(ctx, args())
    assert "https://git.example.com/orders" in one.value.sentence
    ctx.backends.catalog.entities["billing"] = Entity("billing", "Billing", "", "payments", "go-service")
    with pytest.raises(ConflictError, match="The catalog has `billing` already; it belongs to payments"):
        await plan(ctx, args(name="billing"))


async def test_a_backend_that_is_away_is_no_refusal(ctx: FakeContext) -> None:
    ctx.backends.catalog.faults["find_entity"] = TemporaryBackendError("away", backend="catalog")
    with pytest.raises(TemporaryBackendError):
        await plan(ctx, args())


async def test_what_admission_says_to_the_claim_is_in_the_plan(ctx: FakeContext) -> None:
    ctx.backends.infrastructure.previews["orders-staging-db"] = Preview(
        denials=("DatabaseClaim orders-staging-db: require-cost-center: the label is missing",)
    )
    denied = await plan(ctx, args(db="postgresql"))
    assert denied.facts["admission_denials"].endswith("require-cost-center: the label is missing")
    assert "admission_denials" not in (await plan(ctx, args())).facts


async def test_the_application_is_previewed_with_an_address_that_stands_for_the_repository_s(
    ctx: FakeContext,
) -> None:
    ctx.backends.delivery.previews["orders", "staging"] = Preview(denials=("no project orders",))
    made_plan = await plan(ctx, args())
    assert made_plan.notes == ("May be refused: no project orders",)
    assert made_plan.facts.keys() == {"template", "template_revision", "name"}


# ---------------------------------------------------------------- the steps


async def planned(ctx: FakeContext, key: str) -> JSON:
    made_plan = await plan(ctx, args(description="Takes orders"))
    return next(step.arguments for step in made_plan.steps if step.key == key)


@pytest.fixture
def run(ctx: FakeContext) -> FakeRun:
    return FakeRun(backends=ctx.backends)


async def test_the_repository_is_made_once_and_recorded_with_the_service(
    ctx: FakeContext, run: FakeRun
) -> None:
    arguments = await planned(ctx, "repository")
    first = await command.steps["repository"].do(run, arguments)
    assert first == await command.steps["repository"].do(run, arguments)
    assert ctx.backends.code_host.effects == ["ensure_repository orders", "ensure_first_commit orders"]
    assert isinstance(first, Done)
    assert first.output["clone_url"] == "file:///git/orders.git"
    assert first.record is not None
    assert first.record.service == make_service(request_id=REQUEST_ID)
    tree = ctx.backends.code_host.repositories["orders"].first_tree
    assert tree is not None
    assert b"('repository_url', 'https://git.example.com/orders')" in tree["README.md"].content


async def test_the_repository_comes_from_the_content_that_was_approved(
    ctx: FakeContext, run: FakeRun
) -> None:
    arguments = await planned(ctx, "repository")
    ctx.backends.golden_paths.paths["python-service"] = python_service(revision="2" * 64)
    with pytest.raises(PermanentBackendError, match="changed since the plan was made"):
        await command.steps["repository"].do(run, arguments)


async def test_the_repository_is_undone_once_and_the_service_forgotten(
    ctx: FakeContext, run: FakeRun
) -> None:
    arguments = await planned(ctx, "repository")
    step = command.steps["repository"]
    assert step.undo is not None
    await step.do(run, arguments)
    for _ in range(2):
        undone = await step.undo(run, arguments, step_record("repository"))
        assert isinstance(undone, Done)
        assert undone.record is not None
        assert undone.record.forget_service == "orders"
    assert ctx.backends.code_host.repositories == {}


async def test_a_half_made_repository_is_finished(ctx: FakeContext, run: FakeRun) -> None:
    arguments = await planned(ctx, "repository")
    for method in ("ensure_repository", "ensure_first_commit"):
        ctx.backends.code_host.lost_answers.add(method)
        with pytest.raises(TemporaryBackendError):
            await command.steps["repository"].do(run, arguments)
    assert isinstance(await command.steps["repository"].do(run, arguments), Done)
    assert ctx.backends.code_host.effects == ["ensure_repository orders", "ensure_first_commit orders"]


async def test_the_catalog_learns_the_owner_once_and_forgets_once(ctx: FakeContext, run: FakeRun) -> None:
    step, arguments = command.steps["catalog"], await planned(ctx, "catalog")
    run.outputs["repository"] = {"web_url": "https://git.example.com/orders"}
    for _ in range(2):
        assert await step.do(run, arguments) == Done(detail="owner orders", external_id="orders")
    entity = ctx.backends.catalog.entities["orders"]
    assert (entity.owner, entity.request_id) == ("orders", REQUEST_ID)
    assert entity.links == {"Repository": "https://git.example.com/orders"}
    assert step.undo is not None
    for _ in range(2):
        await step.undo(run, arguments, step_record("catalog"))
    assert ctx.backends.catalog.effects == ["ensure_entity orders", "remove_entity orders"]


async def test_a_taken_catalog_name_fails_for_good_and_stays_the_others(
    ctx: FakeContext, run: FakeRun
) -> None:
    step, arguments = command.steps["catalog"], await planned(ctx, "catalog")
    run.outputs["repository"] = {"web_url": "https://git.example.com/orders"}
    theirs = Entity("orders", "Orders", "", "payments", "go-service", request_id="r-other")
    ctx.backends.catalog.entities["orders"] = theirs
    with pytest.raises(PermanentBackendError) as refused:
        await step.do(run, arguments)
    assert refused.value.kind is BackendErrorKind.ALREADY_EXISTS
    assert step.undo is not None
    await step.undo(run, arguments, step_record("catalog"))
    assert ctx.backends.catalog.entities == {"orders": theirs}


async def test_the_service_is_done_only_when_it_answers_healthy(ctx: FakeContext, run: FakeRun) -> None:
    step, arguments, delivery = command.steps["healthy"], await planned(ctx, "healthy"), ctx.backends.delivery
    assert await step.do(run, arguments) == Pending("waiting for staging to know it")
    for health in Health:
        delivery.runs("orders", "staging", None, health=health)
        waiting = await step.do(run, arguments)
        assert waiting == Pending(f"staging says {health.value}"), "without a revision nothing is healthy"
    revision = sha("first")
    delivery.runs("orders", "staging", revision, health=Health.UNKNOWN, message="no answer yet")
    assert await step.do(run, arguments) == Pending("no answer yet")
    delivery.runs("orders", "staging", revision)
    done = await step.do(run, arguments)
    assert isinstance(done, Done)
    assert done.detail == f"{revision[:7]} is healthy in staging"
    assert done.record is not None
    assert done.record.deployment is not None
    assert (done.record.deployment.revision, done.record.deployment.healthy) == (revision, True)
    assert delivery.effects == []


async def test_looking_at_health_has_nothing_to_undo() -> None:
    assert command.steps["healthy"].undo is None


async def test_a_person_of_another_team_is_no_matter_of_this_command(ctx: FakeContext) -> None:
    """Rights are judged by `bot.access` from the scope; the command asks for them in the owning team."""
    asked = await scope(args(team="payments"), made.alice(), ctx.platform, ctx.knowledge)
    assert (asked.permission, asked.team) == ("create-service", "payments")


async def test_the_plan_is_made_for_the_first_environment_whatever_it_is_called(ctx: FakeContext) -> None:
    first, *rest = ctx.platform.environments
    ctx.platform = replace(ctx.platform, environments=(replace(first, name="dev"), *rest))
    assert (await plan(ctx, args())).environment == "dev"
