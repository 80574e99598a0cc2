"""The watch after a promotion: what is bad twice goes back, what is not known never does, and a kill changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import people_made as made
import pytest
from fake_backends import FakeBackends, sha
from fake_context import FakeRun

from bot import marking, watching
from bot.attempt import LAST_CALL_SECONDS
from bot.command import Done, Pending
from bot.domain import WatchRule
from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from bot.metrics import Metrics
from bot.signal_words import describe, duration, frequency, percent, span
from integrations.ports import Annotation, DeploymentState, Finding, SignalQuestion, Signals, SignalSource

NEW = sha("new")
RULE = WatchRule(seconds=300, success_ratio=0.99, latency_seconds=0.5)
BEGAN = made.NOW
GOOD = (0.998, 0.12)
AWAY = TemporaryBackendError("no route to host", backend="Prometheus")
Measured = tuple[float | None, float | None]


@dataclass
class FakeSignals:
    """`measured` says what there is to see at so many seconds after the deployment; an exception is raised instead."""

    measured: Callable[[float], Measured | Exception] = lambda _elapsed: GOOD
    shortest_window_seconds: int = 1
    warnings: tuple[str, ...] = ()
    asked: list[tuple[float, int, str | None]] = field(default_factory=list)
    now: datetime = BEGAN

    async def check(self) -> Sequence[Finding]:
        return []

    async def signals(self, question: SignalQuestion) -> Signals:
        assert (question.service, question.environment) == ("orders", "production")
        moment = question.until or self.now
        elapsed = (moment - BEGAN).total_seconds()
        self.asked.append((elapsed, question.window_seconds, question.revision))
        seen = self.measured(elapsed)
        if isinstance(seen, Exception):
            raise seen
        window = max(question.window_seconds, self.shortest_window_seconds)
        return Signals(*seen, 12.0, window, moment, warnings=self.warnings)


async def look(
    source: SignalSource | None, elapsed: float, *, rule: WatchRule = RULE, outputs: bool = True
) -> Done | Pending:
    """One call of the step in a process that has never made one before."""
    backends = FakeBackends()
    backends.signals = source
    now = BEGAN + timedelta(seconds=elapsed)
    if isinstance(source, FakeSignals):
        source.now = now
    run = FakeRun(
        backends=backends,
        now=now,
        outputs={"deploy": {"healthy_at": BEGAN.isoformat()}} if outputs else {},
    )
    step = watching.plan_watch(service="orders", environment="production", revision=NEW, rule=rule)
    return await watching.WATCH.do(run, step.arguments)


async def watch(source: FakeSignals, *, rule: WatchRule = RULE) -> tuple[Done, list[str]]:
    """Every look until the end, each in a process of its own; the end, and what the card said before it."""
    elapsed = 0.0
    said: list[str] = []
    while True:
        outcome = await look(source, elapsed, rule=rule)
        if isinstance(outcome, Done):
            return outcome, said
        said.append(outcome.detail)
        elapsed += outcome.after_seconds


# ---------------------------------------------------------------- the plan


def test_the_step_carries_the_rule_it_was_approved_with() -> None:
    step = watching.plan_watch(service="orders", environment="production", revision=NEW, rule=RULE)
    assert (step.key, step.title, step.undo_title) == ("watch", "Watch production for 5 min", "")
    assert step.arguments == {
        "service": "orders", "environment": "production", "revision": NEW,
        "seconds": 300, "success_ratio": 0.99, "latency_seconds": 0.5,
    }  # fmt: skip
    assert step.timeout_seconds > RULE.seconds + watching.OVERTIME_LOOKS * watching.LOOK_SECONDS


@pytest.mark.parametrize(
    ("rule", "note"),
    [
        (RULE, "Watched for 5 min: back by itself below 99 % good answers or above a p95 of 500 ms."),
        (WatchRule(600, 0.995), "Watched for 10 min: back by itself below 99.5 % good answers."),
        (WatchRule(90, None, 2.0), "Watched for 90 s: back by itself above a p95 of 2 s."),
        (WatchRule(300), "Watched for 5 min; nothing brings it back by itself."),
    ],
)
def test_the_plan_says_what_brings_it_back(rule: WatchRule, note: str) -> None:
    assert watching.watch_note(rule) == note


# ---------------------------------------------------------------- a good one


async def test_a_good_revision_is_watched_to_the_end_and_the_card_follows() -> None:
    source = FakeSignals()
    done, said = await watch(source)
    assert done.detail == "watched 5 min: 99.8 % good answers, p95 120 ms"
    assert said[0] == "watching, 0 of 5 min: too early to tell"
    assert "watching, 2 of 5 min: 99.8 % good answers, p95 120 ms" in said
    assert len(said) == 20, "a look every 15 seconds"


async def test_the_window_begins_with_the_deployment_and_grows() -> None:
    source = FakeSignals()
    await watch(source)
    assert [window for _, window, _ in source.asked[:3]] == [15, 30, 45]
    assert source.asked[-1] == (300.0, 300, NEW)


async def test_a_short_watch_is_looked_at_more_often() -> None:
    pending = await look(FakeSignals(), 0.0, rule=replace(RULE, seconds=20))
    assert isinstance(pending, Pending)
    assert pending.after_seconds == 5.0
    with pytest.raises(PermanentBackendError, match=r"seen twice within 5 s\."):
        await watch(FakeSignals(lambda _: (0.5, 0.1)), rule=replace(RULE, seconds=20))


async def test_the_last_look_is_made_when_the_time_is_over() -> None:
    pending = await look(FakeSignals(), 291.0)
    assert isinstance(pending, Pending)
    assert pending.after_seconds == 9.0


# ---------------------------------------------------------------- a bad one


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ((0.97, 0.1), "97 % good answers, less than 99 %"),
        ((0.999, 0.75), "a p95 of 750 ms, more than 500 ms"),
        ((0.0, 2.0), "0 % good answers, less than 99 % and a p95 of 2 s, more than 500 ms"),
        ((0.98999, None), "98.99 % good answers, less than 99 %"),
    ],
)
async def test_bad_in_two_looks_fails_the_step_for_good(bad: Measured, words: str) -> None:
    with pytest.raises(PermanentBackendError) as caught:
        await watch(FakeSignals(lambda elapsed: bad if elapsed >= 60 else GOOD))
    assert caught.value.message == f"{NEW[:7]} in production has {words}, seen twice within 15 s."
    assert caught.value.kind is BackendErrorKind.NOT_READY


async def test_bad_once_and_good_again_takes_nothing_back() -> None:
    done, said = await watch(FakeSignals(lambda elapsed: (0.5, 0.1) if elapsed == 120 else GOOD))
    assert done.detail == "watched 5 min: 99.8 % good answers, p95 120 ms"
    assert "watching, 2 of 5 min: 50 % good answers, p95 100 ms" in said


async def test_exactly_at_the_limits_is_within_them() -> None:
    done, _ = await watch(FakeSignals(lambda _: (0.99, 0.5)))
    assert done.detail == "watched 5 min: 99 % good answers, p95 500 ms"


async def test_what_turns_bad_in_the_last_look_gets_a_second_one() -> None:
    with pytest.raises(PermanentBackendError, match="seen twice"):
        await watch(FakeSignals(lambda elapsed: (0.5, 0.1) if elapsed >= 300 else GOOD))


async def test_the_second_look_is_not_waited_for_without_end() -> None:
    """Every odd look is bad, and what came before it can never be told."""
    moments: list[float] = []

    def measured(elapsed: float) -> Measured | Exception:
        moments.append(elapsed)
        return (0.5, 0.1) if elapsed == max(moments) else AWAY

    done, _ = await watch(FakeSignals(measured))
    assert done.detail == "watched 5 min: 50 % good answers, p95 100 ms"
    assert max(moments) <= RULE.seconds + watching.OVERTIME_LOOKS * watching.LOOK_SECONDS


async def test_a_limit_that_is_not_set_is_not_judged() -> None:
    done, _ = await watch(FakeSignals(lambda _: (0.1, 9.0)), rule=WatchRule(300))
    assert done.detail == "watched 5 min: 10 % good answers, p95 9 s"


# ---------------------------------------------------------------- what is not known


async def test_no_traffic_is_no_reason_to_go_back() -> None:
    done, said = await watch(FakeSignals(lambda _: (None, None)))
    assert done.detail == "watched 5 min: no traffic, so nothing is known"
    assert "watching, 2 of 5 min: no traffic" in said


@pytest.mark.parametrize(
    "error",
    [AWAY, PermanentBackendError("bad query", backend="Prometheus", kind=BackendErrorKind.INVALID)],
)
async def test_a_prometheus_that_is_away_is_no_reason_to_go_back(error: Exception) -> None:
    done, said = await watch(FakeSignals(lambda _: error))
    assert done.detail == "not watched: Prometheus could not be asked"
    assert "watching, 2 of 5 min: Prometheus could not be asked" in said


async def test_away_for_a_while_is_made_up_for_by_the_last_look() -> None:
    done, _ = await watch(FakeSignals(lambda elapsed: AWAY if elapsed < 200 else GOOD))
    assert done.detail == "watched 5 min: 99.8 % good answers, p95 120 ms"


async def test_bad_and_then_away_takes_nothing_back() -> None:
    done, _ = await watch(FakeSignals(lambda elapsed: (0.1, 0.1) if elapsed == 60 else AWAY))
    assert done.detail == "not watched: Prometheus could not be asked"


async def test_a_mistake_of_ours_is_no_reason_to_go_back() -> None:
    done, _ = await watch(FakeSignals(lambda _: ZeroDivisionError()))
    assert done.detail == "not watched: the signals could not be read"


async def test_numbers_that_may_be_incomplete_are_no_reason_to_go_back() -> None:
    done, _ = await watch(FakeSignals(lambda _: (0.1, 9.0), warnings=("store-3 is away",)))
    assert done.detail == "watched 5 min: the numbers may be incomplete (store-3 is away)"


async def test_what_ran_before_is_never_counted() -> None:
    """The backend needs a minute's window: for the first one it would show the revision before."""
    source = FakeSignals(lambda elapsed: (0.1, 0.1) if elapsed < 60 else GOOD, shortest_window_seconds=60)
    done, said = await watch(source)
    assert said[2] == "watching, 0 of 5 min: too early to tell"
    assert done.detail == "watched 5 min: 99.8 % good answers, p95 120 ms"


async def test_a_watch_too_short_to_measure_says_so() -> None:
    done, _ = await watch(FakeSignals(shortest_window_seconds=60), rule=replace(RULE, seconds=30))
    assert done.detail == "not watched: too early to tell"


async def test_a_backend_that_never_answers_costs_a_look_and_nothing_else() -> None:
    assert watching.DEADLINE_SECONDS < LAST_CALL_SECONDS
    done = await look(FakeSignals(lambda _: TimeoutError()), 300)
    assert done == Done(detail="not watched: the signals were not told within 4 s")


@pytest.mark.parametrize(
    ("source", "outputs", "why"),
    [
        (None, True, "no backend for signals is configured"),
        (FakeSignals(), False, "it is not known since when it runs"),
    ],
)
async def test_what_cannot_be_watched_is_said(source: FakeSignals | None, outputs: bool, why: str) -> None:
    assert await look(source, 60, outputs=outputs) == Done(detail=f"not watched: {why}")


# ---------------------------------------------------------------- kills


async def test_a_kill_between_looks_neither_restarts_the_watch_nor_forgets_the_look_before() -> None:
    """Every look of this suite is made by a fresh run; this one says what follows from it."""
    source = FakeSignals(lambda elapsed: (0.5, 0.1) if elapsed >= 105 else GOOD)
    before = await look(source, 105)
    assert isinstance(before, Pending), "bad, but only once"
    with pytest.raises(PermanentBackendError, match="seen twice within 15 s"):
        await look(source, 120)
    assert await look(FakeSignals(), 301) == Done("watched 5 min: 99.8 % good answers, p95 120 ms")


async def test_a_bot_that_was_down_for_an_hour_looks_once_more_before_it_says_anything() -> None:
    assert await look(FakeSignals(), 3600) == Done("watched 5 min: 99.8 % good answers, p95 120 ms")
    with pytest.raises(PermanentBackendError):
        await look(FakeSignals(lambda _: (0.5, 0.1)), 3600)


async def test_a_clock_that_went_back_waits() -> None:
    outcome = await look(FakeSignals(), -30)
    assert isinstance(outcome, Pending)
    assert outcome.after_seconds == 15


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (percent(0.57), "57 %"),
        (percent(0.99999), "99.99 %"),
        (percent(1.0), "100 %"),
        (percent(0.0), "0 %"),
        (duration(0.0841), "85 ms"),
        (duration(0.5), "500 ms"),
        (duration(1.2), "1.2 s"),
        (frequency(12.4), "12/s"),
        (frequency(1.25), "1.2/s"),
        (frequency(0.05), "3.0/min"),
        (frequency(0.0001), "0.1/min"),
        (span(300), "5 min"),
        (span(45), "45 s"),
        (span(90), "90 s"),
        (describe(Signals(0.999, 0.084, 12.0, 300, made.NOW)), "99.9 % good answers, p95 84 ms, 12/s"),
        (describe(Signals(None, None, None, 300, made.NOW)), "no traffic"),
    ],
)
def test_numbers_are_never_rounded_in_the_services_favour(said: str, meant: str) -> None:
    assert said == meant


# ---------------------------------------------------------------- marks on dashboards


@dataclass(frozen=True)
class Deployed:
    service: str = "orders"
    environment: str = "production"
    revision: str = NEW
    operation: str = "r-7k2m9xq.1.deploy"


class FakeAnnotations:
    """`failure`: what becomes of a mark instead."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.marks: list[Annotation] = []

    async def check(self) -> Sequence[Finding]:
        return []

    async def annotate(self, annotation: Annotation) -> str:
        if self.failure:
            raise self.failure
        self.marks.append(annotation)
        return ""


class SilentAnnotations(FakeAnnotations):
    async def annotate(self, annotation: Annotation) -> str:
        self.marks.append(annotation)
        await asyncio.Event().wait()
        return ""


def marked(annotations: FakeAnnotations | None) -> FakeRun:
    backends = FakeBackends()
    backends.annotations = annotations
    return FakeRun(backends=backends)


def counted(state: str, outcome: str) -> float:
    labels = {"state": state, "outcome": outcome}
    return Metrics().registry.get_sample_value("platform_deployment_reports_total", labels) or 0.0


async def test_dashboards_are_marked_where_something_begins_to_run_or_fails() -> None:
    annotations = FakeAnnotations()
    for state in DeploymentState:
        await marking.mark(marked(annotations), Deployed(), state)
    assert [(one.key, one.text) for one in annotations.marks] == [
        ("r-7k2m9xq.1.deploy.success", f"orders {NEW[:7]} runs in production (r-7k2m9xq, Alice Adams)"),
        ("r-7k2m9xq.1.deploy.failure", f"orders {NEW[:7]} failed in production (r-7k2m9xq, Alice Adams)"),
    ]


@pytest.mark.parametrize(
    "failure",
    [
        AWAY,
        PermanentBackendError("no permission", backend="Grafana", kind=BackendErrorKind.DENIED),
        ZeroDivisionError(),
    ],
)
async def test_a_mark_that_fails_is_counted_and_nothing_else(failure: Exception) -> None:
    before = counted("mark_success", "failed")
    await marking.mark(marked(FakeAnnotations(failure)), Deployed(), DeploymentState.SUCCESS)
    assert counted("mark_success", "failed") == before + 1


async def test_dashboards_that_do_not_answer_are_given_up() -> None:
    annotations = SilentAnnotations()
    await marking.mark(marked(annotations), Deployed(), DeploymentState.SUCCESS, deadline_seconds=0.01)
    assert len(annotations.marks) == 1


async def test_without_dashboards_nothing_is_marked_or_counted() -> None:
    before = counted("mark_success", "told")
    await marking.mark(marked(None), Deployed(), DeploymentState.SUCCESS)
    assert counted("mark_success", "told") == before
