"""Argo CD's sync windows: which of a project's apply to an application, whether a sync that a person asked for may begin, and when.
Pure; the clock is an argument.

As Argo CD 3.5 computes it (`SyncWindows.CanSync`): an active deny window forbids, unless every active one says `manualSync`; else an
active allow window permits; else an allow window that is not active forbids, unless every such one says `manualSync`. A schedule
is five fields of cron, read in the window's time zone as that stands now; a window is active after its start and until its end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from integrations._argocd_globs import matches

HORIZON_DAYS: Final = 366
BOUNDARIES_TRIED: Final = 400
"""Beyond either, when it opens is not told."""
_MINUTE: Final = timedelta(minutes=1)
_MOMENT: Final = timedelta(seconds=1)
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|h|m|s)")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


# ---------------------------------------------------------------- schedules


@dataclass(frozen=True)
class Schedule:
    """Five fields of cron. Where neither day field is a star, one of the two is enough."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    def next(self, after: datetime) -> datetime | None:
        """The first start later than `after`, within the horizon."""
        start = after.replace(second=0, microsecond=0) + _MINUTE
        for number in range(HORIZON_DAYS):
            day = start + timedelta(days=number)
            if not self._falls_on(day):
                continue
            first = (start.hour, start.minute) if number == 0 else (0, 0)
            for hour in sorted(self.hours):
                for minute in sorted(self.minutes):
                    if (hour, minute) >= first:
                        return day.replace(hour=hour, minute=minute)
        return None

    def _falls_on(self, day: datetime) -> bool:
        by_date, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        fits = by_date or by_weekday if self.either_day else by_date and by_weekday
        return day.month in self.months and fits


def parse_schedule(text: str) -> Schedule:
    """Raises ValueError."""
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"schedule {text!r}: five fields are needed")
    minutes, hours, days, months, weekdays = fields
    return Schedule(
        minutes=_field(minutes, 0, 59),
        hours=_field(hours, 0, 23),
        days=_field(days, 1, 31),
        months=_field(months, 1, 12, names=_MONTHS),
        weekdays=_field(weekdays, 0, 6, names=_DAYS),
        either_day=not (_is_star(days) or _is_star(weekdays)),
    )


def _is_star(field: str) -> bool:
    return any(each.removesuffix("/1") in {"*", "?"} for each in field.split(","))


def _field(text: str, low: int, high: int, *, names: Sequence[str] = ()) -> frozenset[int]:
    found: set[int] = set()
    for part in text.lower().split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if first in {"*", "?"} and not dash:
            begin, end = low, high
        else:
            begin = _number(first, low, names)
            end = _number(last, low, names) if dash else high if slash else begin
        every = int(step) if slash else 1
        if not low <= begin <= end <= high or every < 1:
            raise ValueError(f"schedule: {part!r} is not within {low}-{high}")
        found.update(range(begin, end + 1, every))
    return frozenset(found)


def _number(text: str, low: int, names: Sequence[str]) -> int:
    return names.index(text) + low if text in names else int(text)


def parse_duration(text: str) -> timedelta:
    """As Go writes it: `1h30m`. Raises ValueError."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"duration {text!r}")
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


# ---------------------------------------------------------------- windows


@dataclass(frozen=True)
class SyncWindow:
    allows: bool
    schedule: Schedule
    duration: timedelta
    zone: str
    manual: bool
    text: str
    """What a person reads of it."""

    def is_active(self, now: datetime) -> bool:
        wall = self._wall(now)
        start = self.schedule.next(wall - self.duration)
        return start is not None and start < wall

    def next_boundary(self, now: datetime) -> datetime | None:
        """When it next begins or ends."""
        wall = self._wall(now)
        ending = self.schedule.next(wall - self.duration)
        ends = ending + self.duration if ending is not None and ending < wall else None
        found = [each for each in (self.schedule.next(wall), ends) if each is not None and each > wall]
        return now + (min(found) - wall) if found else None

    def _wall(self, now: datetime) -> datetime:
        """The time on the window's clock, as Argo CD reckons it: with the zone's offset of now, also for other seasons."""
        return (now + _offset(self.zone, now)).replace(tzinfo=None)


def _offset(zone: str, now: datetime) -> timedelta:
    try:
        return now.astimezone(ZoneInfo(zone or "UTC")).utcoffset() or timedelta()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # Argo CD takes UTC for a zone it does not know.
        return timedelta()


def windows_of(body: Sequence[Mapping[str, Any]], target: Target) -> tuple[SyncWindow, ...]:
    """Those of a project that apply to the application. Raises ValueError for one that cannot be read: then nobody may sync."""
    return tuple(_window(each) for each in body if _applies(each, target))


@dataclass(frozen=True)
class Target:
    """What windows are matched against."""

    application: str
    namespace: str
    clusters: tuple[str, ...]
    """Name and address of the cluster, as far as the application says them."""


def _applies(window: Mapping[str, Any], target: Target) -> bool:
    asked = [
        any(matches(pattern, name) for pattern in window.get(field) or () for name in names)
        for field, names in (
            ("applications", (target.application,)),
            ("clusters", target.clusters),
            ("namespaces", (target.namespace,)),
        )
        if window.get(field)
    ]
    return (all(asked) and bool(asked)) if window.get("andOperator") else any(asked)


def _window(body: Mapping[str, Any]) -> SyncWindow:
    kind, schedule, duration = (str(body.get(each, "")) for each in ("kind", "schedule", "duration"))
    if kind not in {"allow", "deny"}:
        raise ValueError(f"kind {kind!r}")
    zone, about = str(body.get("timeZone") or "UTC"), str(body.get("description") or "")
    return SyncWindow(
        allows=kind == "allow",
        schedule=parse_schedule(schedule),
        duration=parse_duration(duration),
        zone=zone,
        manual=bool(body.get("manualSync")),
        text=f"{kind} {schedule} for {duration} ({zone})" + (f": {about}" if about else ""),
    )


def may_sync(windows: Sequence[SyncWindow], now: datetime) -> bool:
    active = [each for each in windows if each.is_active(now)]
    denying = [each for each in active if not each.allows]
    if denying:
        return all(each.manual for each in denying)
    if any(each.allows for each in active):
        return True
    return all(each.manual for each in windows if each.allows)


def closing(windows: Sequence[SyncWindow], now: datetime) -> tuple[SyncWindow, ...]:
    """Which windows forbid it now: the active ones that deny, else the ones that would allow it at another time."""
    if may_sync(windows, now):
        return ()
    denying = tuple(each for each in windows if not each.allows and each.is_active(now) and not each.manual)
    return denying or tuple(each for each in windows if each.allows)


def opens_at(windows: Sequence[SyncWindow], now: datetime) -> datetime | None:
    """The first moment that it may begin; None where that is further away than anybody looks."""
    at = now.astimezone(UTC)
    for _ in range(BOUNDARIES_TRIED):
        boundaries = [each for each in (window.next_boundary(at) for window in windows) if each is not None]
        if not boundaries:
            return None
        at = min(boundaries)
        # A window is active after its start, not at it.
        if may_sync(windows, at + _MOMENT):
            return at
        at += _MOMENT
    return None
