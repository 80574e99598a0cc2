"""Templates of Backstage's scaffolder: what is on offer, one task for each request, its log.

Creating a task is not idempotent and tasks carry no labels, so the request id travels as one of the values and a task is looked for
before one is started. What a task has done is not undone by cancelling it; this backend never claims so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, Field, field_validator

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError, StartError
from integrations._backstage_errors import Dialect, error_of, refusal, refuse
from integrations._backstage_shapes import BACKEND, is_name, is_web_url
from integrations._breaker import Breaker
from integrations._http import Answer, Call, Http, Limits, Timing
from integrations._scaffolder_shapes import (
    REQUEST_KEY,
    Event,
    Started,
    Task,
    TaskPage,
    Template,
    TemplatePage,
    parse,
    parse_events,
    to_task,
    to_template,
    typed_values,
)
from integrations.ports import Finding, Phase, ScaffolderTask, ScaffolderTemplate, Surroundings

PORT: Final = "scaffolder"
PAGE_SIZE: Final = 100
MOST_PAGES: Final = 10
"""A lost answer is looked for soon after; older tasks than the newest thousand are not."""
NO_TEMPLATE: Final = "platform-bot-check"


class Settings(BaseModel):
    """The `scaffolder` section of platform.yml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field(description="Backstage's backend.baseUrl, such as https://backstage.example.com.")
    token_variable: str = Field(
        "BACKSTAGE_TOKEN", description="Environment variable that holds the static token."
    )
    namespace: str = Field("default", description="Namespace of the templates.", pattern=r"^[a-z0-9-]{1,63}$")
    templates: tuple[str, ...] = Field(
        (), description="Names of the templates on offer; by default every one that the token may see."
    )
    repository_output: str = Field(
        "remoteUrl",
        min_length=1,
        description="Key of the template's output that is the repository's address.",
    )
    ui_url: str = Field("", description="Where people open Backstage, where that differs from base_url.")
    connect_seconds: float = Field(5.0, gt=0, le=60, description="Longest time to connect.")
    read_seconds: float = Field(15.0, gt=0, le=120, description="Longest time for one answer.")

    @field_validator("base_url", "ui_url")
    @classmethod
    def _web_url(cls, url: str) -> str:
        if url and not is_web_url(url):
            raise ValueError("an address that begins with https:// or http://")
        return url.rstrip("/")


class BackstageScaffolder:
    """Implements `integrations.ports.Scaffolder`."""

    def __init__(self, http: Http, settings: Settings) -> None:
        self._http = http
        self._settings = settings
        # Looking for a request's task and starting it are two calls.
        self._starting = asyncio.Lock()

    def breaker_state(self) -> str:
        return self._http.breaker_state()

    # ------------------------------------------------------------ templates

    async def list_templates(self) -> Sequence[ScaffolderTemplate]:
        params = {
            "filter": f"kind=template,metadata.namespace={self._settings.namespace}",
            "orderField": "metadata.name,asc",
            "limit": str(PAGE_SIZE),
        }
        page = parse(
            TemplatePage, await self._http.send(Call("GET", "/api/catalog/entities/by-query", params))
        )
        return [to_template(one) for one in page.items if self._offered(one.metadata.name)]

    async def get_template(self, name: str) -> ScaffolderTemplate:
        return to_template(await self._template(name))

    async def _template(self, name: str) -> Template:
        found = None
        if is_name(name) and self._offered(name):
            path = f"/api/catalog/entities/by-name/template/{self._settings.namespace}/{name}"
            answer = await self._http.send(Call("GET", path, accept=frozenset({404})))
            if answer.status != 404:
                found = parse(Template, answer)
            elif error_of(answer)[0] != "NotFoundError":
                raise self._refusal(answer)
        if found is None:
            raise refuse(f"Backstage offers no template named {name}.", BackendErrorKind.NOT_FOUND)
        return found

    def _offered(self, name: str) -> bool:
        return not self._settings.templates or name in self._settings.templates

    # ------------------------------------------------------------ tasks

    async def ensure_task(
        self, template: str, *, values: Mapping[str, str], request_id: str
    ) -> ScaffolderTask:
        async with self._starting:
            task = await self._find(request_id)
            if task is None:
                await self._start(await self._template(template), values, request_id)
                task = await self._find(request_id)
        if task is None:
            raise refuse(
                f"The template {template} drops {REQUEST_KEY}, so its task cannot be told from others.",
                fix="Let the template keep the values that it is given.",
            )
        return await self._describe(task)

    async def _start(self, template: Template, values: Mapping[str, str], request_id: str) -> None:
        try:
            typed = typed_values(template.spec.parameters, values)
        except ValueError as error:
            raise refuse(str(error)) from error
        body = {
            "templateRef": f"template:{self._settings.namespace}/{template.metadata.name}",
            "values": {**typed, REQUEST_KEY: request_id},
        }
        answer = await self._http.send(
            Call("POST", "/api/scaffolder/v2/tasks", body=body, accept=frozenset({400}))
        )
        if answer.status == 400:
            raise self._invalid(template.metadata.name, answer)
        parse(Started, answer)

    def _invalid(self, template: str, answer: Answer) -> BackendError:
        """JSON Schema's complaints, `instance.port is not of a type(s) number`, as one sentence."""
        try:
            complaints = [str(one["stack"]) for one in answer.json()["errors"]]
        except (ValueError, KeyError, TypeError):
            return self._refusal(answer)
        said = "; ".join(one.removeprefix("instance.") for one in complaints[:5])
        fix = f"Allow {REQUEST_KEY} in the template's parameters." if REQUEST_KEY in said else None
        return refuse(f"The template {template} refuses: {said}", fix=fix)

    async def _find(self, request_id: str) -> Task | None:
        for number in range(MOST_PAGES):
            params = {
                "order": "desc:created_at",
                "limit": str(PAGE_SIZE),
                "offset": str(number * PAGE_SIZE),
            }
            call = Call("GET", "/api/scaffolder/v2/tasks", params)
            page: TaskPage = parse(TaskPage, await self._http.send(call))
            for task in page.tasks:
                if task.request_id == request_id:
                    return task
            if len(page.tasks) < PAGE_SIZE:
                return None
        return None

    async def get_task(self, task_id: str) -> ScaffolderTask | None:
        answer = await self._http.send(Call("GET", _task_path(task_id), accept=frozenset({404})))
        if answer.status == 404:
            if error_of(answer)[0] != "NotFoundError":
                raise self._refusal(answer)
            return None
        return await self._describe(parse(Task, answer))

    async def _describe(self, task: Task) -> ScaffolderTask:
        # A task that has not begun has no events, and Backstage holds the answer back until there is one.
        events: list[Event] = []
        if task.phase is not Phase.PENDING:
            events = parse_events(await self._http.send(Call("GET", f"{_task_path(task.id)}/events")))
        return to_task(
            task,
            events,
            now=self._http.now(),
            repository_output=self._settings.repository_output,
            web_url=f"{self._settings.ui_url or self._settings.base_url}/create/tasks/{quote(task.id, safe='')}",
        )

    async def cancel_task(self, *, request_id: str) -> None:
        task = await self._find(request_id)
        if task is not None and task.phase in (Phase.PENDING, Phase.RUNNING):
            await self._http.send(Call("POST", f"{_task_path(task.id)}/cancel", repeatable=True))

    def _refusal(self, answer: Answer) -> BackendError:
        return refusal(answer, self._http.now(), token_variable=self._settings.token_variable)

    # ------------------------------------------------------------ check

    async def check(self) -> Sequence[Finding]:
        try:
            offered = await self.list_templates()
        except BackendError as error:
            fix = error.fix or "Check base_url and Backstage's log."
            return [Finding("templates", ok=False, detail=error.message, fix=fix)]
        missing = sorted(set(self._settings.templates) - {one.name for one in offered})
        findings = [
            Finding(
                "templates",
                ok=bool(offered) and not missing,
                detail=f"not there: {', '.join(missing)}" if missing else f"{len(offered)} on offer",
                fix="Correct `templates`, or grant catalog.entity.read to the token.",
            )
        ]
        findings.append(await self._probe("read tasks", "scaffolder.task.read", self._read_tasks))
        findings.append(await self._probe("start tasks", "scaffolder.task.create", self._start_nothing))
        return findings

    async def _probe(self, subject: str, permission: str, ask: Callable[[], Awaitable[None]]) -> Finding:
        try:
            await ask()
        except BackendError as error:
            fix = f"Add {permission} to the token's accessRestrictions (plugin scaffolder)."
            return Finding(subject, ok=False, detail=error.message, fix=fix)
        return Finding(subject, ok=True, detail="allowed")

    async def _read_tasks(self) -> None:
        parse(TaskPage, await self._http.send(Call("GET", "/api/scaffolder/v2/tasks", {"limit": "1"})))

    async def _start_nothing(self) -> None:
        """Permission is judged before the template is looked for, and this template does not exist."""
        body = {"templateRef": f"template:{self._settings.namespace}/{NO_TEMPLATE}", "values": {}}
        call = Call("POST", "/api/scaffolder/v2/tasks", body=body, accept=frozenset({404}), repeatable=True)
        answer = await self._http.send(call)
        if answer.status != 404 or error_of(answer)[0] != "NotFoundError":
            raise PermanentBackendError(
                f"status {answer.status} where a missing template was expected",
                backend=BACKEND,
                kind=BackendErrorKind.UNKNOWN,
            )


def _task_path(task_id: str) -> str:
    return f"/api/scaffolder/v2/tasks/{quote(task_id, safe='')}"


@asynccontextmanager
async def connect(
    settings: Settings,
    secrets: Mapping[str, str],
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    timing: Timing | None = None,
) -> AsyncIterator[BackstageScaffolder]:
    """Raises StartError without a token. Backstage itself may be away: the start does not wait for it."""
    token = _token(settings, secrets)
    limits = Limits(settings.connect_seconds, settings.read_seconds, attempts=3, patience_seconds=5.0)
    async with httpx.AsyncClient(base_url=settings.base_url, transport=transport) as client:
        dialect = Dialect(token, settings.token_variable)
        yield BackstageScaffolder(
            Http(client, dialect, breaker=Breaker(BACKEND), limits=limits, timing=timing), settings
        )


def _token(settings: Settings, secrets: Mapping[str, str]) -> str:
    token = secrets.get(settings.token_variable, "").strip()
    if not token or not token.isascii():
        raise StartError(
            f"{settings.token_variable} holds no token for Backstage.",
            fix="docs/backends/backstage.md says how to make one.",
        )
    return token


@asynccontextmanager
async def open(  # noqa: A001 - the port's word
    settings: Settings, surroundings: Surroundings
) -> AsyncIterator[BackstageScaffolder]:
    async with connect(settings, surroundings.secrets) as scaffolder:
        yield scaffolder
