"""Created services, run for real: their own tests pass, and each keeps the contract over HTTP and as a process."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from own_ports import free_port

Render = Callable[..., Path]
SHA = "0123456789abcdef0123456789abcdef01234567"
START_SECONDS = 60  # A Go service is compiled first.
STOP_SECONDS = 30


@pytest.fixture
def runnable(golden_path: Any) -> Any:
    for program in golden_path.about["needs"]:
        if shutil.which(program) is None:
            # A machine that builds releases must not pass by leaving something out.
            fail = pytest.fail if os.environ.get("CI") else pytest.skip
            fail(f"{program} is not installed")
    return golden_path


def environment(**variables: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "GOCACHE") if name in os.environ}
    # Rendered folders are shared by tests and stay as they were rendered.
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **variables}


@dataclass
class Running:
    process: subprocess.Popen[str]
    port: int

    def get(self, path: str, *, method: str = "GET") -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=5) as client:
            return client.request(method, f"http://127.0.0.1:{self.port}{path}")

    def answers(self) -> bool:
        try:
            return self.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> list[Mapping[str, Any]]:
        """SIGTERM to the whole group, as the platform's runtime does; what the service logged until it ended."""
        os.killpg(self.process.pid, signal.SIGTERM)
        output, _ = self.process.communicate(timeout=STOP_SECONDS)
        return [json.loads(line) for line in output.splitlines()]


@contextmanager
def running(golden_path: Any, folder: Path, **variables: str) -> Iterator[Running]:
    port = free_port()
    process = subprocess.Popen(
        golden_path.command("run"),
        cwd=folder,
        env=environment(PORT=str(port), SERVICE_VERSION=SHA, ENVIRONMENT="staging", **variables),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    service = Running(process, port)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not service.answers():
            assert process.poll() is None, "the service ended instead of starting"
            assert time.monotonic() < deadline, "the service did not start"
            time.sleep(0.02)
        yield service
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.mark.timeout(300)
def test_created_service_passes_its_own_tests(runnable: Any, render: Render, database: str) -> None:
    done = subprocess.run(
        runnable.command("test"),
        cwd=render(database=database, description="a \"b\" 'c' \\ {{ 7*7 }}\n\u2028 é 😀 \U000e0067"),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # A run that found no tests succeeds too.
    assert re.search(r"Ran [1-9][0-9]* tests|# pass [1-9]|^ok\s", done.stdout + done.stderr, re.MULTILINE)


@pytest.mark.timeout(300)
def test_service_follows_its_database_and_keeps_its_secret(
    runnable: Any, render: Render, tmp_path: Path
) -> None:
    url_file = tmp_path / "url"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url_file.write_text(f"postgresql://orders:hunter2@127.0.0.1:{listener.getsockname()[1]}/orders")
        folder = render(database="postgresql")
        with running(runnable, folder, DATABASE_URL_FILE=str(url_file)) as service:
            assert service.get("/readyz").status_code == 200
            listener.close()
            down = service.get("/readyz")
            assert down.status_code == 503
            assert down.json()["reasons"] == ["the database does not accept connections"]
            url_file.unlink()
            assert "cannot be read" in service.get("/readyz").json()["reasons"][0]
            assert service.get("/healthz").status_code == 200
            said = [service.get(path).text for path in ("/", "/readyz", "/metrics", "/nothing")]
            logged = service.stop()
    assert "hunter2" not in json.dumps([said, logged])


@pytest.mark.timeout(300)
def test_service_answers_measures_logs_and_stops(runnable: Any, render: Render) -> None:
    with running(runnable, render(database="none")) as service:
        index = service.get("/?token=hunter2")
        assert index.json() == {"service": "orders", "version": SHA, "environment": "staging"}
        assert index.headers["content-type"].startswith("application/json")
        assert service.get("/readyz").status_code == 200
        assert service.get("/nothing").status_code == 404
        refused = service.get("/", method="DELETE")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
        metrics = service.get("/metrics").text
        logged = service.stop()
    assert 'http_requests_total{service="orders",method="GET",route="/",status="200"} 1' in metrics
    assert 'http_requests_total{service="orders",method="GET",route="unknown",status="404"} 1' in metrics
    assert 'http_request_duration_seconds_bucket{service="orders",le="+Inf"} 3' in metrics
    assert f'service_build_info{{service="orders",version="{SHA}",environment="staging"}} 1' in metrics
    assert [line["message"] for line in logged] == ["started", *["request"] * 3, "stopping", "stopped"]
    for line in logged:
        assert (line["service"], line["version"], line["environment"]) == ("orders", SHA, "staging")
        assert line["level"] == "info"
        assert line["time"].startswith("20")
    assert "hunter2" not in json.dumps(logged)
    assert logged[-1]["drained"] is True


@pytest.mark.timeout(300)
def test_service_says_that_it_is_not_ready_before_it_stops(runnable: Any, render: Render) -> None:
    with running(runnable, render(database="none"), SHUTDOWN_DELAY_SECONDS="1") as service:
        os.killpg(service.process.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while (answer := service.get("/readyz")).status_code == 200:
            assert time.monotonic() < deadline, "the service stayed ready"
        assert answer.json()["reasons"] == ["the service is stopping"]
        service.process.communicate(timeout=STOP_SECONDS)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("name", "value"), [("PORT", "http"), ("SHUTDOWN_DELAY_SECONDS", "forever")])
def test_service_refuses_to_start_with_a_sentence(
    runnable: Any, render: Render, name: str, value: str
) -> None:
    done = subprocess.run(
        runnable.command("run"),
        cwd=render(),
        env=environment(**{name: value}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.startswith(f"Cannot start: {name} must be a whole number")
    assert "Traceback" not in done.stderr
