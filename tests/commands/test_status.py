"""status: unknown is never healthy, a backend that is away hides no other, and buttons are what this person may do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar

import people_made as made
import pytest
from fake_backends import FakeDelivery, sha
from fake_context import FakeContext, FakeKnowledge, make_plan, make_service, step_record
from shown import assert_reply, buttons, texts, words

from bot.command import Scope
from bot.domain import Actor, DeploymentRecord, Gate, RequestState, StepState, Verdict
from bot.errors import BackendError, NotFoundError, PermanentBackendError, TemporaryBackendError
from bot.errors import BackendErrorKind as Kind
from bot.freshness import Freshness
from bot.status_panels import Unknown
from commands import status
from commands.status import Status, answer, ask, scope
from integrations._breaker import Breaker
from integrations.ports import (
    Application,
    Claim,
    EvidenceKind,
    EvidenceReport,
    EvidenceVerdict,
    Finding,
    Health,
    MonthlyCost,
    Phase,
    SignalQuestion,
    Signals,
    StoredKey,
    SyncedSecret,
    SyncStatus,
)
from integrations.ports.backend import BreakerReport

REVISION, RELEASE = sha("revision"), sha("release")
T = TypeVar("T")


@pytest.fixture
def ctx() -> FakeContext:
    return FakeContext(knowledge=FakeKnowledge(services=[make_service()]))


def deployed(environment: str = "production", **changes: object) -> DeploymentRecord:
    values: dict[str, object] = {
        "service": "orders",
        "environment": environment,
        "revision": REVISION,
        "ref_revision": RELEASE,
        "healthy": True,
        "deployed_by": "UOMAR00001",
        "deployed_at": made.NOW,
    }
    return DeploymentRecord(**{**values, **changes})  # type: ignore[arg-type]


# ---------------------------------------------------------------- scope


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("", Scope(permission="look")),
        ("orders", Scope(permission="status", team="orders", service="orders")),
        ("ORDERS", Scope(permission="status", team="orders", service="orders")),
        ("r-7k2m9x", Scope(permission="look", team="orders", service="orders", environment="production")),
        ("R-7K2M9X", Scope(permission="look", team="orders", service="orders", environment="production")),
    ],
)
async def test_a_service_a_request_or_what_is_mine(ctx: FakeContext, subject: str, expected: Scope) -> None:
    ctx.knowledge.requests = [made.request_for(make_plan(), ())]
    assert await scope(Status(subject=subject), ctx.actor, ctx.platform, ctx.knowledge) == expected


@pytest.mark.parametrize(
    ("subject", "sentence"),
    [
        ("ordrs", "There is no service “ordrs”. Did you mean `orders`?"),
        ("r-nope", "There is no request “r-nope”. `/platform requests` lists the open ones."),
    ],
)
async def test_what_does_not_exist_is_named(ctx: FakeContext, subject: str, sentence: str) -> None:
    with pytest.raises(NotFoundError) as refused:
        await scope(Status(subject=subject), ctx.actor, ctx.platform, ctx.knowledge)
    assert refused.value.sentence == sentence


# ---------------------------------------------------------------- one service


async def test_a_service_says_where_it_runs_what_and_how(ctx: FakeContext) -> None:
    ctx.backends.delivery.runs("orders", "staging", REVISION)
    reply = assert_reply(await answer(ctx, Status(subject="orders")))
    assert reply.text == "orders: staging healthy, production empty"
    shown = words(reply)
    assert f":large_green_circle: *Staging* · `{REVISION[:7]}` · healthy · synced" in shown
    assert "<http://staging.example.com/orders|open>" in shown
    assert ":white_circle: *Production* · nothing runs here yet" in shown
    assert "Owner *orders* · python-service · <https://git.example.com/orders|repository>" in shown


@pytest.mark.parametrize("health", Health)
async def test_every_health_has_its_own_mark_and_only_healthy_is_green(
    ctx: FakeContext, health: Health
) -> None:
    ctx.backends.delivery.runs("orders", "production", REVISION, health=health, message="3 of 4 pods")
    reply = assert_reply(await answer(ctx, Status(subject="orders")))
    assert reply.text == f"orders: staging empty, production {health.value}"
    lines = words(reply)
    assert (":large_green_circle: *Production*" in lines) is (health is Health.HEALTHY)
    assert ("_3 of 4 pods_" in lines) is (health is not Health.HEALTHY)


FAULTS: dict[str, tuple[Exception, str]] = {
    "away": (TemporaryBackendError("no route to host", backend="delivery"), "_no route to host_"),
    "refused": (PermanentBackendError("bad token", backend="delivery", kind=Kind.DENIED), "_bad token_"),
}


@pytest.mark.parametrize(("error", "why"), FAULTS.values(), ids=FAULTS.keys())
async def test_an_environment_that_cannot_be_asked_is_unknown_with_what_was_last_known(
    ctx: FakeContext, error: Exception, why: str
) -> None:
    """The fault hits the first question, which is about staging; production answers."""
    ctx.knowledge.deployments = [deployed("staging")]
    ctx.backends.delivery.runs("orders", "production", REVISION)
    ctx.backends.delivery.faults["get_application"] = error
    reply = assert_reply(await answer(ctx, Status(subject="orders")))
    assert reply.text == "orders: staging unknown, production healthy"
    shown = words(reply)
    assert ":grey_question: *Staging* · unknown" in shown
    assert why in shown
    assert f"Last known: `{REVISION[:7]}`" in shown
    assert "deployed by <@UOMAR00001>" in shown


async def test_an_environment_of_which_nothing_was_ever_known_says_so(ctx: FakeContext) -> None:
    ctx.backends.delivery.faults["get_application"] = TemporaryBackendError("away", backend="delivery")
    reply = await answer(ctx, Status(subject="orders"))
    assert "Nothing was known before." in words(reply)


class SlowDelivery(FakeDelivery):
    """Never answers about staging; production is there at once."""

    async def get_application(self, service: str, environment: str) -> Application | None:
        if environment == "staging":
            await asyncio.Event().wait()
        return await super().get_application(service, environment)


class Silent:
    """A backend of any kind that never answers."""

    async def check(self) -> Sequence[Finding]:
        return []

    def __getattr__(self, question: str) -> Callable[..., Awaitable[Any]]:
        if question == "breaker_state":
            raise AttributeError(question)
        return self._never

    async def _never(self, *_args: object, **_kwargs: object) -> Any:
        await asyncio.Event().wait()


async def test_backends_that_do_not_answer_delay_nobody_longer_than_one_deadline(ctx: FakeContext) -> None:
    """The one test that waits for a real deadline: everybody is silent at once, and it is waited for once."""
    ctx.backends.delivery = SlowDelivery()
    ctx.backends.delivery.runs("orders", "production", REVISION)
    for port in ("signals", "evidence", "secret_sync", "secret_store", "costs"):
        setattr(ctx.backends, port, Silent())
    began = asyncio.get_running_loop().time()
    reply = assert_reply(await answer(ctx, Status(subject="orders")))
    assert asyncio.get_running_loop().time() - began < 2 * status.DEADLINE_SECONDS
    assert reply.text == "orders: staging unknown, production healthy"
    shown = words(reply)
    assert shown.count(
        ":grey_question: Signals, vulnerabilities, policies, secrets and measured cost unknown · "
        "_no answer within 2 s_"
    ) == len(ctx.platform.environments)


async def test_what_is_no_failure_of_a_backend_is_not_hidden() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ask(broken())


async def test_could_not_ask_keeps_the_reason() -> None:
    async def away() -> None:
        raise TemporaryBackendError("no route", backend="delivery")

    assert await ask(away()) == Unknown("no route")


async def test_who_deployed_is_the_person_we_know_else_what_the_backend_says(ctx: FakeContext) -> None:
    ctx.knowledge.deployments = [deployed()]
    at = made.NOW - timedelta(hours=1)
    ctx.backends.delivery.runs("orders", "production", RELEASE, deployed_at=at, deployed_by="<!here>")
    assert "by <@UOMAR00001>" in words(assert_reply(await answer(ctx, Status(subject="orders"))))
    ctx.backends.delivery.runs("orders", "production", sha("x"), deployed_at=at, deployed_by="<!here>")
    assert "by &lt;!here&gt;" in words(assert_reply(await answer(ctx, Status(subject="orders"))))


async def test_an_unknown_sync_shows_what_was_last_known(ctx: FakeContext) -> None:
    ctx.knowledge.deployments = [deployed()]
    ctx.backends.delivery.runs("orders", "production", REVISION, sync=SyncStatus.UNKNOWN)
    assert "Last known:" in words(await answer(ctx, Status(subject="orders")))


CLAIM = Claim("orders-production-db", "postgresql", "orders", "production", Phase.READY)


async def test_infrastructure_is_listed_and_one_that_is_not_ready_says_why(ctx: FakeContext) -> None:
    waiting = Claim("orders-staging-db", "postgresql", "orders", "staging", Phase.PENDING, message="no quota")
    ctx.backends.infrastructure.claims = {CLAIM.name: CLAIM, waiting.name: waiting}
    shown = words(assert_reply(await answer(ctx, Status(subject="orders"))))
    assert ":large_green_circle: postgresql `orders-production-db` in production · ready" in shown
    assert ":large_blue_circle: postgresql `orders-staging-db` in staging · pending · no quota" in shown


async def test_infrastructure_that_cannot_be_asked_is_unknown(ctx: FakeContext) -> None:
    ctx.backends.infrastructure.faults["list_claims"] = TemporaryBackendError(
        "away", backend="infrastructure"
    )
    shown = words(assert_reply(await answer(ctx, Status(subject="orders"))))
    assert ":grey_question: *Infrastructure* · unknown\n_away_" in shown


async def test_open_requests_about_the_service_are_listed(ctx: FakeContext) -> None:
    ctx.knowledge.requests = [
        made.request_for(make_plan(), ()),
        made.request_for(make_plan(), (), id="r-done", state=RequestState.SUCCEEDED),
    ]
    shown = words(assert_reply(await answer(ctx, Status(subject="orders"))))
    assert "`r-7k2m9x`" in shown
    assert "`r-done`" not in shown


PROMOTE, ROLLBACK, REFRESH = "run:promote:production", "run:rollback:production", "run:status"


@pytest.mark.parametrize(
    ("actor", "offered"),
    [
        (made.alice(), [PROMOTE, ROLLBACK, REFRESH]),
        (made.sam(), [PROMOTE, ROLLBACK, REFRESH]),
        (made.priya(), [REFRESH]),
        (made.noel(), [REFRESH]),
    ],
    ids=["alice", "sam", "priya of payments", "noel"],
)
async def test_buttons_are_what_this_person_may_do(
    ctx: FakeContext, actor: Actor, offered: list[str]
) -> None:
    ctx.actor = actor
    ctx.backends.delivery.runs("orders", "staging", REVISION)
    ctx.backends.delivery.runs("orders", "production", REVISION)
    reply = await answer(ctx, Status(subject="orders"))
    assert buttons(reply.blocks) == [(action, "orders") for action in offered]


async def test_what_was_seen_is_told_when_the_backend_is_away(ctx: FakeContext) -> None:
    """Staging follows its branch: nobody tells the bot what runs there, it sees it when somebody looks."""
    ctx.backends.delivery.runs("orders", "staging", REVISION, deployed_at=made.NOW, deployed_by="auto-sync")
    await answer(ctx, Status(subject="orders"))
    ctx.backends.delivery.faults["get_application"] = TemporaryBackendError("away", backend="delivery")
    shown = words(await answer(ctx, Status(subject="orders")))
    assert "*Staging* · unknown" in shown
    assert f"Last known: `{REVISION[:7]}`" in shown
    assert "deployed by auto-sync" in shown


async def test_what_ran_before_all_that_is_recorded_is_nothing_to_remember(ctx: FakeContext) -> None:
    ctx.knowledge.deployments = [deployed()]
    before = made.NOW - timedelta(minutes=1)
    ctx.backends.delivery.runs("orders", "production", sha("earlier"), deployed_at=before)
    await answer(ctx, Status(subject="orders"))
    assert ctx.knowledge.deployments == [deployed()]


async def test_buttons_make_sense_where_they_stand(ctx: FakeContext) -> None:
    """Nothing runs: nothing to promote. Nothing runs in production: nothing to roll back."""
    assert buttons((await answer(ctx, Status(subject="orders"))).blocks) == [(REFRESH, "orders")]
    ctx.backends.delivery.runs("orders", "staging", REVISION)
    reply = await answer(ctx, Status(subject="orders"))
    assert buttons(reply.blocks) == [(PROMOTE, "orders"), (REFRESH, "orders")]


# ---------------------------------------------------------------- what else is known of an environment


@dataclass
class Told:
    """Signals, evidence, secrets and costs of production, as a test says; nothing is known of staging."""

    signals_: Signals | BackendError | None = None
    reports_: Sequence[EvidenceReport] = ()
    synced: SyncedSecret | None = None
    keys: Sequence[StoredKey] = ()
    costs: Sequence[MonthlyCost] = ()

    async def check(self) -> Sequence[Finding]:
        return []

    async def signals(self, question: SignalQuestion) -> Signals:
        assert question.service == "orders"
        if isinstance(self.signals_, BackendError):
            raise self.signals_
        quiet = Signals(None, None, None, 300, made.NOW)
        return self.signals_ if self.signals_ and question.environment == "production" else quiet

    async def reports(
        self, service: str, environment: str, *, team: str, **_: object
    ) -> Sequence[EvidenceReport]:
        assert (service, team) == ("orders", "orders")
        return self.reports_ if environment == "production" else ()

    async def get_secret(self, _service: str, environment: str) -> SyncedSecret | None:
        return self.synced if environment == "production" else None

    async def list_keys(self, _service: str, environment: str, *, team: str) -> Sequence[StoredKey]:
        assert team == "orders"
        return self.keys if environment == "production" else ()

    async def monthly(self, _service: str) -> Sequence[MonthlyCost]:
        return self.costs


async def shown_of(ctx: FakeContext, told: Told, *ports: str) -> str:
    for port in ports:
        setattr(ctx.backends, port, told)
    ctx.backends.delivery.runs("orders", "production", REVISION)
    return words(assert_reply(await answer(ctx, Status(subject="orders"))))


@pytest.mark.parametrize(
    ("signals", "line"),
    [
        (
            Signals(0.999, 0.084, 12.0, 300, made.NOW),
            "99.9 % good answers, p95 84 ms, 12/s over 5 min",
        ),
        (None, "No traffic over 5 min"),
        (
            Signals(0.5, None, None, 300, made.NOW, "https://g.example.com/d/1", ("store <1> is away",)),
            (
                "50 % good answers over 5 min · "
                "_perhaps incomplete: store &lt;1&gt; is away_ · <https://g.example.com/d/1|dashboard>"
            ),
        ),
        (
            TemporaryBackendError("no route", backend="Prometheus"),
            ":grey_question: Signals unknown · _no route_",
        ),
    ],
)
async def test_how_it_does_is_one_line(
    ctx: FakeContext, signals: Signals | BackendError | None, line: str
) -> None:
    assert line in await shown_of(ctx, Told(signals_=signals), "signals")


VULNERABLE = EvidenceReport(
    EvidenceKind.VULNERABILITIES,
    "trivy",
    EvidenceVerdict.FINDINGS,
    "",
    {"critical": 2, "high": 5, "medium": 40},
)
POLICIES = EvidenceReport(
    EvidenceKind.POLICIES, "kyverno", EvidenceVerdict.FINDINGS, "", {"fail": 1, "warn": 3}
)


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (VULNERABLE, ":warning: 2 critical, 5 high vulnerabilities (trivy)"),
        (replace(VULNERABLE, counts={"low": 7}), ":warning: 7 low vulnerabilities (trivy)"),
        (replace(VULNERABLE, counts={}, message="9 findings"), ":warning: 9 findings (trivy)"),
        (
            replace(VULNERABLE, verdict=EvidenceVerdict.CLEAN, counts={}),
            ":white_check_mark: No known vulnerabilities (trivy)",
        ),
        (
            replace(VULNERABLE, verdict=EvidenceVerdict.UNKNOWN, counts={}, message="no report yet"),
            ":grey_question: Vulnerabilities (trivy) unknown · _no report yet_",
        ),
        (POLICIES, ":warning: Policies: 1 failed, 3 warned (kyverno)"),
        (
            replace(POLICIES, verdict=EvidenceVerdict.CLEAN, counts={}),
            ":white_check_mark: All policies met (kyverno)",
        ),
    ],
)
async def test_what_scanners_found_is_one_line_and_unknown_is_never_clean(
    ctx: FakeContext, report: EvidenceReport, line: str
) -> None:
    assert line in await shown_of(ctx, Told(reports_=(report,)), "evidence")


async def test_secrets_are_told_by_name(ctx: FakeContext) -> None:
    synced = SyncedSecret("orders", "production", ("STRIPE_KEY",), Phase.READY, secret="orders-secrets")
    told = Told(synced=synced, keys=[StoredKey("STRIPE_KEY", filled=False)])
    shown = await shown_of(ctx, told, "secret_sync", "secret_store")
    assert ":large_green_circle: Secrets synced in `orders-secrets`" in shown
    assert "`STRIPE_KEY` · *waits for its value*" in shown


MEASURED = MonthlyCost("production", 9.4, "USD", 7)


@pytest.mark.parametrize(
    ("costs", "prices", "line"),
    [
        ((MEASURED,), {}, "9.40 USD a month, measured over 7 days"),
        (
            (MEASURED,),
            {"service:production": 12.0},
            "9.40 USD a month, measured over 7 days · 12 EUR by the price table",
        ),
        ((), {"service:production": 12.0}, "No cost measured · 12 EUR by the price table"),
        (None, {"service:production": 12.0}, "12 EUR a month by the price table"),
    ],
)
async def test_what_it_costs_is_measured_beside_the_price_table(
    ctx: FakeContext, costs: tuple[MonthlyCost, ...] | None, prices: dict[str, float], line: str
) -> None:
    ctx.platform = replace(ctx.platform, prices=prices)
    ports = () if costs is None else ("costs",)
    assert line in (await shown_of(ctx, Told(costs=costs or ()), *ports)).splitlines()


async def test_the_price_table_counts_the_database(ctx: FakeContext) -> None:
    ctx.knowledge.services = [make_service(database="postgresql")]
    assert "21 EUR a month by the price table" in await shown_of(ctx, Told())


async def test_nothing_is_said_of_an_environment_where_nothing_runs(ctx: FakeContext) -> None:
    ctx.backends.signals = Told()
    shown = words(await answer(ctx, Status(subject="orders")))
    assert "No traffic" not in shown
    assert "price table" not in shown


async def test_what_a_platform_does_not_have_has_no_line(ctx: FakeContext) -> None:
    shown = await shown_of(ctx, Told())
    assert not any(word in shown for word in ("traffic", "vulnerabilities", "Secrets", "measured"))


async def test_what_is_under_way_is_told_where_it_happens(ctx: FakeContext) -> None:
    step = replace(step_record("deploy"), state=StepState.RUNNING, detail="step 2 of 5, 20 % of the traffic")
    ctx.knowledge.requests = [made.request_for(make_plan(), (), state=RequestState.RUNNING, steps=(step,))]
    shown = await shown_of(ctx, Told())
    assert ":arrows_counterclockwise: r-7k2m9x: step 2 of 5, 20 % of the traffic" in shown
    assert shown.index("*Production*") < shown.index(":arrows_counterclockwise:")


class TiredDelivery(FakeDelivery):
    """Failed five times in a row, and is left alone for 28 seconds more."""

    def breaker_state(self) -> BreakerReport:
        breaker = Breaker("Argo CD", pause_seconds=28)
        for _ in range(5):
            breaker.failed(0.0)
        return breaker.describe(0.0)


@pytest.mark.parametrize("subject", ["orders", ""])
async def test_a_system_that_is_left_alone_is_named(ctx: FakeContext, subject: str) -> None:
    ctx.backends.delivery = TiredDelivery()
    shown = words(assert_reply(await answer(ctx, Status(subject=subject))))
    moment = int(made.NOW.timestamp()) + 28
    assert f":no_entry: *Argo CD* is not being asked until <!date^{moment}^" in shown
    assert "(5 failures in a row)" in shown


async def test_a_breaker_that_is_closed_is_no_news(ctx: FakeContext) -> None:
    class Fresh(FakeDelivery):
        def breaker_state(self) -> BreakerReport:
            return Breaker("Argo CD").describe(0.0)

    ctx.backends.delivery = Fresh()
    assert ":no_entry:" not in words(await answer(ctx, Status(subject="orders")))


async def test_more_than_a_section_holds_is_cut_at_a_line(ctx: FakeContext) -> None:
    keys = [
        StoredKey(f"KEY_{n}", filled=False, web_url=f"https://v.example.com/{'x' * 150}") for n in range(20)
    ]
    shown = await shown_of(ctx, Told(keys=keys), "secret_store")
    assert "`KEY_0` · *waits for its value*" in shown
    assert "KEY_9" not in shown
    assert "\n…" in shown


# ---------------------------------------------------------------- a request, and mine


async def test_a_request_is_shown_as_its_card(ctx: FakeContext) -> None:
    ctx.knowledge.requests = [made.request_for(make_plan(), ())]
    reply = assert_reply(await answer(ctx, Status(subject="r-7k2m9x")))
    assert "Promote orders to production" in words(reply)
    assert ("approve", "r-7k2m9x") in buttons(reply.blocks)


async def test_a_request_without_a_plan_is_one_line(ctx: FakeContext) -> None:
    unplanned = replace(
        made.request_for(make_plan(), ()), plan=None, plan_hash="", state=RequestState.PLANNING
    )
    ctx.knowledge.requests = [unplanned]
    reply = assert_reply(await answer(ctx, Status(subject="r-7k2m9x")))
    assert words(reply).startswith("`r-7k2m9x` *promote orders* · :hourglass_flowing_sand: planning")


GATE = Gate(rule="p", verdict=Verdict.NEEDS_APPROVAL, reason="production", group="leads:orders", needed=1)


async def test_mine_lists_what_waits_for_me_my_requests_and_my_teams_services(ctx: FakeContext) -> None:
    ctx.actor = made.lena()
    ctx.knowledge.requests = [
        made.request_for(make_plan(title="Waits for Lena"), (GATE,), id="r-waits"),
        made.request_for(make_plan(title="Lena's own"), (GATE,), id="r-own", requester="ULENA00001"),
        made.request_for(make_plan(title="Somebody else's"), (), id="r-other", state=RequestState.RUNNING),
    ]
    ctx.knowledge.services = [make_service(), make_service("ledger", team="payments")]
    reply = assert_reply(await answer(ctx, Status()))
    assert reply.text == "1 waiting for you, 1 open request, 1 service"
    shown = words(reply)
    waiting, own = shown.index("*Waits for you*"), shown.index("*Your open requests*")
    assert waiting < shown.index("Waits for Lena") < own < shown.index("Lena's own")
    assert "Somebody else" not in shown
    assert "*orders*" in shown
    assert "ledger" not in shown


@pytest.mark.parametrize("person", [made.alice, made.noel])
async def test_nothing_of_mine_says_how_to_begin(person: Callable[[], Actor]) -> None:
    reply = assert_reply(await answer(FakeContext(actor=person()), Status()))
    assert reply.text == (
        "Nothing waits for you, and your teams have no service yet. `/platform create-service` makes one."
    )


async def test_foreign_words_stay_words(ctx: FakeContext) -> None:
    evil = "<!channel> <https://evil.example|click> <@UALICE0001>"
    ctx.knowledge.services = [make_service(description=evil, web_url="javascript:alert(1)")]
    ctx.backends.delivery.runs(
        "orders", "production", REVISION, health=Health.DEGRADED, message=evil, unhealthy=(evil,) * 9
    )
    reply = assert_reply(await answer(ctx, Status(subject="orders")))
    assert any("&lt;!channel&gt;" in text for text in texts(reply.blocks))
    assert "|repository>" not in words(reply)


async def test_what_backends_say_of_a_service_is_shared_with_all_who_ask_now(ctx: FakeContext) -> None:
    await answer(ctx, Status(subject="orders"))
    await answer(ctx, Status(subject="orders"))
    first, second = (key for key in ctx.shared if key.startswith("status"))
    assert first == second
    ctx.knowledge.deployments.insert(0, deployed())
    await answer(ctx, Status(subject="orders"))
    assert ctx.shared[-1] != first, "after a release nobody is shown how it was before"


@dataclass
class Asking(FakeContext):
    """One of several who ask the same bot; `afresh` who pressed *Refresh*."""

    freshness: Freshness = field(default_factory=Freshness)
    afresh: bool = False

    async def share(self, key: str, question: Callable[[], Awaitable[T]]) -> T:
        return await self.freshness.share(key, question, afresh=self.afresh)


async def test_those_who_ask_at_once_share_all_but_their_buttons() -> None:
    lead = Asking(knowledge=FakeKnowledge(services=[make_service()]))
    reader = replace(lead, actor=made.noel())
    lead.backends.delivery.runs("orders", "staging", REVISION)
    seen, read = await asyncio.gather(*(answer(one, Status(subject="orders")) for one in (lead, reader)))
    assert seen.text == read.text
    assert seen.blocks[:-1] == read.blocks[:-1]
    assert buttons(seen.blocks) == [(PROMOTE, "orders"), (REFRESH, "orders")]
    assert buttons(read.blocks) == [(REFRESH, "orders")]


async def test_who_refreshes_while_another_asks_is_shown_newer_answers_than_theirs() -> None:
    """They share one look at the bot's own rows, and no picture of what backends said before."""
    typed = Asking(knowledge=FakeKnowledge(services=[make_service()]))
    pressed = replace(typed, afresh=True)
    await answer(typed, Status(subject="orders"))
    typed.backends.delivery.runs("orders", "production", REVISION)
    before, now = await asyncio.gather(*(answer(one, Status(subject="orders")) for one in (typed, pressed)))
    assert REVISION[:7] not in words(before)
    assert REVISION[:7] in words(now)
