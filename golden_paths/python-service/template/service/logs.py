"""Structured logs: one JSON object per line on standard output.

Callers pass facts as `extra={"facts": {...}}`. Never pass a URL with a password, a header or a body.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from service import about
from service.settings import Settings

log = logging.getLogger("service")


class JsonFormatter(logging.Formatter):
    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._about = {
            "service": about.NAME,
            "version": settings.version,
            "environment": settings.environment,
        }

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **self._about,
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logs(settings: Settings) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(settings))
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
