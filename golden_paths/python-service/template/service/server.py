"""The HTTP server: finds the route, answers, measures, logs, and stops without dropping a request."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from service import about
from service.logs import log
from service.metrics import Metrics
from service.readiness import reasons_not_ready
from service.routes import ROUTES, Route
from service.settings import Settings

JSON = "application/json"
PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"
# Probes would drown what users do: they are neither counted nor logged.
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})


class Server(ThreadingHTTPServer):
    # A connection that idles must not hold up the stop; requests being answered are waited for.
    daemon_threads = True

    def __init__(self, settings: Settings, routes: Mapping[str, Route] = ROUTES) -> None:
        self.settings = settings
        self.routes = routes
        self.metrics = Metrics(service=about.NAME, version=settings.version, environment=settings.environment)
        self.stopping = threading.Event()
        self._answering = 0
        self._idle = threading.Condition()
        super().__init__((settings.host, settings.port), Handler)

    def answering(self, change: int) -> None:
        with self._idle:
            self._answering += change
            self._idle.notify_all()

    def stop(self, *, drain_seconds: float) -> bool:
        """Takes no new connection and waits for the requests being answered. True when all were."""
        self.shutdown()
        with self._idle:
            drained = self._idle.wait_for(lambda: self._answering == 0, timeout=drain_seconds)
        self.server_close()
        return drained

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is daily life; anything else is our fault and is logged."""
        if not isinstance(sys.exception(), OSError):
            log.exception("connection failed")


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 15  # Seconds a client may stay silent.
    disable_nagle_algorithm = True  # Headers and body are two writes; the second must not wait.

    def do_GET(self) -> None:
        self.server.answering(+1)
        try:
            self._answer()
        finally:
            self.server.answering(-1)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET

    def _answer(self) -> None:
        started = time.monotonic()
        path = urlsplit(self.path).path
        status, content_type, body = self._respond(path)
        self._send(status, content_type, body)
        if path in PROBES:
            return
        seconds = time.monotonic() - started
        route = path if path in self.server.routes else "unknown"
        self.server.metrics.observe(method=self.command, route=route, status=status, seconds=seconds)
        # The query is left out: people put tokens into it.
        facts = {"method": self.command, "path": path[:200], "status": status, "seconds": round(seconds, 6)}
        log.info("request", extra={"facts": facts})

    def _respond(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        if self.command not in ("GET", "HEAD"):
            return as_json(HTTPStatus.METHOD_NOT_ALLOWED, {"error": "method not allowed"})
        if path == "/healthz":
            return as_json(HTTPStatus.OK, {"status": "ok"})
        if path == "/readyz":
            return self._readiness()
        if path == "/metrics":
            return HTTPStatus.OK, PROMETHEUS_TEXT, self.server.metrics.render().encode()
        route = self.server.routes.get(path)
        if route is None:
            return as_json(HTTPStatus.NOT_FOUND, {"error": "not found"})
        try:
            return as_json(*route(self.server.settings))
        except Exception:
            # The border of the service: the client learns that it failed, the log learns why.
            log.exception("route failed", extra={"facts": {"route": path}})
            return as_json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "internal error"})

    def _readiness(self) -> tuple[HTTPStatus, str, bytes]:
        stopping = self.server.stopping.is_set()
        reasons = ["the service is stopping"] if stopping else reasons_not_ready(self.server.settings)
        if reasons:
            return as_json(HTTPStatus.SERVICE_UNAVAILABLE, {"status": "not ready", "reasons": reasons})
        return as_json(HTTPStatus.OK, {"status": "ready"})

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        if self.server.stopping.is_set() or self.command not in ("GET", "HEAD"):
            # A request's unread body must not be taken for the next request.
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        return about.NAME

    def log_message(self, format: str, *args: object) -> None:
        """The base class writes to standard error; `_answer` logs instead."""


def as_json(status: HTTPStatus, value: object) -> tuple[HTTPStatus, str, bytes]:
    return status, JSON, json.dumps(value).encode() + b"\n"
