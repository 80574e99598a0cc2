"""The code host is told what became of a deployment; whatever it makes of that, the deployment goes on."""

from __future__ import annotations

import asyncio

import pytest
from fake_backends import FakeBackends, FakeCodeHost, sha
from fake_context import REQUEST_ID, FakeRun, step_record

from bot import announcing, steps
from bot.attempt import LAST_CALL_SECONDS
from bot.command import Done, Pending
from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from bot.metrics import Metrics
from integrations.ports import DeploymentReports, DeploymentState, Health, Phase

OLD, NEW = sha("old"), sha("new")
OPERATION = f"{REQUEST_ID}.deploy"
UNDO = f"{REQUEST_ID}.undo-deploy"
DEPLOY = steps.plan_deploy(service="orders", environment="production", revision=NEW, previous=OLD).arguments


class TellingCodeHost(FakeCodeHost):
    """Shows deployments; `told` is what its pages would say. `faults` of report_deployment fail one report."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, str, str]] = []

    async def report_deployment(
        self,
        name: str,
        *,
        revision: str,
        environment: str,
        state: DeploymentState,
        operation: str,
        url: str = "",
    ) -> None:
        self.asked("report_deployment")
        assert (name, environment) == ("orders", "production")
        assert bool(url) is (state is DeploymentState.SUCCESS)
        self.told.append((operation, revision, state.value))


class SilentCodeHost(TellingCodeHost):
    """Never answers."""

    async def report_deployment(self, name: str, **_: object) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def host() -> TellingCodeHost:
    return TellingCodeHost()


@pytest.fixture
def run(host: TellingCodeHost) -> FakeRun:
    return on(host)


def on(host: FakeCodeHost) -> FakeRun:
    backends = FakeBackends()
    backends.code_host = host
    backends.delivery.runs("orders", "production", OLD)
    return FakeRun(backends=backends)


def counted(state: str, outcome: str) -> float:
    labels = {"state": state, "outcome": outcome}
    return Metrics().registry.get_sample_value("platform_deployment_reports_total", labels) or 0.0


async def test_a_deployment_is_announced_when_it_begins_and_when_it_is_healthy(
    run: FakeRun, host: TellingCodeHost
) -> None:
    for _ in range(3):
        assert isinstance(await steps.DEPLOY.do(run, DEPLOY), Pending)
    assert host.told == [(OPERATION, NEW, "in_progress")]
    run.backends.delivery.settle(OPERATION, Phase.READY)
    assert isinstance(await steps.DEPLOY.do(run, DEPLOY), Done)
    assert host.told[1:] == [(OPERATION, NEW, "success")]


async def test_a_degraded_deployment_and_its_way_back_are_announced(
    run: FakeRun, host: TellingCodeHost
) -> None:
    await steps.DEPLOY.do(run, DEPLOY)
    run.backends.delivery.settle(OPERATION, Phase.FAILED, health=Health.DEGRADED)
    with pytest.raises(PermanentBackendError):
        await steps.DEPLOY.do(run, DEPLOY)
    assert steps.DEPLOY.undo is not None
    await steps.DEPLOY.undo(run, DEPLOY, step_record("deploy"))
    run.backends.delivery.settle(UNDO, Phase.READY)
    await steps.DEPLOY.undo(run, DEPLOY, step_record("deploy"))
    assert host.told[1:] == [
        (OPERATION, NEW, "failure"),
        (UNDO, OLD, "in_progress"),
        (UNDO, OLD, "success"),
        (OPERATION, NEW, "inactive"),
    ]


async def test_a_first_deployment_that_is_taken_back_ends_as_inactive(
    run: FakeRun, host: TellingCodeHost
) -> None:
    assert steps.DEPLOY.undo is not None
    await steps.DEPLOY.undo(run, {**DEPLOY, "previous": ""}, step_record("deploy"))
    assert host.told == [(OPERATION, NEW, "inactive")]


@pytest.mark.parametrize(
    "error",
    [
        TemporaryBackendError("away", backend="code host"),
        PermanentBackendError("no permission", backend="code host", kind=BackendErrorKind.DENIED),
        ZeroDivisionError("a mistake of ours"),
    ],
    ids=["away", "refused", "mistaken"],
)
async def test_a_code_host_that_cannot_be_told_costs_the_deployment_nothing(
    run: FakeRun, host: TellingCodeHost, error: Exception
) -> None:
    before = counted("in_progress", "failed")
    host.faults["report_deployment"] = error
    assert isinstance(await steps.DEPLOY.do(run, DEPLOY), Pending)
    assert host.told == []
    assert counted("in_progress", "failed") == before + 1
    run.backends.delivery.settle(OPERATION, Phase.READY)
    host.faults["report_deployment"] = error
    outcome = await steps.DEPLOY.do(run, DEPLOY)
    assert isinstance(outcome, Done)
    assert outcome.record is not None


async def test_a_code_host_that_hangs_is_left_alone_in_time() -> None:
    before = counted("success", "failed")
    one = announcing.Announcement("orders", "production", NEW, OPERATION)
    await announcing.announce(on(SilentCodeHost()), one, DeploymentState.SUCCESS, deadline_seconds=0.01)
    assert counted("success", "failed") == before + 1


def test_a_report_never_outlasts_the_shortest_call_of_a_step() -> None:
    assert announcing.DEADLINE_SECONDS < LAST_CALL_SECONDS


async def test_a_code_host_that_shows_nothing_is_not_bothered() -> None:
    plain = FakeCodeHost()
    assert not isinstance(plain, DeploymentReports)
    assert isinstance(await steps.DEPLOY.do(on(plain), DEPLOY), Pending)
