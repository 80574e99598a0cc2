"""Delivery by Argo CD, in both its ways: on a real API server with the shipped RBAC, and through the REST API."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest
from argo_world import (
    BETTER,
    GOOD,
    NAMESPACE,
    OTHER,
    World,
    controller_at_work,
    interference,
    open_api_world,
    open_cluster_world,
)
from kube import Server

from bot.errors import (
    BackendErrorKind,
    PermanentBackendError,
    StartError,
    TemporaryBackendError,
)
from integrations import _argocd_manifest as manifest
from integrations import argocd
from integrations._argocd_cluster import RULES
from integrations._kubernetes import Kubernetes
from integrations.ports import ApplicationSpec, Deployment, Entity, Health, Phase, Surroundings, SyncStatus

KEY, NEXT_KEY = "req1.1.deploy", "req2.1.deploy"


@pytest.fixture(params=["cluster", "api"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "api":
        async with open_api_world() as api:
            yield api
        return
    server: Server = request.getfixturevalue("server")
    async with server.admin() as admin, open_cluster_world(server, admin) as cluster:
        yield cluster


def wish(world: World, environment: str = "production", follows: str | None = None) -> ApplicationSpec:
    return ApplicationSpec(
        service=world.service,
        environment=environment,
        team="orders",
        repository_url=f"https://git.test/{world.service}.git",
        golden_path="python-service",
        follows=follows,
    )


async def deploy(world: World, revision: str = GOOD, key: str = KEY) -> Deployment:
    return await world.delivery.deploy(
        world.service, "production", revision=revision, operation=key, actor="Alice"
    )


async def outcome(world: World, key: str = KEY) -> Deployment:
    found = await world.delivery.get_deployment(world.service, "production", operation=key)
    assert found is not None
    return found


async def deployed(world: World, revision: str = GOOD, key: str = KEY) -> Deployment:
    """Asked for and driven to its end."""
    await deploy(world, revision, key)
    await world.step(5)
    return await outcome(world, key)


async def create(world: World) -> None:
    await world.delivery.ensure_application(wish(world), request_id="req0")


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
    listed = await world.delivery.list_applications()
    ours = [(each.environment, each.request_id) for each in listed if each.service == world.service]
    assert sorted(ours) == [("production", "req0"), ("staging", "req9")]
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


# ---------------------------------------------------------------- refusals


async def test_an_operation_under_way_is_waited_for(world: World) -> None:
    await create(world)
    world.brain.behaviour = "hang"
    await deploy(world)
    await world.step()
    with pytest.raises(TemporaryBackendError) as busy:
        await deploy(world, BETTER, NEXT_KEY)
    assert busy.value.kind is BackendErrorKind.NOT_READY
    assert "already in progress" in busy.value.message
    assert (await outcome(world)).phase is Phase.RUNNING


async def test_an_undo_ends_the_run_it_undoes(world: World) -> None:
    await create(world)
    await deployed(world)
    world.brain.behaviour = "hang"
    await deploy(world, BETTER, NEXT_KEY)
    await world.step(2)
    with pytest.raises(TemporaryBackendError):
        await deploy(world, GOOD, "req2.1.undo-deploy")
    await world.step(1)
    world.brain.behaviour = "good"
    assert (await deployed(world, GOOD, "req2.1.undo-deploy")).phase is Phase.READY


async def test_terminating_stops_this_operation_and_no_other(world: World) -> None:
    await create(world)
    world.brain.behaviour = "hang"
    await deploy(world)
    await world.step()
    await world.delivery.terminate(world.service, "production", operation="another")
    await world.step()
    assert (await outcome(world)).phase is Phase.RUNNING
    await world.delivery.terminate(world.service, "production", operation=KEY)
    await world.step()
    stopped = await outcome(world)
    assert (stopped.phase, stopped.message) == (Phase.FAILED, "Operation terminated")
    await world.delivery.terminate(world.service, "production", operation=KEY)


async def test_an_environment_that_follows_a_branch_takes_no_other_revision(world: World) -> None:
    world.brain.refs["main"] = GOOD
    await world.delivery.ensure_application(wish(world, "staging", "main"), request_id="req0")

    async def ask(revision: str) -> Deployment:
        return await world.delivery.deploy(
            world.service, "staging", revision=revision, operation=KEY, actor="Alice"
        )

    with pytest.raises(TemporaryBackendError, match="has not looked"):
        await ask(GOOD)
    await world.step(5)
    with pytest.raises(PermanentBackendError, match="auto-sync currently set to main") as refused:
        await ask(BETTER)
    assert refused.value.kind is BackendErrorKind.CONFLICT
    await ask(GOOD)
    await world.step(5)
    found = await world.delivery.get_deployment(world.service, "staging", operation=KEY)
    assert found is not None
    assert found.phase is Phase.READY
    app = await world.read("staging")
    assert app is not None
    assert app["spec"]["source"]["targetRevision"] == "main"


async def test_a_sync_window_makes_it_wait_and_says_so(world: World) -> None:
    await create(world)
    if world.mode == "cluster":
        world.brain.behaviour = "blocked"
    else:
        world.api.windows = {"activeWindows": [{"kind": "deny"}], "canSync": False}
    await deploy(world)
    await world.step(2)
    # Whoever drives the step asks again under the same key until there is an outcome.
    waiting = await deploy(world)
    assert waiting.phase is Phase.PENDING
    assert "sync window" in waiting.message
    world.brain.behaviour = "good"
    if world.mode == "api":
        world.api.windows = {}
    await deploy(world)
    await world.step(5)
    assert (await outcome(world)).phase is Phase.READY
    assert world.brain.begun == [(KEY, GOOD)]


async def test_what_is_not_there_is_nothing_and_takes_nothing(world: World) -> None:
    assert await world.delivery.get_application(world.service, "production") is None
    assert await world.delivery.get_deployment(world.service, "production", operation=KEY) is None
    with pytest.raises(PermanentBackendError) as refused:
        await deploy(world)
    assert refused.value.kind is BackendErrorKind.NOT_FOUND
    await create(world)
    with pytest.raises(PermanentBackendError, match="full commit hash"):
        await deploy(world, "main")
    assert await world.delivery.get_deployment(world.service, "production", operation=KEY) is None


# ---------------------------------------------------------------- trouble on the way


async def drive(world: World) -> Phase:
    """A life as the engine lives it: what failed for now is asked for again, from reading on."""
    for _ in range(60):
        try:
            await world.delivery.ensure_application(wish(world), request_id="req0")
            found = await world.delivery.get_deployment(world.service, "production", operation=KEY)
            found = found or await deploy(world)
            if found.phase in {Phase.READY, Phase.FAILED}:
                break
        except TemporaryBackendError:
            pass
        await world.step()
    async with controller_at_work(world):
        for _ in range(10):
            with contextlib.suppress(TemporaryBackendError):
                await world.delivery.remove_application(world.service, "production", request_id="req0")
                return found.phase
    raise AssertionError("it was never removed")


async def test_a_lost_answer_to_any_write_changes_nothing_in_the_end(world: World) -> None:
    lost_writes = 0
    for number in itertools.count():
        counter = itertools.count()
        fired = []

        def is_lost(request: httpx.Request, number: int = number) -> bool:
            hit = request.method != "GET" and next(counter) == number  # noqa: B023 - read within the round
            fired.extend([request] if hit else [])  # noqa: B023
            return hit

        world.brain.begun.clear()
        world.wire.lose = is_lost
        assert await drive(world) is Phase.READY
        world.wire.lose = lambda _: False
        assert world.brain.begun == [(KEY, GOOD)]
        assert await world.read("production") is None
        if not fired:
            break
        lost_writes += 1
    # At least: create, (note,) operate, note healthy, (finalize,) delete.
    assert lost_writes >= 5


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, '{"error": "internal", "message": "internal"}'),
        (503, "no endpoints"),
        (200, "<html>Sign in</html>"),
        (200, '{"kind": "Status"}'),
        (0, ""),
    ],
    ids=["500", "503", "a proxy's page", "JSON of another kind", "hangs"],
)
async def test_trouble_is_never_taken_for_an_answer(world: World, status: int, body: str) -> None:
    await create(world)
    await deployed(world)

    def trouble(request: httpx.Request) -> httpx.Response:
        if not status:
            raise httpx.ReadTimeout("silence", request=request)
        return httpx.Response(status, text=body)

    world.wire.instead = trouble
    asked = (
        lambda: world.delivery.get_application(world.service, "production"),
        lambda: world.delivery.get_deployment(world.service, "production", operation=KEY),
        lambda: deploy(world, BETTER, NEXT_KEY),
        lambda: world.delivery.remove_application(world.service, "production", request_id="req0"),
        lambda: create(world),
    )
    for ask in asked:
        with pytest.raises(TemporaryBackendError):
            await ask()
    findings = await world.delivery.check()
    assert not all(each.ok for each in findings)
    world.wire.instead = lambda _: None
    assert world.brain.begun == [(KEY, GOOD)]


async def test_success_that_did_nothing_is_noticed(world: World) -> None:
    await create(world)
    before = await world.read("production")

    def pretend(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(200, json=before) if request.method in {"PATCH", "POST"} else None

    world.wire.instead = pretend
    with pytest.raises(TemporaryBackendError, match="does not show it"):
        await deploy(world)
    world.wire.instead = lambda _: None
    assert (await deployed(world)).phase is Phase.READY


async def test_a_write_that_lost_the_race_looks_again(world: World) -> None:
    """Somebody syncs between our reading and our writing: no operation is put over another."""
    await create(world)
    await world.step()
    rival = {"initiatedBy": {"username": "admin"}, "sync": {"revision": OTHER}}
    with interference(world, {"operation": rival}), pytest.raises(TemporaryBackendError) as busy:
        await deploy(world)
    assert busy.value.kind is BackendErrorKind.NOT_READY
    found = await world.read("production")
    assert found is not None
    assert found["operation"] == rival
    await world.step(4)
    assert (await deployed(world)).phase is Phase.READY
    assert world.brain.begun == [("", OTHER), (KEY, GOOD)]


# ---------------------------------------------------------------- check, settings


async def test_check_is_content_with_exactly_what_is_shipped(world: World) -> None:
    findings = await world.delivery.check()
    assert [each for each in findings if not each.ok] == []


async def test_check_names_the_line_that_is_missing(stranger: Kubernetes) -> None:
    findings = await argocd.connect_cluster(argocd.Settings(), stranger).check()
    assert {each.fix for each in findings if each.subject == "Argo CD: patch applications"} == {
        f"Add to the Role in {RULES}: {{apiGroups: [argoproj.io], resources: [applications], verbs: [patch]}}"
    }
    assert {each.fix for each in findings if each.subject == "Argo CD: patch rollouts/status"} == {
        f"Add to the ClusterRole in {RULES}: {{apiGroups: [argoproj.io], resources: [rollouts/status], verbs: [patch]}}"
    }


async def test_check_names_the_policy_line_that_is_missing() -> None:
    async with open_api_world() as world:
        world.api.denied = {"sync"}
        findings = await world.delivery.check()
    assert [each.fix for each in findings if not each.ok] == [
        "Add to policy.csv in argocd-rbac-cm: p, platform-bot, applications, sync, orders/*, allow"
    ]


def test_settings_say_what_they_accept() -> None:
    with pytest.raises(ValueError, match="mode: api needs base_url"):
        argocd.Settings(mode="api")
    with pytest.raises(ValueError, match="accepted placeholder"):
        argocd.Settings(project="{service}")
    with pytest.raises(ValueError, match="accepted placeholders"):
        argocd.Settings(path="k8s/{env}")


class NoEntities:
    """Delivery keeps none."""

    async def put_entity(self, entity: Entity) -> None:
        raise AssertionError

    async def find_entity(self, name: str) -> Entity | None:
        raise AssertionError

    async def search_entities(self, text: str, *, limit: int) -> Sequence[Entity]:
        raise AssertionError

    async def delete_entity(self, name: str) -> None:
        raise AssertionError


async def test_opening_without_a_token_or_a_kubeconfig_says_what_is_missing(tmp_path: Path) -> None:
    surroundings = Surroundings(tmp_path, tmp_path, NoEntities(), {})
    for settings, said in (
        (argocd.Settings(mode="api", base_url="https://argocd.test"), "ARGOCD_TOKEN"),
        (argocd.Settings(kubeconfig="missing.yaml"), "missing.yaml"),
    ):
        with pytest.raises(StartError) as refused:
            async with argocd.open(settings, surroundings):
                pass
        assert said in refused.value.sentence
