"""Argo CD when things go wrong on the way, and what `check` and the settings say. In both its ways."""

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
    KEY,
    NEXT_KEY,
    OTHER,
    WAYS,
    World,
    controller_at_work,
    create,
    deploy,
    deployed,
    interference,
    open_api_world,
    open_world,
    outcome,
    wish,
)

from bot.errors import (
    BackendErrorKind,
    PermanentBackendError,
    StartError,
    TemporaryBackendError,
)
from integrations import argocd
from integrations._argocd_cluster import RULES
from integrations._kubernetes import Kubernetes
from integrations.ports import Deployment, Entity, Phase, Surroundings


@pytest.fixture(params=WAYS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with open_world(request) as world:
        yield world


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
