"""Settings from the environment, read once at start. Nothing else reads the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from service import about


class SettingsError(Exception):
    """A variable holds something the service cannot start with. The message names it."""


@dataclass(frozen=True)
class Settings:
    host: str = "127.0.0.1"
    port: int = about.DEFAULT_PORT
    version: str = "unknown"
    environment: str = "local"
    database: str = about.DATABASE
    database_url_file: Path | None = None
    shutdown_delay_seconds: int = 0


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Raises SettingsError. An empty variable counts as unset."""
    given = {name: value for name, value in environment.items() if value}
    url_file = given.get("DATABASE_URL_FILE")
    return Settings(
        host=given.get("HOST", Settings.host),
        port=_number(given, "PORT", default=Settings.port, highest=65535),
        version=given.get("SERVICE_VERSION", Settings.version),
        environment=given.get("ENVIRONMENT", Settings.environment),
        database_url_file=Path(url_file) if url_file else None,
        shutdown_delay_seconds=_number(given, "SHUTDOWN_DELAY_SECONDS", default=0, highest=60),
    )


def _number(given: Mapping[str, str], name: str, *, default: int, highest: int) -> int:
    text = given.get(name, str(default))
    if not (text.isascii() and text.isdigit() and int(text) <= highest):
        raise SettingsError(f"{name} must be a whole number from 0 to {highest}.")
    return int(text)
