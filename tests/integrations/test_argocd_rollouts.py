"""Canaries: where they are, and moving them exactly one step from where a person saw them."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from argo_world import GOOD, KEY, WAYS, World, create, open_cluster_world, open_world
from kube import Server, api_status

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations import _argocd_rollouts as rollouts
from integrations.ports import AnalysisPhase, AnalysisResult, Deployment, Health, Phase

STEPS = [{"setWeight": 10}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]


def canary(name: str, **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name, "namespace": "orders-production"},
        "spec": {"strategy": {"canary": {"steps": copy.deepcopy(STEPS)}}},
        "status": {
            "observedGeneration": "1",
            "phase": "Paused",
            "message": "CanaryPauseStep",
            "currentStepIndex": 1,
            "controllerPause": True,
            "pauseConditions": [{"reason": "CanaryPauseStep", "startTime": "2026-01-01T10:00:00Z"}],
            "stableRS": "aaa",
            "currentPodHash": "bbb",
            **status,
        },
    }


def analysis(name: str, phase: str) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisRun",
        "metadata": {"name": name, "namespace": "orders-production"},
        "spec": {"metrics": [{"name": "success-rate", "provider": {}}]},
        "status": {
            "phase": phase,
            "message": 'Metric "success-rate" assessed Failed due to failed (2) > failureLimit (1)',
            "metricResults": [
                {
                    "name": "success-rate",
                    "phase": phase or "Running",
                    "count": 3,
                    "successful": 1,
                    "failed": 2,
                    "measurements": [
                        {"value": "0.97", "phase": "Successful"},
                        {"value": "0.83", "phase": "Failed"},
                    ],
                }
            ],
        },
    }


def parsed(generation: int = 1, **status: Any) -> rollouts.Rollout:
    body = canary("orders", **status)
    body["metadata"]["generation"] = generation
    return rollouts.parse_rollout(body)


def held() -> rollouts.Rollout:
    body = canary("orders")
    body["metadata"]["generation"] = 1
    body["spec"]["paused"] = True
    return rollouts.parse_rollout(body)


# ---------------------------------------------------------------- where it is


def test_the_weight_is_what_the_steps_asked_for_where_nobody_measures() -> None:
    weights = [parsed(currentStepIndex=index).weight_percent for index in range(5)]
    assert weights == [10, 10, 50, 50, 50]
    assert [parsed(currentStepIndex=index).step for index in (0, 1, 4)] == ["1/4", "2/4", "4/4"]


@pytest.mark.parametrize(
    ("status", "generation"),
    [({}, 2), ({"pauseConditions": None}, 1), ({"observedGeneration": ""}, 1)],
    ids=["the spec is newer", "it is being continued", "never seen"],
)
def test_a_phase_from_before_is_no_phase(status: dict[str, Any], generation: int) -> None:
    found = parsed(generation, **status)
    assert (found.phase, found.is_promoted) == ("", False)


def test_how_an_analysis_stands_is_known_from_the_rollout_alone() -> None:
    run = {"name": "orders-2", "status": "Inconclusive", "message": "no traffic"}
    assert parsed(canary={"currentStepAnalysisRunStatus": run}).analysis == (
        AnalysisResult("orders-2", AnalysisPhase.INCONCLUSIVE, "no traffic"),
    )


@pytest.mark.parametrize(
    ("said", "phase"),
    [
        ("", AnalysisPhase.RUNNING),
        ("Pending", AnalysisPhase.RUNNING),
        ("Running", AnalysisPhase.RUNNING),
        ("Successful", AnalysisPhase.SUCCESSFUL),
        ("Failed", AnalysisPhase.FAILED),
        ("Error", AnalysisPhase.ERROR),
        ("Inconclusive", AnalysisPhase.INCONCLUSIVE),
        ("Splendid", AnalysisPhase.ERROR),
    ],
)
def test_only_a_word_that_is_known_to_be_good_is_good(said: str, phase: AnalysisPhase) -> None:
    assert rollouts.parse_analysis(analysis("orders-2", said)).phase is phase


def test_an_analysis_is_named_by_its_metrics_and_says_what_they_measured() -> None:
    assert rollouts.parse_analysis(analysis("orders-2", "Failed")) == AnalysisResult(
        "success-rate",
        AnalysisPhase.FAILED,
        'Metric "success-rate" assessed Failed due to failed (2) > failureLimit (1)',
        ("success-rate 0.83, 2 of 3 failed",),
    )


@pytest.mark.parametrize("body", [None, [], {}, {"spec": {"metrics": 3}, "metadata": {}}])
def test_what_is_no_analysis_is_no_answer(body: Any) -> None:
    with pytest.raises(TemporaryBackendError):
        rollouts.parse_analysis(body)


def test_a_blue_green_rollout_halts_at_its_preview() -> None:
    body = canary("orders", pauseConditions=[{"reason": "BlueGreenPause", "startTime": "x"}])
    body["metadata"]["generation"] = 1
    body["spec"] = {"strategy": {"blueGreen": {}}}
    found = rollouts.parse_rollout(body)
    assert (found.step, found.is_paused, found.weight_percent) == ("preview", True, None)


@pytest.mark.parametrize("body", [None, [], {}, {"metadata": {"name": "x"}, "spec": 3}])
def test_what_is_no_rollout_is_no_answer(body: Any) -> None:
    with pytest.raises(TemporaryBackendError):
        rollouts.parse_rollout(body)


def test_after_an_inconclusive_analysis_the_step_is_left_behind() -> None:
    stopped = parsed(pauseConditions=[{"reason": "InconclusiveAnalysisRun", "startTime": "x"}])
    assert rollouts.resume_patch(stopped)["status"] == {
        "pauseConditions": None,
        "controllerPause": False,
        "currentStepIndex": 2,
    }
    assert rollouts.resume_patch(parsed())["status"] == {"pauseConditions": None}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (parsed(currentStepIndex=3), "at step 4/4 now"),
        (parsed(phase="Progressing", pauseConditions=None, controllerPause=False), "not waiting"),
        (parsed(abort=True), "aborted"),
        (parsed(2), "not waiting"),
        (held(), "stopped by hand"),
    ],
)
def test_what_cannot_be_continued(found: rollouts.Rollout, said: str) -> None:
    with pytest.raises(PermanentBackendError, match=said) as refused:
        rollouts.require_resumable(found, "2/4")
    assert refused.value.kind is BackendErrorKind.CONFLICT


# ---------------------------------------------------------------- moving it


@pytest.fixture(params=WAYS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with open_world(request) as world:
        yield world


async def paused(world: World) -> None:
    """A deployment whose canary waits at its first pause."""
    await create(world)
    world.brain.behaviour = "suspended"
    world.brain.resources = [
        {
            "group": "argoproj.io",
            "version": "v1alpha1",
            "kind": "Rollout",
            "namespace": "orders-production",
            "name": world.service,
        }
    ]
    await world.add_rollout(canary(world.service))
    await world.delivery.deploy(world.service, "production", revision=GOOD, operation=KEY, actor="Alice")
    await world.step(5)


async def test_the_card_learns_the_step_and_the_weight(world: World) -> None:
    await paused(world)
    found = await world.delivery.get_deployment(world.service, "production", operation=KEY)
    assert found is not None
    assert (found.phase, found.step, found.weight_percent) == (Phase.WAITING_HUMAN, "2/4", 10)
    assert found.paused
    assert found.message == ""
    app = await world.delivery.get_application(world.service, "production")
    assert app is not None
    assert app.message == "step 2 of 4, 10 % of the traffic, waiting for Continue"


async def _analysed(world: World, phase: str) -> None:
    name = f"{world.service}-2-1"
    await world.add_analysis(analysis(name, phase))
    status = {"name": name, "status": phase, "message": "from the rollout"}
    await world.set_rollout(canary={"currentStepAnalysisRunStatus": status})


async def test_the_card_learns_what_the_analysis_measured(world: World) -> None:
    await paused(world)
    await _analysed(world, "Running")
    found = await _found(world)
    assert [(each.name, each.phase, each.measured) for each in found.analysis] == [
        ("success-rate", AnalysisPhase.RUNNING, ("success-rate 0.83, 2 of 3 failed",))
    ]


async def test_an_analysis_that_cannot_be_read_is_told_as_the_rollout_tells_it(world: World) -> None:
    await paused(world)
    await _analysed(world, "Running")
    world.wire.instead = _no_analysis
    found = await _found(world)
    assert found.analysis == (
        AnalysisResult(f"{world.service}-2-1", AnalysisPhase.RUNNING, "from the rollout"),
    )


async def test_a_failed_analysis_fails_the_deployment_at_once(world: World) -> None:
    """Argo Rollouts aborts by itself; the application's health may still be that of before, and no grace is given."""
    await paused(world)
    world.delivery = world.reopen(degraded_grace_seconds=3600)
    await _analysed(world, "Failed")
    said = 'RolloutAborted: Metric "success-rate" assessed Failed'
    await world.set_rollout(
        phase="Degraded", abort=True, message=said, pauseConditions=None, controllerPause=False
    )
    found = await _found(world)
    assert (found.phase, found.message, found.paused) == (Phase.FAILED, said, False)
    assert found.health is Health.DEGRADED
    assert found.analysis[0].phase is AnalysisPhase.FAILED


async def test_what_another_operation_rolls_out_is_not_this_ones_to_steer(world: World) -> None:
    await paused(world)
    for steer in (world.delivery.resume, world.delivery.abort):
        with pytest.raises(PermanentBackendError, match="is not this deployment's") as refused:
            await steer(world.service, "production", operation="req0.1.deploy", step="2/4")
        assert refused.value.kind is BackendErrorKind.CONFLICT


async def _found(world: World) -> Deployment:
    found = await world.delivery.get_deployment(world.service, "production", operation=KEY)
    assert found is not None
    return found


def _no_analysis(request: httpx.Request) -> httpx.Response | None:
    if "/analysisruns/" not in request.url.path and request.url.params.get("kind") != "AnalysisRun":
        return None
    refused = 'analysisruns is forbidden: User "bot" cannot get resource "analysisruns"'
    return api_status(403, "Forbidden", refused)


async def test_continuing_goes_past_one_pause_and_only_from_the_step_that_was_seen(world: World) -> None:
    await paused(world)
    with pytest.raises(PermanentBackendError, match="at step 2/4 now, not at step 4/4"):
        await world.delivery.resume(world.service, "production", operation=KEY, step="4/4")
    await world.delivery.resume(world.service, "production", operation=KEY, step="2/4")
    status = (await world.read_rollout())["status"]
    assert not status.get("pauseConditions")
    # A second click, before the controller has taken the first one up, continues nothing.
    with pytest.raises(PermanentBackendError, match="not waiting"):
        await world.delivery.resume(world.service, "production", operation=KEY, step="2/4")


async def test_a_lost_answer_to_continue_does_not_skip_a_pause(world: World) -> None:
    await paused(world)
    world.wire.lose = lambda request: request.method in {"PATCH", "POST"}
    with pytest.raises(BackendError):
        await world.delivery.resume(world.service, "production", operation=KEY, step="2/4")
    world.wire.lose = lambda _: False
    with pytest.raises(PermanentBackendError) as refused:
        await world.delivery.resume(world.service, "production", operation=KEY, step="2/4")
    assert refused.value.kind is BackendErrorKind.CONFLICT
    assert (await world.read_rollout())["status"]["currentStepIndex"] == 1


async def test_aborting_twice_is_aborting_once(world: World) -> None:
    await paused(world)
    for _ in range(2):
        await world.delivery.abort(world.service, "production", operation=KEY, step="2/4")
    assert (await world.read_rollout())["status"]["abort"] is True


async def test_a_service_without_a_canary_says_so(world: World) -> None:
    await create(world)
    with pytest.raises(PermanentBackendError, match="no canary"):
        await world.delivery.resume(world.service, "production", operation=KEY, step="1/4")


def _no_rollouts(request: httpx.Request) -> httpx.Response | None:
    if "/rollouts/" not in request.url.path:
        return None
    return api_status(403, "Forbidden", 'rollouts is forbidden: User "bot" cannot get resource "rollouts"')


async def test_a_canary_the_bot_may_not_see_does_not_stop_a_deployment(server: Server) -> None:
    async with server.admin() as admin, open_cluster_world(server, admin) as world:
        await paused(world)
        world.wire.instead = _no_rollouts
        found = await world.delivery.get_deployment(world.service, "production", operation=KEY)
    assert found is not None
    assert found.phase is Phase.WAITING_HUMAN
    assert "the canary's step cannot be read" in found.message
