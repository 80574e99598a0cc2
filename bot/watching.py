"""The watch after a promotion: a revision that answers badly goes back by itself. What is not known never takes anything back.

Nothing is remembered between two looks, so that a kill changes nothing: when the revision became healthy is the output of the
deploy step, and what a look before saw is asked of the backend's own past. Must not deploy: the undo of the deploy step goes back.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from bot.command import Done, Pending, Run, StepKind
from bot.domain import JSON, PlannedStep, WatchRule
from bot.errors import BackendError, BackendErrorKind, PermanentBackendError
from bot.signal_words import describe, duration, percent, span
from integrations.ports import SignalQuestion, Signals, SignalSource

log = structlog.get_logger(__name__)

WATCH_STEP = "watch"
DEPLOY_STEP = "deploy"
HEALTHY_AT = "healthy_at"
"""In the output of the deploy step: when it saw the revision healthy, ISO 8601."""
LOOK_SECONDS = 15.0
"""Between two looks; a watch shorter than a minute is looked at four times."""
DEADLINE_SECONDS = 4.0
"""Of one question. Less than any call of a step gets (`bot.attempt.LAST_CALL_SECONDS`)."""
OVERTIME_LOOKS = 3
"""What the end may be put off by: a bad last look wants a second one."""
TOO_EARLY = "too early to tell"
SPARE_SECONDS = 300
"""What the step's deadline adds to the span, so that a slow backend never makes a watch run out of time."""


# ---------------------------------------------------------------- planning


def plan_watch(*, service: str, environment: str, revision: str, rule: WatchRule) -> PlannedStep:
    """Comes after the step `deploy`, whose undo it relies on."""
    return PlannedStep(
        key=WATCH_STEP,
        title=f"Watch {environment} for {span(rule.seconds)}",
        arguments={
            "service": service,
            "environment": environment,
            "revision": revision,
            "seconds": rule.seconds,
            "success_ratio": rule.success_ratio,
            "latency_seconds": rule.latency_seconds,
        },
        timeout_seconds=rule.seconds + SPARE_SECONDS,
    )


def watch_note(rule: WatchRule) -> str:
    """What the plan says of it."""
    limits = []
    if rule.success_ratio is not None:
        limits.append(f"below {percent(rule.success_ratio)} good answers")
    if rule.latency_seconds is not None:
        limits.append(f"above a p95 of {duration(rule.latency_seconds)}")
    if not limits:
        return f"Watched for {span(rule.seconds)}; nothing brings it back by itself."
    return f"Watched for {span(rule.seconds)}: back by itself {' or '.join(limits)}."


# ---------------------------------------------------------------- judging


@dataclass(frozen=True)
class _Watch:
    """One watched revision; `elapsed_seconds` since it became healthy."""

    service: str
    environment: str
    revision: str
    rule: WatchRule
    elapsed_seconds: float

    @property
    def look_seconds(self) -> float:
        return min(LOOK_SECONDS, max(self.rule.seconds / 4, 1.0))

    @property
    def over(self) -> bool:
        return self.elapsed_seconds >= self.rule.seconds

    @property
    def progress(self) -> str:
        """`2 of 5 min`, `20 of 45 s`."""
        done = min(self.elapsed_seconds, self.rule.seconds)
        length = span(self.rule.seconds)
        return f"{int(done // 60 if length.endswith('min') else done)} of {length}"


def faults(signals: Signals, rule: WatchRule) -> tuple[str, ...]:
    """What is beyond the rule's limits. What was not measured is not beyond any, nor what may be incomplete."""
    if signals.warnings:
        return ()
    found = []
    ratio, latency = signals.success_ratio, signals.latency_seconds
    if rule.success_ratio is not None and ratio is not None and ratio < rule.success_ratio:
        found.append(f"{percent(ratio)} good answers, less than {percent(rule.success_ratio)}")
    if rule.latency_seconds is not None and latency is not None and latency > rule.latency_seconds:
        found.append(f"a p95 of {duration(latency)}, more than {duration(rule.latency_seconds)}")
    return tuple(found)


def verdict(signals: Signals | None, rule: WatchRule, problem: str) -> str:
    """How a watch ended that took nothing back. `problem`: why there are no signals."""
    if signals is None:
        return f"not watched: {problem}"
    if signals.warnings:
        return f"watched {span(rule.seconds)}: the numbers may be incomplete ({signals.warnings[0]})"
    words = describe(signals, rate=False)
    if words == "no traffic":
        return f"watched {span(rule.seconds)}: no traffic, so nothing is known"
    return f"watched {span(rule.seconds)}: {words}"


# ---------------------------------------------------------------- the step


async def _do_watch(run: Run, arguments: JSON) -> Done | Pending:
    source = run.backends.signals
    if source is None:
        return Done(detail="not watched: no backend for signals is configured")
    began = run.output(DEPLOY_STEP).get(HEALTHY_AT)
    if not began:
        return Done(detail="not watched: it is not known since when it runs")
    watch = _watch_of(arguments, (run.now - datetime.fromisoformat(began)).total_seconds())
    return await _look(source, watch, run.now)


def _watch_of(arguments: JSON, elapsed_seconds: float) -> _Watch:
    return _Watch(
        arguments["service"],
        arguments["environment"],
        arguments["revision"],
        WatchRule(arguments["seconds"], arguments["success_ratio"], arguments["latency_seconds"]),
        max(elapsed_seconds, 0.0),
    )


async def _look(source: SignalSource, watch: _Watch, now: datetime) -> Done | Pending:
    """Raises PermanentBackendError when this look and the one before both are beyond a limit."""
    signals, problem = await _ask(source, watch, now)
    bad = faults(signals, watch.rule) if signals else ()
    if bad:
        before, _ = await _ask(source, watch, now, ago_seconds=watch.look_seconds)
        if before is not None and faults(before, watch.rule):
            raise PermanentBackendError(
                f"{watch.revision[:7]} in {watch.environment} has {' and '.join(bad)}, seen twice within "
                f"{watch.look_seconds:g} s.",
                backend="signals",
                kind=BackendErrorKind.NOT_READY,
            )
    latest = watch.rule.seconds + OVERTIME_LOOKS * watch.look_seconds
    undecided = bool(bad) and watch.elapsed_seconds < latest
    if watch.over and not undecided:
        return Done(detail=verdict(signals, watch.rule, problem))
    seen = describe(signals, rate=False) if signals else problem
    return Pending(f"watching, {watch.progress}: {seen}", _pause(watch))


def _pause(watch: _Watch) -> float:
    """Until the next look; the last one is made when the time is over, not before."""
    left = watch.rule.seconds - watch.elapsed_seconds
    return min(watch.look_seconds, left) if left > 0 else watch.look_seconds


async def _ask(
    source: SignalSource, watch: _Watch, now: datetime, *, ago_seconds: float = 0.0
) -> tuple[Signals | None, str]:
    """Signals since the revision became healthy, as they were `ago_seconds` before now; else why there are none."""
    elapsed_seconds = watch.elapsed_seconds - ago_seconds
    window_seconds = int(min(elapsed_seconds, watch.rule.seconds))
    if window_seconds < 1:
        return None, TOO_EARLY
    question = SignalQuestion(
        watch.service,
        watch.environment,
        revision=watch.revision,
        window_seconds=window_seconds,
        until=now - timedelta(seconds=ago_seconds) if ago_seconds else None,
    )
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            signals = await source.signals(question)
    except BackendError as error:
        log.warning("watching.unanswered", environment=watch.environment, error=error.message)
        return None, f"{error.backend} could not be asked"
    except TimeoutError:
        return None, f"the signals were not told within {DEADLINE_SECONDS:g} s"
    except Exception:
        # A mistake in the looking must not take back what runs well; the log has it in full.
        log.exception("watching.unexpected", environment=watch.environment)
        return None, "the signals could not be read"
    # A backend that needs a longer window would count what ran before.
    too_early = signals.window_seconds > elapsed_seconds + 1
    return (None, TOO_EARLY) if too_early else (signals, "")


WATCH = StepKind(_do_watch)
"""No undo of its own: that of `deploy` goes back."""
