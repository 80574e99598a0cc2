"""What services cost: measured, scaled to a month, asked for once an hour, and never guessed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from json_wire import AWAY, GARBAGE, HANGS, UNREACHABLE, JsonWire, surroundings
from pydantic import ValidationError

from bot.errors import PermanentBackendError, StartError, TemporaryBackendError
from integrations import opencost
from integrations.ports import Costs, MonthlyCost

URL = "http://opencost.opencost:9003"
SETTINGS = opencost.Settings(base_url=URL)
ORDERS = [
    MonthlyCost("staging", 3.0, "USD", 7),
    MonthlyCost("production", 15.0, "USD", 7),
]


def costs(**amounts: float) -> dict[str, Any]:
    """Keys as OpenCost writes them, `__` for the slash."""
    return {name: {"name": name, "totalCost": amount, "minutes": 10080.0} for name, amount in amounts.items()}


@dataclass
class FakeOpenCost:
    sets: list[dict[str, Any] | None] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/allocation"
        return httpx.Response(200, json={"code": 200, "data": self.sets})


@pytest.fixture
def fake() -> FakeOpenCost:
    return FakeOpenCost(
        [
            costs(
                **{
                    "shop-staging/orders": 0.7,
                    "shop-production/orders": 3.5,
                    "shop-production/ledger": 1.4,
                    "shop-production/__unallocated__": 9.0,
                    "monitoring/grafana": 4.0,
                    "__idle__": 70.0,
                }
            )
        ]
    )


@pytest.fixture
def wire(fake: FakeOpenCost) -> JsonWire:
    return JsonWire(fake)


@pytest.fixture
async def prices(wire: JsonWire) -> AsyncIterator[opencost.OpenCost]:
    async with opencost.connect(
        SETTINGS, surroundings(), transport=wire.transport, timing=wire.timing
    ) as opened:
        yield opened


async def test_a_week_is_scaled_to_a_month_for_each_environment(
    prices: opencost.OpenCost, wire: JsonWire
) -> None:
    source: Costs = prices
    assert await source.monthly("orders") == ORDERS
    assert dict(wire.asked[0].url.params) == {
        "window": "7d",
        "aggregate": "namespace,label:app_kubernetes_io_name",
        "accumulate": "true",
        "includeIdle": "false",
    }


async def test_what_opencost_does_not_know_costs_nothing_that_is_known(prices: opencost.OpenCost) -> None:
    assert await prices.monthly("unheard-of") == []
    assert await prices.monthly("__unallocated__") == []


async def test_sets_add_up_and_empty_ones_do_not_matter(
    prices: opencost.OpenCost, fake: FakeOpenCost
) -> None:
    fake.sets = [costs(**{"a-production/orders": 0.7}), None, {}, costs(**{"b-production/orders": 0.7})]
    assert await prices.monthly("orders") == [MonthlyCost("production", 6.0, "USD", 7)]


@pytest.mark.parametrize(
    ("settings", "key", "place"),
    [
        ({}, "shop-production/orders", ("orders", "production")),
        ({}, "shop-eu-production/orders", ("orders", "production")),
        ({}, "production/orders", None),
        ({}, "shop-production", None),
        ({}, "__idle__", None),
        ({}, "__idle__/__idle__", None),
        (
            {"service_label": "", "namespace_pattern": "(?P<service>.+)-(?P<environment>[a-z]+)"},
            "orders-production",
            ("orders", "production"),
        ),
        (
            {"service_label": "", "namespace_pattern": "(?P<environment>__.*)"},
            "__idle__",
            None,
        ),
        ({"namespace_pattern": "(?P<environment>.+)"}, "production/orders", ("orders", "production")),
    ],
)
def test_whose_an_allocation_is(settings: dict[str, str], key: str, place: tuple[str, str] | None) -> None:
    assert opencost.place_of(key, opencost.Settings(base_url=URL, **settings)) == place


@pytest.mark.parametrize("pattern", ["(", "production"])
def test_a_pattern_that_names_no_environment_stops_the_start(pattern: str) -> None:
    with pytest.raises(ValidationError, match="a regular expression"):
        opencost.Settings(base_url=URL, namespace_pattern=pattern)


# ---------------------------------------------------------------- asked once


async def test_many_at_once_and_the_whole_hour_after_cost_one_question(
    prices: opencost.OpenCost, wire: JsonWire
) -> None:
    assert await asyncio.gather(*(prices.monthly("orders") for _ in range(5))) == [ORDERS] * 5
    await wire.clock.sleep(3599)
    await prices.monthly("ledger")
    assert len(wire.asked) == 1
    await wire.clock.sleep(2)
    await prices.monthly("ledger")
    assert len(wire.asked) == 2


async def test_whoever_gives_up_leaves_the_answer_to_the_next_one(fake: FakeOpenCost) -> None:
    """OpenCost may compute for longer than a page waits."""
    computed = asyncio.Event()
    asked = 0

    async def slow(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        await computed.wait()
        return fake(request)

    async with opencost.connect(SETTINGS, surroundings(), transport=httpx.MockTransport(slow)) as prices:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await prices.monthly("orders")
        computed.set()
        assert await prices.monthly("orders") == ORDERS
    assert asked == 1


async def test_closing_ends_a_question_that_nobody_waits_for() -> None:
    async def hangs(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with (
        asyncio.timeout(5),
        opencost.connect(SETTINGS, surroundings(), transport=httpx.MockTransport(hangs)) as prices,
    ):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await prices.monthly("orders")


@pytest.mark.parametrize(
    "failure",
    [UNREACHABLE, HANGS, AWAY, GARBAGE, httpx.Response(200, json={"code": 500, "data": []})],
)
async def test_a_failure_is_not_kept(
    prices: opencost.OpenCost, wire: JsonWire, failure: httpx.Response | Exception
) -> None:
    wire.faults = [failure] * 3
    with pytest.raises(TemporaryBackendError):
        await prices.monthly("orders")
    wire.faults = []
    assert await prices.monthly("orders") == ORDERS


# ---------------------------------------------------------------- who asks, and check


async def test_a_proxy_that_asks_for_a_token_gets_it(wire: JsonWire) -> None:
    settings = opencost.Settings(base_url=URL, token_variable="OPENCOST_TOKEN")
    async with opencost.connect(
        settings, surroundings(OPENCOST_TOKEN="x1"), transport=wire.transport, timing=wire.timing
    ) as prices:
        await prices.check()
    assert wire.asked[0].headers["authorization"] == "Bearer x1"
    with pytest.raises(StartError, match="OPENCOST_TOKEN holds no credential for OpenCost"):
        async with opencost.connect(settings, surroundings()):
            pass


async def test_a_refusal_says_where_to_look(prices: opencost.OpenCost, wire: JsonWire) -> None:
    wire.faults = [httpx.Response(400, json={"code": 400, "message": "invalid window"})]
    with pytest.raises(PermanentBackendError, match="invalid window"):
        await prices.monthly("orders")


async def test_check_says_what_is_known(
    prices: opencost.OpenCost, wire: JsonWire, fake: FakeOpenCost
) -> None:
    (finding,) = await prices.check()
    assert (finding.ok, finding.detail) == (True, "2 services known, in production, staging")
    fake.sets = [costs(__idle__=70.0)]
    await wire.clock.sleep(3601)
    (finding,) = await prices.check()
    assert (finding.ok, finding.detail) == (False, "OpenCost answers, but names no service")
    assert "service_label and namespace_pattern" in finding.fix
    wire.faults = [UNREACHABLE] * 9
    await wire.clock.sleep(3601)
    (finding,) = await prices.check()
    assert (finding.ok, finding.fix) == (False, "Check base_url and the network.")
