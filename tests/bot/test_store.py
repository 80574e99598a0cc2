"""The life of a request in the database, up to its run; every test on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest
from database import Clock
from requests_made import ALICE, LENA, OMAR, approval_gate, awaiting, ballot, new_request, proposal, queued

from bot import ledger
from bot.domain import CardKind, Decision, RequestState, RunId
from bot.errors import ConflictError, NotFoundError
from bot.store import CardTarget, Store


async def events(store: Store, request_id: str = "r1") -> list[str]:
    found = await store.list_audit(request_id=request_id, limit=100)
    return [event.event for event in reversed(found)]


# ---------------------------------------------------------------- arriving


async def test_a_new_request_is_recorded_with_its_audit_event(store: Store, clock: Clock) -> None:
    opened = await store.open_request(new_request())

    assert (opened.created, opened.duplicate) == (True, "")
    assert opened.request == await store.get_request("r1")
    assert opened.request.state is RequestState.PLANNING
    assert opened.request.created_at == clock.now
    [event] = await store.list_audit(request_id="r1")
    assert (event.event, event.actor, event.service) == ("request.opened", ALICE, "orders")


async def test_the_same_delivery_twice_is_one_request(store: Store) -> None:
    await store.open_request(new_request("r1", dedupe_key="delivery"))

    again = await store.open_request(new_request("r2", dedupe_key="delivery"))

    assert (again.created, again.duplicate, again.request.id) == (False, "delivery", "r1")
    assert await store.find_request("r2") is None
    assert (await store.audit_head()).sequence == 1


async def test_asking_for_the_same_thing_again_finds_the_open_request(store: Store) -> None:
    await store.open_request(new_request("r1", active_key="promote:orders"))

    again = await store.open_request(new_request("r2", active_key="promote:orders"))

    assert (again.created, again.duplicate, again.request.id) == (False, "active", "r1")


async def test_a_closed_request_does_not_stand_in_the_way(store: Store) -> None:
    first = await store.open_request(new_request("r1", active_key="promote:orders"))
    await store.cancel("r1", actor=ALICE, version=first.request.version)

    assert (await store.open_request(new_request("r2", active_key="promote:orders"))).created


async def test_an_expired_request_that_was_not_swept_yet_does_not_stand_in_the_way(
    store: Store, clock: Clock
) -> None:
    await awaiting(store, "r1", hours=1)
    clock.move(hours=2)

    assert (await store.open_request(new_request("r2", active_key="promote:r1"))).created
    assert (await store.get_request("r1")).state is RequestState.EXPIRED


async def test_requests_without_an_active_key_never_stand_in_each_others_way(store: Store) -> None:
    first = await store.open_request(new_request("r1", active_key=""))
    second = await store.open_request(new_request("r2", active_key=""))

    assert first.created
    assert second.created


async def test_fifty_deliveries_of_one_command_at_once_are_one_request(store: Store) -> None:
    opened = await asyncio.gather(
        *(store.open_request(new_request(f"r{n}", dedupe_key="delivery")) for n in range(50))
    )

    assert sum(one.created for one in opened) == 1
    assert len({one.request.id for one in opened}) == 1


async def test_what_people_type_is_kept_as_they_typed_it(store: Store) -> None:
    typed = {"description": "“Ünïcode” — 100%_'; DROP TABLE requests; --\n🦊"}

    await store.open_request(new_request(arguments=typed, requester_name="Ali\0ce \ud800"))

    found = await store.get_request("r1")
    assert found.arguments == typed
    assert found.requester_name == "Alice ?"


# ---------------------------------------------------------------- planning


async def test_a_plan_is_read_back_exactly_as_it_was_approved(store: Store) -> None:
    wanted = proposal()
    opened = await store.open_request(new_request())

    request = await store.propose("r1", wanted, version=opened.request.version)

    assert (request.plan, request.gates, request.plan_hash) == (wanted.plan, wanted.gates, wanted.plan_hash)
    assert request.state is RequestState.AWAITING
    assert await events(store) == ["request.opened", "request.planned"]


async def test_an_old_version_is_refused_and_nothing_is_written(store: Store) -> None:
    request = await awaiting(store)
    before = await store.audit_head()

    with pytest.raises(ConflictError, match="changed since you looked"):
        await store.cancel("r1", actor=ALICE, version=request.version - 1)

    assert await store.get_request("r1") == request
    assert await store.audit_head() == before


async def test_a_refused_request_says_why(store: Store) -> None:
    opened = await store.open_request(new_request())

    refused = await store.refuse(
        "r1", version=opened.request.version, reason="orders is not healthy", rule="healthy-source"
    )

    assert (refused.state, refused.outcome) == (RequestState.REFUSED, "orders is not healthy")
    assert await events(store) == ["request.opened", "request.refused"]


async def test_confirming_a_proposal_starts_what_needs_no_approval(store: Store) -> None:
    opened = await store.open_request(new_request())
    proposed = await store.propose(
        "r1", proposal(state=RequestState.PROPOSED, gates=()), version=opened.request.version
    )

    confirmed = await store.confirm(
        "r1",
        actor=ALICE,
        version=proposed.version,
        state=RequestState.QUEUED,
        due_at=None,
        cards=[CardTarget(CardKind.REQUEST, "U2")],
    )

    assert (confirmed.state, confirmed.run, confirmed.due_at) == (RequestState.QUEUED, 1, None)
    assert [card.channel_id for card in await store.list_cards("r1")] == ["C1", "U2"]


async def test_a_request_that_does_not_exist_is_said_so(store: Store) -> None:
    with pytest.raises(NotFoundError, match="no request nope"):
        await store.get_request("nope")
    with pytest.raises(NotFoundError, match="no request nope"):
        await store.cancel("nope", actor=ALICE, version=1)


# ---------------------------------------------------------------- deciding


async def test_the_approval_that_completes_the_gates_queues_the_run(store: Store) -> None:
    request = await awaiting(store)

    decided = await store.decide("r1", ballot(request, reason="looks good"))

    assert (decided.state, decided.run, decided.due_at) == (RequestState.QUEUED, 1, None)
    assert [(one.user_id, one.rule, one.reason) for one in decided.approvals] == [
        (LENA, "production-approval", "looks good")
    ]
    assert (await events(store))[-1] == "request.approved"


async def test_a_decision_is_the_next_run_and_whoever_starts_runs_is_told(store: Store) -> None:
    request = await awaiting(store)

    decided = await store.decide("r1", ballot(request))

    assert (decided.state, decided.run) == (RequestState.QUEUED, 1)
    assert store.queued.get_nowait() == RunId("r1", 1)
    assert store.queued.empty()


async def test_a_denial_ends_the_request_with_its_reason(store: Store) -> None:
    request = await awaiting(store)

    denied = await store.decide("r1", ballot(request, decision=Decision.DENY, reason="not on a Friday"))

    assert (denied.state, denied.outcome) == (RequestState.DENIED, "not on a Friday")


async def test_two_people_deciding_at_once_make_exactly_one_decision(store: Store) -> None:
    request = await awaiting(store)

    results = await asyncio.gather(
        store.decide("r1", ballot(request, LENA)),
        store.decide("r1", ballot(request, OMAR, Decision.DENY)),
        return_exceptions=True,
    )

    lost = [one for one in results if isinstance(one, ConflictError)]
    assert len(lost) == 1
    decided = await store.get_request("r1")
    assert len(decided.approvals) == 1
    assert decided.state in {RequestState.QUEUED, RequestState.DENIED}
    assert len(await events(store)) == 3


async def test_a_double_click_decides_once(store: Store) -> None:
    request = await awaiting(store, gates=(approval_gate(needed=2),))

    results = await asyncio.gather(
        *(store.decide("r1", ballot(request)) for _ in range(5)), return_exceptions=True
    )

    assert [str(one) for one in results if isinstance(one, ConflictError)] == [
        "You have decided about request r1 already."
    ] * 4


async def test_a_gate_for_two_waits_for_two_people(store: Store) -> None:
    request = await awaiting(store, gates=(approval_gate(needed=2),))

    first = await store.decide("r1", ballot(request, LENA))
    second = await store.decide("r1", ballot(request, OMAR))

    assert (first.state, second.state) == (RequestState.AWAITING, RequestState.QUEUED)


async def test_one_person_fills_one_gate(store: Store) -> None:
    gates = (approval_gate("leads"), approval_gate("security"))
    request = await awaiting(store, gates=gates)
    await store.decide("r1", ballot(request, LENA, rule="leads"))

    with pytest.raises(ConflictError, match="You have decided"):
        await store.decide("r1", ballot(request, LENA, rule="security"))
    with pytest.raises(ConflictError, match="does not wait for an approval any more"):
        await store.decide("r1", ballot(request, OMAR, rule="leads"))
    assert (await store.decide("r1", ballot(request, OMAR, rule="security"))).state is RequestState.QUEUED


async def test_an_approval_of_another_plan_is_refused(store: Store) -> None:
    request = await awaiting(store)
    other = ballot(request)

    with pytest.raises(ConflictError, match="plan of request r1 has changed"):
        await store.decide("r1", type(other)(**{**vars(other), "plan_hash": "0" * 64}))


async def test_a_click_after_the_deadline_is_too_late_even_before_the_sweep(
    store: Store, clock: Clock
) -> None:
    request = await awaiting(store, hours=1)
    clock.move(hours=1)

    with pytest.raises(ConflictError, match="expired at"):
        await store.decide("r1", ballot(request))


async def test_a_request_that_runs_is_not_cancelled(store: Store) -> None:
    request = await queued(store)

    with pytest.raises(ConflictError, match="is queued already"):
        await store.cancel("r1", actor=ALICE, version=request.version)


# ---------------------------------------------------------------- time


async def test_what_nobody_decided_in_time_expires_once(store: Store, clock: Clock) -> None:
    await awaiting(store, "r1", hours=1)
    await awaiting(store, "r2", hours=3)
    clock.move(hours=2)

    sweeps = await asyncio.gather(*(store.expire_due() for _ in range(5)))

    assert [one.id for sweep in sweeps for one in sweep] == ["r1"]
    assert await events(store) == ["request.opened", "request.planned", "request.expired"]
    assert (await store.get_request("r2")).state is RequestState.AWAITING


async def test_requests_cut_off_while_planned_are_found_again(store: Store, clock: Clock) -> None:
    await store.open_request(new_request("r1"))
    first = clock.now
    clock.move(minutes=1)
    await store.open_request(new_request("r2"))

    assert [one.id for one in await store.unplanned(older_than=first)] == ["r1"]
    assert [one.id for one in await store.unplanned(older_than=clock.now)] == ["r1", "r2"]


async def test_a_stopped_request_is_retried_or_undone_by_choice(store: Store) -> None:
    request = await queued(store)
    for run, (choice, state) in enumerate(
        (("retry", RequestState.QUEUED), ("undo", RequestState.UNDOING)), start=1
    ):
        assert request.run == run
        stopped = await store.write(
            lambda tx, run=run: ledger.finish(
                tx, "r1", run=run, state=RequestState.STOPPED, outcome="it broke"
            )
        )
        request = await store.stop_choice("r1", actor=ALICE, choice=choice, version=stopped.version)
        assert (request.state, request.run) == (state, run + 1)
    assert (await events(store))[-1] == "request.undo_requested"


# ---------------------------------------------------------------- deliveries


async def test_a_click_delivered_twice_is_known_the_second_time(store: Store, clock: Clock) -> None:
    assert await store.seen("click") is False
    assert await store.seen("click") is True

    await store.delete_inbox(clock.move(days=1))

    assert await store.seen("click") is False
