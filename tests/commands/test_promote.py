"""promote: what may move, the exact plan, and the sentence for everything that may not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from fake_backends import FakeAdmission, FakeEvidence
from fake_context import REQUEST_ID, FakeContext, FakeKnowledge, make_service

from bot.command import Scope
from bot.domain import Change, WatchRule, plan_hash
from bot.errors import NotFoundError, PolicyDeniedError, TemporaryBackendError, UsageError
from commands.promote import Promote, command, plan, scope
from integrations.ports import (
    Claim,
    EvidenceKind,
    EvidenceReport,
    EvidenceVerdict,
    Health,
    Phase,
    Preview,
    ReleaseRef,
)

ARGS = Promote(service="orders")


@pytest.fixture
def ctx() -> FakeContext:
    """orders with three commits; the second runs healthy in staging, nothing in production."""
    ctx = FakeContext(request_id=REQUEST_ID, knowledge=FakeKnowledge(services=[make_service()]))
    for subject in ("First", "Second", "Third"):
        ctx.backends.code_host.push("orders", subject, files=[f"src/{subject.lower()}.py"])
    runs(ctx, "staging", 2)
    return ctx


def revision(ctx: FakeContext, number: int) -> str:
    """The first commit is 1."""
    return ctx.backends.code_host.repositories["orders"].commits[-number].sha


def runs(ctx: FakeContext, environment: str, number: int, *, health: Health = Health.HEALTHY) -> None:
    ctx.backends.delivery.runs("orders", environment, revision(ctx, number), health=health)


def released(ctx: FakeContext, number: int) -> ReleaseRef:
    """Production runs the release commit that carries this revision."""
    release = ctx.backends.code_host.release(
        "orders", "release", revision(ctx, number), request_id="r-before"
    )
    ctx.backends.delivery.runs("orders", "production", release.sha)
    return release


# ---------------------------------------------------------------- scope


@pytest.mark.parametrize("to", ["", "production"])
async def test_the_last_environment_is_meant_where_none_is_named(ctx: FakeContext, to: str) -> None:
    assert await scope(Promote(service="ORDERS", to=to), ctx.actor, ctx.platform, ctx.knowledge) == Scope(
        permission="promote:production",
        team="orders",
        service="orders",
        environment="production",
        active_key="release:orders:production",
    )


@pytest.mark.parametrize(
    ("args", "error", "sentence"),
    [
        (Promote(service="ordres"), NotFoundError, "There is no service “ordres”. Did you mean `orders`?"),
        (
            Promote(service="xyz"),
            NotFoundError,
            "There is no service “xyz”. `/platform services` lists what exists.",
        ),
        (
            Promote(service="orders", to="moon"),
            UsageError,
            "There is no environment “moon”. Accepted: production.",
        ),
        (
            Promote(service="orders", to="staging"),
            UsageError,
            (
                "Staging follows the branch main by itself. "
                "Push there (or `git revert`), and it is deployed at once. By promotion: production."
            ),
        ),
    ],
)
async def test_what_cannot_be_promoted_is_said_before_anything_is_recorded(
    ctx: FakeContext, args: Promote, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error) as refused:
        await scope(args, ctx.actor, ctx.platform, ctx.knowledge)
    assert refused.value.sentence == sentence  # type: ignore[attr-defined]
    if isinstance(refused.value, UsageError):
        assert refused.value.fields == {"to": "Accepted: production."}


# ---------------------------------------------------------------- the plan


async def test_a_first_promotion_brings_the_application_and_every_commit(ctx: FakeContext) -> None:
    planned = await plan(ctx, ARGS)
    goal = revision(ctx, 2)
    assert planned.title == "Promote orders to production"
    assert planned.summary == f"{goal[:7]} from staging, for the first time."
    assert [step.key for step in planned.steps] == ["application", "release", "deploy"]
    assert planned.changes == (
        Change(kind="application", action="create", name="orders-production", environment="production"),
        Change(kind="ref", action="move", name="release", environment="production", detail=f"to {goal[:7]}"),
        Change(
            kind="application",
            action="deploy",
            name="orders-production",
            environment="production",
            detail=f"{goal[:7]}; back by itself if it degrades",
        ),
    )
    assert [one.subject for one in planned.commits] == ["Second", "First"]
    assert [one.path for one in planned.files] == ["src/second.py", "src/first.py"]
    assert planned.facts == {
        "source_environment": "staging",
        "source_revision": goal,
        "source_health": "healthy",
        "target_revision": "",
        "target_health": "",
        "target_ref": "",
        "relation": "ahead",
    }
    assert planned.cost is not None
    assert planned.cost.monthly == 12
    assert planned.announce == "orders → production"
    assert planned.arguments == {"service": "orders", "to": "production", "version": ""}


async def test_a_later_promotion_counts_from_the_approved_revision_that_runs(ctx: FakeContext) -> None:
    release = released(ctx, 1)
    planned = await plan(ctx, ARGS)
    goal = revision(ctx, 2)
    assert planned.summary == f"{goal[:7]} from staging, instead of {revision(ctx, 1)[:7]}."
    assert [one.subject for one in planned.commits] == ["Second"]
    assert [step.key for step in planned.steps] == ["release", "deploy"]
    move, deploy = planned.steps
    assert move.arguments == {
        "service": "orders",
        "ref": "release",
        "revision": goal,
        "expected": release.sha,
        "previous": revision(ctx, 1),
    }
    assert deploy.arguments["previous"] == release.sha, "what degrades is rolled back to what really ran"
    assert (planned.facts["target_revision"], planned.facts["target_ref"]) == (revision(ctx, 1), release.sha)
    assert planned.cost is None, "what runs already costs nothing more"


async def test_a_named_version_is_resolved_to_its_full_revision(ctx: FakeContext) -> None:
    ctx.backends.code_host.repositories["orders"].tags["v1"] = revision(ctx, 1)
    runs(ctx, "staging", 1)
    runs(ctx, "staging", 2)
    for name in ("v1", revision(ctx, 1)[:10]):
        planned = await plan(ctx, Promote(service="orders", version=name))
        assert planned.facts["source_revision"] == revision(ctx, 1)
        assert planned.facts["source_health"] == "healthy", "healthy there once is enough when it is named"


@pytest.mark.parametrize(
    ("number", "health", "word"),
    [(2, Health.DEGRADED, "degraded"), (1, Health.DEGRADED, "degraded"), (3, None, "missing")],
)
async def test_a_version_that_was_never_healthy_before_is_not_called_healthy(
    ctx: FakeContext, number: int, health: Health | None, word: str
) -> None:
    """The rules refuse it; the plan only tells the truth."""
    ctx.backends.delivery.past.clear()
    if health is not None:
        runs(ctx, "staging", number, health=health)
    if number != 2:
        runs(ctx, "staging", 2)
    planned = await plan(ctx, Promote(service="orders", version=revision(ctx, number)))
    assert planned.facts["source_health"] == word


@pytest.mark.parametrize("health", [Health.PROGRESSING, Health.UNKNOWN, Health.DEGRADED])
async def test_the_health_before_is_what_the_backend_says(ctx: FakeContext, health: Health) -> None:
    runs(ctx, "staging", 2, health=health)
    assert (await plan(ctx, ARGS)).facts["source_health"] == health.value


async def test_a_service_with_a_database_gets_one_in_the_new_environment(ctx: FakeContext) -> None:
    ctx.knowledge.services = [make_service(database="postgresql")]
    planned = await plan(ctx, ARGS)
    assert [step.key for step in planned.steps] == ["claim", "application", "release", "deploy"]
    assert planned.changes[0].name == "orders-production-db"
    assert planned.cost is not None
    assert planned.cost.monthly == 21


async def test_a_database_that_is_there_is_kept_and_our_own_half_made_one_finished(ctx: FakeContext) -> None:
    ctx.knowledge.services = [make_service(database="postgresql")]
    kept = Claim(
        "orders-production-db", "postgresql", "orders", "production", Phase.READY, request_id="r-before"
    )
    ctx.backends.infrastructure.claims[kept.name] = kept
    assert "claim" not in [step.key for step in (await plan(ctx, ARGS)).steps]
    ctx.backends.infrastructure.claims[kept.name] = replace(kept, request_id=REQUEST_ID)
    assert "claim" in [step.key for step in (await plan(ctx, ARGS)).steps]


async def test_a_service_whose_template_is_not_offered_here_is_promoted_all_the_same(
    ctx: FakeContext,
) -> None:
    """One that Backstage's scaffolder made, for example."""
    ctx.knowledge.services = [make_service(golden_path="node-microservice")]
    planned = await plan(ctx, ARGS)
    (application,) = [step for step in planned.steps if step.key == "application"]
    assert application.arguments["health_path"] == "/healthz"


def watched(ctx: FakeContext) -> None:
    staging, production = ctx.platform.environments
    watched = replace(production, watch=WatchRule(seconds=300, success_ratio=0.99))
    ctx.platform = replace(ctx.platform, environments=(staging, watched))


async def test_a_watch_comes_last_and_is_announced(ctx: FakeContext) -> None:
    watched(ctx)
    planned = await plan(ctx, ARGS)
    assert [step.key for step in planned.steps][-2:] == ["deploy", "watch"]
    assert planned.notes[0] == "Watched for 5 min: back by itself below 99 % good answers."


async def test_every_step_of_the_plan_is_one_the_command_can_do(ctx: FakeContext) -> None:
    ctx.knowledge.services = [make_service(database="postgresql")]
    watched(ctx)
    assert {step.key for step in (await plan(ctx, ARGS)).steps} == set(command.steps)


async def test_planning_changes_nothing_and_twice_gives_the_same_plan(ctx: FakeContext) -> None:
    released(ctx, 1)
    first, second = await plan(ctx, ARGS), await plan(ctx, ARGS)
    assert plan_hash(first, ()) == plan_hash(second, ())
    assert ctx.backends.effects == []


def _move_release(ctx: FakeContext) -> None:
    ctx.backends.code_host.release("orders", "release", revision(ctx, 1), request_id="r-other")


def _remove_production(ctx: FakeContext) -> None:
    del ctx.backends.delivery.applications["orders", "production"]


ANOTHER: dict[str, Callable[[FakeContext], None]] = {
    "staging runs a newer revision": lambda ctx: runs(ctx, "staging", 3),
    "staging is no longer healthy": lambda ctx: runs(ctx, "staging", 2, health=Health.DEGRADED),
    "production runs something else": lambda ctx: runs(ctx, "production", 2),
    "the release ref was moved": _move_release,
    "production is gone": _remove_production,
}


@pytest.mark.parametrize("change", ANOTHER.values(), ids=ANOTHER.keys())
async def test_other_facts_are_another_plan(ctx: FakeContext, change: Callable[[FakeContext], None]) -> None:
    released(ctx, 1)
    before = plan_hash(await plan(ctx, ARGS), ())
    change(ctx)
    assert plan_hash(await plan(ctx, ARGS), ()) != before


async def test_commits_that_are_not_promoted_change_nothing(ctx: FakeContext) -> None:
    before = plan_hash(await plan(ctx, ARGS), ())
    ctx.backends.code_host.push("orders", "Fourth")
    assert plan_hash(await plan(ctx, ARGS), ()) == before


async def test_changed_manifests_and_older_revisions_are_noted(ctx: FakeContext) -> None:
    ctx.backends.code_host.push("orders", "Manifests", files=[f"k8s/{n}.yaml" for n in range(7)])
    released(ctx, 3)
    runs(ctx, "staging", 4)
    assert (await plan(ctx, ARGS)).notes == (
        "Manifests change: k8s/0.yaml, k8s/1.yaml, k8s/2.yaml, k8s/3.yaml, k8s/4.yaml and 2 more.",
    )
    runs(ctx, "staging", 2)
    assert (await plan(ctx, ARGS)).notes == ("This revision is older than what runs in production.",)


# ---------------------------------------------------------------- refusals


async def test_nothing_to_promote_where_nothing_runs(ctx: FakeContext) -> None:
    ctx.backends.delivery.applications.clear()
    with pytest.raises(PolicyDeniedError) as refused:
        await plan(ctx, ARGS)
    assert refused.value.rule == "healthy-before"
    assert refused.value.sentence == (
        "`orders` runs nothing in staging, so there is nothing to promote. "
        "Push to its main branch and wait until staging is healthy."
    )


async def test_a_version_that_does_not_exist_is_said_beside_its_field(ctx: FakeContext) -> None:
    with pytest.raises(UsageError) as refused:
        await plan(ctx, Promote(service="orders", version="v9"))
    assert refused.value.sentence == (
        "`orders` has no commit or tag “v9”. Give a commit hash or a tag of its repository."
    )
    assert set(refused.value.fields) == {"version"}


async def test_a_database_that_cannot_be_made_there_stops_the_plan(ctx: FakeContext) -> None:
    ctx.knowledge.services = [make_service(database="postgresql")]
    ctx.backends.infrastructure.refusals["postgresql"] = "The quota for databases is used up."
    with pytest.raises(PolicyDeniedError, match="The quota for databases is used up") as refused:
        await plan(ctx, ARGS)
    assert refused.value.rule == "infrastructure"


@pytest.mark.parametrize(
    ("backend", "method"),
    [("delivery", "get_application"), ("code_host", "find_release"), ("code_host", "compare"),
     ("golden_paths", "get_golden_path")],
)  # fmt: skip
async def test_a_backend_that_is_away_is_never_taken_for_an_answer(
    ctx: FakeContext, backend: str, method: str
) -> None:
    getattr(ctx.backends, backend).faults[method] = TemporaryBackendError("away", backend=backend)
    with pytest.raises(TemporaryBackendError):
        await plan(ctx, ARGS)


# ---------------------------------------------------------------- what others say of it


async def test_the_claim_the_application_and_the_objects_of_the_revision_are_previewed(
    ctx: FakeContext,
) -> None:
    ctx.knowledge.services = [make_service(database="postgresql")]
    goal = revision(ctx, 2)
    ctx.backends.admission = admission = FakeAdmission(Preview(denials=("Deployment orders: no",)))
    ctx.backends.delivery.rendered["orders", "production", goal] = [{"kind": "Deployment"}]
    ctx.backends.delivery.previews["orders", "production"] = Preview(denials=("Application: no",))
    ctx.backends.infrastructure.previews["orders-production-db"] = Preview(denials=("Claim: no",))
    planned = await plan(ctx, ARGS)
    assert planned.facts["admission_denials"] == "Claim: no\nApplication: no\nDeployment orders: no"
    assert admission.shown == [("orders", "orders", "production", [{"kind": "Deployment"}])]
    assert ctx.backends.effects == [], "a preview changes nothing"


async def test_reports_are_asked_for_where_the_revision_runs_now(ctx: FakeContext) -> None:
    ctx.backends.evidence = reports = FakeEvidence()
    clean = EvidenceReport(
        EvidenceKind.VULNERABILITIES, "Trivy", EvidenceVerdict.CLEAN, "none", {"critical": 0, "high": 0}
    )
    reports.known["staging", revision(ctx, 2)] = (clean,)
    planned = await plan(ctx, ARGS)
    assert (planned.facts["critical_vulnerabilities"], planned.notes) == (
        "0",
        ("Vulnerabilities: 0 critical, 0 high.",),
    )
    older = await plan(ctx, Promote(service="orders", version=revision(ctx, 1)))
    assert older.facts["vulnerabilities_unknown"] == "There is no report on orders."
