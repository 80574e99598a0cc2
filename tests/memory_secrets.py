"""Secret store and secret sync in memory: they keep the contract of integrations/ports, for commands and for scenarios.

A test fills a value in, makes one call fail or lose its answer, and lets the operator be slow. No value is ever handed out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations.ports import Finding, Phase, SecretSpec, StoredKey, SyncedSecret

Place = tuple[str, str]
"""Service and environment."""


@dataclass
class Trouble:
    """`faults`: a call -> what it raises once. `lost`: calls that are done, and whose answer never arrives, once."""

    faults: dict[str, Exception] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    effects: list[str] = field(default_factory=list)

    def asked(self, call: str) -> None:
        if error := self.faults.pop(call, None):
            raise error

    def did(self, call: str, what: str) -> None:
        self.effects.append(f"{call} {what}")
        if call in self.lost:
            self.lost.discard(call)
            raise TemporaryBackendError("the connection was closed", backend="secrets")

    async def check(self) -> Sequence[Finding]:
        return [Finding(type(self).__name__, ok=True, detail="in memory")]


@dataclass
class MemorySecretStore(Trouble):
    """`values`: what people filled in; the bot has no way to it."""

    keys: dict[Place, dict[str, str]] = field(default_factory=dict)
    """Key -> the request that made its placeholder."""
    values: dict[tuple[str, str, str], str] = field(default_factory=dict)
    access: dict[Place, str] = field(default_factory=dict)

    def fill_in(self, service: str, environment: str, key: str, value: str) -> None:
        self.keys.setdefault((service, environment), {}).setdefault(key, "")
        self.values[service, environment, key] = value

    async def ensure_access(self, spec: SecretSpec, *, request_id: str) -> str:
        self.asked("ensure_access")
        place = spec.service, spec.environment
        if place not in self.access:
            self.access[place] = request_id
            self.did("ensure_access", ".".join(place))
        return f"platform-bot.{spec.service}.{spec.environment}"

    async def ensure_placeholders(self, spec: SecretSpec, *, request_id: str) -> Sequence[StoredKey]:
        self.asked("ensure_placeholders")
        held = self.keys.setdefault((spec.service, spec.environment), {})
        for key in spec.keys:
            if key not in held:
                held[key] = request_id
                self.did("ensure_placeholders", key)
        return [self._stored(spec.service, spec.environment, key) for key in spec.keys]

    async def list_keys(self, service: str, environment: str, *, team: str) -> Sequence[StoredKey]:
        self.asked("list_keys")
        assert team
        return [
            self._stored(service, environment, key)
            for key in sorted(self.keys.get((service, environment), {}))
        ]

    async def remove_access(self, spec: SecretSpec, *, request_id: str) -> None:
        self.asked("remove_access")
        place = spec.service, spec.environment
        if self.access.get(place) == request_id:
            del self.access[place]
            self.did("remove_access", ".".join(place))

    def _stored(self, service: str, environment: str, key: str) -> StoredKey:
        filled = (service, environment, key) in self.values
        url = f"https://vault.example.com/{service}/{environment}/{key}"
        return StoredKey(key, filled=filled, web_url=url)


@dataclass
class MemorySecretSync(Trouble):
    """`phase` and `message`: what the operator says of everything."""

    secrets: dict[Place, SyncedSecret] = field(default_factory=dict)
    added_by: dict[tuple[str, str, str], str] = field(default_factory=dict)
    phase: Phase = Phase.READY
    message: str = ""
    taken: bool = False

    async def ensure_secret(self, spec: SecretSpec, *, request_id: str) -> SyncedSecret:
        self.asked("ensure_secret")
        if self.taken:
            raise PermanentBackendError(
                "It is somebody else's.", backend="secrets", kind=BackendErrorKind.ALREADY_EXISTS
            )
        place = spec.service, spec.environment
        found = self.secrets.get(place) or SyncedSecret(
            *place, (), Phase.PENDING, secret=f"{spec.service}-secrets", request_id=request_id
        )
        missing = tuple(key for key in spec.keys if key not in found.keys)
        self.added_by.update(dict.fromkeys(((*place, key) for key in missing), request_id))
        self.secrets[place] = replace(found, keys=(*found.keys, *missing))
        if missing:
            self.did("ensure_secret", ",".join(missing))
        return self._seen(self.secrets[place])

    async def get_secret(self, service: str, environment: str) -> SyncedSecret | None:
        self.asked("get_secret")
        found = self.secrets.get((service, environment))
        return self._seen(found) if found else None

    async def remove_keys(self, spec: SecretSpec, *, request_id: str) -> None:
        self.asked("remove_keys")
        place = spec.service, spec.environment
        found = self.secrets.get(place)
        if found is None:
            return
        left = tuple(key for key in found.keys if self.added_by[(*place, key)] != request_id)
        if left != found.keys:
            self.secrets[place] = replace(found, keys=left)
            if not left:
                del self.secrets[place]
            self.did("remove_keys", ",".join(key for key in found.keys if key not in left))

    def _seen(self, secret: SyncedSecret) -> SyncedSecret:
        return replace(secret, phase=self.phase, message=self.message)
