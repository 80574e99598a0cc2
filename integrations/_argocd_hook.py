"""Argo CD's notifications: are they from whoever knows our token, and what do they hint at. Pure.

The body is what deploy/argocd/notifications-cm.yaml sends. Argo CD numbers no delivery, so one is known by what it says: the same
application in the same state is the same news.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from pydantic import BaseModel, Field, ValidationError

from bot.errors import BackendErrorKind, PermanentBackendError
from integrations._argocd_shapes import (
    BACKEND,
    ENVIRONMENT_LABEL,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    REQUEST_INFO,
    SERVICE_LABEL,
)
from integrations._hook_secrets import ProvenHooks
from integrations.ports import Hint

_SCHEME: Final = "Bearer "


class ArgoHooks(ProvenHooks):
    """Implements `integrations.ports.Hooks`."""

    name = "argocd"

    def receive(self, headers: Mapping[str, str], body: bytes) -> Sequence[Hint]:
        if not is_known(headers.get("Authorization", ""), self._secrets.values):
            raise _refuse("A notification without our token.", BackendErrorKind.DENIED)
        return hints(parse_notification(body))


def is_known(authorization: str, tokens: Sequence[str]) -> bool:
    """Each token is compared in constant time."""
    scheme, given = authorization[: len(_SCHEME)], authorization[len(_SCHEME) :]
    # A header may hold bytes that are no text; they arrive as surrogates.
    sent = given.encode(errors="surrogateescape")
    known = False
    for token in tokens:
        known |= hmac.compare_digest(sent, token.encode()) and token != ""
    return known and scheme.lower() == _SCHEME.lower()


# ---------------------------------------------------------------- shapes


class _Named(BaseModel):
    name: str
    value: str


class _Asked(BaseModel):
    info: list[_Named] | None = None


class _Operation(BaseModel):
    phase: str = ""
    started_at: str | None = Field(default=None, alias="startedAt")
    finished_at: str | None = Field(default=None, alias="finishedAt")
    operation: _Asked = _Asked()


class _Sync(BaseModel):
    status: str = ""
    revision: str = ""


class _Health(BaseModel):
    status: str = ""
    since: str | None = Field(default=None, alias="lastTransitionTime")


class Notification(BaseModel):
    """Argo CD writes null for whatever an application does not have (yet)."""

    app: str
    namespace: str
    labels: dict[str, str] | None
    sync: _Sync | None
    health: _Health | None
    operation: _Operation | None


def parse_notification(body: bytes) -> Notification:
    """Raises PermanentBackendError(INVALID)."""
    try:
        return Notification.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _refuse(
            f"A notification cannot be read: {first['type']} {where}".strip(), BackendErrorKind.INVALID
        ) from error


def hints(said: Notification) -> Sequence[Hint]:
    """None for an application of somebody else's."""
    labels = said.labels or {}
    service, environment = labels.get(SERVICE_LABEL, ""), labels.get(ENVIRONMENT_LABEL, "")
    if labels.get(MANAGED_BY_LABEL) != MANAGED_BY or not service or not environment:
        return ()
    asked = said.operation.operation.info if said.operation else None
    request_id = next((one.value for one in asked or () if one.name == REQUEST_INFO), "")
    return (Hint(_delivery(said), service, environment=environment, request_id=request_id),)


def _delivery(said: Notification) -> str:
    operation, sync, health = (
        said.operation or _Operation(),
        said.sync or _Sync(),
        said.health or _Health(),
    )
    identity = (
        said.namespace,
        said.app,
        operation.started_at,
        operation.phase,
        operation.finished_at,
        sync.status,
        sync.revision,
        health.status,
        health.since,
    )
    return sha256(repr(identity).encode()).hexdigest()


def _refuse(message: str, kind: BackendErrorKind) -> PermanentBackendError:
    return PermanentBackendError(message, backend=BACKEND, kind=kind)
