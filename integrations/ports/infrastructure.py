"""Databases and the like by claim. Port name: `infrastructure`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from integrations.ports.admission import Preview
from integrations.ports.backend import Backend, Phase


@dataclass(frozen=True)
class ClaimSpec:
    """A wish for infrastructure. `kind`: postgresql, redis, …; `size` is a name the operator's price table knows."""

    name: str
    kind: str
    service: str
    environment: str
    team: str
    size: str = "small"


@dataclass(frozen=True)
class Claim:
    """`secret` names where the connection secret lies (file or Secret), never its content."""

    name: str
    kind: str
    service: str
    environment: str
    phase: Phase
    message: str = ""
    secret: str = ""
    request_id: str | None = None
    external_id: str = ""


class Infrastructure(Backend, Protocol):
    """Databases and the like by claim. Port name: `infrastructure`."""

    async def refusal(self, spec: ClaimSpec) -> str | None:
        """A sentence why this claim cannot be met here, with the way out; None when it can."""
        ...

    async def preview(self, spec: ClaimSpec, *, request_id: str) -> Preview:
        """What would be said to the object `ensure_claim` writes, asked without writing it. Never raises BackendError: what
        could not be asked is in `unknown`. Empty where nobody admits."""
        ...

    async def ensure_claim(self, spec: ClaimSpec, *, request_id: str) -> Claim: ...

    async def get_claim(self, name: str, *, environment: str) -> Claim | None: ...

    async def list_claims(self, service: str) -> Sequence[Claim]: ...

    async def remove_claim(self, name: str, *, environment: str, request_id: str) -> None: ...
