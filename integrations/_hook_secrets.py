"""What a system proves itself with when it tells the bot something, and what follows from having it. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from integrations.ports import Finding


@dataclass(frozen=True)
class HookSecrets:
    """Several while one is being replaced. Variables that are not set, or hold nothing, open nothing."""

    variables: tuple[str, ...]
    values: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(cls, variables: Sequence[str], secrets: Mapping[str, str]) -> HookSecrets:
        found = (secrets.get(name, "").strip() for name in variables)
        return cls(tuple(variables), tuple(value for value in found if value))

    def __bool__(self) -> bool:
        return bool(self.values)

    def finding(self, name: str) -> Finding:
        """Being told is a convenience, so that its absence is said and is no failure."""
        told = f"listens at /hooks/{name}" if self else f"off, so it is asked instead: set {self._wanted}"
        return Finding("webhooks", ok=True, detail=told)

    @property
    def _wanted(self) -> str:
        return " or ".join(self.variables) or "a name for the secret's variable"


class ProvenHooks:
    """What `integrations.ports.Hooks` asks of everybody who listens to what is proven by a secret."""

    name: ClassVar[str]

    def __init__(self, secrets: HookSecrets) -> None:
        self._secrets = secrets

    @property
    def is_open(self) -> bool:
        return bool(self._secrets)

    def finding(self) -> Finding:
        return self._secrets.finding(self.name)


def is_signed(body: bytes, digest: str, secrets: Sequence[str]) -> bool:
    """`body` as it came over the wire; `digest` its HMAC-SHA256 in 64 hexadecimal characters. Each secret is compared in constant time."""
    signed = False
    for secret in secrets:
        expected = hmac.new(secret.encode(), body, "sha256").hexdigest()
        # An empty secret would be everybody's.
        signed |= hmac.compare_digest(expected, digest) and secret != ""
    return signed
