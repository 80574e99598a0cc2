"""What the cluster would say to an object, asked without writing it. Port name: `admission` (optional)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from integrations.ports.backend import Backend


@dataclass(frozen=True)
class Preview:
    """What admission said. `denials`: it would be refused, with the policy's own words; `warnings`: let in, with a word;
    `unknown`: why nobody could say, empty where everything was asked. All lines are plain text for a person."""

    denials: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def __add__(self, other: Preview) -> Preview:
        return Preview(
            self.denials + other.denials, self.warnings + other.warnings, self.unknown + other.unknown
        )


class Admission(Backend, Protocol):
    """Server-side dry run of manifests: Kyverno, Gatekeeper and admission policies answer. Port name: `admission`."""

    async def preview(
        self, manifests: Sequence[Mapping[str, Any]], *, service: str, team: str, environment: str
    ) -> Preview:
        """The same objects and policies give the same lines in the same order. Never raises BackendError: what could not
        be asked is in `unknown`."""
        ...
