"""Signals of services from Prometheus, or from what speaks its API (Thanos, Mimir, VictoriaMetrics): good answers, latency, rate.

One query each, as the settings say; the ones that ship fit the golden paths. A query must yield one number. Nothing, and no
finite number, is None: no traffic is neither good nor bad. Must not judge what it measures.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from urllib.parse import quote

import httpx
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError
from integrations import _promql
from integrations._http import Answer, Call, Http, Timing, unreadable
from integrations._plain_http import PlainDialect, Reach, basic, bearer, open_http, secret
from integrations.ports import Finding, SignalQuestion, Signals, Surroundings

PORT: Final = "signals"
BACKEND: Final = "Prometheus"
NOBODY: Final = "platform-bot-check"
"""A service that there is not: whether a query can be evaluated shows all the same."""
QUERY_LIMIT: Final = 3000
"""Characters. Queries travel in the address, so that they are reads for the retries, the breaker and every proxy on the way."""
ROUNDING: Final = 1e-6
"""Rates are extrapolated: a share of all may come out a hair above one."""
WARNINGS_KEPT: Final = 3
QUERIES: Final = ("success_query", "latency_query", "rate_query")

_HERE: Final = 'and on (instance, job) service_build_info{service="$service",environment="$environment"}'
_ALL: Final = f'sum(rate(http_requests_total{{service="$service"}}[$window]) {_HERE})'
_GOOD: Final = f'sum(rate(http_requests_total{{service="$service",status!~"5.."}}[$window]) {_HERE})'
_BUCKETS: Final = f'rate(http_request_duration_seconds_bucket{{service="$service"}}[$window]) {_HERE}'


class Settings(Reach):
    """The `signals` section of platform.yml."""

    token_variable: str = Field("", description="Environment variable that holds a bearer token, if any.")
    username: str = Field("", description="Name for basic authentication, if any.")
    password_variable: str = Field("", description="Environment variable that holds its password.")
    tenant: str = Field(
        "", pattern=r"^[\w.|!()*'-]*$", description="X-Scope-OrgID, for Mimir and the like, if any."
    )
    # Without any good answer the first sum is empty: `or vector(0)` keeps "all bad" from looking like "no traffic".
    success_query: str = Field(
        f"({_GOOD} or vector(0)) / {_ALL}",
        max_length=QUERY_LIMIT,
        description="Share of good answers, 0 to 1.",
    )
    latency_query: str = Field(
        f"histogram_quantile(0.95, sum by (le) ({_BUCKETS}))",
        max_length=QUERY_LIMIT,
        description="95th percentile of the time to answer, in seconds.",
    )
    rate_query: str = Field(_ALL, max_length=QUERY_LIMIT, description="Requests per second.")
    shortest_window_seconds: int = Field(
        60, ge=1, le=3600, description="rate() needs two scrapes: at least four scrape intervals."
    )
    dashboard_url: str = Field(
        "", description="A page for people; $service and $environment stand for the names."
    )

    @field_validator("success_query", "latency_query", "rate_query")
    @classmethod
    def _safe(cls, query: str) -> str:
        _promql.parse(query)
        return query

    @field_validator("dashboard_url")
    @classmethod
    def _page(cls, url: str) -> str:
        if url and not url.startswith(("https://", "http://")):
            raise ValueError("a URL that begins with https:// (or http://)")
        return url

    @model_validator(mode="after")
    def _one_credential(self) -> Settings:
        if bool(self.username) != bool(self.password_variable):
            raise ValueError("username and password_variable, both or none")
        if self.username and self.token_variable:
            raise ValueError("token_variable, or username with password_variable, not both")
        return self

    def headers(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """Raises StartError where a variable that is named holds nothing."""
        headers = {"X-Scope-OrgID": self.tenant} if self.tenant else {}
        if self.token_variable:
            headers |= bearer(secret(secrets, self.token_variable, backend=BACKEND))
        elif self.username:
            headers |= basic(self.username, secret(secrets, self.password_variable, backend=BACKEND))
        return headers

    def page_url(self, service: str, environment: str) -> str:
        named = self.dashboard_url.replace("$service", quote(service, safe=""))
        return named.replace("$environment", quote(environment, safe=""))


# ---------------------------------------------------------------- answers


@dataclass(frozen=True)
class Measured:
    """One number, or none."""

    value: float | None
    warnings: tuple[str, ...] = ()


class _Sample(BaseModel):
    value: tuple[float, str]


class _Data(BaseModel):
    resultType: Literal["vector", "scalar", "matrix", "string"]  # noqa: N815 - Prometheus' word
    result: list[Any]


class _Success(BaseModel):
    status: Literal["success"]
    data: _Data
    warnings: list[str] = []


def said(answer: Answer) -> str:
    """The sentence of a refusal: `{"status": "error", "errorType", "error"}`; empty where it is not Prometheus'."""
    try:
        body = answer.json()
        return str(body["error"]) if body["status"] == "error" else ""
    except (ValueError, KeyError, TypeError):
        return ""


def parse_answer(answer: Answer, setting: str) -> Measured:
    """Raises BackendError: garbage is temporary, more numbers than one are the query's fault."""
    try:
        body = _Success.model_validate_json(answer.content)
        kind, result = body.data.resultType, body.data.result
        if kind in {"matrix", "string"}:
            raise wrong(setting, f"yields a {kind} instead of one number", "Take one value.")
        samples = [{"value": result}] if kind == "scalar" else result
        numbers = [float(_Sample.model_validate(one).value[1]) for one in samples]
    except (ValueError, ValidationError) as error:
        raise unreadable(BACKEND, f"an answer to {setting} that is no vector and no number") from error
    if len(numbers) > 1:
        raise wrong(setting, f"yields {len(numbers)} series instead of one number", "Sum them up.")
    value = numbers[0] if numbers and math.isfinite(numbers[0]) else None
    return Measured(value, tuple(body.warnings))


def wrong(setting: str, what: str, fix: str) -> PermanentBackendError:
    return PermanentBackendError(
        f"{BACKEND}: {setting} {what}.",
        backend=BACKEND,
        kind=BackendErrorKind.INVALID,
        fix=f"{fix} It is in integrations.signals of platform.yml.",
    )


def as_ratio(value: float | None) -> float | None:
    """Raises PermanentBackendError: a percentage taken for a share would never fall below any limit."""
    if value is None:
        return None
    if not -ROUNDING <= value <= 1 + ROUNDING:
        raise wrong("success_query", f"yields {value:g} instead of a share from 0 to 1", "Divide it.")
    return min(max(value, 0.0), 1.0)


# ---------------------------------------------------------------- the backend


class Prometheus:
    """Implements `integrations.ports.SignalSource`."""

    def __init__(self, http: Http, settings: Settings) -> None:
        self._http = http
        self._settings = settings

    def breaker_state(self) -> str:
        return self._http.breaker_state()

    async def signals(self, question: SignalQuestion) -> Signals:
        window_seconds = max(question.window_seconds, self._settings.shortest_window_seconds)
        question = replace(question, window_seconds=window_seconds)
        success, latency, rate = await asyncio.gather(
            *(self._measure(setting, question) for setting in QUERIES)
        )
        warnings = dict.fromkeys((*success.warnings, *latency.warnings, *rate.warnings))
        return Signals(
            success_ratio=as_ratio(success.value),
            latency_seconds=latency.value,
            requests_per_second=rate.value or None,
            window_seconds=window_seconds,
            observed_at=question.until or self._http.now(),
            dashboard_url=self._settings.page_url(question.service, question.environment),
            warnings=tuple(warnings)[:WARNINGS_KEPT],
        )

    async def _measure(self, setting: str, question: SignalQuestion) -> Measured:
        query = _promql.parse(getattr(self._settings, setting)).render(
            service=question.service,
            environment=question.environment,
            revision=question.revision,
            window_seconds=question.window_seconds,
        )
        params = {"query": query, "timeout": f"{self._settings.read_seconds:g}s"}
        if question.until is not None:
            params["time"] = f"{question.until.timestamp():.3f}"
        answer = await self._http.send(Call("GET", "/api/v1/query", params, accept=frozenset({400, 422})))
        if answer.status >= 300:
            refusal = said(answer)
            if not refusal:
                raise unreadable(BACKEND, f"status {answer.status} of something else at base_url")
            what = "is not accepted" if answer.status == 400 else "cannot be evaluated"
            raise wrong(setting, f"{what}: {refusal}", "Correct the query.")
        return parse_answer(answer, setting)

    async def check(self) -> Sequence[Finding]:
        """Every query, about a service that there is not: an answer without a number is a good one."""
        nobody = SignalQuestion(NOBODY, NOBODY, window_seconds=self._settings.shortest_window_seconds)
        findings = []
        for setting in QUERIES:
            subject = f"Prometheus: {setting}"
            try:
                findings.append(_found(subject, await self._measure(setting, nobody)))
            except BackendError as error:
                fix = error.fix or "Check base_url and the network."
                findings.append(Finding(subject, ok=False, detail=error.message, fix=fix))
                if error.kind is not BackendErrorKind.INVALID:
                    break  # The others would only say the same again.
        return findings


def _found(subject: str, measured: Measured) -> Finding:
    if not measured.warnings:
        return Finding(subject, ok=True, detail="can be evaluated")
    return Finding(
        subject,
        ok=False,
        detail=f"evaluated with a warning: {measured.warnings[0]}",
        fix="No promotion is taken back by numbers that may be incomplete; find out why they are.",
    )


# ---------------------------------------------------------------- opening


@asynccontextmanager
async def connect(
    settings: Settings,
    surroundings: Surroundings,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    timing: Timing | None = None,
) -> AsyncIterator[Prometheus]:
    """Raises StartError where a credential that is named is missing."""
    dialect = PlainDialect(
        BACKEND,
        settings.headers(surroundings.secrets),
        said,
        when_denied="Check token_variable, username and tenant in integrations.signals of platform.yml.",
    )
    async with open_http(
        settings, dialect, base_folder=surroundings.base_folder, transport=transport, timing=timing
    ) as http:
        yield Prometheus(http, settings)


@asynccontextmanager
async def open(settings: Settings, surroundings: Surroundings) -> AsyncIterator[Prometheus]:  # noqa: A001 - the port's word
    async with connect(settings, surroundings) as prometheus:
        yield prometheus
