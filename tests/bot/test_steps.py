"""Steps are done and undone idempotently, against backends that fail, lose answers and take their time."""

from __future__ import annotations

from dataclasses import replace

import people_made as made
import pytest
from fake_backends import FakeBackends, sha
from fake_context import REQUEST_ID, FakeRun, step_record

from bot import steps
from bot.command import Done, Pending
from bot.domain import JSON
from bot.errors import NotFoundError, PermanentBackendError, TemporaryBackendError
from integrations.ports import Health, Phase

OLD, NEW = sha("old"), sha("new")
CLAIM = steps.plan_claim(
    steps.database_claim(service="orders", environment="production", team="orders", kind="postgresql")
).arguments


@pytest.fixture
def run() -> FakeRun:
    return FakeRun()


def application_arguments(**changes: str) -> JSON:
    planned = steps.plan_application(
        service="orders", team="orders", environment="production", golden_path="python-service",
        health_path="/up", clone_url="file:///git/orders.git",
    )  # fmt: skip
    return {**planned.arguments, **changes}


# ---------------------------------------------------------------- planning


def test_a_step_carries_everything_it_needs_so_that_nothing_is_looked_up_later() -> None:
    assert CLAIM == {
        "service": "orders",
        "team": "orders",
        "environment": "production",
        "name": "orders-production-db",
        "kind": "postgresql",
        "size": "small",
    }
    deploy = steps.plan_deploy(service="orders", environment="production", revision=NEW, previous=OLD)
    assert deploy.arguments == {
        "service": "orders", "environment": "production", "revision": NEW, "previous": OLD
    }  # fmt: skip
    assert deploy.undo_title == f"Roll production back to {OLD[:7]}"
    first = steps.plan_deploy(service="orders", environment="production", revision=NEW, previous=None)
    assert first.undo_title == "Leave production empty"


@pytest.mark.parametrize(
    ("environment", "kind", "monthly", "lines"),
    [
        ("staging", "", 4, (("service:staging", 4),)),
        ("production", "postgresql", 21, (("service:production", 12), ("postgresql:small", 9))),
        ("staging", "mongodb", 4, (("service:staging", 4),)),
    ],
)
def test_the_estimate_names_every_price_it_adds_up(
    environment: str, kind: str, monthly: float, lines: tuple[tuple[str, float], ...]
) -> None:
    claim = (
        steps.database_claim(service="o", environment=environment, team="orders", kind=kind) if kind else None
    )
    cost = steps.monthly_cost(made.example_platform(), environment=environment, claim=claim)
    assert cost is not None
    assert (cost.monthly, cost.lines, cost.currency) == (monthly, lines, "EUR")


def test_there_is_no_estimate_where_no_price_is_known() -> None:
    free = replace(made.example_platform(), prices={})
    assert steps.monthly_cost(free, environment="staging", claim=None) is None


# ---------------------------------------------------------------- claim


async def test_a_claim_is_made_once_and_waited_for(run: FakeRun) -> None:
    infrastructure = run.backends.infrastructure
    infrastructure.first_phase = Phase.PENDING
    assert await steps.CLAIM.do(run, CLAIM) == Pending("postgresql is pending", after_seconds=2.0)
    infrastructure.settle("orders-production-db", Phase.RUNNING, "starting the server")
    assert await steps.CLAIM.do(run, CLAIM) == Pending("starting the server", after_seconds=2.0)
    infrastructure.settle("orders-production-db", Phase.READY)
    done = await steps.CLAIM.do(run, CLAIM)
    assert done == Done(
        detail="postgresql is ready",
        external_id="claim/orders-production-db",
        output={"secret": "orders-production-db-connection"},
    )
    assert infrastructure.effects == ["ensure_claim orders-production-db"]


async def test_an_unknown_claim_is_not_ready(run: FakeRun) -> None:
    run.backends.infrastructure.first_phase = Phase.UNKNOWN
    assert isinstance(await steps.CLAIM.do(run, CLAIM), Pending)


async def test_a_failed_claim_fails_for_good_with_the_backends_words(run: FakeRun) -> None:
    run.backends.infrastructure.first_phase = Phase.FAILED
    with pytest.raises(PermanentBackendError, match="postgresql could not be created"):
        await steps.CLAIM.do(run, CLAIM)
    run.backends.infrastructure.settle("orders-production-db", Phase.FAILED, "quota exceeded")
    with pytest.raises(PermanentBackendError, match="quota exceeded"):
        await steps.CLAIM.do(run, CLAIM)


async def test_a_claim_is_undone_once_and_never_somebody_elses(run: FakeRun) -> None:
    assert steps.CLAIM.undo is not None
    await steps.CLAIM.do(run, CLAIM)
    for _ in range(2):
        assert await steps.CLAIM.undo(run, CLAIM, step_record("claim")) == Done(detail="postgresql removed")
    assert run.backends.infrastructure.claims == {}
    other = FakeRun(backends=run.backends, request_id="r-other")
    await steps.CLAIM.do(other, CLAIM)
    await steps.CLAIM.undo(run, CLAIM, step_record("claim"))
    assert list(run.backends.infrastructure.claims) == ["orders-production-db"]


# ---------------------------------------------------------------- application


async def test_an_application_is_made_once_with_the_claims_secret(run: FakeRun) -> None:
    run.outputs["claim"] = {"secret": "orders-production-db-connection"}
    for _ in range(2):
        done = await steps.APPLICATION.do(run, application_arguments())
        assert done == Done(detail="created", external_id="orders-production")
    spec = run.backends.delivery.specs["orders", "production"]
    assert (spec.secrets, spec.follows, spec.health_path) == (
        ("orders-production-db-connection",),
        None,
        "/up",
    )
    assert run.backends.delivery.effects == ["ensure_application orders-production"]


async def test_the_first_environment_follows_its_branch_and_takes_the_new_repository(run: FakeRun) -> None:
    run.outputs["repository"] = {"clone_url": "file:///git/new.git"}
    done = await steps.APPLICATION.do(run, application_arguments(environment="staging", clone_url=""))
    assert isinstance(done, Done)
    assert done.detail == "follows main"
    spec = run.backends.delivery.specs["orders", "staging"]
    assert (spec.repository_url, spec.follows, spec.secrets) == ("file:///git/new.git", "main", ())


async def test_an_environment_that_was_removed_from_the_configuration_is_named(run: FakeRun) -> None:
    with pytest.raises(NotFoundError, match="moon is no longer configured"):
        await steps.APPLICATION.do(run, application_arguments(environment="moon"))


async def test_an_application_is_undone_once(run: FakeRun) -> None:
    assert steps.APPLICATION.undo is not None
    await steps.APPLICATION.do(run, application_arguments())
    for _ in range(2):
        undone = await steps.APPLICATION.undo(run, application_arguments(), step_record("application"))
        assert undone == Done(detail="removed from production")
    assert run.backends.delivery.applications == {}


async def test_an_answer_lost_on_the_way_changes_nothing_more(run: FakeRun) -> None:
    run.backends.delivery.lost_answers.add("ensure_application")
    with pytest.raises(TemporaryBackendError):
        await steps.APPLICATION.do(run, application_arguments())
    await steps.APPLICATION.do(run, application_arguments())
    assert run.backends.delivery.effects == ["ensure_application orders-production"]


# ---------------------------------------------------------------- release ref


def release_arguments(backends: FakeBackends, revision: str, *, previous: str | None = None) -> JSON:
    current, _ = backends.code_host.add_repository("orders").releases.get("release", (None, ""))
    return steps.plan_release(
        service="orders", ref="release", revision=revision,
        expected=current.sha if current else None, previous=previous,
    ).arguments  # fmt: skip


async def test_a_release_moves_once_to_the_revision_of_the_plan(run: FakeRun) -> None:
    arguments = release_arguments(run.backends, NEW)
    first, second = await steps.RELEASE.do(run, arguments), await steps.RELEASE.do(run, arguments)
    assert first == second
    assert isinstance(first, Done)
    assert first.output == {"sha": first.external_id}
    assert run.backends.code_host.effects == [f"move_release release {NEW[:7]}"]


async def test_a_release_that_somebody_else_moved_meanwhile_is_left_alone(run: FakeRun) -> None:
    arguments = release_arguments(run.backends, NEW)
    await steps.RELEASE.do(FakeRun(run.backends, request_id="r-other"), release_arguments(run.backends, OLD))
    with pytest.raises(PermanentBackendError, match="stands elsewhere"):
        await steps.RELEASE.do(run, arguments)


async def test_a_release_is_undone_forward_to_the_tree_it_carried_before(run: FakeRun) -> None:
    assert steps.RELEASE.undo is not None
    await steps.RELEASE.do(FakeRun(run.backends, request_id="r-before"), release_arguments(run.backends, OLD))
    arguments = release_arguments(run.backends, NEW, previous=OLD)
    done = await steps.RELEASE.do(run, arguments)
    assert isinstance(done, Done)
    record = step_record("release", output=done.output)
    undone = Done(detail=f"release carries {OLD[:7]} again")
    assert await steps.RELEASE.undo(run, arguments, record) == undone
    assert await steps.RELEASE.undo(run, arguments, record) == undone, (
        "repeated after a kill, it says the same"
    )
    release = await run.backends.code_host.find_release("orders", "release")
    assert release is not None
    assert release.revision == OLD
    assert release.sha != done.external_id


async def test_a_release_without_an_earlier_one_is_left_where_it_is(run: FakeRun) -> None:
    assert steps.RELEASE.undo is not None
    arguments = release_arguments(run.backends, NEW)
    done = await steps.RELEASE.do(run, arguments)
    assert isinstance(done, Done)
    undone = await steps.RELEASE.undo(run, arguments, step_record("release", output=done.output))
    assert undone == Done(detail="release left as it is")


async def test_an_undo_never_moves_a_release_that_somebody_moved_further(run: FakeRun) -> None:
    assert steps.RELEASE.undo is not None
    await steps.RELEASE.do(FakeRun(run.backends, request_id="r-before"), release_arguments(run.backends, OLD))
    arguments = release_arguments(run.backends, NEW, previous=OLD)
    done = await steps.RELEASE.do(run, arguments)
    assert isinstance(done, Done)
    later = sha("later")
    await steps.RELEASE.do(
        FakeRun(run.backends, request_id="r-later"), release_arguments(run.backends, later)
    )
    await steps.RELEASE.undo(run, arguments, step_record("release", output=done.output))
    release = await run.backends.code_host.find_release("orders", "release")
    assert release is not None
    assert release.revision == later


async def test_an_undo_after_a_lost_answer_takes_back_what_happened_and_nothing_else(run: FakeRun) -> None:
    assert steps.RELEASE.undo is not None
    host = run.backends.code_host
    await steps.RELEASE.do(FakeRun(run.backends, request_id="r-before"), release_arguments(run.backends, OLD))
    arguments = release_arguments(run.backends, NEW, previous=OLD)
    host.lost_answers.add("move_release")
    with pytest.raises(TemporaryBackendError):
        await steps.RELEASE.do(run, arguments)
    unsure = step_record("release")
    assert await steps.RELEASE.undo(run, arguments, unsure) == Done(detail=f"release carries {OLD[:7]} again")
    later = sha("later")
    await steps.RELEASE.do(
        FakeRun(run.backends, request_id="r-later"), release_arguments(run.backends, later)
    )
    assert await steps.RELEASE.undo(run, arguments, unsure) == Done(detail="release left as it is")


async def test_a_release_that_never_moved_is_not_moved_back(run: FakeRun) -> None:
    """The step failed without an answer and had in truth done nothing: the ledger has no output of it."""
    assert steps.RELEASE.undo is not None
    await steps.RELEASE.do(FakeRun(run.backends, request_id="r-before"), release_arguments(run.backends, OLD))
    arguments = release_arguments(run.backends, NEW, previous=OLD)
    undone = await steps.RELEASE.undo(run, arguments, step_record("release"))
    assert undone == Done(detail="release left as it is")


# ---------------------------------------------------------------- deployment

DEPLOY: JSON = {"service": "orders", "environment": "production", "revision": NEW, "previous": OLD}
OPERATION = f"{REQUEST_ID}.deploy"


async def test_a_deployment_starts_once_runs_the_release_commit_and_records_what_was_approved(
    run: FakeRun,
) -> None:
    release = sha("release commit")
    run.outputs["release"] = {"sha": release}
    run.backends.delivery.runs("orders", "production", OLD)
    for _ in range(3):
        assert isinstance(await steps.DEPLOY.do(run, DEPLOY), Pending)
    assert run.backends.delivery.effects == [f"deploy orders-production {release[:7]} for Alice Adams"]
    run.backends.delivery.settle(OPERATION, Phase.READY)
    done = await steps.DEPLOY.do(run, DEPLOY)
    assert isinstance(done, Done)
    assert done.detail == f"{NEW[:7]} is healthy in production"
    assert done.external_id == OPERATION
    assert [link.url for link in done.links] == ["http://production.example.com/orders"]
    assert done.record is not None
    assert done.record.deployment is not None
    recorded = done.record.deployment
    assert (recorded.revision, recorded.ref_revision) == (NEW, release)
    assert (recorded.deployed_by, recorded.request_id, recorded.deployed_at) == (
        "UALICE0001",
        REQUEST_ID,
        made.NOW,
    )


async def test_a_waiting_deployment_says_what_it_waits_for(run: FakeRun) -> None:
    delivery = run.backends.delivery
    assert await steps.DEPLOY.do(run, DEPLOY) == Pending("running, progressing")
    delivery.settle(OPERATION, Phase.WAITING_HUMAN, message="paused")
    delivery.deployments[OPERATION] = replace(delivery.deployments[OPERATION], step="2/5", weight_percent=20)
    assert await steps.DEPLOY.do(run, DEPLOY) == Pending(
        "paused, step 2 of 5, 20 % of the traffic", on_hold=True
    )
    delivery.settle(OPERATION, Phase.UNKNOWN, health=Health.UNKNOWN)
    assert isinstance(await steps.DEPLOY.do(run, DEPLOY), Pending)


async def test_a_degraded_deployment_fails_for_good(run: FakeRun) -> None:
    await steps.DEPLOY.do(run, DEPLOY)
    run.backends.delivery.settle(OPERATION, Phase.FAILED, health=Health.DEGRADED, message="crash loop")
    with pytest.raises(PermanentBackendError, match=f"{NEW[:7]} is degraded in production: crash loop"):
        await steps.DEPLOY.do(run, DEPLOY)


async def test_a_degraded_deployment_is_rolled_back_by_a_deployment_of_its_own(run: FakeRun) -> None:
    assert steps.DEPLOY.undo is not None
    await steps.DEPLOY.do(run, DEPLOY)
    run.backends.delivery.settle(OPERATION, Phase.FAILED, health=Health.DEGRADED)
    record = step_record("deploy")
    assert isinstance(await steps.DEPLOY.undo(run, DEPLOY, record), Pending)
    assert isinstance(await steps.DEPLOY.undo(run, DEPLOY, record), Pending)
    run.backends.delivery.settle(f"{REQUEST_ID}.undo-deploy", Phase.READY)
    undone = await steps.DEPLOY.undo(run, DEPLOY, record)
    assert isinstance(undone, Done)
    assert undone.detail == f"rolled back to {OLD[:7]}"
    assert undone.record is not None
    assert undone.record.deployment is not None
    assert undone.record.deployment.revision == OLD
    started = [effect for effect in run.backends.delivery.effects if effect.startswith("deploy")]
    assert started == [
        f"deploy orders-production {NEW[:7]} for Alice Adams",
        f"deploy orders-production {OLD[:7]} for Alice Adams",
    ]


async def test_the_first_deployment_of_all_has_nothing_to_go_back_to(run: FakeRun) -> None:
    assert steps.DEPLOY.undo is not None
    undone = await steps.DEPLOY.undo(run, {**DEPLOY, "previous": ""}, step_record("deploy"))
    assert undone == Done(detail="nothing ran there before")
    assert run.backends.effects == []


async def test_a_backend_that_is_away_is_not_a_failed_deployment(run: FakeRun) -> None:
    run.backends.delivery.faults["get_deployment"] = TemporaryBackendError("away", backend="delivery")
    with pytest.raises(TemporaryBackendError):
        await steps.DEPLOY.do(run, DEPLOY)
    assert run.backends.effects == []
    run.backends.delivery.lost_answers.add("deploy")
    with pytest.raises(TemporaryBackendError):
        await steps.DEPLOY.do(run, DEPLOY)
    await steps.DEPLOY.do(run, DEPLOY)
    assert len(run.backends.effects) == 1
