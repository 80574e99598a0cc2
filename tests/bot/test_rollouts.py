"""What a deployment under way says of itself, and what a recorded word makes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import people_made as made
import pytest
from fake_backends import sha
from fake_context import REQUEST_ID, FakeRun

from bot import steps
from bot.command import Done, Pending
from bot.domain import Choice, Halt
from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from bot.rollouts import waiting, watching
from integrations.ports import (
    AnalysisPhase,
    AnalysisResult,
    ClosedWindow,
    Deployment,
    Health,
    Phase,
    describe_canary,
)

NEW, OLD = sha("new"), sha("old")
OPERATION = f"{REQUEST_ID}.deploy"
DEPLOY = steps.plan_deploy(service="orders", environment="production", revision=NEW, previous=OLD).arguments
CONTINUE = Halt("2/5", Choice.CONTINUE, "UOMAR00001", "Omar Osman")
ABORT = replace(CONTINUE, choice=Choice.ABORT)


def canary(**changes: object) -> Deployment:
    values: dict[str, object] = {"step": "2/5", "weight_percent": 20, "paused": True, **changes}
    return Deployment("o", NEW, Phase.WAITING_HUMAN, Health.SUSPENDED, **values)  # type: ignore[arg-type]


# ---------------------------------------------------------------- what is said


@pytest.mark.parametrize(
    ("deployment", "line"),
    [
        (canary(), "step 2 of 5, 20 % of the traffic, waiting for Continue"),
        (canary(paused=False), "step 2 of 5, 20 % of the traffic"),
        (canary(step="preview", weight_percent=None), "step preview, waiting for Continue"),
        (canary(step="", weight_percent=None), ""),
        (
            canary(analysis=(AnalysisResult("success-rate", AnalysisPhase.RUNNING),)),
            "step 2 of 5, 20 % of the traffic, analysis success-rate: running, waiting for Continue",
        ),
        (
            canary(
                paused=False,
                analysis=(
                    AnalysisResult("success-rate", AnalysisPhase.FAILED, "too low", ("success-rate 0.8",)),
                ),
            ),
            "step 2 of 5, 20 % of the traffic, analysis success-rate: failed (too low; success-rate 0.8)",
        ),
    ],
)
def test_a_canary_in_one_line(deployment: Deployment, line: str) -> None:
    assert describe_canary(deployment) == line


def test_only_what_waits_for_a_person_is_on_hold() -> None:
    assert watching(canary()).halted_at == "2/5"
    assert watching(canary()).on_hold
    assert not watching(canary(paused=False, step="")).halted_at
    rolling = replace(canary(paused=False), phase=Phase.RUNNING)
    assert (watching(rolling).on_hold, watching(rolling).halted_at) == (False, "")


def test_a_closed_window_is_waited_for_without_a_deadline_and_looked_at_when_it_opens() -> None:
    window = ClosedWindow("the sync window of orders is closed", made.NOW + timedelta(seconds=5))
    assert waiting(window, made.NOW) == Pending(
        f"the sync window of orders is closed; begins at {window.opens_at:%Y-%m-%d %H:%M} UTC",
        5.0,
        on_hold=True,
    )
    assert waiting(ClosedWindow("closed"), made.NOW) == Pending("closed", 30.0, on_hold=True)


# ---------------------------------------------------------------- what is done


@pytest.fixture
async def run() -> FakeRun:
    """A run whose deployment waits at the second of five steps."""
    run = FakeRun()
    await steps.DEPLOY.do(run, DEPLOY)
    run.backends.delivery.canary(OPERATION, "2/5", 20)
    return run


async def test_nothing_is_moved_before_somebody_says_so(run: FakeRun) -> None:
    for halt in (None, Halt("2/5")):
        run.halts = {"deploy": halt} if halt else {}
        found = await steps.DEPLOY.do(run, DEPLOY)
        assert isinstance(found, Pending)
        assert (found.on_hold, found.halted_at) == (True, "2/5")
    assert [one for one in run.backends.effects if "resume" in one] == []


async def test_a_continue_is_carried_out_once(run: FakeRun) -> None:
    run.halts["deploy"] = CONTINUE
    found = await steps.DEPLOY.do(run, DEPLOY)
    assert isinstance(found, Pending)
    assert found.halted_at == ""
    await steps.DEPLOY.do(run, DEPLOY)
    assert [one for one in run.backends.effects if "resume" in one] == [f"resume {OPERATION} past 2/5"]


async def test_a_continue_for_a_pause_that_is_over_moves_nothing(run: FakeRun) -> None:
    run.halts["deploy"] = CONTINUE
    run.backends.delivery.canary(OPERATION, "4/5", 50)
    found = await steps.DEPLOY.do(run, DEPLOY)
    assert isinstance(found, Pending)
    assert found.halted_at == "4/5"
    assert [one for one in run.backends.effects if "resume" in one] == []


async def test_a_continue_whose_answer_was_lost_skips_no_pause(run: FakeRun) -> None:
    run.halts["deploy"] = CONTINUE
    run.backends.delivery.lost_answers.add("resume")
    with pytest.raises(TemporaryBackendError):
        await steps.DEPLOY.do(run, DEPLOY)
    await steps.DEPLOY.do(run, DEPLOY)
    assert [one for one in run.backends.effects if "resume" in one] == [f"resume {OPERATION} past 2/5"]


async def test_a_continue_that_is_refused_is_shown_and_takes_nothing_back(run: FakeRun) -> None:
    run.halts["deploy"] = CONTINUE
    run.backends.delivery.faults["resume"] = PermanentBackendError(
        "no right", backend="delivery", kind=BackendErrorKind.DENIED, fix="Ask."
    )
    found = await steps.DEPLOY.do(run, DEPLOY)
    assert isinstance(found, Pending)
    assert found.detail.startswith("it could not be continued: no right Ask., step 2 of 5")
    assert found.halted_at == "2/5"


async def test_an_abort_fails_the_step_with_the_name_of_who_did_it(run: FakeRun) -> None:
    run.halts["deploy"] = ABORT
    for _ in range(2):
        with pytest.raises(PermanentBackendError) as failed:
            await steps.DEPLOY.do(run, DEPLOY)
        assert failed.value.message == f"Omar Osman aborted {NEW[:7]} in production at step 2/5."
    assert [one for one in run.backends.effects if "abort" in one] == [f"abort {OPERATION} at 2/5"]


async def test_an_abort_that_comes_too_late_lapses(run: FakeRun) -> None:
    run.halts["deploy"] = ABORT
    run.backends.delivery.canary(OPERATION, "4/5", 50)
    found = await steps.DEPLOY.do(run, DEPLOY)
    assert isinstance(found, Pending)
    assert found.halted_at == "4/5"


async def test_nothing_is_started_while_a_window_is_closed() -> None:
    run = FakeRun()
    run.backends.delivery.windows["orders", "production"] = ClosedWindow("closed for the weekend")
    assert await steps.DEPLOY.do(run, DEPLOY) == Pending("closed for the weekend", 30.0, on_hold=True)
    assert run.backends.effects == []
    run.backends.delivery.windows.clear()
    await steps.DEPLOY.do(run, DEPLOY)
    run.backends.delivery.settle(OPERATION, Phase.READY)
    assert isinstance(await steps.DEPLOY.do(run, DEPLOY), Done)


async def test_what_was_begun_and_waits_for_a_window_is_on_hold() -> None:
    run = FakeRun()
    await steps.DEPLOY.do(run, DEPLOY)
    run.backends.delivery.settle(OPERATION, Phase.PENDING, message="blocked")
    run.backends.delivery.windows["orders", "production"] = ClosedWindow("closed for the weekend")
    found = await steps.DEPLOY.do(run, DEPLOY)
    assert isinstance(found, Pending)
    assert found.on_hold
