"""What Backstage's catalog answers, in our words: components, locations, pages. Pure: no I/O, no settings.

Shapes are those of `@backstage/plugin-catalog-backend` 4.0.0 and its OpenAPI description; fields that are not used are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from integrations._http import Answer, unreadable
from integrations.ports import Entity

BACKEND: Final = "Backstage"
REQUEST_ID: Final = "platform-bot/request-id"
GOLDEN_PATH: Final = "platform.company.com/golden-path"
LOCATION: Final = "backstage.io/managed-by-location"
ORIGIN: Final = "backstage.io/managed-by-origin-location"
ORPHAN: Final = "backstage.io/orphan"

_NAME: Final = re.compile(r"(?=.{1,63}\Z)[A-Za-z0-9]+(?:[-_.][A-Za-z0-9]+)*")

T = TypeVar("T")


def is_name(text: str) -> bool:
    """Whether Backstage could have an entity of this name at all (catalog-model, KubernetesValidatorFunctions)."""
    return _NAME.fullmatch(text) is not None


# ---------------------------------------------------------------- what comes back


class Location(BaseModel):
    id: str
    type: str
    target: str


class Listed(BaseModel):
    data: Location


class Link(BaseModel):
    url: str
    title: str = ""


class Metadata(BaseModel):
    name: str
    namespace: str = "default"
    title: str = ""
    description: str = ""
    annotations: dict[str, str] = {}
    links: list[Link] = []


class Spec(BaseModel):
    owner: str = ""
    lifecycle: str = ""


class Component(BaseModel):
    """An entity as the catalog serves it. Everything in it may have been typed by somebody into a file."""

    kind: str
    metadata: Metadata
    spec: Spec = Spec()

    def annotation(self, name: str) -> str:
        return self.metadata.annotations.get(name, "")

    @property
    def orphan(self) -> bool:
        """Left over: no location emits it any more, and the operator keeps such entities."""
        return self.annotation(ORPHAN) == "true"

    @property
    def file(self) -> str:
        """URL of the file that describes it."""
        return self.annotation(LOCATION).removeprefix("url:")

    @property
    def origin(self) -> str:
        """Target of the location that led to the file; the same as `file` where the file itself was registered."""
        return self.annotation(ORIGIN).removeprefix("url:")

    def is_called(self, namespace: str, name: str) -> bool:
        """Backstage compares references without regard to case."""
        mine = (self.kind, self.metadata.namespace, self.metadata.name)
        return tuple(map(str.lower, mine)) == ("component", namespace.lower(), name.lower())


class Processed(BaseModel):
    """Answer to registering. `exists` is told by dry runs only, and is true whatever the token may read."""

    location: Location
    entities: list[Component] = []
    exists: bool = False


class PageInfo(BaseModel):
    next_cursor: str = Field(default="", alias="nextCursor")


class Page(BaseModel):
    items: list[Component]
    page_info: PageInfo = Field(default=PageInfo(), alias="pageInfo")


_LISTED: Final = TypeAdapter(list[Listed])


def parse_locations(answer: Answer) -> list[Location]:
    return [one.data for one in parsed(_LISTED, answer)]


def parse_component(answer: Answer) -> Component:
    return parsed(TypeAdapter(Component), answer)


def parse_processed(answer: Answer) -> Processed:
    return parsed(TypeAdapter(Processed), answer)


def parse_page(answer: Answer) -> Page:
    return parsed(TypeAdapter(Page), answer)


def parsed(shape: TypeAdapter[T], answer: Answer) -> T:
    """Raises TemporaryBackendError for anything else than that shape: a login page, half an answer."""
    try:
        return shape.validate_json(answer.content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        raise unreadable(BACKEND, f"{place}: {first['msg']}") from error


# ---------------------------------------------------------------- as facts


def to_entity(
    component: Component,
    *,
    request_id: str | None,
    page_url: str,
    on_call: Mapping[str, str],
) -> Entity:
    """`on_call`: annotation -> URL with `{value}`; the first that the component carries becomes the link "On call"."""
    meta = component.metadata
    links = {(one.title or one.url): one.url for one in meta.links if is_web_url(one.url)}
    links["Catalog"] = page_url
    found = (
        template.replace("{value}", component.annotation(name))
        for name, template in on_call.items()
        if component.annotation(name)
    )
    if url := next(filter(is_web_url, found), ""):
        links["On call"] = url
    return Entity(
        name=meta.name,
        title=meta.title or meta.name,
        description=meta.description,
        owner=team_of(component.spec.owner),
        golden_path=component.annotation(GOLDEN_PATH),
        lifecycle=component.spec.lifecycle or "unknown",
        links=links,
        request_id=request_id,
    )


def team_of(owner: str) -> str:
    """The team's name of `orders`, `group:orders` or `group:default/orders`; a person's reference stays what it is."""
    kind, colon, rest = owner.rpartition(":")
    return owner if colon and kind.lower() != "group" else rest.rpartition("/")[2]


def is_web_url(text: str) -> bool:
    return re.fullmatch(r"https?://[^\s<>|]+", text) is not None


def same_file(one: str, other: str) -> bool:
    """GitHub's discovery in Backstage says `/tree/` where a person's browser says `/blob/`; both are the one file."""
    return one.replace("/tree/", "/blob/", 1) == other.replace("/tree/", "/blob/", 1)


def mentions(component: Component, text: str) -> bool:
    """The catalog matches with LIKE and escapes nothing, so `_` and `%` find too much; this is what was meant."""
    meta = component.metadata
    searched = (meta.name, meta.title, meta.description, component.spec.owner)
    return text.lower() in "\n".join(searched).lower()
