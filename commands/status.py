"""`/platform status`: how a service or a request stands; without argument, my services and what waits for me.

Every backend is asked at once and each has its own deadline: one that is down is shown as unknown with what was last known,
never as healthy, and never delays the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeGuard, TypeVar

from bot import lookup, request_views, standing, status_panels, steps, views
from bot.command import Args, Backends, Command, Context, Knowledge, Reply, Scope, argument
from bot.domain import (
    Actor,
    Cost,
    DeploymentRecord,
    Environment,
    Platform,
    Request,
    RequestState,
    Service,
    StepState,
)
from bot.errors import BackendError
from bot.freshness import Momentary
from bot.status_panels import Place, Secrets, Unknown
from integrations.ports import (
    OPTIONAL_PORTS,
    PORTS,
    Application,
    Claim,
    EvidenceReport,
    MonthlyCost,
    SignalQuestion,
    Signals,
)
from integrations.ports.backend import BreakerReport, Guarded

DEADLINE_SECONDS = 2.0
REQUEST_PREFIX = "r-"
_AT_WORK = frozenset({StepState.RUNNING, StepState.UNDOING})
T = TypeVar("T")


class Status(Args):
    subject: str = argument(
        "Service or request", "A service's name or a request's number.", default="", positional=True
    )


async def scope(args: Status, _actor: Actor, _platform: Platform, knowledge: Knowledge) -> Scope:
    if not args.subject:
        return Scope(permission="look")
    if await _names_a_request(knowledge, args.subject):
        return await lookup.request_scope(knowledge, args.subject)
    service = await lookup.existing_service(knowledge, args.subject)
    return Scope(permission="status", team=service.team, service=service.name)


async def answer(ctx: Context, args: Status) -> Reply:
    if not args.subject:
        return await _mine(ctx)
    if await _names_a_request(ctx.knowledge, args.subject):
        return _request(ctx, await lookup.existing_request(ctx.knowledge, args.subject))
    return await _service(ctx, args.subject)


async def _names_a_request(knowledge: Knowledge, subject: str) -> bool:
    """A request's number, unless a service is called like that."""
    name = subject.lower()
    return name.startswith(REQUEST_PREFIX) and await knowledge.find_service(name) is None


# ---------------------------------------------------------------- one service


async def ask(question: Awaitable[T]) -> T | Unknown:
    """One backend's answer within the deadline; "could not ask" is an answer of its own and never a good one."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await question
    except TimeoutError:
        return Unknown(f"no answer within {DEADLINE_SECONDS:g} s")
    except BackendError as error:
        return Unknown(error.message)


@dataclass(frozen=True, eq=False)
class Answers:
    """What the backends said of a service, for all who share it; the places as far as backends know them."""

    places: Sequence[Place]
    claims: Sequence[Claim] | Unknown
    costs: Sequence[MonthlyCost] | Unknown | None


@dataclass(frozen=True, eq=False)
class Known:
    """What the bot itself knows of a service at one look; `last` is each environment's last deployment."""

    service: Service
    open_requests: Sequence[Request]
    last: Sequence[DeploymentRecord | None]
    drawn: dict[Answers, Reply] = field(default_factory=dict)
    """What was drawn of this look and of those answers, for all who share both."""

    @property
    def since(self) -> list[object]:
        """Differs once the bot did something there."""
        deployed = [one and one.deployed_at.isoformat() for one in self.last]
        return [*deployed, *(one.version for one in self.open_requests)]


async def _service(ctx: Context, name: str) -> Reply:
    """The same for everybody who asks at this moment, but for the buttons."""
    known = await ctx.share(f"known {name}", Momentary(partial(_known, ctx, name)))
    # What the bot did since is in the key: nobody is shown how it was before.
    answers = await ctx.share(f"status {known.service.name} {known.since}", partial(_asked, ctx, known))
    if answers not in known.drawn:
        known.drawn[answers] = _drawn(ctx, known, answers)
    drawn = known.drawn[answers]
    buttons = _buttons(ctx, known.service, [place.application for place in answers.places])
    return Reply(drawn.text, [*drawn.blocks, *buttons])


async def _known(ctx: Context, name: str) -> Known:
    service = await lookup.existing_service(ctx.knowledge, name)
    return Known(
        service,
        await ctx.knowledge.list_requests(service=service.name, only_open=True, limit=5),
        [await ctx.knowledge.last_deployment(service.name, one.name) for one in ctx.platform.environments],
    )


async def _asked(ctx: Context, known: Known) -> Answers:
    """Every backend at once, so that all of it takes as long as the slowest."""
    service = known.service
    places, claims, costs = await asyncio.gather(
        asyncio.gather(*(_place(ctx.backends, service, one) for one in ctx.platform.environments)),
        ask(ctx.backends.infrastructure.list_claims(service.name)),
        _costs(ctx.backends, service),
    )
    # What nobody told us of (staging follows its branch by itself) is what is known when the backend is away.
    await asyncio.gather(*map(ctx.observed, _news(places, known.last)))
    return Answers(places, claims, costs)


def _news(places: Sequence[Place], last: Sequence[DeploymentRecord | None]) -> list[DeploymentRecord]:
    found = (
        standing.news(place.application, recorded)
        for place, recorded in zip(places, last, strict=True)
        if isinstance(place.application, Application)
    )
    return [one for one in found if one is not None]


def _drawn(ctx: Context, known: Known, answers: Answers) -> Reply:
    service = known.service
    places = [
        replace(
            place,
            last=last,
            costs=answers.costs,
            estimate=_estimate(ctx.platform, service, place.environment),
            under_way=_under_way(known.open_requests, place.environment),
        )
        for place, last in zip(answers.places, known.last, strict=True)
    ]
    blocks: list[views.Block] = [
        views.header(service.name),
        views.section(
            f"{views.escape(service.description)}\nOwner *{views.escape(service.team)}* · {service.golden_path} · "
            f"{views.link(service.web_url, 'repository')}"
        ),
        *status_panels.left_alone(_left_alone(ctx.backends), ctx.now),
        *map(status_panels.place_panel, places),
        *status_panels.infrastructure(answers.claims),
    ]
    if known.open_requests:
        blocks += [views.context("*Open requests*"), *request_views.cards_of(known.open_requests)]
    said = ", ".join(f"{place.environment.name} {status_panels.word(place)}" for place in places)
    return Reply(f"{service.name}: {said}", views.fit(blocks))


async def _place(backends: Backends, service: Service, environment: Environment) -> Place:
    application, signals, evidence, secrets = await asyncio.gather(
        ask(backends.delivery.get_application(service.name, environment.name)),
        _signals(backends, service, environment),
        _evidence(backends, service, environment),
        _secrets(backends, service, environment),
    )
    return Place(environment, application, signals=signals, evidence=evidence, secrets=secrets)


async def _signals(
    backends: Backends, service: Service, environment: Environment
) -> Signals | Unknown | None:
    if backends.signals is None:
        return None
    return await ask(backends.signals.signals(SignalQuestion(service.name, environment.name)))


async def _evidence(
    backends: Backends, service: Service, environment: Environment
) -> Sequence[EvidenceReport] | Unknown | None:
    if backends.evidence is None:
        return None
    return await ask(backends.evidence.reports(service.name, environment.name, team=service.team))


async def _secrets(
    backends: Backends, service: Service, environment: Environment
) -> Secrets | Unknown | None:
    sync, store = backends.secret_sync, backends.secret_store
    if sync is None and store is None:
        return None
    synced, keys = await asyncio.gather(
        ask(sync.get_secret(service.name, environment.name)) if sync else _nothing(),
        ask(store.list_keys(service.name, environment.name, team=service.team)) if store else _nothing(),
    )
    if isinstance(synced, Unknown):
        return synced
    return keys if isinstance(keys, Unknown) else Secrets(synced, keys or ())


async def _nothing() -> None:
    """In the place of a question that nobody can be asked."""


async def _costs(backends: Backends, service: Service) -> Sequence[MonthlyCost] | Unknown | None:
    return await ask(backends.costs.monthly(service.name)) if backends.costs else None


def _estimate(platform: Platform, service: Service, environment: Environment) -> Cost | None:
    claim = None
    if service.database != "none":
        claim = steps.database_claim(
            service=service.name, environment=environment.name, team=service.team, kind=service.database
        )
    return steps.monthly_cost(platform, environment=environment.name, claim=claim)


def _under_way(open_requests: Sequence[Request], environment: Environment) -> str:
    """What a running request's step says about itself: a canary's step, a watch."""
    for request in open_requests:
        for step in request.steps if request.environment == environment.name else ():
            if step.state in _AT_WORK and step.detail:
                return f"{request.id}: {step.detail}"
    return ""


def _left_alone(backends: Backends) -> list[BreakerReport]:
    """The breakers that are open now."""
    opened = (getattr(backends, port) for port in (*PORTS, *OPTIONAL_PORTS))
    reports = (one.breaker_state() for one in opened if _is_guarded(one))
    return [one for one in reports if isinstance(one, BreakerReport) and one.seconds_left > 0]


def _is_guarded(backend: object) -> TypeGuard[Guarded]:
    """As isinstance would say, which takes a tenth of a millisecond for each protocol."""
    return hasattr(backend, "breaker_state")


def _buttons(
    ctx: Context, service: Service, applications: Sequence[Application | Unknown | None]
) -> list[views.Block]:
    """What this person may do next, where it makes sense; the click is checked again."""
    elements = []
    for position, environment in enumerate(ctx.platform.environments[1:], start=1):
        source, target = applications[position - 1], applications[position]
        if source is not None and ctx.may(f"promote:{environment.name}", team=service.team):
            label, action = f"Promote to {environment.name}", f"run:promote:{environment.name}"
            elements.append(views.button(label, action=action, value=service.name))
        if target is not None and ctx.may(f"rollback:{environment.name}", team=service.team):
            label, action = f"Roll back {environment.name}", f"run:rollback:{environment.name}"
            elements.append(views.button(label, action=action, value=service.name))
    elements.append(views.button("Refresh", action="run:status", value=service.name))
    return views.actions(elements, block_id="status")


# ---------------------------------------------------------------- a request, and mine


def _request(ctx: Context, request: Request) -> Reply:
    label = ctx.commands[request.command].confirm_label if request.command in ctx.commands else "Confirm"
    rendered = request_views.request_card(request, label)
    if rendered is None:
        return Reply(request_views.row(request), [views.section(request_views.row(request))])
    return Reply(rendered.text, rendered.blocks)


async def _mine(ctx: Context) -> Reply:
    teams = tuple(sorted(ctx.actor.teams))
    services = await ctx.knowledge.list_services(teams=teams, limit=10) if teams else ()
    waiting = [
        one
        for one in await ctx.knowledge.list_requests(states=(RequestState.AWAITING,), limit=50)
        if ctx.may_decide(one)
    ]
    mine = await ctx.knowledge.list_requests(requester=ctx.actor.user_id, only_open=True, limit=5)
    trouble = status_panels.left_alone(_left_alone(ctx.backends), ctx.now)
    blocks: list[views.Block] = []
    for title, rows in (("Waits for you", waiting[:5]), ("Your open requests", mine)):
        if rows:
            blocks += [views.context(f"*{title}*"), *request_views.cards_of(rows)]
    if services:
        blocks.append(views.context("*Services of your teams*"))
        blocks += views.lines(
            f"*{one.name}* · {one.team} · {views.code(f'/platform status {one.name}')}" for one in services
        )
    if not blocks:
        text = (
            "Nothing waits for you, and your teams have no service yet. `/platform create-service` makes one."
        )
        return Reply(text, [*trouble, views.section(text)])
    return Reply(
        f"{len(waiting)} waiting for you, {views.count(len(mine), 'open request')}, "
        f"{views.count(len(services), 'service')}",
        views.fit([*trouble, *blocks]),
    )


command = Command(
    name="status",
    summary="Show how things stand",
    example="/platform status orders",
    args=Status,
    scope=scope,
    answer=answer,
    position=20,
)
