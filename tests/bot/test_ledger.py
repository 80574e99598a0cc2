"""What a run writes down; every test on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from database import Clock
from requests_made import ALICE, approval_gate, ballot, new_request, plan, proposal, queued

from bot import ledger
from bot.audit import Fact
from bot.command import Done
from bot.domain import (
    DeploymentRecord,
    Link,
    Record,
    Request,
    RequestState,
    Service,
    StepRecord,
    StepState,
    plan_hash,
)
from bot.errors import ConflictError, NotFoundError
from bot.store import Store
from bot.transaction import Transaction

T = TypeVar("T")
RUN = {"run": 1}


class Engine:
    """Calls the ledger as the engine does: a transaction for each call, and each call made twice."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        function = getattr(ledger, name)

        async def twice(*args: Any, **kwargs: Any) -> Any:
            async def call(tx: Transaction) -> Any:
                return await function(tx, "r1", *args, **kwargs)

            first = await self._store.write(call)
            before = await self._store.audit_head()
            again = await self._store.write(call)
            assert await self._store.audit_head() == before, f"{name} wrote twice"
            assert again == first, f"{name} answered otherwise the second time"
            return first

        return twice


@pytest.fixture
def engine(store: Store) -> Engine:
    return Engine(store)


async def run_events(store: Store) -> list[str]:
    found = await store.list_audit(request_id="r1", limit=100)
    return [event.event for event in reversed(found)][2:]


def service(request_id: str = "r1") -> Service:
    return Service(
        name="orders",
        team="orders",
        golden_path="python-service",
        description="",
        database="none",
        repository_url="",
        web_url="",
        created_by=ALICE,
        created_at=Clock().now,
        request_id=request_id,
    )


def deployment() -> DeploymentRecord:
    return DeploymentRecord(
        service="orders",
        environment="production",
        revision="a" * 40,
        ref_revision="b" * 40,
        healthy=True,
        deployed_by=ALICE,
        deployed_at=Clock().now,
        request_id="r1",
    )


# ---------------------------------------------------------------- a run


async def test_a_run_writes_every_fact_once_however_often_it_is_repeated(
    store: Store, clock: Clock, engine: Engine
) -> None:
    await queued(store)
    due_at = clock.now + timedelta(minutes=5)
    done = Done(
        detail="moved",
        external_id="ref-1",
        output={"sha": "b" * 40},
        links=(Link("release", "https://example.com/r"),),
        record=Record(deployment=deployment()),
    )

    begun = await engine.begin(**RUN)
    assert begun.go
    for key in ("move", "deploy"):
        await engine.step_started(key, due_at=due_at, **RUN)
        await engine.step_progress(key, detail="waiting for health")
        await engine.step_done(key, done=done, **RUN)
    await engine.finish(state=RequestState.SUCCEEDED, outcome="orders is live", **RUN)

    assert await run_events(store) == [
        "run.started",
        "step.started",
        "step.done",
        "deployment.recorded",
        "step.started",
        "step.done",
        "request.succeeded",
    ]
    request = await store.get_request("r1")
    assert (request.state, request.outcome) == (RequestState.SUCCEEDED, "orders is live")
    step = request.steps[0]
    assert (step.key, step.state, step.detail, step.external_id) == ("move", StepState.DONE, "moved", "ref-1")
    assert (step.output, step.links) == ({"sha": "b" * 40}, done.links)
    assert await store.last_deployment("orders", "production") == deployment()
    assert await store.find_active("promote:r1") is None
    assert (await store.verify_audit()).ok


async def test_a_run_that_was_overtaken_may_not_go_on(store: Store, clock: Clock, engine: Engine) -> None:
    request = await queued(store)
    await engine.begin(**RUN)
    stopped = await engine.finish(state=RequestState.STOPPED, outcome="it broke", **RUN)
    request = await store.stop_choice("r1", actor=ALICE, choice="retry", version=stopped.version)

    assert request.run == 2
    assert not (await engine.begin(run=1)).go
    with pytest.raises(ConflictError, match="overtaken by run 2"):
        await engine.step_started("move", due_at=None, run=1)
    assert (await engine.begin(run=2)).go


async def test_only_what_is_decided_begins(store: Store, engine: Engine) -> None:
    opened = await store.open_request(new_request())
    request = await store.propose("r1", proposal(), version=opened.request.version)

    assert not (await engine.begin(run=request.run)).go
    with pytest.raises(NotFoundError, match="no step nope"):
        await engine.step_progress("nope", detail="")


async def test_a_step_keeps_the_first_deadline_of_its_run(store: Store, clock: Clock, engine: Engine) -> None:
    await queued(store)
    await engine.begin(**RUN)
    first = clock.now + timedelta(minutes=5)
    await engine.step_started("move", due_at=first, **RUN)
    clock.move(minutes=4)

    again = await engine.step_started("move", due_at=clock.now + timedelta(minutes=5), **RUN)

    assert again.due_at == first


async def test_progress_dirties_the_cards_only_when_its_text_is_another_one(
    store: Store, engine: Engine
) -> None:
    await queued(store)
    await engine.begin(**RUN)
    await engine.step_started("move", due_at=None, **RUN)

    async def revision() -> int:
        return (await store.list_cards("r1"))[0].revision

    before = await revision()
    store.dirty.clear()
    await engine.step_progress("move", detail="1 of 3 pods")
    assert await revision() == before + 1
    assert store.dirty.is_set()
    await engine.step_progress("move", detail="1 of 3 pods")
    assert await revision() == before + 1


async def test_the_cards_pump_is_woken_after_the_runs_commit_and_not_before(store: Store) -> None:
    await queued(store)
    store.dirty.clear()

    async def begin(tx: Transaction) -> None:
        await ledger.begin(tx, "r1", run=1)
        assert not store.dirty.is_set()

    await store.write(begin)

    assert store.dirty.is_set()


# ---------------------------------------------------------------- failing, undoing


async def stopped_after_failure(store: Store, engine: Engine, *, unsure: bool = False) -> Request:
    await queued(store)
    await engine.begin(**RUN)
    await engine.step_started("move", due_at=None, **RUN)
    await engine.step_done("move", done=Done(external_id="ref-1"), **RUN)
    await engine.step_started("deploy", due_at=None, **RUN)
    await engine.step_failed("deploy", error="degraded", unsure=unsure, **RUN)
    stopped: Request = await engine.finish(state=RequestState.STOPPED, outcome="deploy: degraded", **RUN)
    return stopped


async def test_a_failed_step_is_retried_in_a_new_run_with_a_new_deadline(
    store: Store, clock: Clock, engine: Engine
) -> None:
    stopped = await stopped_after_failure(store, engine, unsure=True)
    assert [(one.state, one.unsure, one.error) for one in stopped.steps] == [
        (StepState.DONE, False, ""),
        (StepState.FAILED, True, "degraded"),
    ]
    await store.stop_choice("r1", actor=ALICE, choice="retry", version=stopped.version)
    due_at = clock.move(hours=1)

    await engine.begin(run=2)
    step = await engine.step_started("deploy", due_at=due_at, run=2)

    assert (step.state, step.error, step.unsure, step.due_at) == (StepState.RUNNING, "", False, due_at)


async def test_undoing_goes_back_step_by_step(store: Store, engine: Engine) -> None:
    stopped = await stopped_after_failure(store, engine)
    await store.stop_choice("r1", actor=ALICE, choice="undo", version=stopped.version)
    begun = await engine.begin(run=2)
    assert (begun.go, begun.request.state) == (True, RequestState.UNDOING)

    for key in ("deploy", "move"):
        await engine.undo_started(key, due_at=None, run=2)
        await engine.step_progress(key, detail="removing")
        await engine.undo_done(key, done=Done(detail="removed"), run=2)
    undone = await engine.finish(state=RequestState.UNDONE, outcome="everything was undone", run=2)

    assert [one.state for one in undone.steps] == [StepState.UNDONE] * 2
    assert undone.steps[0].external_id == "ref-1"
    assert not undone.is_open
    assert (await run_events(store))[-7:] == [
        "request.undo_requested",
        "run.started",
        "undo.started",
        "undo.done",
        "undo.started",
        "undo.done",
        "request.undone",
    ]


async def test_an_undo_that_failed_is_tried_again_in_the_next_run(store: Store, engine: Engine) -> None:
    stopped = await stopped_after_failure(store, engine)
    await store.stop_choice("r1", actor=ALICE, choice="undo", version=stopped.version)
    await engine.begin(run=2)
    await engine.undo_started("deploy", due_at=None, run=2)
    failed = await engine.undo_failed("deploy", error="no answer", run=2)
    assert (failed.state, failed.error) == (StepState.UNDO_FAILED, "no answer")
    stopped = await engine.finish(state=RequestState.STOPPED, outcome="undo failed at deploy", run=2)
    await store.stop_choice("r1", actor=ALICE, choice="undo", version=stopped.version)

    await engine.begin(run=3)

    assert (await engine.undo_started("deploy", due_at=None, run=3)).state is StepState.UNDOING


async def test_a_step_cut_off_by_the_end_of_its_run_counts_as_perhaps_done(
    store: Store, engine: Engine
) -> None:
    await queued(store)
    await engine.begin(**RUN)
    await engine.step_started("move", due_at=None, **RUN)

    stopped = await engine.finish(state=RequestState.STOPPED, outcome="the engine gave up", **RUN)

    assert [(one.state, one.unsure, one.error) for one in stopped.steps] == [
        (StepState.FAILED, True, "the engine gave up"),
        (StepState.WAITING, False, ""),
    ]
    [event] = await store.list_audit(request_id="r1", limit=1)
    assert event.data["interrupted"] == ["move"]


async def test_a_commit_that_failed_turned_back_and_began_to_undo_may_be_made_again(
    store: Store, engine: Engine
) -> None:
    await queued(store)
    await engine.begin(**RUN)
    await engine.step_started("move", due_at=None, **RUN)

    async def turn_back(tx: Transaction) -> StepRecord:
        await ledger.step_failed(tx, "r1", "move", error="refused", unsure=False, **RUN)
        await ledger.turn_back(tx, "r1", why="move: refused", **RUN)
        return await ledger.undo_started(tx, "r1", "move", due_at=None, **RUN)

    first = await store.write(turn_back)

    assert await store.write(turn_back) == first
    assert (first.state, first.error) == (StepState.UNDOING, "refused")
    assert (await run_events(store))[-2:] == ["step.failed", "undo.started"]


async def test_an_undone_step_stays_undone_whoever_still_thinks_that_it_is_under_way(
    store: Store, engine: Engine
) -> None:
    await queued(store)
    await engine.begin(**RUN)
    await engine.step_started("move", due_at=None, **RUN)
    await engine.step_failed("move", error="refused", unsure=False, **RUN)
    await engine.undo_started("move", due_at=None, **RUN)
    undone = await engine.undo_done("move", done=Done(detail="removed"), **RUN)

    assert await engine.step_done("move", done=Done(detail="moved"), **RUN) == undone
    assert await engine.step_failed("move", error="too late", unsure=True, **RUN) == undone


async def test_a_fact_with_the_same_key_is_refused_by_the_database(store: Store) -> None:
    async def record(tx: Transaction) -> None:
        await tx.record(Fact(event="run.started", actor=ALICE), key="run:1:started")

    await store.write(record)

    with pytest.raises((ConflictError, sa.exc.IntegrityError)):
        await store.write(record)
    assert (await store.audit_head()).sequence == 1
    assert (await store.verify_audit()).ok


async def test_what_a_savepoint_takes_back_leaves_no_gap_in_the_chain(store: Store) -> None:
    async def fail(tx: Transaction) -> None:
        async with tx.savepoint():
            await tx.record(Fact(event="taken.back", actor=ALICE))
            raise ConflictError

    async def work(tx: Transaction) -> None:
        await tx.record(Fact(event="kept", actor=ALICE))
        with pytest.raises(ConflictError):
            await fail(tx)
        await tx.record(Fact(event="kept.too", actor=ALICE))

    await store.write(work)

    assert [one.event for one in await store.list_audit()] == ["kept.too", "kept"]
    assert (await store.verify_audit()).ok


# ---------------------------------------------------------------- asking again


async def test_a_changed_plan_is_asked_about_again_and_old_approvals_do_not_count(
    store: Store, clock: Clock, engine: Engine
) -> None:
    opened = await store.open_request(new_request())
    request = await store.propose("r1", proposal(), version=opened.request.version)
    request = await store.decide("r1", ballot(request))
    begun = await engine.begin(run=1)
    changed, gates = plan(revision="c" * 40, steps=("move",)), (approval_gate(),)

    asked = await engine.replan(
        version=begun.request.version,
        plan=changed,
        gates=gates,
        plan_hash=plan_hash(changed, gates),
        plan_changes=["revision a → c"],
        due_at=clock.now + timedelta(hours=1),
    )

    assert (asked.state, asked.plan, asked.plan_changes) == (
        RequestState.AWAITING,
        changed,
        ("revision a → c",),
    )
    assert asked.steps == ()
    assert [one.plan_hash for one in asked.approvals] == [request.plan_hash]
    with pytest.raises(ConflictError, match="plan of request r1 has changed"):
        await store.decide("r1", ballot(request))
    # The same person may decide again, because it is another plan.
    again = await store.decide("r1", ballot(asked))
    assert (again.state, again.run) == (RequestState.QUEUED, 2)
    assert [one.key for one in (await engine.begin(run=2)).request.steps] == ["move"]


async def test_an_old_version_is_not_planned_anew(store: Store, clock: Clock) -> None:
    request = await queued(store)

    with pytest.raises(ConflictError, match="was not made anew"):
        await store.write(
            lambda tx: ledger.replan(
                tx,
                "r1",
                version=request.version - 1,
                plan=plan(),
                gates=(),
                plan_hash="0" * 64,
                plan_changes=(),
                due_at=None,
            )
        )


async def test_a_permission_lost_before_the_run_refuses_it(store: Store, engine: Engine) -> None:
    await queued(store)

    refused = await engine.refuse(reason="Alice left the team", rule="promote:production")

    assert (refused.state, refused.outcome) == (RequestState.REFUSED, "Alice left the team")
    assert await run_events(store) == ["request.refused"]


# ---------------------------------------------------------------- what exists


async def test_a_created_service_is_known_and_forgotten_when_undone(store: Store, engine: Engine) -> None:
    await queued(store)
    await engine.begin(**RUN)
    await engine.step_started("move", due_at=None, **RUN)
    await engine.step_done("move", done=Done(record=Record(service=service())), **RUN)
    assert await store.find_service("orders") == service()

    await engine.undo_started("move", due_at=None, **RUN)
    await engine.undo_done("move", done=Done(record=Record(forget_service="orders")), **RUN)

    assert await store.find_service("orders") is None
    assert "service.created" in await run_events(store)
    assert (await run_events(store))[-1] == "service.forgotten"


async def test_a_name_taken_meanwhile_is_neither_overwritten_nor_forgotten(
    store: Store, clock: Clock, engine: Engine
) -> None:
    await queued(store)
    await engine.begin(**RUN)
    await engine.step_started("move", due_at=None, **RUN)
    await engine.step_done("move", done=Done(record=Record(service=service("somebody-else"))), **RUN)
    await engine.step_started("deploy", due_at=None, **RUN)

    with pytest.raises(ConflictError, match="orders exists already"):
        await engine.step_done("deploy", done=Done(record=Record(service=service())), **RUN)
    await engine.undo_started("move", due_at=None, **RUN)
    await engine.undo_done("move", done=Done(record=Record(forget_service="orders")), **RUN)

    assert await store.find_service("orders") == service("somebody-else")
