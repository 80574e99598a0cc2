"""Whether the service can do its work now. Reasons are for people and never hold a secret."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from service.settings import Settings

CONNECT_TIMEOUT_SECONDS = 1.0
_DEFAULT_PORTS = {"postgresql": 5432, "postgres": 5432, "redis": 6379, "rediss": 6379}


def reasons_not_ready(settings: Settings) -> list[str]:
    """Empty when ready. Opens a connection to the database, so it takes up to a second."""
    if settings.database == "none":
        return []
    if settings.database_url_file is None:
        return ["DATABASE_URL_FILE is not set"]
    try:
        # Read every time: the platform replaces the file when it rotates the password.
        url = settings.database_url_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ["the file named by DATABASE_URL_FILE cannot be read"]
    address = database_address(url)
    if address is None:
        return ["the file named by DATABASE_URL_FILE does not hold a database URL"]
    try:
        socket.create_connection(address, timeout=CONNECT_TIMEOUT_SECONDS).close()
    except OSError:
        return ["the database does not accept connections"]
    return []


def database_address(url: str) -> tuple[str, int] | None:
    """Host and port of a database URL, or None when it names neither."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname and port else None
