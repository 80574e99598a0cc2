"""HTTP to foreign systems: what is tried again, what is not, and what never leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

import httpx
import pytest
from fake_github_state import Clock

from bot.errors import (
    LONGEST_RETRY_SECONDS,
    BackendError,
    BackendErrorKind,
    PermanentBackendError,
    TemporaryBackendError,
)
from integrations._breaker import Breaker, BreakerState
from integrations._http import (
    Answer,
    Call,
    Http,
    Limits,
    NotExecutedError,
    Timing,
    backoff_seconds,
    retry_after_seconds,
)

BASE = "https://backend.example/api"
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


class Plain:
    """A backend that calls every refusal by its status."""

    backend = "backend"

    def __init__(self) -> None:
        self.renewed = 0

    async def credentials(self, *, renew: bool) -> Mapping[str, str]:
        self.renewed += renew
        return {"Authorization": f"Bearer token-{self.renewed}"}

    def refusal(self, answer: Answer, now: datetime) -> BackendError:
        if answer.status == 429:
            seconds = retry_after_seconds(answer.headers, now)
            return TemporaryBackendError(
                "limited", backend="backend", kind=BackendErrorKind.RATE_LIMITED, retry_after_seconds=seconds
            )
        if answer.status >= 500:
            return TemporaryBackendError("away", backend="backend")
        return PermanentBackendError(f"{answer.status}", backend="backend", kind=BackendErrorKind.UNKNOWN)


Answering = Callable[[httpx.Request], httpx.Response]


class Wire:
    """Answers in order; the last one for ever."""

    def __init__(
        self, *answers: Answering | httpx.Response | Exception, limits: Limits | None = None
    ) -> None:
        self.answers: Iterator[Answering | httpx.Response | Exception] = iter(answers)
        self.last: Answering | httpx.Response | Exception = httpx.Response(500)
        self.asked: list[httpx.Request] = []
        self.clock = Clock()
        self.dialect = Plain()
        client = httpx.AsyncClient(base_url=BASE, transport=httpx.MockTransport(self.answer))
        timing = Timing(self.clock.monotonic, self.clock.now, self.clock.sleep, lambda: 1.0)
        breaker = Breaker("backend", failures=5, pause_seconds=30)
        self.http = Http(client, self.dialect, breaker=breaker, limits=limits, timing=timing)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        self.last = next(self.answers, self.last)
        if isinstance(self.last, Exception):
            raise self.last
        if isinstance(self.last, httpx.Response):
            return httpx.Response(self.last.status_code, headers=self.last.headers, content=self.last.content)
        return self.last(request)


def hangs(_request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("")


YES = httpx.Response(200, json={"yes": True})
AWAY = httpx.Response(503)
BROKEN = httpx.ReadError("reset")
UNREACHABLE = httpx.ConnectError("no route")
LIMITED = httpx.Response(429, headers={"retry-after": "7"})


@pytest.mark.parametrize("failure", [AWAY, BROKEN, UNREACHABLE, LIMITED, hangs])
async def test_what_only_reads_is_tried_again(failure: httpx.Response) -> None:
    wire = Wire(failure, YES)
    assert (await wire.http.send(Call("GET", "/x"))).json() == {"yes": True}
    assert len(wire.asked) == 2


@pytest.mark.parametrize(
    ("failure", "tries"), [(AWAY, 1), (BROKEN, 1), (hangs, 1), (UNREACHABLE, 2), (LIMITED, 2)]
)
async def test_a_write_that_may_have_happened_is_not_tried_again(failure: httpx.Response, tries: int) -> None:
    wire = Wire(failure, YES)
    if tries == 1:
        with pytest.raises(TemporaryBackendError):
            await wire.http.send(Call("POST", "/x"))
    else:
        assert (await wire.http.send(Call("POST", "/x"))).status == 200
    assert len(wire.asked) == tries


async def test_a_write_that_may_happen_twice_is_tried_again() -> None:
    wire = Wire(BROKEN, YES)
    assert (await wire.http.send(Call("PUT", "/x", repeatable=True))).status == 200


async def test_the_backend_s_own_wait_is_kept() -> None:
    wire = Wire(LIMITED, YES)
    await wire.http.send(Call("GET", "/x"))
    assert wire.clock.waits == [7.0]


async def test_a_wait_longer_than_our_patience_is_the_caller_s() -> None:
    wire = Wire(httpx.Response(429, headers={"retry-after": "3600"}))
    with pytest.raises(TemporaryBackendError) as caught:
        await wire.http.send(Call("GET", "/x"))
    assert caught.value.retry_after_seconds == 3600
    assert wire.clock.waits == []


async def test_attempts_end_with_the_reason_and_then_the_breaker_opens() -> None:
    """The first call says what is wrong; only after more silence the backend is left alone."""
    wire = Wire(AWAY, limits=Limits(patience_seconds=1000))
    with pytest.raises(TemporaryBackendError) as caught:
        await wire.http.send(Call("GET", "/x"))
    assert "left alone" not in caught.value.message
    assert (len(wire.asked), wire.clock.waits) == (4, [1, 2, 4])
    with pytest.raises(TemporaryBackendError, match="left alone"):
        await wire.http.send(Call("GET", "/x"))
    assert "open for" in wire.http.breaker_state()
    asked = len(wire.asked)
    with pytest.raises(TemporaryBackendError) as caught:
        await wire.http.send(Call("GET", "/x"))
    assert len(wire.asked) == asked, "an open breaker asks nothing"
    assert (caught.value.retry_after_seconds or 0) > 0


async def test_who_signs_in_at_the_backend_itself_comes_back_after_an_outage() -> None:
    """Signing in and working share one breaker, and it admits one call after its pause: the first must be the one that signs in."""
    clock, breaker = Clock(), Breaker("backend", failures=2, pause_seconds=30)
    timing = Timing(clock.monotonic, clock.now, clock.sleep, lambda: 1.0)
    answers: list[httpx.Response] = [httpx.Response(500)] * 6

    async def answer(_request: httpx.Request) -> httpx.Response:
        return answers.pop() if answers else httpx.Response(200, json={})

    client = httpx.AsyncClient(base_url=BASE, transport=httpx.MockTransport(answer))
    door = Http(client, Plain(), breaker=breaker, limits=Limits(attempts=1), timing=timing)

    class SignsIn(Plain):
        async def credentials(self, *, renew: bool) -> Mapping[str, str]:
            await door.send(Call("POST", "login"))
            return await super().credentials(renew=renew)

    http = Http(client, SignsIn(), breaker=breaker, limits=Limits(attempts=1), timing=timing)
    for _ in range(6):
        with pytest.raises(TemporaryBackendError):
            await http.send(Call("GET", "things"))
        clock.seconds += 31
    assert (await http.send(Call("GET", "things"))).status == 200
    assert http.breaker_state() == "closed"


async def test_refusals_of_a_living_backend_do_not_open_the_breaker() -> None:
    wire = Wire(httpx.Response(404))
    for _ in range(8):
        with pytest.raises(PermanentBackendError):
            await wire.http.send(Call("GET", "/x"))
    assert wire.http.breaker_state() == "closed"


def test_one_call_probes_after_the_pause() -> None:
    breaker = Breaker("backend", failures=2, pause_seconds=30)
    breaker.failed(0)
    breaker.failed(1)
    assert breaker.state(30) is BreakerState.OPEN
    assert breaker.state(31) is BreakerState.PROBING
    breaker.admit(31)
    with pytest.raises(TemporaryBackendError):
        breaker.admit(32)
    breaker.succeeded()
    assert breaker.state(32) is BreakerState.CLOSED


async def test_a_refused_credential_is_renewed_once() -> None:
    wire = Wire(httpx.Response(401), YES)
    assert (await wire.http.send(Call("POST", "/x"))).status == 200
    assert [request.headers["authorization"] for request in wire.asked] == [
        "Bearer token-0",
        "Bearer token-1",
    ]
    wire = Wire(httpx.Response(401))
    with pytest.raises(PermanentBackendError):
        await wire.http.send(Call("GET", "/x"))
    assert len(wire.asked) == 2


@pytest.mark.parametrize(
    ("status", "method"), [(301, "GET"), (302, "GET"), (307, "POST"), (308, "PUT"), (301, "POST")]
)
async def test_redirects_keep_method_and_body(status: int, method: str) -> None:
    wire = Wire(httpx.Response(status, headers={"location": "/api/y?page=2"}), YES)
    await wire.http.send(Call(method, "/x", params={"a": "b"}, body={"n": 1}))
    moved = wire.asked[1]
    assert (moved.method, str(moved.url)) == (method, f"{BASE}/y?page=2")
    assert moved.content == wire.asked[0].content


async def test_a_credential_never_follows_to_another_host() -> None:
    wire = Wire(httpx.Response(302, headers={"location": "https://evil.example/x"}), YES)
    with pytest.raises(PermanentBackendError, match="another host"):
        await wire.http.send(Call("GET", "/x"))
    with pytest.raises(TemporaryBackendError, match="another host"):
        await wire.http.send(Call("GET", "https://evil.example/next"))
    assert len(wire.asked) == 1


async def test_a_circle_of_redirects_ends() -> None:
    wire = Wire(httpx.Response(302, headers={"location": "/api/x"}), limits=Limits(attempts=1))
    with pytest.raises(TemporaryBackendError, match="without an end"):
        await wire.http.send(Call("GET", "/x"))


async def test_what_has_not_changed_is_not_sent_again() -> None:
    tagged = httpx.Response(200, headers={"etag": '"1"'}, json={"n": 1})
    wire = Wire(tagged, httpx.Response(304), httpx.Response(200, headers={"etag": '"2"'}, json={"n": 2}))
    answers = [(await wire.http.send(Call("GET", "/x"))).json() for _ in range(3)]
    assert answers == [{"n": 1}, {"n": 1}, {"n": 2}]
    assert [request.headers.get("if-none-match") for request in wire.asked] == [None, '"1"', '"1"']


async def test_writes_keep_their_distance_and_reads_do_not() -> None:
    wire = Wire(YES, limits=Limits(mutation_gap_seconds=1.0))
    await asyncio.gather(*(wire.http.send(Call("POST", "/x")) for _ in range(3)))
    await asyncio.gather(*(wire.http.send(Call("GET", "/x")) for _ in range(3)))
    assert wire.clock.waits == [1.0, 1.0]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_more_calls_at_once_than_allowed_and_no_fewer(method: str) -> None:
    """A slow write, behind somebody's admission webhook, does not hold up every other one."""
    most, now = 0, 0

    async def busy(_request: httpx.Request) -> httpx.Response:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        return YES

    client = httpx.AsyncClient(base_url=BASE, transport=httpx.MockTransport(busy))
    http = Http(client, Plain(), breaker=Breaker("backend"), limits=Limits(concurrency=2))
    await asyncio.gather(*(http.send(Call(method, f"/{number}")) for number in range(8)))
    assert most == 2


async def test_an_answer_that_never_ends_is_given_up() -> None:
    async def forever(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        return YES

    client = httpx.AsyncClient(base_url=BASE, transport=httpx.MockTransport(forever))
    limits = Limits(connect_seconds=0.01, read_seconds=0.01, attempts=1)
    http = Http(client, Plain(), breaker=Breaker("backend"), limits=limits)
    with pytest.raises(TemporaryBackendError, match="in time"):
        await http.send(Call("GET", "/x"))


async def test_an_answer_without_measure_is_refused() -> None:
    wire = Wire(httpx.Response(200, content=b"x" * 2000), limits=Limits(answer_bytes=1000))
    with pytest.raises(PermanentBackendError, match="larger"):
        await wire.http.send(Call("GET", "/x"))


async def test_what_was_not_executed_is_told_from_what_may_have_been() -> None:
    wire = Wire(UNREACHABLE, limits=Limits(attempts=1))
    with pytest.raises(NotExecutedError):
        await wire.http.send(Call("POST", "/x"))


def test_waits_are_read_in_seconds_and_as_dates() -> None:
    assert retry_after_seconds({"retry-after": "12"}, NOW) == 12
    assert retry_after_seconds({"retry-after": "Sat, 21 Nov 2026 09:01:00 GMT"}, NOW) == 60
    for nonsense in ("", "soon", "-1", "1.5", "inf", "nan"):
        assert retry_after_seconds({"retry-after": nonsense}, NOW) is None


@pytest.mark.parametrize("said", ["9" * 400, "86400", "Sat, 21 Nov 9999 09:01:00 GMT"])
def test_no_backend_is_left_alone_for_longer_than_an_hour(said: str) -> None:
    seconds = retry_after_seconds({"retry-after": said}, NOW)
    error = TemporaryBackendError("limited", backend="backend", retry_after_seconds=seconds)
    assert error.retry_after_seconds == LONGEST_RETRY_SECONDS


def test_waits_between_attempts_grow_and_end() -> None:
    assert [backoff_seconds(attempt, 1.0) for attempt in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff_seconds(3, 0.0) == 4
