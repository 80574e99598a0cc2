"""What scanners and policy engines found about what runs or shall run. Port name: `evidence` (optional)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from integrations.ports.backend import Backend


class EvidenceKind(StrEnum):
    POLICIES = "policies"
    VULNERABILITIES = "vulnerabilities"


class EvidenceVerdict(StrEnum):
    """UNKNOWN: no report, an outdated one, or one about something else. It is never CLEAN."""

    CLEAN = "clean"
    FINDINGS = "findings"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class EvidenceReport:
    """What one source says about one service in one environment.

    `counts`: policy results (`fail`, `error`, `warn`) or severities (`critical`, `high`, `medium`, `low`, `unknown`) -> how
    many; empty where the verdict is UNKNOWN. `subjects`: what it speaks of, such as image digests. `lines`: the worst findings,
    one each, for a person.
    """

    kind: EvidenceKind
    source: str
    verdict: EvidenceVerdict
    message: str
    counts: dict[str, int]
    subjects: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    observed_at: datetime | None = None


class Evidence(Backend, Protocol):
    """What scanners and policy engines found. Port name: `evidence`."""

    async def reports(
        self, service: str, environment: str, *, team: str, revision: str | None = None
    ) -> Sequence[EvidenceReport]:
        """One report of each kind, in the order of EvidenceKind: UNKNOWN where there is none, or where it could not be asked
        for; never raises BackendError. `revision` is the commit as the delivery backend runs it: only what speaks of the
        images it runs with counts. None: of what runs now."""
        ...
