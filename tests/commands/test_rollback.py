"""rollback: to what was healthy before, by a forward move; and the sentence where there is nothing to go back to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fake_backends import FakeAdmission, FakeEvidence
from fake_context import REQUEST_ID, FakeContext, FakeKnowledge, make_service

from bot.command import Scope
from bot.domain import Change, DeploymentRecord, plan_hash
from bot.errors import PolicyDeniedError, TemporaryBackendError, UsageError
from commands.rollback import Rollback, command, plan, scope
from integrations.ports import Health, Preview, ReleaseRef

ARGS = Rollback(service="orders")


@pytest.fixture
def ctx() -> FakeContext:
    """orders with three commits; production ran the first two and runs the third, degraded."""
    ctx = FakeContext(request_id=REQUEST_ID, knowledge=FakeKnowledge(services=[make_service()]))
    for subject in ("First", "Second", "Third"):
        ctx.backends.code_host.push("orders", subject)
    for number in (1, 2):
        runs(ctx, number)
    runs(ctx, 3, health=Health.DEGRADED)
    return ctx


def revision(ctx: FakeContext, number: int) -> str:
    """The first commit is 1."""
    return ctx.backends.code_host.repositories["orders"].commits[-number].sha


def runs(ctx: FakeContext, number: int, *, health: Health = Health.HEALTHY) -> None:
    ctx.backends.delivery.runs("orders", "production", revision(ctx, number), health=health)


def released(ctx: FakeContext, number: int) -> ReleaseRef:
    release = ctx.backends.code_host.release(
        "orders", "release", revision(ctx, number), request_id="r-before"
    )
    ctx.backends.delivery.runs("orders", "production", release.sha, health=Health.DEGRADED)
    return release


async def test_it_is_about_one_service_in_one_environment_and_shares_the_lock_with_promote(
    ctx: FakeContext,
) -> None:
    assert await scope(ARGS, ctx.actor, ctx.platform, ctx.knowledge) == Scope(
        permission="rollback:production",
        team="orders",
        service="orders",
        environment="production",
        active_key="release:orders:production",
    )


async def test_an_environment_that_follows_a_branch_is_rolled_back_by_git(ctx: FakeContext) -> None:
    with pytest.raises(UsageError, match="Staging follows the branch main by itself") as refused:
        await scope(Rollback(service="orders", environment="staging"), ctx.actor, ctx.platform, ctx.knowledge)
    assert set(refused.value.fields) == {"environment"}


async def test_by_default_it_goes_back_to_the_last_revision_that_was_healthy(ctx: FakeContext) -> None:
    planned = await plan(ctx, ARGS)
    now, goal = revision(ctx, 3), revision(ctx, 2)
    assert planned.title == "Roll back orders in production"
    assert planned.summary == f"From {now[:7]} back to {goal[:7]}."
    assert planned.changes == (
        Change(
            kind="ref",
            action="move",
            name="release",
            environment="production",
            detail=f"forward to the tree of {goal[:7]}",
        ),
        Change(
            kind="application",
            action="deploy",
            name="orders-production",
            environment="production",
            detail=goal[:7],
        ),
    )
    assert [step.key for step in planned.steps] == ["release", "deploy"]
    assert set(command.steps) == {"release", "deploy"}
    assert planned.steps[1].arguments["previous"] == now
    assert [one.subject for one in planned.commits] == ["Third"], "the commits that are taken out"
    assert planned.facts == {
        "target_revision": now,
        "target_health": "degraded",
        "target_ref": "",
        "goal_revision": goal,
        "rollback_known_good": "true",
    }
    assert planned.cost is None
    assert planned.announce == "orders ⟲ production"


def carried(ctx: FakeContext, number: int) -> None:
    """Production runs this revision, healthy, by a release commit of its own, as a rollback leaves it."""
    release = released(ctx, number)
    ctx.backends.delivery.runs("orders", "production", release.sha)
    record = DeploymentRecord(
        service="orders",
        environment="production",
        revision=release.revision,
        ref_revision=release.sha,
        healthy=True,
        deployed_by="UOMAR00001",
        deployed_at=ctx.now,
    )
    ctx.knowledge.deployments.insert(0, record)


async def test_after_a_rollback_the_next_one_goes_back_further(ctx: FakeContext) -> None:
    """The second runs by a release commit: going back means the first, not the second under its own name."""
    carried(ctx, 2)
    made = await plan(ctx, ARGS)
    assert made.facts["target_revision"] == revision(ctx, 2)
    assert made.facts["goal_revision"] == revision(ctx, 1)


async def test_a_revision_that_was_healthy_inside_a_release_commit_is_known_as_good(ctx: FakeContext) -> None:
    ctx.backends.delivery.past.clear()
    carried(ctx, 2)
    runs(ctx, 3, health=Health.DEGRADED)
    made = await plan(ctx, Rollback(service="orders", to=revision(ctx, 2)))
    assert made.facts["rollback_known_good"] == "true"


async def test_a_named_revision_is_judged_by_whether_it_was_ever_healthy_there(ctx: FakeContext) -> None:
    ctx.backends.code_host.repositories["orders"].tags["v1"] = revision(ctx, 1)
    known = await plan(ctx, Rollback(service="orders", to="v1"))
    assert (known.facts["goal_revision"], known.facts["rollback_known_good"]) == (revision(ctx, 1), "true")
    ctx.backends.delivery.past.clear()
    unknown = await plan(ctx, Rollback(service="orders", to="v1"))
    assert unknown.facts["rollback_known_good"] == "false"


async def test_the_ref_is_moved_from_where_the_plan_saw_it(ctx: FakeContext) -> None:
    release = released(ctx, 3)
    planned = await plan(ctx, ARGS)
    assert planned.steps[0].arguments["expected"] == release.sha
    assert planned.steps[0].arguments["previous"] == revision(ctx, 3)
    assert (planned.facts["target_revision"], planned.facts["target_ref"]) == (revision(ctx, 3), release.sha)


async def test_planning_changes_nothing_and_twice_gives_the_same_plan(ctx: FakeContext) -> None:
    assert plan_hash(await plan(ctx, ARGS), ()) == plan_hash(await plan(ctx, ARGS), ())
    assert ctx.backends.effects == []


ANOTHER: dict[str, Callable[[FakeContext], object]] = {
    "production runs something else": lambda ctx: runs(ctx, 1),
    "production recovered": lambda ctx: runs(ctx, 3),
    "the release ref was moved": lambda ctx: released(ctx, 3),
    "what was healthy is forgotten": lambda ctx: ctx.backends.delivery.past["orders", "production"].pop(1),
}


@pytest.mark.parametrize("change", ANOTHER.values(), ids=ANOTHER.keys())
async def test_other_facts_are_another_plan(
    ctx: FakeContext, change: Callable[[FakeContext], object]
) -> None:
    before = plan_hash(await plan(ctx, ARGS), ())
    change(ctx)
    assert plan_hash(await plan(ctx, ARGS), ()) != before


# ---------------------------------------------------------------- refusals


def nothing_runs(ctx: FakeContext) -> None:
    ctx.backends.delivery.applications.clear()


def never_healthy(ctx: FakeContext) -> None:
    ctx.backends.delivery.past.clear()


@pytest.mark.parametrize(
    ("arrange", "sentence"),
    [
        (
            nothing_runs,
            "`orders` runs nothing in production. `/platform promote orders --to production` brings it there.",
        ),
        (
            never_healthy,
            (
                "No other revision of `orders` was ever healthy there, so there is nothing to go back to. "
                "Name one with `--to`, or promote a repaired revision."
            ),
        ),
    ],
)
async def test_nothing_to_go_back_to_says_what_to_do_instead(
    ctx: FakeContext, arrange: Callable[[FakeContext], None], sentence: str
) -> None:
    arrange(ctx)
    with pytest.raises(PolicyDeniedError) as refused:
        await plan(ctx, ARGS)
    assert (refused.value.rule, refused.value.sentence) == ("something-to-roll-back", sentence)


async def test_what_runs_already_is_no_way_back(ctx: FakeContext) -> None:
    with pytest.raises(PolicyDeniedError, match=f"{revision(ctx, 3)[:7]} is what runs already"):
        await plan(ctx, Rollback(service="orders", to=revision(ctx, 3)))


async def test_a_revision_that_does_not_exist_is_said_beside_its_field(ctx: FakeContext) -> None:
    with pytest.raises(UsageError, match="has no commit or tag “v9”") as refused:
        await plan(ctx, Rollback(service="orders", to="v9"))
    assert set(refused.value.fields) == {"to"}


@pytest.mark.parametrize(
    ("backend", "method"),
    [("delivery", "get_application"), ("delivery", "history"), ("code_host", "find_release"),
     ("code_host", "compare")],
)  # fmt: skip
async def test_a_backend_that_is_away_is_never_taken_for_an_answer(
    ctx: FakeContext, backend: str, method: str
) -> None:
    getattr(ctx.backends, backend).faults[method] = TemporaryBackendError("away", backend=backend)
    with pytest.raises(TemporaryBackendError):
        await plan(ctx, ARGS)


# ---------------------------------------------------------------- what others say of it


async def test_what_would_be_refused_is_said_and_what_nobody_knows_holds_nothing_up(ctx: FakeContext) -> None:
    before = await plan(ctx, ARGS)
    goal = revision(ctx, 2)
    ctx.backends.delivery.rendered["orders", "production", goal] = [{"kind": "Deployment"}]
    ctx.backends.admission = admission = FakeAdmission(Preview(unknown=("the webhook timed out",)))
    ctx.backends.evidence = FakeEvidence()
    assert await plan(ctx, ARGS) == before, "no report and no answer change the way back"
    admission.says = Preview(denials=("Deployment orders: no-root: runs as root",))
    denied = await plan(ctx, ARGS)
    assert denied.facts["admission_denials"] == "Deployment orders: no-root: runs as root"
