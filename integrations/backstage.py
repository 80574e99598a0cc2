"""Catalog in Backstage: registers a repository's `catalog-info.yaml`, reads entities back as facts, unregisters as undo.

Writes no entity: those come from the file in the repository, so Backstage is asked to read it, first on trial. Whose an entity is:
docs/backends/backstage.md. Must not create, change or delete anything that another request or a person registered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, Field, field_validator

from bot.errors import StartError
from integrations._backstage_check import probe
from integrations._backstage_errors import (
    Dialect,
    error_of,
    explain_dry_run,
    hidden_locations,
    not_ready,
    refusal,
    refuse,
)
from integrations._backstage_ownership import (
    location_target,
    owner_of,
    refuse_foreign,
    taken,
    target_to_unregister,
)
from integrations._backstage_registrations import Registration, Registrations
from integrations._backstage_shapes import (
    BACKEND,
    REQUEST_ID,
    Component,
    Location,
    Processed,
    is_name,
    is_web_url,
    mentions,
    parse_component,
    parse_locations,
    parse_page,
    parse_processed,
    to_entity,
)
from integrations._breaker import Breaker
from integrations._http import Answer, Call, Http, Limits, Timing
from integrations.ports import Entity, Finding, Marked, Surroundings

PORT: Final = "catalog"
SEARCH_LIMIT: Final = 100
SEARCH_TEXT_LIMIT: Final = 200
PAGE_SIZE: Final = 100
MOST_PAGES: Final = 20
LOOK_AGAIN_SECONDS: Final = 5.0
"""What a step waits before it asks again for an entity that is still being processed."""


class Settings(BaseModel):
    """The `catalog` section of platform.yml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field(description="Backstage's backend.baseUrl, such as https://backstage.example.com.")
    token_variable: str = Field(
        "BACKSTAGE_TOKEN", description="Environment variable that holds the static token."
    )
    namespace: str = Field(
        "default", description="Namespace of the components.", pattern=r"^[a-z0-9-]{1,63}$"
    )
    location_template: str = Field(
        "{repository_url}/blob/main/catalog-info.yaml",
        description="URL of catalog-info.yaml as Backstage reads it; {repository_url} stands for the repository.",
    )
    ui_url: str = Field("", description="Where people open Backstage, where that differs from base_url.")
    on_call: dict[str, str] = Field(
        {"platform-bot/on-call": "{value}"},
        description="Annotation -> URL of who is on call; {value} stands for the annotation's value.",
    )
    connect_seconds: float = Field(5.0, gt=0, le=60, description="Longest time to connect.")
    read_seconds: float = Field(15.0, gt=0, le=120, description="Longest time for one answer.")
    dry_run_seconds: float = Field(
        30.0, gt=0, le=120, description="Longest time for a dry run, which reads the file."
    )
    appear_seconds: float = Field(10.0, ge=0, le=60, description="How long one attempt waits for the entity.")

    @field_validator("base_url", "ui_url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        if url and not is_web_url(url):
            raise ValueError("a URL that begins with https:// (or http://)")
        return url.rstrip("/").removesuffix("/api/catalog")

    @field_validator("location_template")
    @classmethod
    def _names_the_repository(cls, template: str) -> str:
        if not template.startswith("{repository_url}/"):
            raise ValueError("a URL that begins with {repository_url}/")
        return template

    @field_validator("on_call")
    @classmethod
    def _carries_the_value(cls, templates: dict[str, str]) -> dict[str, str]:
        if bad := [name for name, template in templates.items() if "{value}" not in template]:
            raise ValueError(f"a URL with {{value}} for {bad[0]}")
        return templates

    def page_url(self, name: str) -> str:
        return f"{self.ui_url or self.base_url}/catalog/{self.namespace}/component/{quote(name, safe='')}"


# ---------------------------------------------------------------- the backend


class Backstage:
    """Implements `integrations.ports.Catalog`."""

    def __init__(self, http: Http, settings: Settings, registrations: Registrations) -> None:
        self._http = http
        self._settings = settings
        self._registrations = registrations
        # Asking whether a file is registered, noting it and registering it are three calls.
        self._registering = asyncio.Lock()

    def breaker_state(self) -> str:
        return self._http.breaker_state()

    async def check(self) -> Sequence[Finding]:
        return await probe(self._http)

    async def find_entity(self, name: str) -> Entity | None:
        component = await self._find_component(name)
        return None if component is None else await self._facts(component)

    async def search(self, text: str, *, limit: int = 20) -> Sequence[Entity]:
        wanted, most = text.strip()[:SEARCH_TEXT_LIMIT], max(1, min(limit, SEARCH_LIMIT))
        params = {
            "filter": f"kind=component,metadata.namespace={self._settings.namespace}",
            "orderField": "metadata.name,asc",
            "limit": str(PAGE_SIZE if wanted else most),
        }
        if wanted:
            params["fullTextFilterTerm"] = wanted
            params["fullTextFilterFields"] = "metadata.name,metadata.title,metadata.description,spec.owner"
        found: list[Component] = []
        async for component in self._components(params):
            if mentions(component, wanted):
                found.append(component)
            if len(found) == most:
                break
        return [await self._facts(component) for component in found]

    async def list_marked(self) -> Sequence[Marked]:
        """What the catalog shows with our annotation; registrations of files without it are known to the bot's database only."""
        wanted = f"kind=component,metadata.annotations.{REQUEST_ID}"
        params = {"filter": wanted, "orderField": "metadata.name,asc", "limit": str(PAGE_SIZE)}
        return [
            Marked(
                "catalog entry",
                component.metadata.name,
                component.annotation(REQUEST_ID) or "",
                place=self._settings.page_url(component.metadata.name),
            )
            async for component in self._components(params)
        ]

    async def _components(self, params: dict[str, str]) -> AsyncIterator[Component]:
        for _ in range(MOST_PAGES):
            page = parse_page(await self._http.send(Call("GET", "/entities/by-query", params)))
            for component in page.items:
                yield component
            if not page.page_info.next_cursor:
                return
            # The cursor carries filter, order and term of the first page.
            params = {"cursor": page.page_info.next_cursor, "limit": params["limit"]}

    async def ensure_entity(self, entity: Entity, *, request_id: str) -> Entity:
        """Raises TemporaryBackendError(NOT_READY) while Backstage is still processing: ask again, nothing is done twice."""
        if not is_name(entity.name):
            raise refuse(f"{entity.name!r} cannot be a name in Backstage.")
        target = location_target(self._settings.location_template, entity)
        async with self._registering:
            component = await self._standing(entity.name, target=target, request_id=request_id)
            noted = await self._registrations.find(entity.name)
            if component is None:
                await self._register(entity, noted, target=target, request_id=request_id)
            elif noted is None and component.annotation(REQUEST_ID) != request_id:
                await self._registrations.note(entity, Registration(request_id, target, ours=False))
        if component is None:
            component = await self._appeared(entity.name, target=target, request_id=request_id)
        return replace(await self._facts(component), request_id=request_id)

    async def remove_entity(self, name: str, *, request_id: str) -> None:
        async with self._registering:
            noted = await self._registrations.find(name)
            component = await self._find_component(name)
            target = target_to_unregister(component, noted, request_id=request_id)
            if target is not None:
                await self._unregister(name, target)
            if noted is not None and noted.request_id == request_id:
                await self._registrations.forget(name)

    # ------------------------------------------------------------ reading

    async def _find_component(self, name: str) -> Component | None:
        if not is_name(name):
            return None
        path = f"/entities/by-name/component/{self._settings.namespace}/{name}"
        answer = await self._http.send(Call("GET", path, accept=frozenset({404})))
        if answer.status != 404:
            return parse_component(answer)
        self._require("NotFoundError", answer)
        return None

    def _require(self, error_name: str, answer: Answer) -> None:
        """Only Backstage's own refusal is an answer; a proxy's 404 says nothing about the catalog."""
        if error_of(answer)[0] != error_name:
            raise refusal(answer, self._http.now(), token_variable=self._settings.token_variable)

    async def _facts(self, component: Component) -> Entity:
        name = component.metadata.name
        return to_entity(
            component,
            request_id=owner_of(component, await self._registrations.find(name)),
            page_url=self._settings.page_url(name),
            on_call=self._settings.on_call,
        )

    async def _standing(self, name: str, *, target: str, request_id: str) -> Component | None:
        """The entity where it is there and may stay. An orphan is none: nothing keeps it up to date."""
        component = await self._find_component(name)
        if component is None or component.orphan:
            return None
        owner = owner_of(component, await self._registrations.find(name))
        refuse_foreign(component, owner, target=target, request_id=request_id)
        return component

    async def _locations_of(self, target: str) -> list[Location]:
        listed = parse_locations(await self._http.send(Call("GET", "/locations")))
        return [one for one in listed if (one.type, one.target) == ("url", target)]

    # ------------------------------------------------------------ registering

    async def _register(
        self, entity: Entity, noted: Registration | None, *, target: str, request_id: str
    ) -> None:
        trial = await self._dry_run(entity.name, target)
        about_this = noted if noted and noted.target == target else None
        if trial.exists and about_this and about_this.request_id != request_id:
            raise taken(entity.name, "another request registered it", target)
        if not trial.exists:
            await self._registrations.note(entity, Registration(request_id, target, ours=True))
            if not await self._post(target) and about_this is None:
                # Registered between the trial and now, and no earlier try of this request can have done it.
                await self._registrations.note(entity, Registration(request_id, target, ours=False))
        elif about_this is None:
            await self._registrations.note(entity, Registration(request_id, target, ours=False))

    async def _dry_run(self, name: str, target: str) -> Processed:
        answer = await self._trial(target)
        if answer.status == 400:
            raise explain_dry_run(answer, target)
        trial = parse_processed(answer)
        if not any(one.is_called(self._settings.namespace, name) for one in trial.entities):
            raise refuse(
                f"{target} does not describe the component {self._settings.namespace}/{name}.",
                fix="Correct metadata.name and metadata.namespace in catalog-info.yaml, then retry from here.",
            )
        return trial

    async def _trial(self, target: str) -> Answer:
        """Backstage fetches and processes the file and keeps nothing of it; 400 where it would not take it."""
        call = Call(
            "POST",
            "/locations",
            {"dryRun": "true"},
            {"type": "url", "target": target},
            accept=frozenset({400}),
            repeatable=True,
            read_seconds=self._settings.dry_run_seconds,
        )
        answer = await self._http.send(call)
        if answer.status == 400:
            self._require("InputError", answer)
        return answer

    async def _post(self, target: str) -> bool:
        """False: the location was there. Refreshing on conflict, which an operator can make the default, would hide that."""
        body = {"type": "url", "target": target}
        call = Call("POST", "/locations", {"onConflict": "reject"}, body, accept=frozenset({409}))
        answer = await self._http.send(call)
        if answer.status == 409:
            self._require("ConflictError", answer)
            return False
        parse_processed(answer)
        return True

    async def _appeared(self, name: str, *, target: str, request_id: str) -> Component:
        waited, pause = 0.0, 1.0
        while True:
            if component := await self._standing(name, target=target, request_id=request_id):
                return component
            if waited >= self._settings.appear_seconds:
                raise not_ready(
                    f"Backstage has the file and is still processing {name}.", retry_after=LOOK_AGAIN_SECONDS
                )
            await self._http.wait(pause)
            waited, pause = waited + pause, pause * 2

    # ------------------------------------------------------------ taking back

    async def _unregister(self, name: str, target: str) -> None:
        found = await self._locations_of(target)
        for location in found:
            path = f"/locations/{quote(location.id, safe='')}"
            answer = await self._http.send(
                Call("DELETE", path, accept=frozenset({404}), repeatable=True),
            )
            if answer.status == 404:
                self._require("NotFoundError", answer)
        if not found and await self._exists_unseen(target):
            raise hidden_locations()
        if found and await self._locations_of(target):
            raise not_ready(f"Backstage still lists {target}.", retry_after=LOOK_AGAIN_SECONDS)
        await self._disappeared(name, target)

    async def _exists_unseen(self, target: str) -> bool:
        """An empty list is what Backstage answers where the bot may not look. A dry run tells, as long as the file is there."""
        answer = await self._trial(target)
        return answer.status != 400 and parse_processed(answer).exists

    async def _disappeared(self, name: str, target: str) -> None:
        """Whoever takes the name next must not meet the old entity. What another location emits is not waited for."""
        waited, pause = 0.0, 1.0
        while (component := await self._find_component(name)) and component.origin == target:
            if component.orphan:
                return
            if waited >= self._settings.appear_seconds:
                raise not_ready(
                    f"Backstage has forgotten the file and still shows {name}.",
                    retry_after=LOOK_AGAIN_SECONDS,
                )
            await self._http.wait(pause)
            waited, pause = waited + pause, pause * 2


# ---------------------------------------------------------------- opening


@asynccontextmanager
async def connect(
    settings: Settings,
    surroundings: Surroundings,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    timing: Timing | None = None,
) -> AsyncIterator[Backstage]:
    """Raises StartError without a token. Backstage itself may be away: the start does not wait for it."""
    token = surroundings.secrets.get(settings.token_variable, "").strip()
    if not token or not token.isascii():
        raise StartError(
            f"{settings.token_variable} holds no token for Backstage.",
            fix="docs/backends/backstage.md says how to make one.",
        )
    limits = Limits(settings.connect_seconds, settings.read_seconds, attempts=3, patience_seconds=5.0)
    async with httpx.AsyncClient(base_url=f"{settings.base_url}/api/catalog", transport=transport) as client:
        http = Http(
            client,
            Dialect(token, settings.token_variable),
            breaker=Breaker(BACKEND),
            limits=limits,
            timing=timing,
        )
        yield Backstage(http, settings, Registrations(surroundings.entities))


@asynccontextmanager
async def open(settings: Settings, surroundings: Surroundings) -> AsyncIterator[Backstage]:  # noqa: A001 - the port's word
    async with connect(settings, surroundings) as backstage:
        yield backstage
