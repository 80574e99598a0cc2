"""Delivery by Argo CD, in both its ways: on a real API server with the shipped RBAC, and through the REST API."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from argo_world import (
    BETTER,
    GOOD,
    KEY,
    NAMESPACE,
    NEXT_KEY,
    OTHER,
    WAYS,
    World,
    controller_at_work,
    create,
    deploy,
    deployed,
    interference,
    open_world,
    outcome,
    wish,
)

from bot.errors import (
    BackendErrorKind,
    PermanentBackendError,
    TemporaryBackendError,
)
from integrations import _argocd_manifest as manifest
from integrations.ports import ApplicationSpec, Health, Inventory, Phase, SyncStatus


@pytest.fixture(params=WAYS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with open_world(request) as world:
        yield world


# ---------------------------------------------------------------- the application


async def test_an_application_says_whose_it_is_and_where_it_goes(world: World) -> None:
    await create(world)
    found = await world.read("production")
    assert found is not None
    assert found["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "platform-bot",
        "platform-bot/service": world.service,
        "platform-bot/environment": "production",
        "platform-bot/team": "orders",
    }
    assert found["metadata"]["annotations"]["platform-bot/request-id"] == "req0"
    assert found["spec"] == {
        "project": "orders",
        "source": {
            "repoURL": f"https://git.test/{world.service}.git",
            "path": "k8s/overlays/production",
            "targetRevision": "release",
        },
        "destination": {"server": "https://kubernetes.default.svc", "namespace": "orders-production"},
        "syncPolicy": {"syncOptions": ["CreateNamespace=true"]},
    }
    assert "operation" not in found
    # Deleting it by mistake must leave the workloads running.
    assert not found["metadata"].get("finalizers")


async def test_an_environment_that_follows_a_branch_deploys_by_itself(world: World) -> None:
    world.brain.refs["main"] = GOOD
    await world.delivery.ensure_application(wish(world, "staging", "main"), request_id="req0")
    seen = []
    for _ in range(6):
        await world.step()
        app = await world.delivery.get_application(world.service, "staging")
        assert app is not None
        seen.append((app.health, app.revision))
    # An application without objects is healthy to Argo CD, and so is the old look after a sync: neither is shown as healthy.
    assert [health for health, _ in seen] == [
        Health.PROGRESSING,
        Health.PROGRESSING,
        Health.PROGRESSING,
        Health.PROGRESSING,
        Health.HEALTHY,
        Health.HEALTHY,
    ]
    assert seen[-1][1] == GOOD
    assert app.sync is SyncStatus.SYNCED
    assert app.deployed_by == "auto-sync"
    assert app.url == f"https://{world.service}.test"


async def test_ensuring_twice_changes_nothing_and_keeps_what_runs(world: World) -> None:
    await create(world)
    await deployed(world)
    before = await world.read("production")
    again = await world.delivery.ensure_application(wish(world), request_id="req0")
    after = await world.read("production")
    assert before is not None
    assert after is not None
    assert after["spec"] == before["spec"]
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
    assert (again.revision, again.health) == (GOOD, Health.HEALTHY)


async def test_everything_the_bot_created_can_be_listed(world: World) -> None:
    await create(world)
    await world.delivery.ensure_application(wish(world, "staging", "main"), request_id="req9")
    assert isinstance(world.delivery, Inventory)
    listed = await world.delivery.list_marked()
    ours = [(one.environment, one.request_id, one.place) for one in listed if one.name == world.service]
    assert sorted(ours) == [
        ("production", "req0", f"argocd/{world.service}-production"),
        ("staging", "req9", f"argocd/{world.service}-staging"),
    ]
    assert world.delivery.breaker_state() == "closed"


@pytest.mark.parametrize("marks", [{}, {"platform-bot/request-id": "another"}])
async def test_somebody_elses_application_is_neither_adopted_nor_changed_nor_removed(
    world: World, marks: dict[str, str]
) -> None:
    theirs = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": f"{world.service}-production",
            "namespace": NAMESPACE,
            "annotations": marks,
            "labels": {
                "app.kubernetes.io/managed-by": "platform-bot",
                "platform-bot/service": world.service,
                "platform-bot/environment": "production",
            }
            if marks
            else {},
        },
        "spec": {
            "project": "orders",
            "source": {"repoURL": "https://git.test/theirs.git", "path": "."},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "theirs"},
        },
    }
    await world.edit("production", theirs)
    before = await world.read("production")
    with pytest.raises(PermanentBackendError) as refused:
        await create(world)
    assert refused.value.kind is BackendErrorKind.ALREADY_EXISTS
    await world.delivery.remove_application(world.service, "production", request_id="req0")
    assert await world.read("production") == before


async def test_a_name_taken_in_the_same_moment_is_left_to_whoever_took_it(world: World) -> None:
    rival = manifest.application_intent(
        wish(world), world.delivery._settings.placement, request_id="another", found=None
    )
    rival["spec"]["source"]["repoURL"] = "https://git.test/theirs.git"
    with interference(world, rival), pytest.raises(PermanentBackendError) as refused:
        await create(world)
    assert refused.value.kind in {BackendErrorKind.ALREADY_EXISTS, BackendErrorKind.CONFLICT}
    found = await world.read("production")
    assert found is not None
    assert found["metadata"]["annotations"] == {"platform-bot/request-id": "another"}
    assert found["spec"]["source"]["repoURL"] == "https://git.test/theirs.git"


async def test_two_services_that_add_up_to_one_name_do_not_meet(world: World) -> None:
    await create(world)
    head, _, tail = world.service.partition("-")
    assert await world.delivery.get_application(head, f"{tail}-production") is None
    with pytest.raises(PermanentBackendError) as refused:
        await world.delivery.ensure_application(
            ApplicationSpec(
                head, f"{tail}-production", "orders", "https://git.test/x.git", "go-service", None
            ),
            request_id="req0",
        )
    assert refused.value.kind is BackendErrorKind.ALREADY_EXISTS


async def test_a_team_without_a_project_is_told_who_creates_it(world: World) -> None:
    spec = ApplicationSpec(
        world.service, "production", "strangers", "https://git.test/x.git", "go-service", None
    )
    with pytest.raises(PermanentBackendError, match="no project strangers"):
        await world.delivery.ensure_application(spec, request_id="req0")
    assert await world.read("production") is None


async def test_removing_takes_the_workloads_along_and_waits_until_it_is_gone(world: World) -> None:
    await create(world)
    await world.delivery.remove_application(world.service, "production", request_id="another")
    assert await world.read("production") is not None
    async with controller_at_work(world):
        await world.delivery.remove_application(world.service, "production", request_id="req0")
    assert await world.read("production") is None
    await world.delivery.remove_application(world.service, "production", request_id="req0")


async def test_a_removal_that_does_not_end_names_what_holds_it(world: World) -> None:
    await create(world)
    world.brain.stuck = True
    impatient = world.reopen(removal_wait_seconds=0)
    for _ in range(2):
        with pytest.raises(TemporaryBackendError, match=r"resources-finalizer\.argocd\.argoproj\.io"):
            await impatient.remove_application(world.service, "production", request_id="req0")
    with pytest.raises(TemporaryBackendError, match="being removed"):
        await create(world)


# ---------------------------------------------------------------- deploying


async def test_a_deployment_is_ready_only_when_argo_cd_has_looked_again(world: World) -> None:
    await create(world)
    seen = [await deploy(world)]
    for _ in range(4):
        await world.step()
        seen.append(await outcome(world))
    assert [each.phase for each in seen] == [
        Phase.PENDING,
        Phase.RUNNING,
        Phase.RUNNING,  # Succeeded, and the health shown is still that of before.
        Phase.RUNNING,  # Looked again: progressing.
        Phase.READY,
    ]
    assert seen[-1].health is Health.HEALTHY
    assert seen[-1].finished_at is not None
    assert (await outcome(world)).revision == GOOD


async def test_the_operation_carries_who_asked_and_through_which_request(world: World) -> None:
    await create(world)
    await deploy(world)
    found = await world.read("production")
    assert found is not None
    assert found["operation"]["info"] == [
        {"name": "request-id", "value": "req1"},
        {"name": "operation", "value": KEY},
    ]
    assert found["operation"]["sync"]["revision"] == GOOD
    # Nobody deploys anything else by a click on Sync.
    assert found["spec"]["source"]["targetRevision"] == GOOD
    if world.mode == "cluster":
        assert found["operation"]["initiatedBy"] == {"username": "Alice"}
        assert found["operation"]["sync"]["syncOptions"] == ["CreateNamespace=true"]
    await world.step(5)
    app = await world.delivery.get_application(world.service, "production")
    assert app is not None
    assert app.deployed_by == "Alice"


async def test_the_same_key_never_deploys_twice(world: World) -> None:
    await create(world)
    await deploy(world)
    await deploy(world)
    await world.step(5)
    assert (await deploy(world)).phase is Phase.READY
    world.delivery = world.reopen()
    assert (await deploy(world)).phase is Phase.READY
    assert world.brain.begun == [(KEY, GOOD)]
    with pytest.raises(PermanentBackendError, match="deploys aaaaaaa, not bbbbbbb"):
        await deploy(world, BETTER)


async def test_a_key_is_remembered_when_another_operation_took_its_place(world: World) -> None:
    await create(world)
    await deployed(world)
    await deployed(world, BETTER, NEXT_KEY)
    replaced = await deploy(world)
    assert replaced.phase is Phase.FAILED
    assert "took the place" in replaced.message
    assert world.brain.begun == [(KEY, GOOD), (NEXT_KEY, BETTER)]


async def test_another_operation_with_the_same_revision_serves_as_well(world: World) -> None:
    await create(world)
    await deployed(world)
    by_hand = {"initiatedBy": {"username": "admin"}, "sync": {"revision": GOOD}}
    await world.edit("production", {"operation": by_hand})
    await world.step()
    assert (await outcome(world)).phase is Phase.RUNNING
    await world.step(4)
    assert (await outcome(world)).phase is Phase.READY


async def test_going_back_leaves_nothing_out_of_sync(world: World) -> None:
    await create(world)
    await deployed(world)
    await deployed(world, BETTER, NEXT_KEY)
    back = await deployed(world, GOOD, "req2.1.undo-deploy")
    assert back.phase is Phase.READY
    app = await world.delivery.get_application(world.service, "production")
    assert app is not None
    assert (app.revision, app.sync, app.deployed_by) == (GOOD, SyncStatus.SYNCED, "Alice")


async def test_history_says_what_was_healthy(world: World) -> None:
    await create(world)
    await deployed(world)
    world.brain.behaviour = "degraded"
    assert (await deployed(world, BETTER, NEXT_KEY)).phase is Phase.FAILED
    world.brain.behaviour = "good"
    await deploy(world, OTHER, "req3.1.deploy")
    await world.step(5)
    history = await world.delivery.history(world.service, "production")
    assert [(each.revision, each.healthy, each.deployed_by) for each in history] == [
        (OTHER, True, "Alice"),
        (BETTER, False, "Alice"),
        (GOOD, True, "Alice"),
    ]
    assert await world.delivery.history(world.service, "elsewhere") == []


@pytest.mark.parametrize(
    ("behaviour", "phase", "said"),
    [
        ("fail", Phase.FAILED, "failed to apply"),
        ("degraded", Phase.FAILED, "degraded"),
        ("suspended", Phase.WAITING_HUMAN, "waiting"),
        ("nothing", Phase.FAILED, "success, but it synced 0000000"),
        ("hang", Phase.RUNNING, "waiting for completion of hook"),
        ("retry", Phase.RUNNING, "waiting for retry 2"),
    ],
)
async def test_what_can_become_of_a_deployment(world: World, behaviour: str, phase: Phase, said: str) -> None:
    await create(world)
    world.brain.behaviour = behaviour
    found = await deployed(world)
    assert (found.phase, said in found.message) == (phase, True), found


async def test_what_is_unhealthy_is_named(world: World) -> None:
    await create(world)
    await deployed(world)
    world.brain.behaviour = "degraded"
    ill = {
        "kind": "Deployment",
        "name": "orders",
        "version": "v1",
        "group": "apps",
        "namespace": "orders-production",
    }
    health = {"status": "Degraded", "message": "exceeded its progress deadline"}
    if world.mode == "cluster":
        world.brain.resources = [{**ill, "status": "Synced", "health": health}]
    else:
        # Argo CD's API knows the whole tree, which the Application does not hold by default.
        world.api.tree = [
            {**ill, "health": health},
            {"kind": "Pod", "name": "x", "health": {"status": "Healthy"}},
        ]
    await world.step()
    app = await world.delivery.get_application(world.service, "production")
    assert app is not None
    assert app.health is Health.DEGRADED
    assert app.unhealthy == ("Deployment orders: exceeded its progress deadline",)


async def test_a_repository_that_cannot_be_read_is_said_and_is_not_healthy(world: World) -> None:
    await create(world)
    await world.step()
    app = await world.delivery.get_application(world.service, "production")
    assert app is not None
    assert (app.health, app.revision, app.sync) == (Health.MISSING, None, SyncStatus.UNKNOWN)
    assert "ComparisonError: unable to resolve" in app.message
