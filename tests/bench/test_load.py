"""The generator keeps its schedule whatever the server does, and what it sends is what Slack signs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from slack_sdk.signature import SignatureVerifier

from bench.load import Generator, parse_response, quantile, schedule
from bench.signing import Caller, slash_command

CALLER = Caller("secret", "U1", "T1", "C1", "http://127.0.0.1:1/response")


@asynccontextmanager
async def answering(
    seconds: float = 0.0, status: int = 200
) -> AsyncIterator[tuple[int, list[web.BaseRequest]]]:
    seen: list[web.BaseRequest] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        seen.append(request)
        await request.read()
        await asyncio.sleep(seconds)
        return web.Response(status=status, text="ok")

    server = web.ServerRunner(web.Server(handle))
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    try:
        yield server.addresses[0][1], seen
    finally:
        await server.cleanup()


def commands(count: int) -> list[bytes]:
    return [
        slash_command(CALLER, "help", trigger_id=str(index), timestamp=1_700_000_000)
        for index in range(count)
    ]


def test_a_command_is_signed_as_slack_signs() -> None:
    request = slash_command(CALLER, "promote orders", trigger_id="1.2", timestamp=1_700_000_000)
    head, _, body = request.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().splitlines()[1:])

    class Then:
        def now(self) -> float:
            return 1_700_000_010.0

    assert SignatureVerifier("secret", clock=Then()).is_valid_request(body, headers)
    assert int(headers["Content-Length"]) == len(body)


def test_requests_are_due_at_the_rate() -> None:
    assert schedule(5, 200.0) == pytest.approx([0.0, 0.005, 0.01, 0.015, 0.02])
    assert schedule(3, float("inf")) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", (200, b"ok")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", None),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", (401, b"")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", (200, b"ok")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", None),
        (b"HTTP/1.1 200 OK\r\nConte", None),
    ],
)
def test_a_response_is_read_to_its_end(data: bytes, found: tuple[int, bytes] | None) -> None:
    assert parse_response(data) == found


@pytest.mark.parametrize(
    ("count", "percentile", "rank"),
    [
        (1, 50, 1),
        (1, 99, 1),
        (2, 50, 1),
        (2, 51, 2),
        (2, 99, 2),
        (5, 50, 3),
        (5, 99, 5),
        (100, 50, 50),
        (100, 99, 99),
        (100, 99.5, 100),
        (400, 99, 396),
        (401, 99, 397),
    ],
)
def test_a_quantile_is_the_value_of_the_nearest_rank(count: int, percentile: float, rank: int) -> None:
    values = [float(number) for number in range(count, 0, -1)]
    assert quantile(values, percentile) == rank


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100, 401])
def test_a_quantile_goes_from_the_smallest_value_to_the_largest(count: int) -> None:
    values = [float(number) for number in range(1, count + 1)]
    assert (quantile(values, 0), quantile(values, 100)) == (1.0, count)


async def test_a_slow_server_is_not_asked_less() -> None:
    """Closed-loop, ten callers one after the other would take a second; open-loop, all are asked when they are due."""
    async with answering(seconds=0.1) as (port, seen):
        generator = Generator(port)
        result = await generator.at_rate(commands(10), rate=1000.0)
        generator.close()

    assert (len(seen), len(result.answers), result.refused) == (10, 10, 0)
    assert all(one.seconds >= 0.1 for one in result.answers)
    assert result.elapsed_seconds < 1.0


async def test_connections_are_used_again() -> None:
    async with answering() as (port, seen):
        generator = Generator(port)
        await generator.saturate(commands(40), together=2)
        generator.close()

    assert len(seen) == 40
    assert len({request.transport for request in seen}) <= 2


async def test_a_refusal_is_counted() -> None:
    async with answering(status=401) as (port, _):
        generator = Generator(port)
        result = await generator.at_once(commands(3))
        generator.close()

    assert result.refused == 3
