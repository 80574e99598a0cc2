"""Whose an entity of the catalog is, and what a request may do to it. Pure."""

from __future__ import annotations

from typing import Final

from bot.errors import BackendError, BackendErrorKind
from integrations._backstage_errors import refuse
from integrations._backstage_registrations import Registration
from integrations._backstage_shapes import REQUEST_ID, Component, is_web_url, same_file
from integrations.ports import Entity

REPOSITORY: Final = "repository"
"""Title of the link to the repository among an entity's links, without regard to case."""


def location_target(template: str, entity: Entity) -> str:
    """URL of the entity's catalog-info.yaml. Raises PermanentBackendError where the entity has no repository."""
    url = next((url for title, url in entity.links.items() if title.lower() == REPOSITORY), "")
    if not is_web_url(url):
        raise refuse(
            f"Backstage needs the web address of {entity.name}'s repository, and the code host gave {url or 'none'}.",
            fix="Use a code host that Backstage can read.",
        )
    return template.replace("{repository_url}", url.rstrip("/").removesuffix(".git"))


def owner_of(component: Component, noted: Registration | None) -> str | None:
    """The request whose entity this is. What the bot noted outweighs an annotation: files are copied, notes are not."""
    if noted and same_file(noted.target, component.file):
        return noted.request_id
    return component.annotation(REQUEST_ID) or None


def refuse_foreign(component: Component, owner: str | None, *, target: str, request_id: str) -> None:
    """Raises PermanentBackendError(ALREADY_EXISTS) unless it is this request's, or described by this request's very file:
    the repository is proven ours before, so it was discovery (or a person) that registered our file."""
    if owner == request_id or (owner is None and same_file(component.file, target)):
        return
    raise taken(component.metadata.name, f"its owner is {component.spec.owner or 'unknown'}", component.file)


def target_to_unregister(
    component: Component | None, noted: Registration | None, *, request_id: str
) -> str | None:
    """The location this request may take back. Without a note only a file that is registered itself counts: taking back a
    location that leads to many files would empty half of the catalog."""
    if noted is not None:
        return noted.target if noted.ours and noted.request_id == request_id else None
    if component is None or component.annotation(REQUEST_ID) != request_id:
        return None
    return component.file if component.file == component.origin else None


def taken(name: str, whose: str, file: str) -> BackendError:
    return refuse(
        f"The catalog has an entity named {name} already; {whose} ({file or 'no file'}).",
        BackendErrorKind.ALREADY_EXISTS,
        fix="Choose another name.",
    )
