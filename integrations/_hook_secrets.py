"""What a system proves itself with when it tells the bot something. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
