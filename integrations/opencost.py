"""What services really cost, from OpenCost: what was used over the last days, scaled to a month.

One question for all services, kept for an hour, because OpenCost computes the answer from Prometheus and takes its time. Idle
capacity is nobody's. Must not guess: a service or an environment that OpenCost does not know is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import httpx
from pydantic import BaseModel, Field, ValidationError, field_validator

from bot.errors import BackendError
from integrations._http import Answer, Call, Http, Timing, unreadable
from integrations._plain_http import PlainDialect, Reach, bearer, open_http, secret
from integrations.ports import Finding, MonthlyCost, Surroundings

PORT: Final = "costs"
BACKEND: Final = "OpenCost"
MONTH_DAYS: Final = 30
SPECIAL: Final = "__"
"""`__idle__`, `__unallocated__`, `__unmounted__`: what belongs to no service."""

Table = Mapping[str, Mapping[str, float]]
"""Service -> environment -> what was used in the window."""


class Settings(Reach):
    """The `costs` section of platform.yml."""

    read_seconds: float = Field(
        30.0, gt=0, le=120, description="Longest time for one answer; it is computed."
    )
    token_variable: str = Field(
        "", description="Environment variable that holds a bearer token, where a proxy asks for one."
    )
    window_days: int = Field(7, ge=1, le=30, description="Days that are measured.")
    service_label: str = Field(
        "app_kubernetes_io_name",
        pattern=r"^\w*$",
        description="Label of pods that names the service, as Prometheus writes it; empty: the namespace does.",
    )
    namespace_pattern: str = Field(
        r".+-(?P<environment>[a-z0-9]+)",
        description="What a namespace says: (?P<environment>…), and (?P<service>…) without service_label.",
    )
    currency: str = Field("USD", min_length=1, max_length=8, description="What OpenCost counts in.")
    keep_seconds: float = Field(3600.0, ge=0, le=86400, description="How long an answer is kept.")

    @field_validator("namespace_pattern")
    @classmethod
    def _names_an_environment(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"a regular expression ({error})") from error
        if "environment" not in groups:
            raise ValueError("a regular expression with (?P<environment>…)")
        return pattern

    @property
    def aggregate(self) -> str:
        return f"namespace,label:{self.service_label}" if self.service_label else "namespace"


# ---------------------------------------------------------------- answers


class _Allocation(BaseModel):
    totalCost: float  # noqa: N815 - OpenCost's word


class _Answer(BaseModel):
    code: int
    data: list[dict[str, _Allocation] | None]


def said(answer: Answer) -> str:
    """The sentence of a refusal, `{"code", "message"}`; empty where it is not OpenCost's."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return ""


def parse_allocations(answer: Answer, settings: Settings) -> Table:
    """Raises TemporaryBackendError for garbage."""
    try:
        body = _Answer.model_validate_json(answer.content)
    except ValidationError as error:
        raise unreadable(BACKEND, "no sets of allocations") from error
    if body.code != 200:
        raise unreadable(BACKEND, f"code {body.code}")
    table: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for allocations in body.data:
        for key, allocation in (allocations or {}).items():
            if place := place_of(key, settings):
                service, environment = place
                table[service][environment] += allocation.totalCost
    return table


def place_of(key: str, settings: Settings) -> tuple[str, str] | None:
    """Service and environment of `namespace/label`, or of `namespace`; None for what is no service's."""
    namespace, _, label = key.partition("/")
    found = re.fullmatch(settings.namespace_pattern, namespace)
    if found is None or namespace.startswith(SPECIAL):
        return None
    service = label if settings.service_label else found.groupdict().get("service") or namespace
    if not service or service.startswith(SPECIAL):
        return None
    return service, found["environment"]


# ---------------------------------------------------------------- the backend


class OpenCost:
    """Implements `integrations.ports.Costs`."""

    def __init__(self, http: Http, settings: Settings, timing: Timing) -> None:
        self._http = http
        self._settings = settings
        self._timing = timing
        self._kept: Table = {}
        self._kept_until = float("-inf")
        self._asking: asyncio.Task[Table] | None = None

    def breaker_state(self) -> str:
        return self._http.breaker_state()

    async def monthly(self, service: str) -> Sequence[MonthlyCost]:
        """Whoever gives up waiting leaves the question running: the answer is there for the next one."""
        used = (await self._table()).get(service, {})
        scale = MONTH_DAYS / self._settings.window_days
        return [
            MonthlyCost(
                environment, round(amount * scale, 2), self._settings.currency, self._settings.window_days
            )
            for environment, amount in used.items()
        ]

    async def _table(self) -> Table:
        if self._timing.monotonic() < self._kept_until:
            return self._kept
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
            # A failure that nobody waits for any longer is not reported as forgotten: whoever asks next sees it again.
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> Table:
        params = {
            "window": f"{self._settings.window_days}d",
            "aggregate": self._settings.aggregate,
            "accumulate": "true",
            "includeIdle": "false",
        }
        table = parse_allocations(await self._http.send(Call("GET", "/allocation", params)), self._settings)
        self._kept, self._kept_until = table, self._timing.monotonic() + self._settings.keep_seconds
        return table

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            with contextlib.suppress(asyncio.CancelledError, BackendError):
                await self._asking

    async def check(self) -> Sequence[Finding]:
        subject = "OpenCost: allocations"
        try:
            table = await self._table()
        except BackendError as error:
            return [
                Finding(
                    subject,
                    ok=False,
                    detail=error.message,
                    fix=error.fix or "Check base_url and the network.",
                )
            ]
        if not table:
            return [
                Finding(
                    subject,
                    ok=False,
                    detail="OpenCost answers, but names no service",
                    fix="Compare service_label and namespace_pattern with "
                    f"{self._settings.base_url}/allocation?window=1d&aggregate={self._settings.aggregate}.",
                )
            ]
        environments = sorted({name for used in table.values() for name in used})
        return [
            Finding(subject, ok=True, detail=f"{len(table)} services known, in {', '.join(environments)}")
        ]


# ---------------------------------------------------------------- opening


@asynccontextmanager
async def connect(
    settings: Settings,
    surroundings: Surroundings,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    timing: Timing | None = None,
) -> AsyncIterator[OpenCost]:
    """Raises StartError where a token that is named is missing."""
    headers: Mapping[str, str] = {}
    if settings.token_variable:
        headers = bearer(secret(surroundings.secrets, settings.token_variable, backend=BACKEND))
    dialect = PlainDialect(
        BACKEND, headers, said, when_denied="Check token_variable in integrations.costs of platform.yml."
    )
    async with open_http(
        settings, dialect, base_folder=surroundings.base_folder, transport=transport, timing=timing
    ) as http:
        opencost = OpenCost(http, settings, timing or Timing())
        try:
            yield opencost
        finally:
            await opencost.close()


@asynccontextmanager
async def open(settings: Settings, surroundings: Surroundings) -> AsyncIterator[OpenCost]:  # noqa: A001 - the port's word
    async with connect(settings, surroundings) as opencost:
        yield opencost
