"""What `argocd` needs of a way to Argo CD, whichever it is: the cluster's API or Argo CD's own. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from integrations._argocd_project import Project
from integrations._argocd_rollouts import Rollout
from integrations._argocd_shapes import ArgoApplication, Asked, JournalEntry, ResourceStatus
from integrations.ports import AnalysisResult, Finding, Preview


class Applications(Protocol):
    """Every method raises BackendError; a write that lost a race raises TemporaryBackendError(CONFLICT)."""

    async def find(self, service: str, environment: str) -> ArgoApplication | None:
        """By its name. It may be somebody else's."""
        ...

    async def find_ours(self) -> Sequence[ArgoApplication]:
        """All that carry the bot's mark."""
        ...

    async def project(self, name: str) -> Project | None: ...

    async def generator_trouble(self, name: str) -> str:
        """What keeps the ApplicationSet from generating; empty: nothing that it says."""
        ...

    async def preview(self, intent: Mapping[str, Any]) -> Preview:
        """What would be said to `put`. Raises BackendError where nobody said anything."""
        ...

    async def manifests(self, app: ArgoApplication, revision: str) -> Sequence[Mapping[str, Any]] | None:
        """None: this way does not lead to what renders them."""
        ...

    async def put(self, intent: Mapping[str, Any], found: ArgoApplication | None) -> ArgoApplication: ...

    async def is_blocked(self, app: ArgoApplication) -> bool:
        """Whether a sync window would refuse an operation now; False where Argo CD takes it and waits."""
        ...

    async def begin(self, app: ArgoApplication, asked: Asked, *, prune: bool) -> ArgoApplication | None:
        """Start the operation and note it in the journal. None: a sync window came in between, nothing was started."""
        ...

    async def note(self, app: ArgoApplication, journal: Sequence[JournalEntry]) -> None: ...

    async def stop(self, app: ArgoApplication) -> None: ...

    async def refresh(self, app: ArgoApplication) -> None: ...

    async def remove(self, app: ArgoApplication) -> None:
        """With its workloads; returns when it is gone. Raises TemporaryBackendError(NOT_READY) while it is not."""
        ...

    async def unhealthy(self, app: ArgoApplication) -> tuple[str, ...]: ...

    async def rollout(self, app: ArgoApplication, resource: ResourceStatus) -> Rollout | None:
        """None: there is none any more, or this way does not lead there."""
        ...

    async def analysis(self, rollout: Rollout, app: ArgoApplication, name: str) -> AnalysisResult | None:
        """One AnalysisRun of the canary; None: there is none any more."""
        ...

    async def resume(self, app: ArgoApplication, rollout: Rollout) -> None: ...

    async def abort(self, app: ArgoApplication, rollout: Rollout) -> None: ...

    async def check(self) -> Sequence[Finding]: ...

    def breaker_state(self) -> str: ...
