"""The canary of an application: found, looked at, and moved one step for one operation. Decides nothing about who may."""

from __future__ import annotations

from dataclasses import replace

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError
from integrations._argocd_applications import Applications
from integrations._argocd_rollouts import Rollout, require_abortable, require_resumable
from integrations._argocd_shapes import BACKEND, ArgoApplication
from integrations.ports import AnalysisResult


class Canaries:
    def __init__(self, applications: Applications) -> None:
        self._applications = applications

    async def find(self, app: ArgoApplication) -> Rollout | None:
        """The one named like the service where there are several."""
        known = sorted(app.rollouts, key=lambda each: each.name != app.service)
        return await self._applications.rollout(app, known[0]) if known else None

    async def look(self, app: ArgoApplication) -> tuple[Rollout | None, str]:
        """A canary that may not be looked at is no reason to give a deployment up: its health is in the application's."""
        try:
            found = await self.find(app)
        except PermanentBackendError as error:
            return None, f"the canary's step cannot be read: {error.message}"
        if found is None or not found.analysis:
            return found, ""
        return replace(found, analysis=await self._measured(app, found)), ""

    async def _measured(self, app: ArgoApplication, rollout: Rollout) -> tuple[AnalysisResult, ...]:
        """What the runs measured; how they stand is known from the Rollout, where they cannot be read."""
        results = []
        for known in rollout.analysis:
            try:
                run = await self._applications.analysis(rollout, app, known.name)
            except BackendError:
                run = None
            results.append(run or known)
        return tuple(results)

    async def resume(self, app: ArgoApplication, operation: str, *, step: str) -> None:
        """Past the pause at `step` and no further. Raises PermanentBackendError(CONFLICT)."""
        rollout = await self._of(app, operation)
        require_resumable(rollout, step)
        await self._applications.resume(app, rollout)

    async def abort(self, app: ArgoApplication, operation: str, *, step: str) -> None:
        """All traffic back to the stable version. Raises PermanentBackendError(CONFLICT)."""
        rollout = await self._of(app, operation)
        if not rollout.is_aborted:
            require_abortable(rollout, step)
            await self._applications.abort(app, rollout)

    async def _of(self, app: ArgoApplication, operation: str) -> Rollout:
        """What this operation brought; another operation's canary is not this one's to steer."""
        rollout = await self.find(app)
        if rollout is None:
            raise _refuse(f"{app.service} has no canary in {app.environment}.", BackendErrorKind.INVALID)
        if app.last is None or app.last.asked.key != operation or app.pending is not None:
            where = f"What {app.service} rolls out in {app.environment} now"
            raise _refuse(f"{where} is not this deployment's.", BackendErrorKind.CONFLICT)
        return rollout


def _refuse(message: str, kind: BackendErrorKind) -> PermanentBackendError:
    return PermanentBackendError(message, backend=BACKEND, kind=kind)
