"""Backends that are JSON over HTTP with a credential that never changes: how they are reached and what their refusals mean.

For Prometheus, Grafana and OpenCost, which have no tokens to renew and no refusals of their own beyond a status and a
sentence. Must not know any one backend's paths, texts or shapes.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, field_validator

from bot.errors import (
    BackendError,
    BackendErrorKind,
    PermanentBackendError,
    StartError,
    TemporaryBackendError,
)
from integrations._breaker import Breaker
from integrations._http import Answer, Http, Limits, Timing, retry_after_seconds

_OVERLOADED: Final = frozenset({408, 429})
_KINDS: Final[Mapping[int, BackendErrorKind]] = {
    400: BackendErrorKind.INVALID,
    401: BackendErrorKind.DENIED,
    403: BackendErrorKind.DENIED,
    404: BackendErrorKind.NOT_FOUND,
    409: BackendErrorKind.CONFLICT,
    422: BackendErrorKind.INVALID,
}


class Reach(BaseModel):
    """Settings that say where a backend is. Settings of one backend inherit them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field(description="Its address, such as http://monitoring.example.com:9090.")
    ca_file: str = Field("", description="Certificate authority of base_url; else those of the machine.")
    connect_seconds: float = Field(5.0, gt=0, le=60, description="Longest time to connect.")
    read_seconds: float = Field(15.0, gt=0, le=120, description="Longest time for one answer.")

    @field_validator("base_url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        if not is_web_url(url):
            raise ValueError("a URL that begins with https:// (or http://), without a query")
        return url.rstrip("/")


def is_web_url(url: str) -> bool:
    parts = urlsplit(url)
    return bool(
        parts.scheme in {"http", "https"} and parts.hostname and not parts.query and not parts.fragment
    )


@dataclass
class PlainDialect:
    """`integrations._http.Dialect`. `said` reads a refusal's sentence; `when_denied` is the way out of 401 and 403."""

    backend: str
    headers: Mapping[str, str]
    said: Callable[[Answer], str]
    when_denied: str

    async def credentials(self, *, renew: bool) -> Mapping[str, str]:
        """There is nothing to renew: a credential that is refused stays refused."""
        del renew
        return {"Accept": "application/json", **self.headers}

    def refusal(self, answer: Answer, now: datetime) -> BackendError:
        said = self.said(answer) or f"status {answer.status}"
        if answer.status >= 500 or answer.status in _OVERLOADED:
            limited = answer.status == 429
            return TemporaryBackendError(
                f"{self.backend} cannot answer now: {said}",
                backend=self.backend,
                kind=BackendErrorKind.RATE_LIMITED if limited else BackendErrorKind.UNAVAILABLE,
                retry_after_seconds=retry_after_seconds(answer.headers, now),
            )
        denied = answer.status in {401, 403}
        return PermanentBackendError(
            f"{self.backend} refuses: {said}",
            backend=self.backend,
            kind=_KINDS.get(answer.status, BackendErrorKind.UNKNOWN),
            fix=self.when_denied if denied else ("Check base_url." if answer.status == 404 else None),
        )


# ---------------------------------------------------------------- credentials


def secret(secrets: Mapping[str, str], variable: str, *, backend: str) -> str:
    """Raises StartError where the variable holds nothing that can be a header."""
    value = secrets.get(variable, "").strip()
    if not value or not value.isascii() or not value.isprintable():
        raise StartError(
            f"{variable} holds no credential for {backend}.",
            fix=f"Set the environment variable {variable}, or {variable}_FILE to a file that holds it.",
        )
    return value


def bearer(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(username: str, password: str) -> Mapping[str, str]:
    pair = base64.b64encode(f"{username}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


# ---------------------------------------------------------------- opening


@asynccontextmanager
async def open_http(
    reach: Reach,
    dialect: PlainDialect,
    *,
    base_folder: Path,
    transport: httpx.AsyncBaseTransport | None = None,
    timing: Timing | None = None,
) -> AsyncIterator[Http]:
    """The backend may be away: the start does not wait for it. Raises StartError where `ca_file` cannot be read."""
    file = base_folder / reach.ca_file if reach.ca_file else None
    try:
        tls = ssl.create_default_context(cafile=str(file) if file else None)
    except OSError as error:
        raise StartError(
            f"{dialect.backend}: {file} cannot be read: {error}", fix="Check `ca_file`."
        ) from error
    limits = Limits(reach.connect_seconds, reach.read_seconds, attempts=3, patience_seconds=5.0)
    async with httpx.AsyncClient(base_url=reach.base_url, verify=tls, transport=transport) as client:
        yield Http(client, dialect, breaker=Breaker(dialect.backend), limits=limits, timing=timing)
