"""What the company's systems say of a plan before anybody approves it: previews of its objects, reports on its revision.

Everybody is asked at the same time, each with a deadline. The answers become facts, which `bot.evidence_rules` judges, and notes on the
card; both are part of the plan's hash, so they hold nothing that changes by itself, such as a time. Where a platform has neither port
and nobody objects, the plan stays as it was. Decides nothing and writes nothing outside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field

from bot.command import Context
from bot.domain import Plan, PlannedStep
from bot.errors import BackendError
from bot.steps import application_spec, claim_spec
from integrations.ports import EvidenceKind, EvidenceReport, EvidenceVerdict, Preview

DEADLINE_SECONDS = 20.0
"""A webhook may take ten seconds of each object; whoever waits for a plan waits for the slowest answer."""
EMERGENCY_DEADLINE_SECONDS = 5.0
LINES_KEPT = 20
WORST_SHOWN = 3
NO_REPOSITORY_YET = "https://git.invalid/not-there-yet.git"
"""Stands for an address that only the run will know (RFC 2606: no such host)."""
_SECTIONS = {EvidenceKind.POLICIES: "policies", EvidenceKind.VULNERABILITIES: "vulnerabilities"}


@dataclass(frozen=True)
class Source:
    """Where what is promoted runs now; `revision` is the commit as the delivery backend there knows it."""

    environment: str
    revision: str


@dataclass(frozen=True)
class Heard:
    """`preview` is binding, `aside` is told and stops nothing; `objects`: how many of a revision were shown to admission."""

    preview: Preview = field(default_factory=Preview)
    aside: tuple[str, ...] = ()
    objects: int = 0
    reports: tuple[EvidenceReport, ...] = ()

    def __add__(self, other: Heard) -> Heard:
        return Heard(
            self.preview + other.preview,
            self.aside + other.aside,
            self.objects + other.objects,
            self.reports + other.reports,
        )


async def considered(
    ctx: Context,
    plan: Plan,
    *,
    revision: str | None = None,
    source: Source | None = None,
    seconds: float = DEADLINE_SECONDS,
) -> Plan:
    """The plan with what is said of its claim and application, of the objects of `revision`, and of what runs in `source`."""
    answers = await asyncio.gather(
        _claim(ctx, plan, seconds),
        _application(ctx, plan, seconds),
        _manifests(ctx, plan, revision, seconds=seconds),
        _reports(ctx, plan, source, seconds=seconds),
    )
    return told(plan, sum(answers, start=Heard()))


async def considered_in_an_emergency(
    ctx: Context, plan: Plan, *, revision: str, seconds: float = EMERGENCY_DEADLINE_SECONDS
) -> Plan:
    """For the way back: what would be refused is said, because it would fail; what nobody can say soon holds nothing up.

    Nobody is asked for reports: they are about what runs, and this is about leaving it.
    """
    heard = await _manifests(ctx, plan, revision, seconds=seconds)
    known = Preview(heard.preview.denials, heard.preview.warnings)
    return told(plan, Heard(known, objects=0 if heard.preview.unknown else heard.objects))


# ---------------------------------------------------------------- asking


def _step(plan: Plan, key: str) -> PlannedStep | None:
    return next((step for step in plan.steps if step.key == key), None)


async def _claim(ctx: Context, plan: Plan, seconds: float) -> Heard:
    step = _step(plan, "claim")
    if step is None:
        return Heard()
    spec = claim_spec(step.arguments)
    preview = ctx.backends.infrastructure.preview(spec, request_id=ctx.request_id)
    return Heard(
        await _in_time(preview, seconds, f"the infrastructure's backend said nothing of {spec.name}")
    )


async def _application(ctx: Context, plan: Plan, seconds: float) -> Heard:
    """What nobody can say is told and stops nothing: Argo CD's API has no preview at all, and its own check comes at the run.

    Nor does a denial where the repository does not exist yet: it may be about the address that stands for the real one.
    """
    step = _step(plan, "application")
    environment = ctx.platform.environment(step.arguments["environment"]) if step else None
    if step is None or environment is None:
        return Heard()
    address = step.arguments["clone_url"]
    spec = application_spec(step.arguments, environment, clone_url=address or NO_REPOSITORY_YET)
    asked = ctx.backends.delivery.preview(spec, request_id=ctx.request_id)
    preview = await _in_time(asked, seconds, f"the delivery backend said nothing of {spec.name}")
    unknown = preview.unknown if ctx.backends.admission is not None else ()
    aside = tuple(f"Not known beforehand: {line}" for line in unknown)
    if address:
        return Heard(Preview(preview.denials, preview.warnings), aside)
    would = tuple(f"May be refused: {line}" for line in preview.denials)
    return Heard(Preview(warnings=preview.warnings), (*would, *aside))


async def _manifests(ctx: Context, plan: Plan, revision: str | None, *, seconds: float) -> Heard:
    admission = ctx.backends.admission
    if admission is None or revision is None:
        return Heard()
    try:
        async with asyncio.timeout(seconds):
            manifests = await ctx.backends.delivery.manifests(
                plan.service, plan.environment, revision=revision
            )
            if manifests is None:
                return Heard(aside=(_not_rendered(revision),))
            preview = await admission.preview(
                manifests, service=plan.service, team=plan.team, environment=plan.environment
            )
    except BackendError as error:
        return Heard(Preview(unknown=(f"{revision[:7]} cannot be rendered: {error.message}",)))
    except TimeoutError:
        return Heard(Preview(unknown=(_late(f"nobody knows what is said of {revision[:7]}"),)))
    return Heard(preview, objects=len(manifests))


async def _reports(ctx: Context, plan: Plan, source: Source | None, *, seconds: float) -> Heard:
    evidence = ctx.backends.evidence
    if evidence is None or source is None:
        return Heard()
    try:
        async with asyncio.timeout(seconds):
            reports = await evidence.reports(
                plan.service, source.environment, team=plan.team, revision=source.revision
            )
    except (BackendError, TimeoutError) as error:
        why = error.message if isinstance(error, BackendError) else _late("no report is known")
        reports = [EvidenceReport(kind, "", EvidenceVerdict.UNKNOWN, why, {}) for kind in EvidenceKind]
    return Heard(reports=tuple(reports))


async def _in_time(preview: Awaitable[Preview], seconds: float, otherwise: str) -> Preview:
    try:
        async with asyncio.timeout(seconds):
            return await preview
    except TimeoutError:
        return Preview(unknown=(_late(otherwise),))
    except BackendError as error:
        return Preview(unknown=(f"{error.backend} could not be asked: {error.message}",))


def _late(otherwise: str) -> str:
    return f"no answer in time, so {otherwise}"


def _not_rendered(revision: str) -> str:
    return f"No policy was asked about the objects of {revision[:7]}: nothing here renders them beforehand."


# ---------------------------------------------------------------- telling


def told(plan: Plan, heard: Heard) -> Plan:
    facts = _preview_facts(heard)
    notes = [*heard.preview.warnings, *heard.aside]
    for report in heard.reports:
        facts |= _report_facts(report)
        notes += _report_notes(report)
    return _with(plan, facts, notes)


def _with(plan: Plan, facts: Mapping[str, str], notes: Sequence[str]) -> Plan:
    if not facts and not notes:
        return plan
    kept = [
        *notes[:LINES_KEPT],
        *([f"and {len(notes) - LINES_KEPT} more"] if len(notes) > LINES_KEPT else []),
    ]
    return plan.model_copy(update={"facts": {**plan.facts, **facts}, "notes": (*plan.notes, *kept)})


def _preview_facts(heard: Heard) -> dict[str, str]:
    facts = {
        "admission_objects": str(heard.objects or ""),
        "admission_denials": _joined(heard.preview.denials),
        "admission_unknown": _joined(heard.preview.unknown),
    }
    return {name: value for name, value in facts.items() if value}


def _report_facts(report: EvidenceReport) -> dict[str, str]:
    section = _SECTIONS[report.kind]
    if report.verdict is EvidenceVerdict.UNKNOWN:
        return {f"{section}_unknown": report.message}
    if report.kind is EvidenceKind.POLICIES:
        facts = {"failed_policies": str(_failed(report))}
    else:
        facts = {f"{name}_vulnerabilities": str(report.counts.get(name, 0)) for name in ("critical", "high")}
    worst = _joined(_worst(report))
    return {**facts, f"{section}_worst": worst} if worst else facts


def _report_notes(report: EvidenceReport) -> list[str]:
    """Counts of what nobody limits are left out: they would make another plan of it with every scan."""
    if report.verdict is EvidenceVerdict.UNKNOWN:
        return [f"{_SECTIONS[report.kind].capitalize()} unknown: {report.message}"]
    if report.kind is EvidenceKind.POLICIES:
        counted = f"{_failed(report)} failed"
    else:
        counted = f"{report.counts.get('critical', 0)} critical, {report.counts.get('high', 0)} high"
    return [f"{_SECTIONS[report.kind].capitalize()}: {counted}.", *_worst(report)]


def _failed(report: EvidenceReport) -> int:
    """A policy that could not be evaluated has not been met."""
    return report.counts.get("fail", 0) + report.counts.get("error", 0)


def _worst(report: EvidenceReport) -> tuple[str, ...]:
    """The lines of a report begin with the worst: as many as there are findings that count."""
    if report.kind is EvidenceKind.POLICIES:
        counting = _failed(report)
    else:
        counting = report.counts.get("critical", 0) + report.counts.get("high", 0)
    return report.lines[: min(WORST_SHOWN, counting)]


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(lines[:LINES_KEPT])
