"""Secrets of services, by name only: nothing here ever carries a value. Port names: `secret_store`, `secret_sync` (optional)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from integrations.ports.backend import Backend, Phase

KEY_NAME: Final = r"[A-Z][A-Z0-9_]{0,63}"
"""The whole form of a key's name: what an environment variable may be called."""


@dataclass(frozen=True)
class SecretSpec:
    """The secrets of one service in one environment: `keys` are names such as STRIPE_API_KEY."""

    service: str
    environment: str
    team: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class StoredKey:
    """A key in the store. `filled`: somebody has written a value after our placeholder; None where the store cannot tell
    without reading values. `web_url`: where a person fills it in."""

    name: str
    filled: bool | None
    web_url: str = ""


@dataclass(frozen=True)
class SyncedSecret:
    """How the workload's copy is. `secret` names the Secret it lands in. READY means: synced, and of this generation."""

    service: str
    environment: str
    keys: tuple[str, ...]
    phase: Phase
    message: str = ""
    secret: str = ""
    refreshed_at: datetime | None = None
    request_id: str | None = None


class SecretStore(Backend, Protocol):
    """Where values live and who may read them (Vault). The bot can write placeholders, never read. Port name: `secret_store`."""

    async def ensure_access(self, spec: SecretSpec, *, request_id: str) -> str:
        """The service's own policy and role, so that its workload reads its keys and nothing else; returns their name."""
        ...

    async def ensure_placeholders(self, spec: SecretSpec, *, request_id: str) -> Sequence[StoredKey]:
        """Every key exists afterwards; one that existed keeps its value, whatever it is."""
        ...

    async def list_keys(self, service: str, environment: str, *, team: str) -> Sequence[StoredKey]:
        """`team` owns the service: where keys lie may depend on it."""
        ...

    async def remove_access(self, spec: SecretSpec, *, request_id: str) -> None:
        """Removes access that this request created. Values are never removed."""
        ...


class SecretSync(Backend, Protocol):
    """Brings values to the workload (External Secrets Operator). Port name: `secret_sync`."""

    async def ensure_secret(self, spec: SecretSpec, *, request_id: str) -> SyncedSecret:
        """Adds `spec.keys` to what is synced already."""
        ...

    async def get_secret(self, service: str, environment: str) -> SyncedSecret | None: ...

    async def remove_keys(self, spec: SecretSpec, *, request_id: str) -> None:
        """The undo: takes away the keys that this request added, and the whole object where nothing is left."""
        ...
