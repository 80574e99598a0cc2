"""What `/platform status` shows of one service, panel by panel. Pure: what was asked comes in, blocks and lines go out.

What could not be asked is `Unknown` and says so; it never looks like health, and what a platform does not have has no line at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot import views
from bot.domain import Cost, DeploymentRecord, Environment
from bot.secret_views import secret_lines
from bot.signal_words import describe, span
from integrations.ports import (
    Application,
    Claim,
    EvidenceKind,
    EvidenceReport,
    EvidenceVerdict,
    Health,
    MonthlyCost,
    Phase,
    Signals,
    StoredKey,
    SyncedSecret,
    SyncStatus,
)
from integrations.ports.backend import BreakerReport

_MARKS = {
    Health.HEALTHY: ":large_green_circle:",
    Health.PROGRESSING: ":large_blue_circle:",
    Health.DEGRADED: ":red_circle:",
    Health.SUSPENDED: ":large_yellow_circle:",
    Health.MISSING: ":white_circle:",
    Health.UNKNOWN: ":grey_question:",
}
_CLAIM_MARKS = {Phase.READY: ":large_green_circle:", Phase.FAILED: ":red_circle:"}
_SEVERITIES = ("critical", "high", "medium", "low")
_SEVERITIES_SHOWN = 2
_POLICY_WORDS = {"fail": "failed", "error": "could not be evaluated", "warn": "warned"}


@dataclass(frozen=True)
class Unknown:
    """A backend that could not be asked: why, in its own cleaned words."""

    why: str


@dataclass(frozen=True)
class Secrets:
    synced: SyncedSecret | None = None
    keys: Sequence[StoredKey] = ()


@dataclass(frozen=True)
class Place:
    """What was learnt of one environment; None: there is nobody to ask, or nothing there.

    `under_way` is what a running request says of its step, `estimate` the price table's.
    """

    environment: Environment
    application: Application | Unknown | None
    last: DeploymentRecord | None = None
    signals: Signals | Unknown | None = None
    evidence: Sequence[EvidenceReport] | Unknown | None = None
    secrets: Secrets | Unknown | None = None
    costs: Sequence[MonthlyCost] | Unknown | None = None
    estimate: Cost | None = None
    under_way: str = ""


# ---------------------------------------------------------------- one environment


def place_panel(place: Place) -> views.Block:
    rows = _running(place)
    if place.under_way:
        rows.append(f":arrows_counterclockwise: {views.escape(views.cut(place.under_way, 300))}")
    if place.application is not None:
        rows += [
            *_signals(place.signals),
            *_evidence(place.evidence),
            *_secrets(place.secrets),
            *_cost(place),
            *_unanswered(place),
        ]
    return views.section(_within(rows))


def _within(rows: Sequence[str]) -> str:
    """As many rows as a section holds; that there are more is said."""
    text, rest = "\n".join(rows), list(rows)
    while len(text) > views.SECTION_LIMIT:
        rest.pop()
        text = "\n".join([*rest, "…"])
    return text


def word(place: Place) -> str:
    """The environment's health in one word, for the notification."""
    if isinstance(place.application, Unknown):
        return "unknown"
    return place.application.health.value if place.application else "empty"


def _running(place: Place) -> list[str]:
    title, state, last = f"*{views.escape(place.environment.title)}*", place.application, place.last
    known = _last_known(last)
    if isinstance(state, Unknown):
        return [
            f"{_MARKS[Health.UNKNOWN]} {title} · unknown",
            _aside(state.why),
            known or "Nothing was known before.",
        ]
    if state is None:
        return [f"{_MARKS[Health.MISSING]} {title} · nothing runs here yet"]
    version = views.code(views.short(state.revision)) if state.revision else "no version"
    rows = [
        f"{_MARKS[state.health]} {title} · {version} · {state.health.value} · "
        f"{state.sync.value.replace('_', ' ')}" + (f" · {views.link(state.url, 'open')}" if state.url else "")
    ]
    if state.health is not Health.HEALTHY and state.message:
        rows.append(_aside(state.message))
    rows += [_aside(one, 200) for one in state.unhealthy[:3]]
    if state.sync is SyncStatus.UNKNOWN and known:
        rows.append(known)
    if state.deployed_at:
        by = last.deployed_by if last and state.revision in {last.revision, last.ref_revision} else ""
        who = views.mention(by) if by else views.escape(state.deployed_by or "somebody unknown")
        rows.append(f"Deployed {views.moment(state.deployed_at)} by {who}")
    return rows


def _last_known(last: DeploymentRecord | None) -> str:
    if last is None:
        return ""
    return (
        f"Last known: {views.code(views.short(last.revision))}, {views.moment(last.deployed_at)}, "
        f"deployed by {views.mention(last.deployed_by)}"
    )


def _aside(text: str, limit: int = 300) -> str:
    return f"_{views.escape(views.cut(text, limit))}_"


def _unknown(what: str, why: str) -> str:
    return f":grey_question: {what} unknown · {_aside(why, 200)}"


def _unanswered(place: Place) -> list[str]:
    """One line for each reason: where the network is away, everybody is away for the same one."""
    reasons: dict[str, list[str]] = {}
    for what, answer in (
        ("signals", place.signals),
        ("vulnerabilities", place.evidence),
        ("policies", place.evidence),
        ("secrets", place.secrets),
        ("measured cost", place.costs),
    ):
        if isinstance(answer, Unknown):
            reasons.setdefault(answer.why, []).append(what)
    return [_unknown(_capital(_listed(what)), why) for why, what in reasons.items()]


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _signals(signals: Signals | Unknown | None) -> list[str]:
    if not isinstance(signals, Signals):
        return []
    text = f"{_capital(describe(signals))} over {span(signals.window_seconds)}"
    if signals.warnings:
        text += f" · _perhaps incomplete: {views.escape(views.cut(signals.warnings[0], 100))}_"
    return [text + (f" · {views.link(signals.dashboard_url, 'dashboard')}" if signals.dashboard_url else "")]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _evidence(reports: Sequence[EvidenceReport] | Unknown | None) -> list[str]:
    return [] if reports is None or isinstance(reports, Unknown) else list(map(evidence_line, reports))


def evidence_line(report: EvidenceReport) -> str:
    """`2 critical, 5 high vulnerabilities (trivy)`; what is unknown says why."""
    vulnerabilities = report.kind is EvidenceKind.VULNERABILITIES
    source = f" ({views.escape(report.source)})" if report.source else ""
    if report.verdict is EvidenceVerdict.UNKNOWN:
        what = "Vulnerabilities" if vulnerabilities else "Policies"
        return _unknown(f"{what}{source}", report.message)
    mark = ":white_check_mark:" if report.verdict is EvidenceVerdict.CLEAN else ":warning:"
    if report.verdict is EvidenceVerdict.CLEAN:
        found = "No known vulnerabilities" if vulnerabilities else "All policies met"
    elif vulnerabilities:
        counts = [(name, report.counts.get(name, 0)) for name in _SEVERITIES]
        worst = [f"{number} {name}" for name, number in counts if number][:_SEVERITIES_SHOWN]
        found = f"{', '.join(worst)} vulnerabilities" if worst else report.message
    else:
        counted = [
            f"{report.counts[key]} {_POLICY_WORDS[key]}" for key in _POLICY_WORDS if report.counts.get(key)
        ]
        found = f"Policies: {', '.join(counted)}" if counted else report.message
    return f"{mark} {views.escape(found)}{source}"


def _secrets(secrets: Secrets | Unknown | None) -> list[str]:
    return list(secret_lines(secrets.synced, secrets.keys)) if isinstance(secrets, Secrets) else []


def _cost(place: Place) -> list[str]:
    """`9.40 USD a month, measured over 7 days · 12 EUR by the price table`."""
    parts = []
    if place.costs is not None and not isinstance(place.costs, Unknown):
        measured = [one for one in place.costs if one.environment == place.environment.name]
        parts += [
            f"{_amount(one.amount, one.currency)} a month, measured over {views.count(one.window_days, 'day')}"
            for one in measured
        ] or ["No cost measured"]
    if place.estimate:
        by = "by the price table" if parts else "a month by the price table"
        parts.append(f"{_amount(place.estimate.monthly, place.estimate.currency)} {by}")
    return [" · ".join(parts)] if parts else []


def _amount(amount: float, currency: str) -> str:
    number = f"{amount:.0f}" if amount >= 100 or amount == round(amount) else f"{amount:.2f}"
    return f"{number} {views.escape(currency)}"


# ---------------------------------------------------------------- beside the environments


def infrastructure(claims: Sequence[Claim] | Unknown) -> list[views.Block]:
    if isinstance(claims, Unknown):
        return [views.section(f":grey_question: *Infrastructure* · unknown\n{_aside(claims.why)}")]
    if not claims:
        return []
    rows = [
        f"{_CLAIM_MARKS.get(one.phase, ':large_blue_circle:')} {one.kind} {views.code(one.name)} in "
        f"{one.environment} · {one.phase.value.replace('_', ' ')}"
        + (f" · {views.escape(one.message)}" if one.message and one.phase is not Phase.READY else "")
        for one in claims
    ]
    return [views.context("*Infrastructure*"), *views.lines(rows)]


def left_alone(reports: Iterable[BreakerReport], now: datetime) -> list[views.Block]:
    """`GitHub is not being asked until 12:03 (5 failures in a row)`, once for each system."""
    rows = {
        one.backend: f":no_entry: *{views.escape(one.backend)}* is not being asked until "
        f"{views.moment(now + timedelta(seconds=one.seconds_left))} "
        f"({views.count(one.failures, 'failure')} in a row)"
        for one in reports
    }
    return views.lines(rows.values())
