"""Gitea's and Forgejo's webhooks: is this from there, and what does it hint at. Pure.

No time is signed: a delivery can be replayed for ever. So nothing here is an order; it only says where it is worth looking.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel, ValidationError

from bot.errors import BackendErrorKind
from integrations._gitea_errors import refuse
from integrations._hook_secrets import HookSecrets, ProvenHooks, is_signed
from integrations.ports import Hint

SENDERS: Final = ("Forgejo", "Gitea")
"""Forgejo sends the headers of both; its own come first."""

_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}")
_DELIVERY: Final = re.compile(r"[0-9a-zA-Z-]{1,64}")
_BRANCH: Final = "refs/heads/"


class _Owner(BaseModel):
    login: str


class _Repository(BaseModel):
    name: str
    owner: _Owner


class _Push(BaseModel):
    ref: str
    repository: _Repository


class GiteaHooks(ProvenHooks):
    """Implements `integrations.ports.Hooks`."""

    name = "gitea"

    def __init__(self, secrets: HookSecrets, *, organisation: str) -> None:
        super().__init__(secrets)
        self._organisation = organisation.lower()

    def receive(self, headers: Mapping[str, str], body: bytes) -> Sequence[Hint]:
        if not is_genuine(body, _header(headers, "Signature"), self._secrets.values):
            raise refuse("A webhook that Gitea did not sign.", BackendErrorKind.DENIED)
        if _header(headers, "Event") != "push":
            return ()
        delivery = _header(headers, "Delivery")
        if not _DELIVERY.fullmatch(delivery):
            raise refuse("A webhook without a delivery id.")
        pushed = _read(body)
        branch = pushed.ref.removeprefix(_BRANCH)
        # One hook may serve the whole server; a repository of the same name elsewhere is not ours. Tags move nothing.
        if pushed.repository.owner.login.lower() != self._organisation or branch == pushed.ref:
            return ()
        return (Hint(delivery, pushed.repository.name, branch=branch),)


def is_genuine(body: bytes, signature: str, secrets: Sequence[str]) -> bool:
    return bool(_SIGNATURE.fullmatch(signature)) and is_signed(body, signature, secrets)


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((found for sender in SENDERS if (found := headers.get(f"X-{sender}-{name}"))), "")


def _read(body: bytes) -> _Push:
    try:
        return _Push.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise refuse(f"A webhook push cannot be read: {first['type']} {where}".strip()) from error
