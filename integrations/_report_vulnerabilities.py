"""What Trivy's VulnerabilityReports say of the images a service runs with. Pure: objects in, one report out.

A report counts when it is about the very container, about the image that it runs, and not older than it says it may get.
Whatever is missing makes the whole unknown: three clean images and one that nobody looked at are not clean.
Source: trivy-operator v0.32 (labels, TTL annotation, CRD).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from bot.errors import foreign_text
from integrations._argocd_shapes import parse_time
from integrations._kubernetes import Object, Resource
from integrations._report_subjects import Container
from integrations.ports import EvidenceKind, EvidenceReport, EvidenceVerdict

VULNERABILITY_REPORTS: Final = Resource(
    "aquasecurity.github.io", "v1alpha1", "vulnerabilityreports", "VulnerabilityReport"
)
KIND_LABEL: Final = "trivy-operator.resource.kind"
NAME_LABEL: Final = "trivy-operator.resource.name"
CONTAINER_LABEL: Final = "trivy-operator.container.name"
TTL_ANNOTATION: Final = "trivy-operator.aquasecurity.github.io/report-ttl"
SOURCE: Final = "Trivy"
SEVERITIES: Final = ("critical", "high", "medium", "low", "unknown")
LINES: Final = 5
_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")


@dataclass(frozen=True)
class Image:
    """`registry.example.com:5000/team/orders:1.2@sha256:…`, in parts; the registry is not told apart from the path."""

    path: str
    tag: str
    digest: str


def parse_image(text: str) -> Image:
    rest, _, digest = text.partition("@")
    path, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        path, tag = rest, ""
    return Image(path, tag or ("" if digest else "latest"), digest)


def is_about(report: Object, image: str) -> bool:
    """By digest where the image is pinned to one; else by the tag that ran when the container was scanned."""
    artifact, wanted = report["report"]["artifact"], parse_image(image)
    if wanted.digest:
        return bool(artifact.get("digest") == wanted.digest)
    repository = str(artifact.get("repository", ""))
    same_path = wanted.path == repository or wanted.path.endswith(f"/{repository}")
    # Docker Hub's own images have a path that nobody writes.
    same_path = same_path or repository == f"library/{wanted.path}"
    return bool(repository and same_path and artifact.get("tag") == wanted.tag)


def judge(
    containers: Sequence[Container], reports: Sequence[Object], *, now: datetime, max_age: timedelta
) -> EvidenceReport:
    """Raises KeyError, TypeError, ValueError for what is no VulnerabilityReport."""
    missing: list[str] = []
    counted: dict[str, Object] = {}
    for container in containers:
        found, why = _report_of(container, reports, now=now, max_age=max_age)
        if found is None:
            missing.append(why)
        else:
            counted.setdefault(_subject(found, container), found)
    if missing or not counted:
        return unknown("; ".join(missing) or "Nothing runs that could have been scanned.")
    counts = {
        severity: sum(
            int(each["report"]["summary"].get(f"{severity}Count") or 0) for each in counted.values()
        )
        for severity in SEVERITIES
    }
    images = f"{len(counted)} image{'' if len(counted) == 1 else 's'}"
    said = ", ".join(f"{number} {severity}" for severity, number in counts.items() if number)
    return EvidenceReport(
        EvidenceKind.VULNERABILITIES,
        SOURCE,
        EvidenceVerdict.FINDINGS if said else EvidenceVerdict.CLEAN,
        f"{said} in {images}" if said else f"no known vulnerability in {images}",
        counts,
        subjects=tuple(sorted(counted)),
        lines=_worst(list(counted.values())),
        observed_at=min((_seen_at(each) for each in counted.values()), default=None),
    )


def unknown(message: str) -> EvidenceReport:
    kind, verdict = EvidenceKind.VULNERABILITIES, EvidenceVerdict.UNKNOWN
    return EvidenceReport(kind, SOURCE, verdict, foreign_text(message), {})


def _report_of(
    container: Container, reports: Sequence[Object], *, now: datetime, max_age: timedelta
) -> tuple[Object | None, str]:
    """The newest that counts; or None, and why there is none."""
    of_it = [each for each in reports if _names(each, container)]
    if not of_it:
        return None, f"no report on {container}"
    about = [each for each in of_it if is_about(each, container.image)]
    if not about:
        return None, f"the report on {container} is about another image than {container.image}"
    newest = max(about, key=_seen_at)
    if now - _seen_at(newest) > min(max_age, _ttl(newest, max_age)):
        return None, f"the report on {container} has expired"
    return newest, ""


def _names(report: Object, container: Container) -> bool:
    """By labels; a name that is too long for one is told by the owner alone."""
    metadata = report["metadata"]
    labels, owner = metadata.get("labels") or {}, container.owner
    if metadata.get("namespace") != owner.namespace or labels.get(CONTAINER_LABEL) != container.name:
        return False
    owners = {(each.get("kind"), each.get("name")) for each in metadata.get("ownerReferences") or []}
    named = (labels.get(KIND_LABEL), labels.get(NAME_LABEL))
    return (owner.kind, owner.name) in {named, *owners}


def _subject(report: Object, container: Container) -> str:
    return str(report["report"]["artifact"].get("digest") or container.image)


def _seen_at(report: Object) -> datetime:
    at = parse_time(report["report"]["updateTimestamp"])
    if at is None:
        raise ValueError("updateTimestamp is empty")
    return at


def _ttl(report: Object, otherwise: timedelta) -> timedelta:
    """Go's way of writing a duration: `24h0m0s`."""
    text = str((report["metadata"].get("annotations") or {}).get(TTL_ANNOTATION, ""))
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        return otherwise
    hours, minutes, seconds = (float(each or 0) for each in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _worst(reports: Sequence[Object]) -> tuple[str, ...]:
    found = {_line(each): _rank(each) for report in reports for each in report["report"]["vulnerabilities"]}
    return tuple(sorted(found, key=lambda line: (found[line], line)))[:LINES]


def _rank(vulnerability: Mapping[str, Any]) -> tuple[int, float]:
    severity = str(vulnerability["severity"]).lower()
    place = SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)
    return place, -float(vulnerability.get("score") or 0)


def _line(vulnerability: Mapping[str, Any]) -> str:
    fixed = vulnerability.get("fixedVersion")
    way_out = f"fixed in {fixed}" if fixed else "not fixed yet"
    return foreign_text(
        f"{vulnerability['vulnerabilityID']} ({str(vulnerability['severity']).lower()}): "
        f"{vulnerability.get('resource')} {vulnerability.get('installedVersion')}, {way_out}"
    )
