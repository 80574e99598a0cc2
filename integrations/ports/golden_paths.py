"""Renders golden paths. Port name: `golden_paths`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from integrations.ports.backend import Backend


@dataclass(frozen=True)
class Parameter:
    """A question of a golden path; `choices` empty means free text."""

    name: str
    title: str
    description: str = ""
    default: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True)
class GoldenPath:
    """A template on offer. `revision` identifies its content exactly (hash), so that a plan can be bound to it."""

    name: str
    title: str
    description: str
    language: str
    revision: str
    databases: tuple[str, ...]
    parameters: tuple[Parameter, ...] = ()
    health_path: str = "/healthz"
    missing: tuple[str, ...] = ()
    """Executables this machine lacks for running such a service locally; empty where it can run."""


@dataclass(frozen=True)
class RenderedFile:
    content: bytes
    executable: bool = False


RenderedTree = Mapping[str, RenderedFile]
"""Relative POSIX path -> file."""


class GoldenPaths(Backend, Protocol):
    """Renders golden paths. Port name: `golden_paths`."""

    async def list_golden_paths(self) -> Sequence[GoldenPath]: ...

    async def get_golden_path(self, name: str) -> GoldenPath:
        """Raises PermanentBackendError(NOT_FOUND)."""
        ...

    async def render(self, name: str, *, revision: str, answers: Mapping[str, str]) -> RenderedTree:
        """Raises PermanentBackendError: INVALID for refused answers, CONFLICT when `revision` is no longer on offer."""
        ...
