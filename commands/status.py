"""`/platform status`: how a service or a request stands; without argument, my services and what waits for me.

Every backend is asked at once and each has its own deadline: one that is down is shown as unknown with what was last known,
never as healthy, and never delays the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bot import lookup, request_views, views
from bot.command import Args, Command, Context, Knowledge, Reply, Scope, argument
from bot.domain import Actor, DeploymentRecord, Environment, Platform, Request, RequestState, Service
from bot.errors import BackendError
from integrations.ports import Application, Claim, Health, Phase, SyncStatus

DEADLINE_SECONDS = 2.0
REQUEST_PREFIX = "r-"
_MARKS = {
    Health.HEALTHY: ":large_green_circle:",
    Health.PROGRESSING: ":large_blue_circle:",
    Health.DEGRADED: ":red_circle:",
    Health.SUSPENDED: ":large_yellow_circle:",
    Health.MISSING: ":white_circle:",
    Health.UNKNOWN: ":grey_question:",
}
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
    return await _service(ctx, await lookup.existing_service(ctx.knowledge, args.subject))


async def _names_a_request(knowledge: Knowledge, subject: str) -> bool:
    """A request's number, unless a service is called like that."""
    name = subject.lower()
    return name.startswith(REQUEST_PREFIX) and await knowledge.find_service(name) is None


# ---------------------------------------------------------------- one service


@dataclass(frozen=True)
class Unknown:
    """A backend that could not be asked: why, in its own cleaned words."""

    why: str


async def ask(question: Awaitable[T]) -> T | Unknown:
    """One backend's answer within the deadline; "could not ask" is an answer of its own and never a good one."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await question
    except TimeoutError:
        return Unknown(f"no answer within {DEADLINE_SECONDS:g} s")
    except BackendError as error:
        return Unknown(error.message)


async def _service(ctx: Context, service: Service) -> Reply:
    environments = ctx.platform.environments
    asked = asyncio.create_task(ask(ctx.backends.infrastructure.list_claims(service.name)))
    applications = await asyncio.gather(
        *(ask(ctx.backends.delivery.get_application(service.name, one.name)) for one in environments)
    )
    claims = await asked
    last = {one.name: await ctx.knowledge.last_deployment(service.name, one.name) for one in environments}
    for state in applications:
        await _remember(ctx, state, last)
    open_requests = await ctx.knowledge.list_requests(service=service.name, only_open=True, limit=5)
    blocks: list[views.Block] = [
        views.header(service.name),
        views.section(
            f"{views.escape(service.description)}\nOwner *{views.escape(service.team)}* · {service.golden_path} · "
            f"{views.link(service.web_url, 'repository')}"
        ),
    ]
    said = []
    for environment, state in zip(environments, applications, strict=True):
        text, word = _environment(environment, state, last[environment.name])
        blocks.append(views.section(text))
        said.append(f"{environment.name} {word}")
    blocks += _infrastructure(claims)
    if open_requests:
        blocks += [views.context("*Open requests*"), *request_views.cards_of(open_requests)]
    blocks += _buttons(ctx, service, applications)
    return Reply(f"{service.name}: {', '.join(said)}", views.fit(blocks))


async def _remember(
    ctx: Context, state: Application | Unknown | None, last: Mapping[str, DeploymentRecord | None]
) -> None:
    """A healthy revision nobody told us of (staging follows its branch by itself) is what is known when the backend is away."""
    if not isinstance(state, Application) or state.health is not Health.HEALTHY:
        return
    known = last[state.environment]
    news = known is None or state.revision not in {known.revision, known.ref_revision}
    if news and state.revision and state.deployed_at:
        await ctx.observed(
            DeploymentRecord(
                service=state.service,
                environment=state.environment,
                revision=state.revision,
                ref_revision=state.revision,
                healthy=True,
                deployed_by=state.deployed_by,
                deployed_at=state.deployed_at,
            )
        )


def _environment(
    environment: Environment,
    state: Application | Unknown | None,
    last: DeploymentRecord | None,
) -> tuple[str, str]:
    """The lines about one environment, and its health in one word for the notification."""
    known = _last_known(last)
    if isinstance(state, Unknown):
        return (
            (
                f"{_MARKS[Health.UNKNOWN]} *{environment.title}* · unknown\n_{views.escape(state.why)}_\n"
                f"{known or 'Nothing was known before.'}"
            ),
            "unknown",
        )
    if state is None:
        return f"{_MARKS[Health.MISSING]} *{environment.title}* · nothing runs here yet", "empty"
    version = views.code(views.short(state.revision)) if state.revision else "no version"
    rows = [
        (
            f"{_MARKS[state.health]} *{environment.title}* · {version} · {state.health.value} · "
            f"{state.sync.value.replace('_', ' ')}"
        )
    ]
    if state.health is not Health.HEALTHY and state.message:
        rows.append(f"_{views.escape(views.cut(state.message, 300))}_")
    rows += [f"_{views.escape(views.cut(one, 200))}_" for one in state.unhealthy[:3]]
    if state.sync is SyncStatus.UNKNOWN and known:
        rows.append(known)
    if state.deployed_at:
        by = last.deployed_by if last and state.revision in {last.revision, last.ref_revision} else ""
        who = views.mention(by) if by else views.escape(state.deployed_by or "somebody unknown")
        rows.append(f"deployed {views.moment(state.deployed_at)} by {who}")
    if state.url:
        rows.append(views.link(state.url, "open"))
    return "\n".join(rows), state.health.value


def _last_known(last: DeploymentRecord | None) -> str:
    if last is None:
        return ""
    return (
        f"Last known: {views.code(views.short(last.revision))}, {views.moment(last.deployed_at)}, "
        f"deployed by {views.mention(last.deployed_by)}"
    )


def _infrastructure(claims: Sequence[Claim] | Unknown) -> list[views.Block]:
    if isinstance(claims, Unknown):
        return [views.section(f":grey_question: *Infrastructure* · unknown\n_{views.escape(claims.why)}_")]
    if not claims:
        return []
    rows = [
        f"{':large_green_circle:' if one.phase is Phase.READY else ':large_blue_circle:'} {one.kind} "
        f"{views.code(one.name)} in {one.environment} · {one.phase.value}"
        + (f" · {views.escape(one.message)}" if one.message and one.phase is not Phase.READY else "")
        for one in claims
    ]
    return [views.context("*Infrastructure*"), *views.lines(rows)]


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
        return Reply(text, [views.section(text)])
    return Reply(
        f"{len(waiting)} waiting for you, {views.count(len(mine), 'open request')}, "
        f"{views.count(len(services), 'service')}",
        views.fit(blocks),
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
