"""Row 4: what a question or a write costs with a thousand events and with a million, on both databases.

The store is asked directly: what Slack and the network cost is the same on both sides, and would only hide growth.
"""

from __future__ import annotations

import hashlib
import itertools
import resource
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta

from bench import load, seed
from bench.asking import new_request, now
from bench.databases import Kind
from bench.fake_slack import DEVELOPERS, LEADS
from bench.house import House
from bench.results import Results
from bot import lifecycle, request_views
from bot.domain import CardKind, Decision, RequestState, canonical_json
from bot.lifecycle import Ballot, NewRequest
from bot.store import Store
from bot.transaction import Transaction

KINDS: tuple[Kind, ...] = ("sqlite", "postgresql")
Operation = Callable[[], Awaitable[object]]
_numbers = itertools.count(1)


def measure(house: House) -> Results:
    results = Results()
    for kind in KINDS:
        results.take(load.run(_one_kind(house, kind)))
    return results


async def _one_kind(house: House, kind: Kind) -> Results:
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    sizes = {"small": house.small, "large": house.large}
    async with AsyncExitStack() as stack:
        stores = {
            name: await stack.enter_async_context(Store.open(house.databases.make(kind, size), clock=now))
            for name, size in sizes.items()
        }
        asked = {name: dict(operations(stores[name], size)) for name, size in sizes.items()}
        for what in asked["small"]:
            for _ in range(3 if house.quick else 40):
                for name in sizes:  # Side by side, so that what the machine does meanwhile meets both alike.
                    begin = time.perf_counter()
                    await asked[name][what]()
                    times[what, name].append(1000 * (time.perf_counter() - begin))
        verified = await _verify(stores["large"])
    return _summary(kind, times, verified)


# ---------------------------------------------------------------- what is asked


def operations(store: Store, size: seed.Size) -> Iterator[tuple[str, Operation]]:
    """Every question people wait for, where it hurts: rare things, things that are not there, pages far back."""
    middle = seed.request_id(size.requests // 2)
    nobody, person, service = "UNOBODY001", DEVELOPERS[0], seed.service_name(3)
    yield "request", lambda: store.get_request(middle)
    yield "card", lambda: _card(store, middle)
    yield "requests", lambda: store.list_requests(only_open=True, limit=16)
    yield "requests --mine", lambda: store.list_requests(requester=person, only_open=True, limit=16)
    yield "requests --pending", lambda: store.list_requests(states=(RequestState.AWAITING,), limit=16)
    yield "requests --all", lambda: store.list_requests(limit=16)
    yield "requests --all, deep page", lambda: store.list_requests(before=middle, limit=16)
    yield "requests of a team", lambda: store.list_requests(teams=("orders",), only_open=True, limit=16)
    yield "requests of a service", lambda: store.list_requests(service=service, limit=5)
    yield "status: service", lambda: store.find_service(service)
    yield "status: deployments", lambda: store.list_deployments(service, "staging")
    yield "services", lambda: store.list_services(limit=21)
    yield "services TEXT, common", lambda: store.list_services(text="checkout", limit=21)
    yield "services TEXT, rare", lambda: store.list_services(text="number 7", limit=21)
    yield "services TEXT, none", lambda: store.list_services(text="no such words", limit=21)
    yield "audit", lambda: store.list_audit(limit=21)
    yield "audit --service", lambda: store.list_audit(service=service, limit=21)
    yield "audit --person", lambda: store.list_audit(actor=person, limit=21)
    yield "audit --person nobody", lambda: store.list_audit(actor=nobody, limit=21)
    yield "audit --service --person", lambda: store.list_audit(service=service, actor="system", limit=21)
    yield "audit --since", lambda: store.list_audit(since=now() - timedelta(days=7), limit=21)
    yield "audit without steps", lambda: store.list_audit(steps=False, limit=21)
    yield "audit, deep page", lambda: store.list_audit(before=size.events // 2, limit=21)
    yield "audit of a request", lambda: store.list_audit(request_id=middle, limit=100)
    yield "due: expire", lambda: store.expire_due()
    yield "due: unplanned", lambda: store.unplanned(older_than=now() - timedelta(seconds=30))
    yield "due: cards", lambda: store.claim_dirty_cards()
    yield "append: acknowledge", lambda: store.open_request(_next_request())
    # What decision 8 spares, and what is left where it does not apply.
    yield "append: acknowledge, the ordinary way", lambda: store.write(_opened_the_ordinary_way)
    waiting = iter(range(size.requests, size.requests + size.open_requests))
    yield "append: decide", lambda: _decide(store, next(waiting))


async def _card(store: Store, request_id: str) -> object:
    request = await store.get_request(request_id)
    return request_views.render(request, CardKind.REQUEST, confirm_label="Promote")


def _next_request() -> NewRequest:
    return new_request(f"r-new{next(_numbers):05d}")


async def _opened_the_ordinary_way(tx: Transaction) -> object:
    return await lifecycle.open_request(tx, _next_request())


async def _decide(store: Store, index: int) -> None:
    ballot = Ballot(LEADS[0], Decision.APPROVE, "approval:production", f"{index:064x}", version=2)
    await store.decide(seed.request_id(index), ballot)


# ---------------------------------------------------------------- the whole chain


async def _verify(store: Store) -> dict[str, float]:
    """Events per second of a check, of hashing the same events in a loop, and how the memory grew meanwhile."""
    count = (await store.audit_head()).sequence
    texts = _hashed_texts(min(count, 50_000))
    hashing = [_hashing_per_second(texts) for _ in range(5)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin, begin_cpu = time.perf_counter(), time.process_time()
    found = await store.verify_audit()
    cpu, seconds = time.process_time() - begin_cpu, time.perf_counter() - begin
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if not found.ok:
        raise RuntimeError(f"the seeded chain is broken: {found.why}")
    # Before and after, so that what the machine does meanwhile meets both alike.
    hashing += [_hashing_per_second(texts) for _ in range(5)]
    return {
        "verify": found.count / seconds,
        "cpu": 1e6 * cpu / found.count,
        "hashing": load.median(hashing),
        "memory": grown / 1024,
    }


def _hashed_texts(count: int) -> list[str]:
    rows = itertools.islice(seed.audit_events(seed.LARGE), count)
    return [canonical_json({name: value for name, value in row.items() if name != "hash"}) for row in rows]


def _hashing_per_second(texts: list[str]) -> float:
    """The limit: the canonical bytes of the same events, hashed one after the other."""
    begin = time.perf_counter()
    for text in texts:
        hashlib.sha256(text.encode()).hexdigest()
    return len(texts) / (time.perf_counter() - begin)


def _summary(kind: str, times: dict[tuple[str, str], list[float]], verified: dict[str, float]) -> Results:
    results = Results()
    for (what, size), values in times.items():
        results.add(f"growth/{kind}/{what}/{size}", "ms", [load.median(values)])
    for what in dict.fromkeys(what for what, _ in times):
        ratio = results.ratio(f"growth/{kind}/{what}/large", f"growth/{kind}/{what}/small")
        results.reach("4", f"{what}, {kind}: a million events to a thousand", ratio, 2.0)
    results.add(f"growth/{kind}/verify", "events/s", [verified["verify"]], better="higher")
    results.add(f"growth/{kind}/verify, CPU in the bot per event", "us", [verified["cpu"]])
    results.add(f"growth/{kind}/hashing alone", "events/s", [verified["hashing"]], better="higher")
    results.add(f"growth/{kind}/verify grew memory by", "MiB", [verified["memory"]])
    ratio = verified["verify"] / verified["hashing"]
    results.reach("4", f"audit verify, {kind}, to hashing alone", ratio, 0.5, better="higher")
    return results
