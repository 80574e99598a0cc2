"""What policy engines reported on a service's objects, in either of the two API groups. Pure: objects in, one report out.

Results are about objects, and reports outlive what they are about: a result counts for an object of the service as it stands now.
Engines that write both groups say everything twice; it is counted once, and the newer word stands.
Sources: CRDs wgpolicyk8s.io/v1alpha2 and openreports.io/v1alpha1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bot.errors import foreign_text
from integrations._argocd_shapes import parse_time
from integrations._kubernetes import Object, Resource
from integrations._report_subjects import Reference, Workload
from integrations.ports import EvidenceKind, EvidenceReport, EvidenceVerdict

POLICY_REPORTS: Final = Resource("wgpolicyk8s.io", "v1alpha2", "policyreports", "PolicyReport")
OPEN_REPORTS: Final = Resource("openreports.io", "v1alpha1", "reports", "Report")
GROUPS: Final = (OPEN_REPORTS, POLICY_REPORTS)
SOURCE: Final = "policy reports"
LINES: Final = 5
SKEW: Final = timedelta(seconds=5)
"""An engine that judges a write at admission does so a moment before the write has its time."""
_BAD: Final = ("fail", "error", "warn")
_WORST_FIRST: Final = (*_BAD, "pass", "skip")
_SEVERITIES: Final = ("critical", "high", "medium", "low", "info")


@dataclass(frozen=True)
class Result:
    """One policy's word on one object."""

    subject: Reference
    policy: str
    rule: str
    result: str
    severity: str
    message: str
    at: datetime

    @property
    def key(self) -> tuple[Reference, str, str]:
        return self.subject, self.policy, self.rule

    def __str__(self) -> str:
        rule = f"/{self.rule}" if self.rule else ""
        return f"{self.policy}{rule} on {self.subject}: {self.message or self.result}"


def judge(
    objects: Sequence[Reference],
    workloads: Sequence[Workload],
    reports: Sequence[Object],
    *,
    now: datetime,
    max_age: timedelta,
) -> EvidenceReport:
    """Raises KeyError, TypeError, ValueError for what is no report. Every workload must have been looked at since it changed."""
    ours, changed = set(objects), {each.reference: each.changed_at for each in workloads}
    results = [each for each in _results(reports) if each.subject in ours]
    fresh = [
        each
        for each in results
        if now - each.at <= max_age and not _is_older(each, changed.get(each.subject))
    ]
    if missing := [_missing(each, results) for each in changed if all(one.subject != each for one in fresh)]:
        return unknown("; ".join(missing))
    if not changed:
        return unknown("Nothing runs that policies could have looked at.")
    told = list(_once(fresh))
    counts = {word: sum(each.result == word for each in told) for word in _BAD}
    said = ", ".join(f"{number} {word}" for word, number in counts.items() if number)
    return EvidenceReport(
        EvidenceKind.POLICIES,
        SOURCE,
        EvidenceVerdict.FINDINGS if said else EvidenceVerdict.CLEAN,
        f"{said} of {len(told)} results" if said else f"all {len(told)} results are good",
        counts,
        subjects=tuple(sorted({str(each.subject) for each in told})),
        lines=_worst(told),
        observed_at=min(each.at for each in told),
    )


def unknown(message: str) -> EvidenceReport:
    return EvidenceReport(EvidenceKind.POLICIES, SOURCE, EvidenceVerdict.UNKNOWN, foreign_text(message), {})


def _missing(workload: Reference, results: Sequence[Result]) -> str:
    outdated = any(each.subject == workload for each in results)
    return f"the report on {workload} is outdated" if outdated else f"no report on {workload}"


def _is_older(result: Result, changed_at: datetime | None) -> bool:
    return changed_at is not None and result.at + SKEW < changed_at


def _results(reports: Sequence[Object]) -> Iterator[Result]:
    """The object is the report's `scope`, or is named by each result."""
    for report in reports:
        namespace = str(report["metadata"]["namespace"])
        created = parse_time(report["metadata"].get("creationTimestamp"))
        scope = [report["scope"]] if report.get("scope") else []
        for each in report.get("results") or []:
            for named in each.get("resources") or scope:
                yield Result(
                    Reference(
                        str(named["kind"]), str(named.get("namespace") or namespace), str(named["name"])
                    ),
                    policy=str(each["policy"]),
                    rule=str(each.get("rule", "")),
                    result=str(each.get("result", "error")),
                    severity=str(each.get("severity", "info")),
                    message=str(each.get("message", "")),
                    at=_time(each.get("timestamp"), created),
                )


def _time(timestamp: Mapping[str, Any] | None, created: datetime | None) -> datetime:
    if timestamp and timestamp.get("seconds"):
        return datetime.fromtimestamp(int(timestamp["seconds"]), tz=UTC)
    if created is None:
        raise ValueError("a result without a time")
    return created


def _once(results: Sequence[Result]) -> Iterator[Result]:
    """The newest word of each policy on each object; of two at the same time the worse."""
    newest: dict[tuple[Reference, str, str], Result] = {}
    for each in results:
        known = newest.get(each.key)
        if known is None or (each.at, -_badness(each)) > (known.at, -_badness(known)):
            newest[each.key] = each
    yield from newest.values()


def _badness(result: Result) -> int:
    return _WORST_FIRST.index(result.result) if result.result in _WORST_FIRST else 0


def _worst(results: Sequence[Result]) -> tuple[str, ...]:
    bad = [each for each in results if each.result in _BAD]
    bad.sort(key=lambda each: (_badness(each), _severity(each), str(each)))
    return tuple(foreign_text(str(each)) for each in bad[:LINES])


def _severity(result: Result) -> int:
    return _SEVERITIES.index(result.severity) if result.severity in _SEVERITIES else len(_SEVERITIES)
