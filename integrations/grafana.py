"""Deployments as annotations on Grafana's dashboards. One per key: what is there already is found by its tag.

Writes nothing but annotations, changes and deletes none. Built against the annotations API that every Grafana serves
(`/api/annotations`); Grafana 13 calls it deprecated, and what will follow is not stable yet.
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from bot.errors import BackendError, BackendErrorKind
from integrations._http import Answer, Call, Http, Timing, unreadable
from integrations._plain_http import PlainDialect, Reach, bearer, open_http, secret
from integrations.ports import Annotation, Finding, Surroundings

PORT: Final = "annotations"
BACKEND: Final = "Grafana"
OURS: Final = "platform-bot"
TEXT_LIMIT: Final = 1000


class Settings(Reach):
    """The `annotations` section of platform.yml."""

    token_variable: str = Field(
        "GRAFANA_TOKEN", description="Environment variable that holds a service account's token."
    )
    dashboard_uid: str = Field(
        "",
        pattern=r"^[\w-]{0,40}$",
        description="Only on this dashboard; else wherever the tags are queried.",
    )


class Kept(BaseModel):
    """An annotation as Grafana lists it, as far as it matters here."""

    id: int
    tags: list[str] = []


_LISTED: Final = TypeAdapter(list[Kept])


class Created(BaseModel):
    id: int


def tags_of(annotation: Annotation) -> list[str]:
    service, environment = annotation.service, annotation.environment
    return [OURS, f"service:{service}", f"environment:{environment}", key_tag(annotation)]


def key_tag(annotation: Annotation) -> str:
    """What an annotation is found again by."""
    return f"key:{annotation.key}"


def to_body(annotation: Annotation, dashboard_uid: str) -> dict[str, Any]:
    """Grafana shows the text as HTML, so what people wrote is escaped."""
    body: dict[str, Any] = {
        "time": int(annotation.at.timestamp() * 1000),
        "tags": tags_of(annotation),
        "text": html.escape(annotation.text, quote=False)[:TEXT_LIMIT],
    }
    return {**body, "dashboardUID": dashboard_uid} if dashboard_uid else body


def said(answer: Answer) -> str:
    """The sentence of a refusal, `{"message": …}`; empty where it is not Grafana's."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return ""


class Grafana:
    """Implements `integrations.ports.Annotations`."""

    def __init__(self, http: Http, settings: Settings) -> None:
        self._http = http
        self._settings = settings
        # Looking whether it is there and writing it are two calls.
        self._writing = asyncio.Lock()

    def breaker_state(self) -> str:
        return self._http.breaker_state()

    async def annotate(self, annotation: Annotation) -> str:
        async with self._writing:
            if not await self._exists(annotation):
                body = to_body(annotation, self._settings.dashboard_uid)
                created = await self._http.send(Call("POST", "/api/annotations", body=body))
                try:
                    Created.model_validate_json(created.content)
                except ValidationError as error:
                    raise unreadable(BACKEND, "no number of the new annotation") from error
        return self._page_url()

    async def _exists(self, annotation: Annotation) -> bool:
        params = {"tags": key_tag(annotation), "type": "annotation", "limit": "10"}
        listed = _parse(await self._http.send(Call("GET", "/api/annotations", params)))
        return any(OURS in one.tags and key_tag(annotation) in one.tags for one in listed)

    def _page_url(self) -> str:
        uid = self._settings.dashboard_uid
        return f"{self._settings.base_url}/d/{uid}" if uid else ""

    async def check(self) -> Sequence[Finding]:
        """Reads one, then tries to write one without a text, which Grafana refuses only to those who may write."""
        findings: list[Finding] = []
        for subject, permission, probe in (
            ("Grafana: find annotations", "annotations:read", self._probe_reading),
            ("Grafana: write annotations", "annotations:create", self._probe_writing),
        ):
            try:
                findings.append(Finding(subject, ok=True, detail=await probe()))
            except BackendError as error:
                fix = error.fix or "Check base_url and the network."
                if error.kind is BackendErrorKind.DENIED:
                    fix = (
                        f"{self._settings.token_variable} needs a service account with {permission}; "
                        "the role Editor has it."
                    )
                findings.append(Finding(subject, ok=False, detail=error.message, fix=fix))
                break  # The other would only say the same again.
        return findings

    async def _probe_reading(self) -> str:
        _parse(await self._http.send(Call("GET", "/api/annotations", {"tags": OURS, "limit": "1"})))
        return "allowed"

    async def _probe_writing(self) -> str:
        """Nothing is written: the role is asked for first, the text after it."""
        body = {"text": "", "tags": [OURS]}
        answer = await self._http.send(Call("POST", "/api/annotations", body=body, accept=frozenset({400})))
        if answer.status != 400:
            raise unreadable(BACKEND, f"status {answer.status} to an annotation without a text")
        return "allowed"


def _parse(answer: Answer) -> list[Kept]:
    try:
        return _LISTED.validate_json(answer.content)
    except ValidationError as error:
        raise unreadable(BACKEND, "no list of annotations") from error


# ---------------------------------------------------------------- opening


@asynccontextmanager
async def connect(
    settings: Settings,
    surroundings: Surroundings,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    timing: Timing | None = None,
) -> AsyncIterator[Grafana]:
    """Raises StartError without a token."""
    token = secret(surroundings.secrets, settings.token_variable, backend=BACKEND)
    dialect = PlainDialect(
        BACKEND, bearer(token), said, when_denied=f"Compare {settings.token_variable} with Grafana's."
    )
    async with open_http(
        settings, dialect, base_folder=surroundings.base_folder, transport=transport, timing=timing
    ) as http:
        yield Grafana(http, settings)


@asynccontextmanager
async def open(settings: Settings, surroundings: Surroundings) -> AsyncIterator[Grafana]:  # noqa: A001 - the port's word
    async with connect(settings, surroundings) as grafana:
        yield grafana
