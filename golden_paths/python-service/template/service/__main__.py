"""Starts the service and stops it on SIGTERM or SIGINT: refuse, drain, leave."""

from __future__ import annotations

import os
import signal
import sys
import threading

from service.logs import configure_logs, log
from service.server import Server
from service.settings import SettingsError, settings_from

DRAIN_SECONDS = 4.0
STOPS = (signal.SIGTERM, signal.SIGINT)


def main() -> int:
    try:
        settings = settings_from(os.environ)
    except SettingsError as error:
        print(f"Cannot start: {error}", file=sys.stderr)
        return 2
    configure_logs(settings)
    # Held back, in every thread, until they are waited for: a handler that sets an Event can meet its own lock there.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        server = Server(settings)
    except OSError as error:
        print(f"Cannot start: {settings.host}:{settings.port}: {error.strerror}.", file=sys.stderr)
        return 1
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    log.info("started", extra={"facts": {"host": settings.host, "port": server.server_port}})
    signal.sigwait(STOPS)
    server.stopping.set()
    log.info("stopping")
    # The server goes on answering while whoever routes to it learns that it is not ready.
    threading.Event().wait(settings.shutdown_delay_seconds)
    drained = server.stop(drain_seconds=DRAIN_SECONDS)
    log.info("stopped", extra={"facts": {"drained": drained}})
    return 0


sys.exit(main())
