"""Counters and durations in Prometheus' text format. Keeps numbers; knows nothing of HTTP."""

from __future__ import annotations

import threading
from collections import defaultdict

BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


def label(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


class Metrics:
    def __init__(self, *, service: str, version: str, environment: str) -> None:
        self._service = label(service)
        self._build = f"version={label(version)},environment={label(environment)}"
        self._lock = threading.Lock()
        self._requests: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        self._buckets = [0] * (len(BUCKETS_SECONDS) + 1)
        self._sum_seconds = 0.0

    def observe(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Every distinct label makes a series: pass a route of the service, never a raw path."""
        bucket = next((i for i, limit in enumerate(BUCKETS_SECONDS) if seconds <= limit), -1)
        with self._lock:
            self._requests[method, route, status] += 1
            self._buckets[bucket] += 1
            self._sum_seconds += seconds

    def render(self) -> str:
        with self._lock:
            requests = sorted(self._requests.items())
            buckets, sum_seconds = list(self._buckets), self._sum_seconds
        lines = [
            "# HELP service_build_info The version that runs.",
            "# TYPE service_build_info gauge",
            f"service_build_info{{service={self._service},{self._build}}} 1",
            "# HELP http_requests_total Requests answered, probes left out.",
            "# TYPE http_requests_total counter",
        ]
        for (method, route, status), count in requests:
            labels = f'service={self._service},method={label(method)},route={label(route)},status="{status}"'
            lines.append(f"http_requests_total{{{labels}}} {count}")
        lines += [
            "# HELP http_request_duration_seconds Time to answer a request, probes left out.",
            "# TYPE http_request_duration_seconds histogram",
        ]
        total = 0
        for limit, count in zip([*map(str, BUCKETS_SECONDS), "+Inf"], buckets, strict=True):
            total += count
            lines.append(
                f'http_request_duration_seconds_bucket{{service={self._service},le="{limit}"}} {total}'
            )
        lines.append(f"http_request_duration_seconds_sum{{service={self._service}}} {sum_seconds:.6f}")
        lines.append(f"http_request_duration_seconds_count{{service={self._service}}} {total}")
        return "\n".join(lines) + "\n"
