"""scaffold: a template of Backstage becomes a service like any other; what the platform knows is filled in, the rest is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from fake_context import REQUEST_ID, FakeContext, FakeKnowledge, FakeRun, make_service, step_record
from pydantic import ValidationError

from bot.command import Done, Pending
from bot.domain import JSON, plan_hash
from bot.errors import (
    BackendErrorKind,
    ConflictError,
    NotFoundError,
    PermanentBackendError,
    UsageError,
)
from commands.scaffold import Scaffold, command, plan, scope
from integrations.ports import (
    Entity,
    Finding,
    Parameter,
    Phase,
    ScaffolderTask,
    ScaffolderTemplate,
)

ARGS: dict[str, Any] = {"template": "node", "name": "orders", "team": "orders"}
TEMPLATE = ScaffolderTemplate(
    name="node",
    title="Node microservice",
    description="",
    revision="f" * 64,
    parameters=(
        Parameter("name", "Name", required=True),
        Parameter("owner", "Owner", required=True),
        Parameter("tier", "Tier", choices=("gold", "silver")),
    ),
    steps=("Fetch", "Publish"),
)


@dataclass
class FakeScaffolder:
    """One template; a task for each request, which stands where a test puts it."""

    templates: dict[str, ScaffolderTemplate] = field(default_factory=lambda: {"node": TEMPLATE})
    tasks: dict[str, ScaffolderTask] = field(default_factory=dict)
    values: dict[str, Mapping[str, str]] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)

    async def check(self) -> Sequence[Finding]:
        return []

    async def list_templates(self) -> Sequence[ScaffolderTemplate]:
        return list(self.templates.values())

    async def get_template(self, name: str) -> ScaffolderTemplate:
        if name not in self.templates:
            raise PermanentBackendError("not there", backend="Backstage", kind=BackendErrorKind.NOT_FOUND)
        return self.templates[name]

    async def ensure_task(
        self, template: str, *, values: Mapping[str, str], request_id: str
    ) -> ScaffolderTask:
        if request_id not in self.tasks:
            url = f"https://backstage.example.com/create/tasks/{template}-1"
            self.tasks[request_id] = ScaffolderTask(f"{template}-1", Phase.PENDING, "waiting", web_url=url)
            self.values[request_id] = values
        return self.tasks[request_id]

    async def get_task(self, task_id: str) -> ScaffolderTask | None:
        return next((one for one in self.tasks.values() if one.id == task_id), None)

    async def cancel_task(self, *, request_id: str) -> None:
        self.cancelled.append(request_id)

    def settle(self, phase: Phase, **changes: Any) -> None:
        self.tasks[REQUEST_ID] = replace(self.tasks[REQUEST_ID], phase=phase, **changes)


def args(**changes: str) -> Scaffold:
    return Scaffold(**{**ARGS, **changes})


@pytest.fixture
def scaffolder() -> FakeScaffolder:
    return FakeScaffolder()


@pytest.fixture
def ctx(scaffolder: FakeScaffolder) -> FakeContext:
    ctx = FakeContext(request_id=REQUEST_ID)
    ctx.backends.scaffolder = scaffolder
    return ctx


@pytest.fixture
def run(scaffolder: FakeScaffolder) -> FakeRun:
    run = FakeRun()
    run.backends.scaffolder = scaffolder
    return run


async def arguments(ctx: FakeContext) -> JSON:
    return (await plan(ctx, args())).steps[0].arguments


# ---------------------------------------------------------------- what is asked


async def test_one_name_is_created_once_whichever_way(ctx: FakeContext) -> None:
    found = await scope(args(), ctx.actor, ctx.platform, ctx.knowledge)
    assert (found.permission, found.team, found.active_key) == (
        "create-service",
        "orders",
        "create-service:orders",
    )


async def test_an_existing_service_and_an_unknown_team_are_refused(ctx: FakeContext) -> None:
    with pytest.raises(UsageError, match="no team “nobody”"):
        await scope(args(team="nobody"), ctx.actor, ctx.platform, ctx.knowledge)
    knowledge = FakeKnowledge(services=[make_service()])
    with pytest.raises(ConflictError, match="exists already"):
        await scope(args(), ctx.actor, ctx.platform, knowledge)


def test_names_follow_the_rule_of_services() -> None:
    with pytest.raises(ValidationError, match="3 to 40 characters"):
        args(name="Orders")


async def test_a_platform_without_a_scaffolder_says_so_and_help_does_not_offer_it(
    ctx: FakeContext,
) -> None:
    ctx.backends.scaffolder = None
    with pytest.raises(UsageError, match="runs no templates of Backstage"):
        await plan(ctx, args())
    helped = ctx.commands["help"]
    assert helped.answer is not None
    shown = str((await helped.answer(ctx, helped.args())).blocks)
    assert "/platform scaffold" not in shown
    assert "/platform create-service" in shown


# ---------------------------------------------------------------- the plan


async def test_the_plan_shows_the_steps_the_values_and_what_cannot_be_undone(ctx: FakeContext) -> None:
    made = await plan(ctx, args(set="tier=gold"))
    assert [(one.kind, one.action, one.name) for one in made.changes] == [
        ("template", "run", "node"),
        ("application", "create", "orders-staging"),
    ]
    assert made.changes[0].detail == "Fetch, Publish"
    assert made.notes == (
        "name: orders",
        "owner: group:default/orders",
        "tier: gold",
        "What the template's steps make is theirs: Backstage knows no undo.",
    )
    assert [one.key for one in made.steps] == ["repository", "application", "healthy"]
    assert all(one.key in command.steps for one in made.steps)


async def test_a_changed_template_is_another_plan(ctx: FakeContext, scaffolder: FakeScaffolder) -> None:
    before = plan_hash(await plan(ctx, args()), ())
    assert plan_hash(await plan(ctx, args()), ()) == before
    scaffolder.templates["node"] = replace(TEMPLATE, revision="e" * 64)
    assert plan_hash(await plan(ctx, args()), ()) != before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"template": "rust"}, "no template “rust”"),
        ({"set": "colour=red"}, "asks nothing called “colour”"),
        ({"set": "tier=bronze"}, "“bronze” is not on offer"),
    ],
)
async def test_wrong_input_names_what_is_accepted(
    ctx: FakeContext, changes: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        await plan(ctx, args(**changes))
    assert caught.value.fix


async def test_a_value_that_only_people_know_is_asked_for(
    ctx: FakeContext, scaffolder: FakeScaffolder
) -> None:
    more = (*TEMPLATE.parameters, Parameter("repoUrl", "Repository", required=True))
    scaffolder.templates["node"] = replace(TEMPLATE, parameters=more)
    with pytest.raises(UsageError, match="also asks for: repoUrl") as caught:
        await plan(ctx, args())
    assert caught.value.fix == "Add `--set repoUrl=…`; separate several by commas."
    given = "repoUrl=github.com?owner=acme&repo=orders"
    assert (await plan(ctx, args(set=given))).steps[0].arguments["values"]["repoUrl"] == given[8:]


async def test_a_name_that_somebody_else_has_is_refused_before_anything_runs(ctx: FakeContext) -> None:
    await ctx.backends.catalog.ensure_entity(
        Entity("orders", "", "", "payments", "legacy"), request_id="r-other"
    )
    with pytest.raises(ConflictError, match="belongs to payments"):
        await plan(ctx, args())


# ---------------------------------------------------------------- the run


async def test_the_card_follows_the_log_until_the_task_is_done(
    ctx: FakeContext, run: FakeRun, scaffolder: FakeScaffolder
) -> None:
    do = command.steps["repository"].do
    given = await arguments(ctx)
    assert await do(run, given) == Pending("waiting", after_seconds=2.0)
    scaffolder.settle(Phase.RUNNING, message="running step publish", events=("Pushed 12 files",))
    assert await do(run, given) == Pending("running step publish: Pushed 12 files", after_seconds=2.0)
    scaffolder.settle(Phase.READY, repository="https://git.example.com/orders.git", entity="component:orders")
    done = await do(run, given)
    assert isinstance(done, Done)
    assert done.output["clone_url"] == "https://git.example.com/orders.git"
    assert done.record is not None
    assert done.record.service is not None
    assert (done.record.service.golden_path, done.record.service.web_url) == (
        "node",
        "https://git.example.com/orders",
    )
    assert scaffolder.values == {REQUEST_ID: {"name": "orders", "owner": "group:default/orders"}}


async def test_the_code_host_knows_the_address_better_than_the_template(
    ctx: FakeContext, run: FakeRun, scaffolder: FakeScaffolder
) -> None:
    do = command.steps["repository"].do
    given = await arguments(ctx)
    await do(run, given)
    run.backends.code_host.add_repository("orders")
    scaffolder.settle(Phase.READY, repository="ssh://somewhere/else")
    done = await do(run, given)
    found = await run.backends.code_host.find_repository("orders")
    assert isinstance(done, Done)
    assert found is not None
    assert done.output["clone_url"] == found.clone_url


async def test_a_failed_task_says_why_and_where_its_log_is(
    ctx: FakeContext, run: FakeRun, scaffolder: FakeScaffolder
) -> None:
    do = command.steps["repository"].do
    given = await arguments(ctx)
    await do(run, given)
    scaffolder.settle(Phase.FAILED, message="Backstage's task failed: quota")
    with pytest.raises(PermanentBackendError, match="quota") as caught:
        await do(run, given)
    assert "https://backstage.example.com/create/tasks/node-1" in str(caught.value.fix)


async def test_a_template_that_names_no_repository_stops_the_run_with_the_way_out(
    ctx: FakeContext, run: FakeRun, scaffolder: FakeScaffolder
) -> None:
    do = command.steps["repository"].do
    given = await arguments(ctx)
    await do(run, given)
    scaffolder.settle(Phase.READY)
    with pytest.raises(NotFoundError, match="neither names a repository") as caught:
        await do(run, given)
    assert "output" in str(caught.value.fix)


async def test_the_undo_stops_the_task_and_says_what_stays(
    ctx: FakeContext, run: FakeRun, scaffolder: FakeScaffolder
) -> None:
    undo = command.steps["repository"].undo
    assert undo is not None
    done = await undo(run, await arguments(ctx), step_record("repository"))
    assert isinstance(done, Done)
    assert "what it made stays" in done.detail
    assert done.record is not None
    assert done.record.forget_service == "orders"
    assert scaffolder.cancelled == [REQUEST_ID]
