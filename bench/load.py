"""An open-loop load generator: requests leave when the schedule says, whatever became of the ones before.

A latency counts from the moment a request was due, so a server that stalls is charged for everybody who had to wait
(no coordinated omission), and so is a generator that is late. Why our own: docs/decisions/0007-own-load-generator.md.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import statistics
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

MOST_CONNECTIONS = 400
ANSWER_SECONDS = 30.0
HEAD_START_SECONDS = 0.05
"""Between the call and the first due request: what prepares them is no part of the first latency."""
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """`seconds` from when it was due to its last byte; `late_seconds` of that the generator itself was late."""

    status: int
    seconds: float
    late_seconds: float
    body: bytes = b""


@dataclass
class Result:
    """What one run saw."""

    answers: list[Answer] = field(default_factory=list)
    elapsed_seconds: float = 0.0

    @property
    def refused(self) -> int:
        return sum(one.status != 200 for one in self.answers)

    @property
    def per_second(self) -> float:
        return len(self.answers) / self.elapsed_seconds

    def milliseconds(self, percentile: float) -> float:
        return 1000 * quantile([one.seconds for one in self.answers], percentile)

    def late_milliseconds(self, percentile: float) -> float:
        return 1000 * quantile([one.late_seconds for one in self.answers], percentile)


def quantile(values: Sequence[float], percentile: float) -> float:
    """Nearest rank: the smallest measured value that `percentile` percent of them do not exceed; the 0th is the smallest."""
    ordered = sorted(values)
    rank = math.ceil(len(ordered) * percentile / 100)
    return ordered[max(rank, 1) - 1]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


# ---------------------------------------------------------------- one connection


class _Connection(asyncio.Protocol):
    """Keep-alive HTTP/1.1, one request at a time; knows as much of it as the servers here answer with."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self.open = transport, True

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        found = parse_response(self._buffer)
        if found is not None and self._waiting is not None and not self._waiting.done():
            self._buffer.clear()
            self._waiting.set_result(found)

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def parse_response(data: bytes | bytearray) -> tuple[int, bytes] | None:
    """Status and body of a whole response; None while there is more to come."""
    head, end, body = bytes(data).partition(b"\r\n\r\n")
    if not end:
        return None
    status = int(head[9:12])
    lowered = head.lower()
    if b"transfer-encoding: chunked" in lowered:
        return (status, _unchunked(body)) if body.endswith(b"0\r\n\r\n") else None
    _, named, rest = lowered.partition(b"content-length:")
    length = int(rest.split(b"\r\n", 1)[0]) if named else 0
    return (status, body[:length]) if len(body) >= length else None


def _unchunked(body: bytes) -> bytes:
    parts, rest = [], body
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            break
        parts.append(rest[:length])
        rest = rest[length + 2 :]
    return b"".join(parts)


# ---------------------------------------------------------------- the generator


def schedule(count: int, rate: float) -> list[float]:
    """When each request is due, in seconds after the start."""
    return [index / rate for index in range(count)]


class Generator:
    """Connections to one server, reused while they are free; a new one is opened where all are waiting."""

    def __init__(self, port: int, *, host: str = "127.0.0.1") -> None:
        self._host, self._port = host, port
        self._free: list[_Connection] = []
        self._opened: list[_Connection] = []
        self._limit = asyncio.Semaphore(MOST_CONNECTIONS)

    async def at_rate(self, requests: Sequence[bytes], rate: float, *, uncounted: int = 0) -> Result:
        """Send each request when it is due. The first ones may be left out of the result: they begin the rush."""
        loop, result, tasks = asyncio.get_running_loop(), Result(), []
        left_out = Result()
        begin = loop.time() + HEAD_START_SECONDS
        for index, due in enumerate(schedule(len(requests), rate)):
            delay = begin + due - loop.time()
            if delay > 0:
                await asyncio.sleep(delay)
            into = result if index >= uncounted else left_out
            tasks.append(asyncio.create_task(self._one(requests[index], begin + due, into)))
        async with asyncio.timeout(ANSWER_SECONDS):
            await asyncio.gather(*tasks)
        result.elapsed_seconds = loop.time() - begin
        return result

    async def at_once(self, requests: Sequence[bytes]) -> Result:
        """All of them are due now."""
        return await self.at_rate(requests, rate=float("inf"))

    async def saturate(self, requests: Sequence[bytes], *, together: int) -> Result:
        """As fast as the server answers `together` callers: for its throughput; the latencies mean nothing here."""
        loop, result, queue = asyncio.get_running_loop(), Result(), iter(requests)
        begin = loop.time()

        async def caller() -> None:
            for request in queue:
                await self._one(request, loop.time(), result)

        await asyncio.gather(*(caller() for _ in range(together)))
        result.elapsed_seconds = loop.time() - begin
        return result

    async def _one(self, request: bytes, due: float, result: Result) -> None:
        loop = asyncio.get_running_loop()
        async with self._limit:
            connection = await self._connection()
            sent = loop.time()
            status, body = await connection.ask(request)
            result.answers.append(Answer(status, loop.time() - due, sent - due, body))
            self._free.append(connection)

    async def _connection(self) -> _Connection:
        while self._free:
            connection = self._free.pop()
            if connection.open:
                return connection
        _, opened = await asyncio.get_running_loop().create_connection(_Connection, self._host, self._port)
        self._opened.append(opened)
        return opened

    def close(self) -> None:
        for connection in self._opened:
            connection.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, with timers exact to microseconds: epoll rounds every wait up to the next millisecond."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(work)


def now_seconds() -> int:
    return int(time.time())
