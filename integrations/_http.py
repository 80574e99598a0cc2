"""HTTP to a foreign system, for every backend that speaks it: deadlines, retries, pace, redirects, ETags, a breaker.

A backend gives its `Dialect` (how to prove who we are, what a refusal means) and sends `Call`s. What comes back is an answer or
a BackendError; httpx's own exceptions never leave. Must not know any one backend's paths, texts or shapes.

What is tried again here, and what is not: a call is repeated when it cannot have been executed (connection refused, rate
limit), or when executing it twice is the same as once (`repeatable`). Everything else that fails may have happened: it is
raised, and the caller's next `ensure` reads first.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol

import httpx

from bot.errors import (
    BackendError,
    BackendErrorKind,
    PermanentBackendError,
    TemporaryBackendError,
    delay_seconds,
)
from integrations._breaker import Breaker, BreakerState

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
REDIRECTS: Final = frozenset({301, 302, 307, 308})
MOST_REDIRECTS: Final = 3
LONGEST_BACKOFF_SECONDS: Final = 60.0
NOT_EXECUTED: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_CACHED_ANSWERS: Final = 512
_CACHED_BYTES: Final = 256 * 1024


@dataclass(frozen=True)
class Limits:
    """`patience_seconds` is what one call may spend waiting between attempts; what needs longer is the caller's to wait."""

    connect_seconds: float = 5.0
    read_seconds: float = 15.0
    attempts: int = 4
    """Fewer than the breaker counts, so that one call that fails says why before the backend is left alone."""
    patience_seconds: float = 20.0
    concurrency: int = 8
    mutation_gap_seconds: float = 0.0
    """Between two writes, which then go one at a time; 0 for who asks for no such thing."""
    answer_bytes: int = 32 * 1024 * 1024


@dataclass(frozen=True)
class Timing:
    """Where time comes from. Tests give a clock that a wait moves forward."""

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    """Between 0 and 1."""


@dataclass(frozen=True)
class Call:
    """`target` is a path below the base URL, or a whole URL of the same origin. `accept`: statuses >= 300 that are
    answers, not errors. `repeatable`: doing it twice is the same as once; always so for what only reads."""

    method: str
    target: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    accept: frozenset[int] = frozenset()
    repeatable: bool = False
    read_seconds: float | None = None

    @property
    def reads(self) -> bool:
        return self.method in READING


@dataclass(frozen=True)
class Answer:
    status: int
    headers: httpx.Headers
    content: bytes

    def json(self) -> Any:
        """Raises ValueError."""
        return json.loads(self.content)


class Dialect(Protocol):
    """What is particular to one backend."""

    backend: str

    async def credentials(self, *, renew: bool) -> Mapping[str, str]:
        """Headers that prove who we are; `renew` after a 401. Raises BackendError."""
        ...

    def refusal(self, answer: Answer, now: datetime) -> BackendError:
        """What a status of 300 or more means."""
        ...


class NotExecutedError(TemporaryBackendError):
    """The backend could not be reached. The bot tries again by itself; nothing was changed there."""


# ---------------------------------------------------------------- pure rules


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """`Retry-After` in seconds or as a date (RFC 9110, 10.2.3); None where it is absent or nonsense."""
    text = headers.get("retry-after", "").strip()
    seconds = delay_seconds(text)
    if seconds is not None:
        return seconds
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds()) if text else None
    except (ValueError, TypeError):
        return None


def backoff_seconds(attempt: int, jitter: float) -> float:
    """1, 2, 4, … seconds at most 60, of which the upper half is left to chance."""
    whole = min(LONGEST_BACKOFF_SECONDS, 2.0**attempt)
    return whole / 2 + whole / 2 * jitter


def may_repeat(call: Call, error: TemporaryBackendError) -> bool:
    refused_unread = isinstance(error, NotExecutedError) or error.kind is BackendErrorKind.RATE_LIMITED
    return call.reads or call.repeatable or refused_unread


def unreadable(backend: str, what: str) -> TemporaryBackendError:
    """Garbage: a proxy's page, half an answer. Whether the call was executed is not known."""
    return TemporaryBackendError(
        f"{backend} answered with something that cannot be read: {what}",
        backend=backend,
        kind=BackendErrorKind.UNKNOWN,
    )


def same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


class _Etags:
    """Answers that carried an ETag. They are shown again only when the backend says they still hold (304)."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, Answer] = OrderedDict()

    def find(self, url: str) -> Answer | None:
        if url in self._answers:
            self._answers.move_to_end(url)
        return self._answers.get(url)

    def keep(self, url: str, answer: Answer) -> None:
        if answer.status != 200 or "etag" not in answer.headers or len(answer.content) > _CACHED_BYTES:
            return
        self._answers[url] = answer
        self._answers.move_to_end(url)
        if len(self._answers) > _CACHED_ANSWERS:
            self._answers.popitem(last=False)


# ---------------------------------------------------------------- the client


class Http:
    """One per backend and credential. `client.base_url` is where every call goes; nothing is sent to another origin."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        dialect: Dialect,
        *,
        breaker: Breaker,
        limits: Limits | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._client = client
        self._dialect = dialect
        self._limits = limits or Limits()
        self._timing = timing or Timing()
        self.breaker = breaker
        self._slots = asyncio.Semaphore(self._limits.concurrency)
        self._writing = asyncio.Lock()
        self._next_write = 0.0
        self._etags = _Etags()

    @property
    def backend(self) -> str:
        return self._dialect.backend

    def breaker_state(self) -> str:
        return self.breaker.describe(self._timing.monotonic())

    def now(self) -> datetime:
        return self._timing.now()

    async def wait(self, seconds: float) -> None:
        await self._timing.sleep(seconds)

    async def send(self, call: Call) -> Answer:
        """An answer below 300, or one of `call.accept`. Raises BackendError."""
        waited = 0.0
        for attempt in range(self._limits.attempts):
            await self._admit()
            try:
                return await self._attempt(call)
            except TemporaryBackendError as error:
                pause = error.retry_after_seconds
                if pause is None:
                    pause = backoff_seconds(attempt, self._timing.jitter())
                last = attempt + 1 == self._limits.attempts
                if last or not may_repeat(call, error) or waited + pause > self._limits.patience_seconds:
                    raise
            waited += pause
            await self._timing.sleep(pause)
        raise AssertionError("the last attempt answers or raises")

    async def _admit(self) -> None:
        """After a pause the breaker admits one call. Where signing in takes a call of its own that one comes first, or it would be refused
        by the breaker it shares with us, at every pause and for ever."""
        if self.breaker.state(self._timing.monotonic()) is BreakerState.PROBING:
            await self._dialect.credentials(renew=False)
        self.breaker.admit(self._timing.monotonic())

    async def _attempt(self, call: Call) -> Answer:
        answer = await self._in_turn(call, renew=False)
        if answer.status == 401:
            answer = await self._in_turn(call, renew=True)
        if answer.status < 300 or answer.status in call.accept:
            return answer
        raise self._dialect.refusal(answer, self._timing.now())

    async def _in_turn(self, call: Call, *, renew: bool) -> Answer:
        headers = {**await self._dialect.credentials(renew=renew), **call.headers}
        asked = replace(call, headers=headers)
        if call.reads or not self._limits.mutation_gap_seconds:
            async with self._slots:
                return await self._followed(asked)
        # One write at a time, with a gap: what secondary limits ask for.
        async with self._writing, self._slots:
            pause = self._next_write - self._timing.monotonic()
            if pause > 0:
                await self._timing.sleep(pause)
            try:
                return await self._followed(asked)
            finally:
                self._next_write = self._timing.monotonic() + self._limits.mutation_gap_seconds

    async def _followed(self, call: Call) -> Answer:
        """The method is kept on every redirect: a write that turned into a read would look like success."""
        url = self._url(call.target)
        for _ in range(MOST_REDIRECTS + 1):
            answer = await self._exchange(call, url)
            if answer.status not in REDIRECTS or "location" not in answer.headers:
                return answer
            target = url.join(answer.headers["location"])
            if not same_origin(target, self._client.base_url):
                raise PermanentBackendError(
                    f"{self.backend} redirects to another host; the credential stays here.",
                    backend=self.backend,
                    kind=BackendErrorKind.INVALID,
                    fix="Check base_url.",
                )
            # A redirect that carries its own query replaces ours.
            call, url = (replace(call, params={}) if target.query else call), target
        raise unreadable(self.backend, "redirects without an end")

    def _url(self, target: str) -> httpx.URL:
        base = self._client.base_url
        if "://" not in target:
            return base.copy_with(raw_path=base.raw_path.rstrip(b"/") + target.encode("ascii"))
        url = httpx.URL(target)
        if not same_origin(url, base):
            raise unreadable(self.backend, "a link to another host")
        return url

    async def _exchange(self, call: Call, url: httpx.URL) -> Answer:
        headers = dict(call.headers)
        whole = url.copy_merge_params(dict(call.params)) if call.params else url
        variant = f"{headers.get('Accept', '')} {whole}"
        known = self._etags.find(variant) if call.method == "GET" else None
        if known is not None:
            headers["If-None-Match"] = known.headers["etag"]
        answer = await self._over_the_wire(call, whole, headers)
        if answer.status == 304 and known is not None:
            return known
        if call.method == "GET":
            self._etags.keep(variant, answer)
        return answer

    async def _over_the_wire(self, call: Call, url: httpx.URL, headers: Mapping[str, str]) -> Answer:
        read_seconds = call.read_seconds or self._limits.read_seconds
        timeout = httpx.Timeout(read_seconds, connect=self._limits.connect_seconds)
        request = self._client.build_request(
            call.method, url, json=call.body, headers=dict(headers), timeout=timeout
        )
        try:
            # A read deadline is for each piece: an answer that drips needs one for the whole.
            async with asyncio.timeout(self._limits.connect_seconds + 2 * read_seconds):
                answer = await self._receive(request)
        except (httpx.HTTPError, TimeoutError) as error:
            self.breaker.failed(self._timing.monotonic())
            raise self._broken(error) from error
        if answer.status >= 500:
            self.breaker.failed(self._timing.monotonic())
        else:
            self.breaker.succeeded()
        return answer

    async def _receive(self, request: httpx.Request) -> Answer:
        response = await self._client.send(request, stream=True, follow_redirects=False)
        try:
            content = bytearray()
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > self._limits.answer_bytes:
                    raise PermanentBackendError(
                        f"{self.backend}'s answer is larger than {self._limits.answer_bytes} bytes.",
                        backend=self.backend,
                        kind=BackendErrorKind.INVALID,
                    )
            return Answer(response.status_code, response.headers, bytes(content))
        finally:
            await response.aclose()

    def _broken(self, error: Exception) -> TemporaryBackendError:
        words = str(error) or type(error).__name__
        if isinstance(error, NOT_EXECUTED):
            return NotExecutedError(f"{self.backend} cannot be reached: {words}", backend=self.backend)
        if isinstance(error, httpx.TimeoutException | TimeoutError):
            return TemporaryBackendError(f"{self.backend} did not answer in time.", backend=self.backend)
        return TemporaryBackendError(f"{self.backend} broke off: {words}", backend=self.backend)
