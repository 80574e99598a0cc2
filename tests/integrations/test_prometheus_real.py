"""The queries that ship, against a real Prometheus that scrapes the metrics of a real golden path."""

from __future__ import annotations

import asyncio
import os
import runpy
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from json_wire import surroundings
from own_ports import free_port

from bot.errors import PermanentBackendError
from integrations import prometheus
from integrations.ports import SignalQuestion, Signals

METRICS = (
    Path(__file__).parents[2] / "golden_paths" / "python-service" / "template" / "service" / "metrics.py"
)
START_SECONDS = 60.0
NEW, OLD = "4f2a9c1" + "0" * 33, "07c1d2e" + "0" * 33


def golden_metrics(*, environment: str, version: str = NEW) -> Any:
    """What a service of the golden path keeps; the template needs no rendering."""
    # Not imported: Python would leave bytecode in the folder that services are made from.
    kept = runpy.run_path(str(METRICS))
    return kept["Metrics"](service="orders", version=version, environment=environment)


@contextmanager
def served(metrics: Any) -> Iterator[str]:
    """An address that Prometheus can scrape."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = metrics.render().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Scrapes are no news."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Scraped:
    """A Prometheus, and two environments of one service that it scrapes."""

    url: str
    production: Any
    staging: Any

    def settings(self, **changes: object) -> prometheus.Settings:
        return prometheus.Settings(**{"base_url": self.url, "shortest_window_seconds": 10, **changes})

    async def told(self, enough: Any, *, environment: str = "production", **changes: object) -> Signals:
        """The first signals that are enough."""
        async with (
            asyncio.timeout(START_SECONDS),
            prometheus.connect(self.settings(**changes), surroundings()) as source,
        ):
            while True:
                seen = await source.signals(SignalQuestion("orders", environment, window_seconds=60))
                if enough(seen):
                    return seen
                await asyncio.sleep(0.1)


@pytest.fixture
async def scraped(tmp_path: Path) -> AsyncIterator[Scraped]:
    """With CI set a missing Prometheus is a failure; on a developer's machine it is a test less."""
    program = shutil.which("prometheus")
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no prometheus: install the Debian package")
    production, staging = golden_metrics(environment="production"), golden_metrics(environment="staging")
    with served(production) as one, served(staging) as other:
        config = {
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
            "scrape_configs": [{"job_name": "services", "static_configs": [{"targets": [one, other]}]}],
        }
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        address = f"127.0.0.1:{free_port()}"
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
                 f"--web.listen-address={address}"],
                stdout=log, stderr=log,
            )  # fmt: skip
        try:
            await until_ready(f"http://{address}", process, tmp_path / "log")
            yield Scraped(f"http://{address}", production, staging)
        finally:
            process.kill()
            process.wait()


async def until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    async with asyncio.timeout(START_SECONDS), httpx.AsyncClient() as client:
        while True:
            assert process.poll() is None, log.read_text()
            try:
                if (await client.get(f"{url}/-/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


def answered(metrics: Any, *, good: int = 0, bad: int = 0, seconds: float = 0.04) -> None:
    for status, count in ((200, good), (503, bad)):
        for _ in range(count):
            metrics.observe(method="GET", route="/", status=status, seconds=seconds)


async def test_the_queries_that_ship_fit_the_golden_paths(scraped: Scraped) -> None:
    """One Prometheus is started for all of it: starting is what takes its time."""
    untouched = await scraped.told(lambda _seen: True)
    assert (untouched.success_ratio, untouched.latency_seconds, untouched.requests_per_second) == (
        None, None, None,
    )  # fmt: skip
    await checks_are_clean(scraped)

    # A counter's first value is no increase, so both are there before anything is counted.
    answered(scraped.production, good=1, bad=1)
    answered(scraped.staging, bad=1)
    await scraped.told(lambda seen: seen.requests_per_second is None and scraped_twice(scraped))
    answered(scraped.production, good=90, bad=10)
    answered(scraped.staging, bad=50)

    # Prometheus extrapolates each counter to its own zero, so that young ones are a little off.
    nine_of_ten = pytest.approx(0.9, abs=0.02)
    seen = await scraped.told(
        lambda seen: seen.success_ratio == nine_of_ten and seen.latency_seconds is not None
    )
    assert seen.latency_seconds == pytest.approx(0.05, abs=0.03)
    staging = await scraped.told(lambda seen: seen.requests_per_second, environment="staging")
    assert staging.success_ratio == 0.0, "nothing but failures is not unknown"

    await refusals_are_prometheus_own(scraped)
    await a_revision_is_told_apart(scraped)


async def checks_are_clean(scraped: Scraped) -> None:
    async with prometheus.connect(scraped.settings(), surroundings()) as source:
        assert [finding.ok for finding in await source.check()] == [True, True, True]


async def refusals_are_prometheus_own(scraped: Scraped) -> None:
    for query, words in (
        ("sum(", "rate_query is not accepted: .*parse error"),
        ("http_requests_total", "rate_query yields . series"),
        (
            'http_requests_total * on (service) group_left service_build_info{service="$service"}',
            "rate_query cannot be evaluated: found duplicate series",
        ),
        ("up[5m]", "rate_query yields a matrix"),
    ):
        async with prometheus.connect(scraped.settings(rate_query=query), surroundings()) as source:
            with pytest.raises(PermanentBackendError, match=words):
                await source.signals(SignalQuestion("orders", "production"))


async def a_revision_is_told_apart(scraped: Scraped) -> None:
    query = (
        'sum(rate(http_requests_total{service="$service"}[$window])'
        ' and on (instance, job) service_build_info{version=~"$revision",environment="$environment"})'
    )
    async with prometheus.connect(scraped.settings(rate_query=query), surroundings()) as source:
        rates = [
            (
                await source.signals(
                    SignalQuestion("orders", "production", revision=revision, window_seconds=60)
                )
            ).requests_per_second
            for revision in (None, NEW, OLD)
        ]
    assert [rate is not None for rate in rates] == [True, True, False]


def scraped_twice(scraped: Scraped) -> bool:
    answer = httpx.get(
        f"{scraped.url}/api/v1/query",
        params={"query": 'min(count_over_time(http_requests_total{service="orders"}[1m]))'},
    )
    found = answer.json()["data"]["result"]
    return bool(found) and float(found[0]["value"][1]) >= 2
