"""Another way of creating a service: templates that run elsewhere. Port name: `scaffolder` (optional)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from integrations.ports.backend import Backend, Phase
from integrations.ports.golden_paths import Parameter


@dataclass(frozen=True)
class ScaffolderTemplate:
    """`revision` identifies its content as far as the scaffolder tells, so that a plan can be bound to it."""

    name: str
    title: str
    description: str
    revision: str
    parameters: tuple[Parameter, ...]
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScaffolderTask:
    """One run. `events` are the newest lines of its log, oldest first; `repository` and `entity` are what it says it made."""

    id: str
    phase: Phase
    message: str
    events: tuple[str, ...] = ()
    repository: str = ""
    entity: str = ""
    web_url: str = ""


class Scaffolder(Backend, Protocol):
    """Backstage's scaffolder. Port name: `scaffolder`."""

    async def list_templates(self) -> Sequence[ScaffolderTemplate]: ...

    async def get_template(self, name: str) -> ScaffolderTemplate:
        """Raises PermanentBackendError(NOT_FOUND)."""
        ...

    async def ensure_task(
        self, template: str, *, values: Mapping[str, str], request_id: str
    ) -> ScaffolderTask:
        """Starts it once: the task of this request is found again, also after a lost answer. Raises
        PermanentBackendError(INVALID) naming the parameters that the template refuses."""
        ...

    async def get_task(self, task_id: str) -> ScaffolderTask | None: ...

    async def cancel_task(self, *, request_id: str) -> None:
        """Ends the task of this request where it still runs. What it has done stays done."""
        ...
