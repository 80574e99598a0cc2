"""The service as its callers see it: over HTTP, and as a process."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

from service import about
from service.logs import JsonFormatter
from service.routes import ROUTES
from service.server import Server
from service.settings import Settings, SettingsError, settings_from

SETTINGS = Settings(port=0, version="abc1234", environment="test", database="none")


@contextmanager
def serving(settings: Settings, **kwargs: object) -> Iterator[Server]:
    server = Server(settings, **kwargs)  # type: ignore[arg-type]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        server.stop(drain_seconds=2)


def request(port: int, path: str, method: str = "GET") -> tuple[HTTPResponse, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response, response.read().decode()
    finally:
        connection.close()


class Endpoints(unittest.TestCase):
    def setUp(self) -> None:
        logging.getLogger("service").setLevel(logging.CRITICAL)

    def test_index_names_service_version_and_environment(self) -> None:
        with serving(SETTINGS) as server:
            response, body = request(server.server_port, "/?token=x")
        self.assertEqual(response.status, 200)
        expected = {"service": about.NAME, "version": "abc1234", "environment": "test"}
        self.assertEqual(json.loads(body), expected)

    def test_healthz_is_ok_even_when_not_ready(self) -> None:
        with serving(replace(SETTINGS, database="postgresql")) as server:
            self.assertEqual(request(server.server_port, "/healthz")[0].status, 200)

    def test_unknown_path_is_not_found(self) -> None:
        with serving(SETTINGS) as server:
            self.assertEqual(request(server.server_port, "/nothing")[0].status, 404)

    def test_other_method_is_refused_with_those_allowed(self) -> None:
        with serving(SETTINGS) as server:
            response, _ = request(server.server_port, "/", method="POST")
        self.assertEqual((response.status, response.headers["Allow"]), (405, "GET, HEAD"))

    def test_head_has_no_body(self) -> None:
        with serving(SETTINGS) as server:
            response, body = request(server.server_port, "/", method="HEAD")
        self.assertEqual((response.status, body), (200, ""))

    def test_failing_route_is_an_error_without_details(self) -> None:
        def broken(settings: Settings) -> tuple[HTTPStatus, object]:
            raise RuntimeError("the password is hunter2")

        with serving(SETTINGS, routes={**ROUTES, "/broken": broken}) as server:
            response, body = request(server.server_port, "/broken")
        self.assertEqual(response.status, 500)
        self.assertNotIn("hunter2", body)

    def test_metrics_count_requests_but_not_probes(self) -> None:
        with serving(SETTINGS) as server:
            for path in ("/", "/", "/nothing", "/random", "/healthz", "/readyz"):
                request(server.server_port, path)
            response, body = request(server.server_port, "/metrics")
        self.assertTrue(response.headers["Content-Type"].startswith("text/plain; version=0.0.4"))
        name = about.NAME
        self.assertIn(f'http_requests_total{{service="{name}",method="GET",route="/",status="200"}} 2', body)
        self.assertIn('route="unknown",status="404"} 2', body)
        self.assertIn(f'http_request_duration_seconds_count{{service="{name}"}} 4', body)
        self.assertIn('version="abc1234",environment="test"} 1', body)
        self.assertNotIn("healthz", body)


class Readiness(unittest.TestCase):
    def readyz(self, settings: Settings) -> tuple[int, str]:
        with serving(settings) as server:
            response, body = request(server.server_port, "/readyz")
        return response.status, body

    def with_url(self, url: str) -> Settings:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        file = Path(folder.name, "url")
        file.write_text(url)
        return replace(SETTINGS, database="postgresql", database_url_file=file)

    def test_ready_without_a_database(self) -> None:
        self.assertEqual(self.readyz(SETTINGS)[0], 200)

    def test_ready_when_the_database_accepts_connections(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as database:
            port = database.getsockname()[1]
            status, _ = self.readyz(self.with_url(f"postgresql://u:hunter2@127.0.0.1:{port}/orders\n"))
        self.assertEqual(status, 200)

    def test_not_ready_when_the_database_is_down_and_the_password_stays_secret(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as database:
            port = database.getsockname()[1]
        status, body = self.readyz(self.with_url(f"postgresql://u:hunter2@127.0.0.1:{port}/orders"))
        self.assertEqual(status, 503)
        self.assertEqual(json.loads(body)["reasons"], ["the database does not accept connections"])
        self.assertNotIn("hunter2", body)

    def test_not_ready_without_a_usable_url(self) -> None:
        for url in (
            "",
            "hunter2",
            "postgresql:///orders",
            "postgresql://h:99999999/x",
            "postgresql://[hunter2",
        ):
            with self.subTest(url=url):
                status, body = self.readyz(self.with_url(url))
                self.assertEqual(status, 503)
                self.assertNotIn("hunter2", body)

    def test_not_ready_without_the_file(self) -> None:
        settings = replace(SETTINGS, database="redis")
        self.assertIn("DATABASE_URL_FILE is not set", self.readyz(settings)[1])
        missing = replace(settings, database_url_file=Path("/nonexistent/url"))
        self.assertIn("cannot be read", self.readyz(missing)[1])

    def test_not_ready_while_stopping(self) -> None:
        with serving(SETTINGS) as server:
            server.stopping.set()
            response, body = request(server.server_port, "/readyz")
        self.assertEqual(response.status, 503)
        self.assertIn("stopping", body)


class Start(unittest.TestCase):
    def test_settings_come_from_the_environment(self) -> None:
        settings = settings_from(
            {"PORT": "9000", "SERVICE_VERSION": "v1", "ENVIRONMENT": "staging", "HOST": ""}
        )
        self.assertEqual((settings.port, settings.version, settings.environment), (9000, "v1", "staging"))
        self.assertEqual(settings.host, "127.0.0.1")

    def test_a_wrong_port_is_named(self) -> None:
        for port in ("http", "-1", "70000", "²"):
            with self.subTest(port=port), self.assertRaisesRegex(SettingsError, "PORT"):
                settings_from({"PORT": port})

    def test_a_log_line_is_one_json_object(self) -> None:
        record = logging.LogRecord("service", logging.INFO, "", 0, "two\nlines", None, None)
        line = JsonFormatter(SETTINGS).format(record)
        self.assertNotIn("\n", line)
        self.assertEqual(json.loads(line)["message"], "two\nlines")


class Stop(unittest.TestCase):
    def test_a_request_being_answered_is_finished(self) -> None:
        entered, release = threading.Event(), threading.Event()

        def slow(settings: Settings) -> tuple[HTTPStatus, object]:
            entered.set()
            release.wait(5)
            return HTTPStatus.OK, {}

        server = Server(SETTINGS, routes={"/slow": slow})
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        answers: list[int] = []
        port = server.server_port
        client = threading.Thread(target=lambda: answers.append(request(port, "/slow")[0].status))
        client.start()
        self.assertTrue(entered.wait(5))
        self.assertFalse(server.stop(drain_seconds=0))
        release.set()
        client.join(5)
        self.assertEqual(answers, [200])

    def test_sigterm_ends_the_process_cleanly(self) -> None:
        environment = {**os.environ, "PORT": "0", "SERVICE_VERSION": "abc1234", "SHUTDOWN_DELAY_SECONDS": ""}
        process = subprocess.Popen(
            [sys.executable, "-m", "service"], stdout=subprocess.PIPE, text=True, env=environment
        )
        with process:
            assert process.stdout is not None
            started = json.loads(process.stdout.readline())
            self.assertEqual((started["message"], started["version"]), ("started", "abc1234"))
            self.assertEqual(request(started["port"], "/healthz")[0].status, 200)
            process.send_signal(signal.SIGTERM)
            lines = [json.loads(line) for line in process.stdout]
            self.assertEqual(process.wait(5), 0)
        self.assertEqual(lines[-1]["message"], "stopped")


if __name__ == "__main__":
    unittest.main()
