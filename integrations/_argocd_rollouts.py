"""Argo Rollouts: how far a canary is, what its analysis says, and the patches that move it on or take it back. Pure.

A Rollout's phase is only worth something when its controller has seen the newest spec; `status.observedGeneration` is a string
there. The patches are those of the vendor's own plugin. None of them is idempotent: resuming twice skips a pause. So each is
bound to the step the person saw, and to the resourceVersion that was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bot.errors import BackendErrorKind, PermanentBackendError
from integrations._argocd_shapes import BACKEND
from integrations._http import unreadable
from integrations.ports import AnalysisPhase, AnalysisResult

_INCONCLUSIVE: Final = frozenset({"InconclusiveAnalysisRun", "InconclusiveExperiment"})
_BLUE_GREEN: Final = "BlueGreenPause"
BLUE_GREEN_STEP: Final = "preview"
_ANALYSIS: Final = {
    "": AnalysisPhase.RUNNING,
    "Pending": AnalysisPhase.RUNNING,
    "Running": AnalysisPhase.RUNNING,
    "Successful": AnalysisPhase.SUCCESSFUL,
    "Failed": AnalysisPhase.FAILED,
    "Inconclusive": AnalysisPhase.INCONCLUSIVE,
}
_COUNTS: Final = (("failed", "failed"), ("inconclusive", "inconclusive"), ("error", "without an answer"))
_WORKLOAD_GENERATION: Final = "rollout.argoproj.io/workload-generation"


@dataclass(frozen=True)
class Rollout:
    """`phase` is empty while the controller has not caught up with the spec. `analysis` is named by its runs, and without
    what they measured: that is in the AnalysisRun (`parse_analysis`)."""

    name: str
    namespace: str
    resource_version: str
    phase: str
    message: str
    step_index: int
    steps: int
    weight_percent: int | None
    pauses: tuple[str, ...]
    is_held: bool
    """spec.paused: somebody stopped it by hand."""
    is_aborted: bool
    is_promoted: bool
    """The new version is the stable one."""
    analysis: tuple[AnalysisResult, ...]

    @property
    def step(self) -> str:
        """`2/5`, `preview` for a blue-green one; nothing for a rollout that has no steps or is through."""
        if self.is_promoted:
            return ""
        if not self.steps:
            return BLUE_GREEN_STEP if _BLUE_GREEN in self.pauses else ""
        return f"{min(self.step_index + 1, self.steps)}/{self.steps}"

    @property
    def is_paused(self) -> bool:
        """Whether it waits for somebody to let it go on, and would."""
        return self.phase == "Paused" and bool(self.pauses) and not self.is_held and not self.is_aborted

    @property
    def has_failed(self) -> bool:
        """All traffic is back at the stable version: by its analysis, or by hand."""
        return self.phase == "Degraded" and self.is_aborted


def parse_rollout(body: Any) -> Rollout:
    """Raises TemporaryBackendError for what is no Rollout."""
    try:
        return _rollout(body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unreadable(BACKEND, f"no Rollout ({type(error).__name__})") from error


def _rollout(body: Mapping[str, Any]) -> Rollout:
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    steps = ((spec.get("strategy") or {}).get("canary") or {}).get("steps") or []
    index = int(status.get("currentStepIndex") or 0)
    pauses = tuple(str(each.get("reason", "")) for each in status.get("pauseConditions") or ())
    stable, current = status.get("stableRS", ""), status.get("currentPodHash", "")
    unpausing = bool(status.get("controllerPause")) and not pauses
    fresh = _has_caught_up(metadata, status) and not unpausing
    return Rollout(
        name=str(metadata["name"]),
        namespace=str(metadata.get("namespace", "")),
        resource_version=str(metadata.get("resourceVersion", "")),
        phase=str(status.get("phase", "")) if fresh else "",
        message=str(status.get("message", "")),
        step_index=index,
        steps=len(steps),
        weight_percent=_weight(steps, index, status),
        pauses=pauses,
        is_held=bool(spec.get("paused")),
        is_aborted=bool(status.get("abort")),
        is_promoted=fresh and bool(stable) and stable == current,
        analysis=_analysis(status),
    )


def _has_caught_up(metadata: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    if str(status.get("observedGeneration", "")) != str(metadata.get("generation", 0)):
        return False
    workload = (metadata.get("annotations") or {}).get(_WORKLOAD_GENERATION)
    return workload is None or str(status.get("workloadObservedGeneration", "")) == str(workload)


def _weight(steps: list[Mapping[str, Any]], index: int, status: Mapping[str, Any]) -> int | None:
    """Measured where a traffic router reports it; otherwise what the steps so far have asked for."""
    weights = (status.get("canary") or {}).get("weights")
    if weights:
        return int(weights["canary"]["weight"])
    asked = [each["setWeight"] for each in steps[: index + 1] if each.get("setWeight") is not None]
    return int(asked[-1]) if asked else None


def _analysis(status: Mapping[str, Any]) -> tuple[AnalysisResult, ...]:
    canary, blue_green = status.get("canary") or {}, status.get("blueGreen") or {}
    runs = (
        canary.get("currentStepAnalysisRunStatus"),
        canary.get("currentBackgroundAnalysisRunStatus"),
        blue_green.get("prePromotionAnalysisRunStatus"),
        blue_green.get("postPromotionAnalysisRunStatus"),
    )
    return tuple(
        AnalysisResult(str(run["name"]), _phase(run.get("status", "")), str(run.get("message") or ""))
        for run in runs
        if run
    )


def _phase(said: str) -> AnalysisPhase:
    """A word that is not known is no success."""
    return _ANALYSIS.get(said, AnalysisPhase.ERROR)


def parse_analysis(body: Any) -> AnalysisResult:
    """An AnalysisRun, named by its metrics. Raises TemporaryBackendError for what is none."""
    try:
        status = body.get("status") or {}
        results = status.get("metricResults") or []
        metrics = [str(each["name"]) for each in body["spec"].get("metrics") or results]
        return AnalysisResult(
            name=", ".join(metrics) or str(body["metadata"]["name"]),
            phase=_phase(status.get("phase", "")),
            message=str(status.get("message") or ""),
            measured=tuple(_measured(each) for each in results),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unreadable(BACKEND, f"no AnalysisRun ({type(error).__name__})") from error


def _measured(result: Mapping[str, Any]) -> str:
    """`success-rate 0.83, 2 of 3 failed: no data`."""
    measurements = result.get("measurements") or []
    value = str(measurements[-1].get("value", "")) if measurements else ""
    line = f"{result['name']} {value}".strip()
    bad = [
        f"{result[word]} of {result.get('count', '?')} {told}" for word, told in _COUNTS if result.get(word)
    ]
    said = result.get("message") or (measurements[-1].get("message", "") if measurements else "")
    return ", ".join([line, *bad]) + (f": {said}" if said else "")


# ---------------------------------------------------------------- moving it


def require_step(rollout: Rollout, expected_step: str) -> None:
    """Raises PermanentBackendError(CONFLICT) when the canary is not where the person saw it."""
    if rollout.step != expected_step:
        at = f"step {rollout.step}" if rollout.step else "no step"
        raise _conflict(f"The canary of {rollout.name} is at {at} now, not at step {expected_step}.")


def require_resumable(rollout: Rollout, expected_step: str) -> None:
    require_step(rollout, expected_step)
    if rollout.is_held:
        raise _conflict(f"{rollout.name} was stopped by hand (spec.paused); who did that has to let it go.")
    if rollout.is_aborted:
        raise _conflict(f"The canary of {rollout.name} was aborted.")
    if rollout.phase != "Paused" or not rollout.pauses:
        raise _conflict(f"The canary of {rollout.name} is not waiting for anybody.")


def require_abortable(rollout: Rollout, expected_step: str) -> None:
    require_step(rollout, expected_step)
    if rollout.is_promoted:
        raise _conflict(f"{rollout.name} has no canary under way.")


def resume_patch(rollout: Rollout) -> dict[str, Any]:
    """For the status subresource. After an inconclusive analysis the step itself has to be left behind."""
    status: dict[str, Any] = {"pauseConditions": None}
    if _INCONCLUSIVE & set(rollout.pauses):
        status |= {"controllerPause": False, "currentStepIndex": rollout.step_index + 1}
    return {"metadata": {"resourceVersion": rollout.resource_version}, "status": status}


def abort_patch(rollout: Rollout) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": rollout.resource_version}, "status": {"abort": True}}


def _conflict(message: str) -> PermanentBackendError:
    return PermanentBackendError(
        message, backend=BACKEND, kind=BackendErrorKind.CONFLICT, fix="Look at the card for where it is now."
    )
