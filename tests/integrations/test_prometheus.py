"""Signals: what Prometheus says in numbers, and all the ways in which it says nothing."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from json_wire import AWAY, GARBAGE, HANGS, UNREACHABLE, JsonWire, surroundings
from pydantic import ValidationError

from bot.errors import (
    BackendError,
    BackendErrorKind,
    PermanentBackendError,
    StartError,
    TemporaryBackendError,
)
from integrations import _promql, prometheus
from integrations.ports import Finding, SignalQuestion, SignalSource

URL = "http://prometheus.example.com:9090"
SETTINGS = prometheus.Settings(base_url=URL, success_query="good", latency_query="slow", rate_query="all")


def vector(*values: str, warnings: list[str] | None = None) -> dict[str, Any]:
    result = [{"metric": {}, "value": [1767225600.5, value]} for value in values]
    body: dict[str, Any] = {"status": "success", "data": {"resultType": "vector", "result": result}}
    return {**body, "warnings": warnings} if warnings else body


def refused(status: int, kind: str, message: str) -> httpx.Response:
    return httpx.Response(status, json={"status": "error", "errorType": kind, "error": message})


@dataclass
class FakePrometheus:
    """Answers a query with what a test put there for it; nothing is known of any other."""

    answers: dict[str, dict[str, Any] | httpx.Response] = field(default_factory=dict)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("GET", "/api/v1/query")
        (query,) = parse_qs(request.url.query.decode())["query"]
        answer = self.answers.get(query, vector())
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


@pytest.fixture
def fake() -> FakePrometheus:
    return FakePrometheus({"good": vector("0.998"), "slow": vector("0.12"), "all": vector("12.5")})


@pytest.fixture
def wire(fake: FakePrometheus) -> JsonWire:
    return JsonWire(fake)


@pytest.fixture
async def signals(wire: JsonWire) -> AsyncIterator[prometheus.Prometheus]:
    async with prometheus.connect(
        SETTINGS, surroundings(), transport=wire.transport, timing=wire.timing
    ) as opened:
        yield opened


# ---------------------------------------------------------------- numbers


async def test_three_numbers_of_one_window(signals: prometheus.Prometheus, wire: JsonWire) -> None:
    source: SignalSource = signals
    seen = await source.signals(SignalQuestion("orders", "production", window_seconds=120))
    assert (seen.success_ratio, seen.latency_seconds, seen.requests_per_second) == (0.998, 0.12, 12.5)
    assert (seen.window_seconds, seen.observed_at, seen.warnings) == (120, wire.clock.now(), ())


@pytest.mark.parametrize("nothing", [vector(), vector("NaN"), vector("+Inf"), vector("-Inf")])
async def test_no_traffic_is_neither_good_nor_bad(
    signals: prometheus.Prometheus, fake: FakePrometheus, nothing: dict[str, Any]
) -> None:
    fake.answers = {"good": nothing, "slow": nothing, "all": vector("0")}
    seen = await signals.signals(SignalQuestion("orders", "production"))
    assert (seen.success_ratio, seen.latency_seconds, seen.requests_per_second) == (None, None, None)


async def test_nothing_but_failures_is_zero_and_not_unknown(
    signals: prometheus.Prometheus, fake: FakePrometheus
) -> None:
    fake.answers["good"] = vector("0")
    assert (await signals.signals(SignalQuestion("orders", "production"))).success_ratio == 0.0


async def test_a_scalar_is_a_number_too(signals: prometheus.Prometheus, fake: FakePrometheus) -> None:
    fake.answers["good"] = {
        "status": "success",
        "data": {"resultType": "scalar", "result": [1767225600, "0.5"]},
    }
    assert (await signals.signals(SignalQuestion("orders", "production"))).success_ratio == 0.5


@pytest.mark.parametrize(("shown", "meant"), [("1.0000000002", 1.0), ("-0.0000000001", 0.0)])
async def test_a_hair_beyond_the_whole_is_the_whole(
    signals: prometheus.Prometheus, fake: FakePrometheus, shown: str, meant: float
) -> None:
    fake.answers["good"] = vector(shown)
    assert (await signals.signals(SignalQuestion("orders", "production"))).success_ratio == meant


async def test_a_percentage_is_not_taken_for_a_share(
    signals: prometheus.Prometheus, fake: FakePrometheus
) -> None:
    """99.8 would never fall below any limit."""
    fake.answers["good"] = vector("99.8")
    with pytest.raises(
        PermanentBackendError, match=r"success_query yields 99\.8 instead of a share"
    ) as caught:
        await signals.signals(SignalQuestion("orders", "production"))
    assert caught.value.fix == "Divide it. It is in integrations.signals of platform.yml."


async def test_more_series_than_one_are_the_querys_fault(
    signals: prometheus.Prometheus, fake: FakePrometheus
) -> None:
    fake.answers["slow"] = vector("0.1", "0.2")
    with pytest.raises(PermanentBackendError, match="latency_query yields 2 series instead of one number"):
        await signals.signals(SignalQuestion("orders", "production"))


async def test_numbers_that_may_be_incomplete_say_so_once(
    signals: prometheus.Prometheus, fake: FakePrometheus
) -> None:
    fake.answers["good"] = vector("0.5", warnings=["store-3 is away"])
    fake.answers["all"] = vector("7", warnings=["store-3 is away", "partial response"])
    assert (await signals.signals(SignalQuestion("orders", "production"))).warnings == (
        "store-3 is away",
        "partial response",
    )


async def test_a_window_too_short_for_two_scrapes_is_widened_and_told(
    signals: prometheus.Prometheus,
) -> None:
    assert (
        await signals.signals(SignalQuestion("orders", "production", window_seconds=15))
    ).window_seconds == 60


async def test_the_page_for_people_carries_the_names() -> None:
    settings = prometheus.Settings(
        base_url=URL,
        dashboard_url="https://grafana.example.com/d/svc?var-service=$service&var-env=$environment",
    )
    assert settings.page_url("a b", "prod&x") == (
        "https://grafana.example.com/d/svc?var-service=a%20b&var-env=prod%26x"
    )


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize("failure", [UNREACHABLE, HANGS, AWAY])
async def test_one_failure_is_asked_again(
    signals: prometheus.Prometheus, wire: JsonWire, failure: httpx.Response | Exception
) -> None:
    wire.faults = [failure]
    assert (await signals.signals(SignalQuestion("orders", "production"))).success_ratio == 0.998


@pytest.mark.parametrize(
    ("answer", "error", "kind", "words"),
    [
        (refused(400, "bad_data", "parse error at char 5"), PermanentBackendError, BackendErrorKind.INVALID,
         "rate_query is not accepted: parse error at char 5"),
        (refused(422, "execution", "many-to-many matching"), PermanentBackendError, BackendErrorKind.INVALID,
         "rate_query cannot be evaluated: many-to-many matching"),
        (refused(503, "timeout", "query timed out"), TemporaryBackendError, BackendErrorKind.UNAVAILABLE,
         "Prometheus cannot answer now: query timed out"),
        (httpx.Response(429), TemporaryBackendError, BackendErrorKind.RATE_LIMITED, "status 429"),
        (httpx.Response(401, text="no org id"), PermanentBackendError, BackendErrorKind.DENIED, "status 401"),
        (httpx.Response(404), PermanentBackendError, BackendErrorKind.NOT_FOUND, "status 404"),
        (httpx.Response(400, text="<html>"), TemporaryBackendError, BackendErrorKind.UNKNOWN, "status 400 of something else"),
        (GARBAGE, TemporaryBackendError, BackendErrorKind.UNKNOWN, "cannot be read"),
        (httpx.Response(200, json=vector("high")), TemporaryBackendError, BackendErrorKind.UNKNOWN, "cannot be read"),
        (httpx.Response(200, json={"status": "success", "data": {"resultType": "matrix", "result": []}}),
         PermanentBackendError, BackendErrorKind.INVALID, "rate_query yields a matrix instead of one number"),
        (httpx.Response(200, json={"status": "success", "data": {"resultType": "scalar", "result": []}}),
         TemporaryBackendError, BackendErrorKind.UNKNOWN, "cannot be read"),
    ],
)  # fmt: skip
async def test_what_a_refusal_means(
    signals: prometheus.Prometheus,
    fake: FakePrometheus,
    answer: httpx.Response,
    error: type[BackendError],
    kind: BackendErrorKind,
    words: str,
) -> None:
    fake.answers["all"] = answer
    with pytest.raises(error) as caught:
        await signals.signals(SignalQuestion("orders", "production"))
    assert caught.value.kind is kind
    assert words in caught.value.message


async def test_a_prometheus_that_stays_away_is_left_alone(
    signals: prometheus.Prometheus, wire: JsonWire
) -> None:
    wire.faults = [UNREACHABLE] * 99
    for _ in range(2):
        with pytest.raises(TemporaryBackendError):
            await signals.signals(SignalQuestion("orders", "production"))
    assert signals.breaker_state().startswith("open")
    asked = len(wire.asked)
    with pytest.raises(TemporaryBackendError, match="left alone"):
        await signals.signals(SignalQuestion("orders", "production"))
    assert len(wire.asked) == asked


# ---------------------------------------------------------------- names in queries


HOSTILE = 'a"} or vector(1) #\\\n'


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ('up{a="$service"}', 'up{a="a\\"} or vector(1) #\\\\\\n"}'),
        ('up{a="${service}"}', 'up{a="a\\"} or vector(1) #\\\\\\n"}'),
        ('up{a=~"$environment-.*"}', 'up{a=~"e\\\\.1-.*"}'),
        ('up{a!~"x$",b="y"}[$window]', 'up{a!~"x$",b="y"}[30s]'),
        ('up{a="$other"}', 'up{a="$other"}'),
        ('up{v=~"$revision"}', 'up{v=~".*"}'),
    ],
)
def test_a_name_stays_a_value(template: str, rendered: str) -> None:
    made = _promql.parse(template).render(
        service=HOSTILE, environment="e.1", revision=None, window_seconds=30
    )
    assert made == rendered


def test_a_revision_that_is_asked_for_is_the_only_one() -> None:
    made = _promql.parse('up{v=~"$revision"}').render(
        service="s", environment="e", revision="4f2a", window_seconds=30
    )
    assert made == 'up{v=~"4f2a"}'


@pytest.mark.parametrize(
    ("template", "accepted"),
    [
        ("up{a=$service}", "in double quotes, such as"),
        ("up{a='$service'}", "in double quotes: others cannot be escaped"),
        ("up{a=`$service`}", "in double quotes: others cannot be escaped"),
        ('up{v="$revision"}', "$revision behind =~"),
        ('up{a="b}', "a query whose quotes are closed"),
        ("up > $limit", "in double quotes"),
    ],
)
def test_a_template_that_could_be_broken_out_of_stops_the_start(template: str, accepted: str) -> None:
    with pytest.raises(ValidationError) as caught:
        prometheus.Settings(base_url=URL, rate_query=template)
    assert accepted in str(caught.value)


# ---------------------------------------------------------------- who asks


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({}, {"authorization": None, "x-scope-orgid": None}),
        ({"token_variable": "PROM_TOKEN"}, {"authorization": "Bearer s3cret"}),
        (
            {"username": "bot", "password_variable": "PROM_TOKEN"},
            {"authorization": f"Basic {base64.b64encode(b'bot:s3cret').decode()}"},
        ),
        ({"tenant": "acme|shop"}, {"x-scope-orgid": "acme|shop", "authorization": None}),
    ],
)
async def test_who_asks_is_said_as_configured(
    wire: JsonWire, settings: dict[str, str], headers: dict[str, str | None]
) -> None:
    given = prometheus.Settings(base_url=URL, rate_query="all", **settings)
    place = surroundings(PROM_TOKEN="s3cret")
    async with prometheus.connect(given, place, transport=wire.transport, timing=wire.timing) as opened:
        await opened.check()
    assert {name: wire.asked[0].headers.get(name) for name in headers} == headers


@pytest.mark.parametrize("held", ["", "two\nlines"])
async def test_a_credential_that_is_named_must_be_there(held: str) -> None:
    given = prometheus.Settings(base_url=URL, token_variable="PROM_TOKEN")
    with pytest.raises(StartError, match="PROM_TOKEN holds no credential for Prometheus"):
        async with prometheus.connect(given, surroundings(PROM_TOKEN=held)):
            pass


@pytest.mark.parametrize(
    "settings",
    [
        {"username": "bot"},
        {"username": "bot", "password_variable": "P", "token_variable": "T"},
        {"base_url": "prometheus:9090"},
        {"base_url": f"{URL}/?x=1"},
        {"dashboard_url": "javascript:alert(1)"},
        {"tenant": "a\nb"},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        prometheus.Settings(**{"base_url": URL, **settings})


# ---------------------------------------------------------------- check


async def test_check_evaluates_every_query(signals: prometheus.Prometheus, fake: FakePrometheus) -> None:
    fake.answers = {
        "slow": refused(400, "bad_data", "unknown function"),
        "all": vector("1", warnings=["partial"]),
    }
    good, slow, rate = await signals.check()
    assert good == Finding("Prometheus: success_query", ok=True, detail="can be evaluated")
    assert (slow.ok, slow.detail) == (
        False,
        "Prometheus: latency_query is not accepted: unknown function.",
    )
    assert slow.fix == "Correct the query. It is in integrations.signals of platform.yml."
    assert (rate.ok, rate.detail) == (False, "evaluated with a warning: partial")


async def test_check_says_once_that_prometheus_is_away(
    signals: prometheus.Prometheus, wire: JsonWire
) -> None:
    wire.faults = [UNREACHABLE] * 99
    (finding,) = await signals.check()
    assert (finding.ok, finding.fix) == (False, "Check base_url and the network.")
    assert "no route to host" in finding.detail
