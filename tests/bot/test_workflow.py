"""Durable execution on both databases, through the engine: what a person sees of a run, and what it leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs
from toy_bot import QUICK, ToyBot, toy_bot, utc_now
from toy_world import World, temporary, toy_command, toy_plan

from bot.command import Done, Pending, Run, StepKind
from bot.domain import (
    JSON,
    DeploymentRecord,
    OnFailure,
    Record,
    Request,
    RequestState,
    Service,
    StepRecord,
    StepState,
)
from bot.errors import BackendErrorKind, PermanentBackendError
from bot.replanned import Changed, CouldNotAsk, Refused, Replanned, Same
from bot.store import Store
from bot.tables import REQUESTS


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "world.db")


def states(request: Request) -> dict[str, StepState]:
    return {step.key: step.state for step in request.steps}


async def test_what_was_approved_runs_in_order_and_succeeds(database_url: str, world: World) -> None:
    async with toy_bot(database_url, toy_command(world)) as bot:
        await bot.request(toy_plan())
        request = await bot.ended()

        assert request.state is RequestState.SUCCEEDED
        assert set(states(request).values()) == {StepState.DONE}
        assert world.log() == ["made repository toy", "made claim toy", "made deployment r1.1.deploy"]
        assert (await bot.store.verify_audit()).first_bad is None
        assert await bot.events() == [
            "request.opened",
            "request.planned",
            "run.started",
            *["step.started", "step.done"] * 3,
            "service.created",
            "deployment.recorded",
            "request.succeeded",
        ]


async def test_a_later_step_reads_what_an_earlier_one_returned(database_url: str, world: World) -> None:
    async with toy_bot(database_url, toy_command(world)) as bot:
        await bot.request(toy_plan())
        request = await bot.ended()

    assert request.steps[1].output == {"repository": "git://r-1"}


async def test_a_refused_step_undoes_everything_in_reverse(database_url: str, world: World) -> None:
    async with toy_bot(database_url, toy_command(world)) as bot:
        await bot.request(toy_plan(fails=1))
        request = await bot.ended()

        assert (request.state, request.outcome) == (
            RequestState.UNDONE,
            "Make the deploy: It is degraded.",
        )
        assert set(states(request).values()) == {StepState.UNDONE}
        assert world.log()[3:] == [
            "made rollback r1.1.undo",
            "removed claim toy",
            "removed repository toy",
        ]
        assert await bot.store.find_service("toy") is None
        assert await bot.store.find_active("toy") is None


async def test_a_stopped_run_retries_from_the_failed_step_with_a_new_operation(
    database_url: str, world: World
) -> None:
    async with toy_bot(database_url, toy_command(world)) as bot:
        await bot.request(toy_plan(fails=1, on_failure=OnFailure.STOP))
        assert (await bot.ended()).state is RequestState.STOPPED
        await bot.choose("retry")
        request = await bot.ended(run=2)

    assert request.state is RequestState.SUCCEEDED
    assert world.log() == [
        "made repository toy",
        "made claim toy",
        "made deployment r1.1.deploy",
        "made deployment r1.2.deploy",
    ]


async def test_a_stopped_run_can_be_undone(database_url: str, world: World) -> None:
    async with toy_bot(database_url, toy_command(world)) as bot:
        await bot.request(toy_plan(fails=1, on_failure=OnFailure.STOP))
        await bot.ended()
        await bot.choose("undo")
        request = await bot.ended(run=2)

    assert request.state is RequestState.UNDONE
    assert world.log()[3:] == ["made rollback r1.2.undo", "removed claim toy", "removed repository toy"]


async def test_a_step_that_ran_out_of_time_leaves_the_choice_to_a_person(
    database_url: str, world: World
) -> None:
    async def never_ready(_run: Run, _arguments: JSON) -> Pending:
        return Pending("still rolling out", after_seconds=0.05)

    command = toy_command(world, deploy=StepKind(never_ready))
    async with toy_bot(database_url, command) as bot:
        await bot.request(toy_plan(timeout_seconds=1))
        request = await bot.ended()

    assert request.state is RequestState.STOPPED
    assert "still rolling out" in request.outcome
    assert request.steps[2].unsure
    assert world.things() == ["claim toy", "repository toy"]


async def test_a_temporary_failure_is_tried_again_and_shown_meanwhile(
    database_url: str, world: World
) -> None:
    answers = iter([temporary("The backend is away."), temporary("The backend is away."), None])
    go_on = asyncio.Event()

    async def shaky(_run: Run, _arguments: JSON) -> Done:
        error = next(answers)
        if error is not None:
            raise error
        await go_on.wait()
        return Done(detail="at last")

    async with toy_bot(database_url, toy_command(world, deploy=StepKind(shaky))) as bot:
        await bot.request(toy_plan())
        await bot.until(lambda request: any(one.detail == "The backend is away." for one in request.steps))
        go_on.set()
        request = await bot.ended()

    assert request.state is RequestState.SUCCEEDED
    assert request.steps[2].detail == "at last"


async def test_a_mistake_in_a_step_gives_the_person_a_reference_and_is_undone(
    database_url: str, world: World
) -> None:
    async def broken(_run: Run, _arguments: JSON) -> Done:
        raise ZeroDivisionError

    async with toy_bot(database_url, toy_command(world, deploy=StepKind(broken))) as bot:
        await bot.request(toy_plan())
        request = await bot.ended()

    assert request.state is RequestState.UNDONE
    assert "Give the platform team the reference" in request.outcome
    assert world.things() == []


async def test_an_undo_that_fails_stops_and_says_where(database_url: str, world: World) -> None:
    refused = True

    async def undo(_run: Run, arguments: JSON, _done: StepRecord) -> Done:
        if refused:
            raise PermanentBackendError("Not allowed.", backend="toy", kind=BackendErrorKind.DENIED)
        world.remove(f"claim {arguments['service']}")
        return Done()

    original = toy_command(world)
    command = toy_command(world, claim=StepKind(original.steps["claim"].do, undo))
    async with toy_bot(database_url, command) as bot:
        await bot.request(toy_plan(fails=1))
        stopped = await bot.ended()
        assert stopped.state is RequestState.STOPPED
        assert "Undo failed at Make the claim: Not allowed." in stopped.outcome
        assert states(stopped) == {
            "repository": StepState.DONE,
            "claim": StepState.UNDO_FAILED,
            "deploy": StepState.UNDONE,
        }
        refused = False
        await bot.choose("undo")
        request = await bot.ended(run=2)

    assert request.state is RequestState.UNDONE
    assert world.things() == ["deployment r1.1.deploy", "rollback r1.1.undo"]


@pytest.mark.parametrize("forgotten", ["step", "command"])
async def test_what_this_version_cannot_undo_is_never_said_to_be_undone(
    database_url: str, world: World, forgotten: str
) -> None:
    command = toy_command(world)
    async with toy_bot(database_url, command) as bot:
        await bot.request(toy_plan(fails=1, on_failure=OnFailure.STOP))
        await bot.ended()
    known = {key: kind for key, kind in command.steps.items() if key != "deploy"}
    later = replace(command, name="other") if forgotten == "command" else replace(command, steps=known)
    async with toy_bot(database_url, later) as bot:
        await bot.choose("undo")
        request = await bot.ended(run=2)

    assert request.state is RequestState.STOPPED
    assert "Undo failed at Make the deploy: This version of the bot does not know the step" in request.outcome
    assert world.things() == ["claim toy", "deployment r1.1.deploy", "repository toy"]


async def test_a_name_taken_meanwhile_is_a_failed_step_and_not_a_broken_run(
    database_url: str, world: World
) -> None:
    async with toy_bot(database_url, toy_command(world)) as bot:
        await bot.request(toy_plan(), name="first")
        await bot.ended(name="first")
        await bot.request(toy_plan(), name="second")
        request = await bot.ended(name="second")

        assert request.state is RequestState.UNDONE
        assert request.steps[2].error
        service = await bot.store.find_service("toy")
        assert isinstance(service, Service)
        assert service.request_id == "first"


# ---------------------------------------------------------------- looking again before the run


def answering(*answers: Replanned) -> tuple[Callable[[Request], Awaitable[Replanned]], list[str]]:
    """A replan that gives these answers in turn, and the requests it was asked about."""
    asked: list[str] = []
    remaining = list(answers)

    async def replan(request: Request) -> Replanned:
        asked.append(request.id)
        return remaining.pop(0) if len(remaining) > 1 else remaining[0]

    return replan, asked


async def test_a_changed_plan_is_shown_and_approved_again_before_anything_runs(
    database_url: str, world: World
) -> None:
    plan = toy_plan(steps=("repository",))
    due_at = utc_now() + timedelta(hours=1)
    changed = Changed(plan=plan, gates=(), plan_hash="other", changes=("other revision",), due_at=due_at)
    replan, _ = answering(changed)
    async with toy_bot(database_url, toy_command(world), replan=replan) as bot:
        await bot.request(toy_plan())
        request = await bot.ended()

    assert request.state is RequestState.AWAITING
    assert (request.plan, request.plan_changes, request.due_at) == (plan, ("other revision",), due_at)
    assert world.log() == []


async def test_runs_are_started_after_a_failure_that_nobody_foresaw(database_url: str, world: World) -> None:
    async with toy_bot(database_url, toy_command(world)) as bot:
        with capture_logs() as logs:
            await execute(bot.store, "ALTER TABLE replicas RENAME TO mislaid")
            async with asyncio.timeout(20):
                while not any(one.get("task") == "engine-start" for one in logs):
                    await asyncio.sleep(0.01)
            await execute(bot.store, "ALTER TABLE mislaid RENAME TO replicas")
        await bot.request(toy_plan())
        assert (await bot.ended()).state is RequestState.SUCCEEDED


async def execute(store: Store, statement: str) -> None:
    async with store.engine.begin() as connection:
        await connection.execute(sa.text(statement))


async def test_a_lost_permission_refuses_the_run(database_url: str, world: World) -> None:
    replan, _ = answering(Refused(reason="Alice left the team.", rule="membership"))
    async with toy_bot(database_url, toy_command(world), replan=replan) as bot:
        await bot.request(toy_plan())
        request = await bot.ended()

    assert (request.state, request.outcome) == (RequestState.REFUSED, "Alice left the team.")
    assert world.log() == []


async def test_could_not_ask_is_asked_again_and_is_no_refusal(database_url: str, world: World) -> None:
    away = CouldNotAsk(reason="Slack is away.", retry_after_seconds=0.01)
    replan, asked = answering(away, away, Same())
    async with toy_bot(database_url, toy_command(world), replan=replan) as bot:
        await bot.request(toy_plan())
        request = await bot.ended()

    assert request.state is RequestState.SUCCEEDED
    assert len(asked) == 3


async def test_a_retry_does_not_ask_again_once_something_was_done(database_url: str, world: World) -> None:
    replan, asked = answering(Same())
    async with toy_bot(database_url, toy_command(world), replan=replan) as bot:
        await bot.request(toy_plan(fails=1, on_failure=OnFailure.STOP))
        await bot.ended()
        await bot.choose("retry")
        await bot.ended(run=2)

    assert asked == ["r1"]


# ---------------------------------------------------------------- ending and starting again


async def test_an_orderly_end_interrupts_a_step_and_the_next_start_goes_on(
    database_url: str, world: World
) -> None:
    calls = 0

    async def long(_run: Run, _arguments: JSON) -> Done:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.Event().wait()
        return Done(detail="second try")

    command = toy_command(world, deploy=StepKind(long))
    async with toy_bot(database_url, command) as bot:
        await bot.request(toy_plan())
        await bot.until(lambda _: calls == 1)
    left = {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}
    async with toy_bot(database_url, command) as bot:
        request = await bot.ended()
        events = await bot.events()

    assert left == set()
    assert request.state is RequestState.SUCCEEDED
    assert request.steps[2].detail == "second try"
    assert events.count("step.started") == 3
    assert await asyncio.to_thread(lambda: "usable") == "usable"


async def test_a_decision_that_is_rolled_back_starts_nothing(database_url: str, world: World) -> None:
    async with toy_bot(database_url, toy_command(world)) as bot:
        first = await bot.request(toy_plan())
        await bot.ended()

        async def start_and_fail(tx: Any) -> None:
            await tx.start_run(await tx.request_row(first.id), RequestState.QUEUED)
            raise ValueError("changed my mind")

        with pytest.raises(ValueError, match="changed my mind"):
            await bot.store.write(start_and_fail)
        assert bot.store.queued.empty()
        assert await bot.engine.sweep() == 0
        again = await bot.store.get_request("r1")

    assert (again.state, again.run) == (RequestState.SUCCEEDED, 1)


# ---------------------------------------------------------------- what nobody runs


async def test_a_decision_whose_run_nobody_started_is_found(database_url: str, world: World) -> None:
    async with Store.open(database_url, clock=utc_now) as store:
        # Only what ToyBot asks of the store is used: as if the process had died right after the commit.
        await ToyBot(store, engine=None).request(toy_plan())  # type: ignore[arg-type]
    async with toy_bot(database_url, toy_command(world)) as bot:
        request = await bot.ended()
        assert await bot.engine.sweep() == 0

    assert request.state is RequestState.SUCCEEDED


@pytest.mark.parametrize(("most_deaths", "state"), [(0, RequestState.STOPPED), (1, RequestState.SUCCEEDED)])
async def test_a_run_during_which_too_many_processes_died_is_stopped(
    database_url: str, world: World, most_deaths: int, state: RequestState
) -> None:
    async with Store.open(database_url, clock=utc_now) as store:
        await ToyBot(store, engine=None).request(toy_plan())  # type: ignore[arg-type]
        async with store.engine.begin() as connection:
            # As if a replica had claimed it and was killed.
            await connection.execute(sa.update(REQUESTS).values(replica="dead"))
    async with toy_bot(
        database_url, toy_command(world), tuning=replace(QUICK, most_deaths=most_deaths)
    ) as bot:
        request = await bot.ended()

    assert request.state is state


async def test_a_run_that_broke_off_is_stopped_and_can_be_retried(database_url: str, world: World) -> None:
    naive = DeploymentRecord(
        service="toy",
        environment="staging",
        revision="1" * 40,
        ref_revision="1" * 40,
        healthy=True,
        deployed_by="U1",
        deployed_at=datetime(2026, 11, 21),  # noqa: DTZ001 - which the database refuses, and not because it is away
        request_id="r1",
    )

    async def do(run: Run, _arguments: JSON) -> Done:
        return Done() if run.operation("") == "r1.2." else Done(record=Record(deployment=naive))

    async with toy_bot(database_url, toy_command(world, claim=StepKind(do))) as bot:
        await bot.request(toy_plan(steps=("repository", "claim")))
        stopped = await bot.ended()
        assert stopped.state is RequestState.STOPPED
        assert "retry from here, or undo" in stopped.outcome
        await bot.choose("retry")
        request = await bot.ended(run=2)

    assert request.state is RequestState.SUCCEEDED
    assert world.log() == ["made repository toy"]


async def test_a_mistake_while_looking_again_stops_with_a_reference(database_url: str, world: World) -> None:
    async def replan(_request: Request) -> Replanned:
        raise ZeroDivisionError

    async with toy_bot(database_url, toy_command(world), replan=replan) as bot:
        await bot.request(toy_plan())
        request = await bot.ended()

    assert request.state is RequestState.STOPPED
    assert "the reference" in request.outcome
    assert world.log() == []


async def test_what_a_step_returns_must_be_json(database_url: str, world: World) -> None:
    async def odd(_run: Run, _arguments: JSON) -> Done:
        return Done(output={"what": object()})

    async with toy_bot(database_url, toy_command(world, claim=StepKind(odd))) as bot:
        await bot.request(toy_plan())
        request = await bot.ended()

    assert request.state is RequestState.UNDONE
    assert "the reference" in request.outcome


async def test_no_more_steps_are_at_work_at_once_than_allowed(database_url: str, world: World) -> None:
    at_work, most = 0, 0
    full, all_begun = asyncio.Event(), asyncio.Event()

    async def counted(_run: Run, _arguments: JSON) -> Done:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        if at_work == 2:
            full.set()
        await all_begun.wait()
        at_work -= 1
        return Done()

    command, names = toy_command(world, repository=StepKind(counted)), [f"r{number}" for number in range(5)]
    async with toy_bot(database_url, command, tuning=replace(QUICK, concurrency=2)) as bot:
        for name in names:
            await bot.request(toy_plan(service=name, steps=("repository",)), name=name)
        for name in names:
            await bot.until(lambda one: states(one).get("repository") is StepState.RUNNING, name=name)
        async with asyncio.timeout(20):
            await full.wait()
        all_begun.set()
        for name in names:
            await bot.ended(name=name)

    assert most == 2


async def test_a_run_that_waits_for_something_keeps_no_other_waiting(database_url: str, world: World) -> None:
    async def deploy(run: Run, _arguments: JSON) -> Done | Pending:
        return Pending("rolling out", after_seconds=60) if run.request_id == "slow" else Done()

    command = toy_command(world, deploy=StepKind(deploy))
    async with toy_bot(database_url, command, tuning=replace(QUICK, concurrency=1)) as bot:
        await bot.request(toy_plan(service="slow"), name="slow")
        await bot.until(lambda one: any(step.detail == "rolling out" for step in one.steps), name="slow")
        await bot.request(toy_plan(service="quick"), name="quick")
        quick, slow = await bot.ended(name="quick"), await bot.store.get_request("slow")

    assert (quick.state, slow.state) == (RequestState.SUCCEEDED, RequestState.RUNNING)
