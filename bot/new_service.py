"""What every way of creating a service shares: its name, the answers people type, and the health check it ends with.

Where a service comes from, a golden path or a template that runs elsewhere, is the command's business.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.command import Context, Done, Knowledge, Pending, Run, Scope, StepKind
from bot.domain import JSON, DeploymentRecord, Link, PlannedStep, Platform, Record
from bot.errors import ConflictError, UsageError
from integrations.ports import Health, Parameter

NAME = re.compile(r"[a-z](?:[a-z0-9-]{1,38}[a-z0-9])")
NAME_RULE = "3 to 40 characters: lower-case letters, digits and dashes, beginning with a letter"
DESCRIPTION_LENGTH = 200
HEALTHY_TIMEOUT_SECONDS = 900


# ---------------------------------------------------------------- what people type


def check_name(name: str) -> str:
    """Raises ValueError."""
    if not NAME.fullmatch(name):
        raise ValueError(f"“{name}” cannot be a name; accepted: {NAME_RULE}")
    return name


def check_description(text: str) -> str:
    """Raises ValueError."""
    if len(text) > DESCRIPTION_LENGTH:
        raise ValueError(f"{len(text)} characters; accepted: at most {DESCRIPTION_LENGTH}")
    return text


def parse_answers(text: str) -> dict[str, str]:
    """`a=1, b=two` -> answers. Raises ValueError naming the part that is no pair."""
    answers: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in re.split(r"[,\n]", text))):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"“{part}” is not key=value")
        answers[key.strip()] = value.strip()
    return answers


def check_answers(text: str) -> str:
    """Raises ValueError, as `parse_answers`."""
    parse_answers(text)
    return text


def require_known(answers: dict[str, str], parameters: Sequence[Parameter], *, asker: str) -> None:
    """Raises UsageError naming an answer that nobody asks for, or a value that is not on offer."""
    known = {parameter.name: parameter for parameter in parameters}
    for name, value in answers.items():
        if name not in known:
            listed = ", ".join(known) or "none"
            raise UsageError(
                f"{asker} asks nothing called “{name}”.",
                fix=f"It asks: {listed}.",
                fields={"set": f"Accepted: {listed}."},
            )
        choices = known[name].choices
        if choices and value not in choices:
            raise UsageError(
                f"{name}: “{value}” is not on offer.",
                fix=f"Accepted: {', '.join(choices)}.",
                fields={"set": f"{name} accepts: {', '.join(choices)}."},
            )


def unknown(field: str, what: str, offered: Sequence[str], *, given: JSON) -> UsageError:
    """`given` is kept for the form that opens again."""
    accepted = f"Accepted: {', '.join(offered)}."
    typed = {key: str(value) for key, value in given.items()}
    return UsageError(what, fix=accepted, fields={field: accepted}, given=typed)


async def scope(name: str, team: str, platform: Platform, knowledge: Knowledge, *, given: JSON) -> Scope:
    """One lock for a name, whichever way it is created. Raises UsageError, ConflictError."""
    if team not in platform.teams:
        raise unknown("team", f"There is no team “{team}”.", sorted(platform.teams), given=given)
    taken = await knowledge.find_service(name)
    if taken:
        raise ConflictError(
            f"`{name}` exists already; it belongs to team {taken.team}.",
            fix=f"Choose another name, or look at it: `/platform status {name}`.",
        )
    return Scope(permission="create-service", team=team, service=name, active_key=f"create-service:{name}")


async def refuse_taken_name(ctx: Context, name: str) -> None:
    """Raises ConflictError when a repository or a catalog entry of somebody else has the name."""
    repository = await ctx.backends.code_host.find_repository(name)
    if repository and repository.request_id != ctx.request_id:
        raise ConflictError(
            f"A repository called `{name}` exists already ({repository.web_url}).",
            fix="Choose another name.",
        )
    entity = await ctx.backends.catalog.find_entity(name)
    if entity and entity.request_id != ctx.request_id:
        raise ConflictError(
            f"The catalog has `{name}` already; it belongs to {entity.owner}.",
            fix="Choose another name.",
        )


# ---------------------------------------------------------------- the health check at the end


def plan_healthy(*, service: str, team: str, environment: str) -> PlannedStep:
    return PlannedStep(
        key="healthy",
        title="Answers its health check",
        arguments={"service": service, "team": team, "environment": environment},
        timeout_seconds=HEALTHY_TIMEOUT_SECONDS,
    )


async def _do_healthy(run: Run, arguments: JSON) -> Done | Pending:
    service, environment = arguments["service"], arguments["environment"]
    application = await run.backends.delivery.get_application(service, environment)
    if application is None:
        return Pending(f"waiting for {environment} to know it")
    if application.health is not Health.HEALTHY or application.revision is None:
        return Pending(application.message or f"{environment} says {application.health.value}")
    deployment = DeploymentRecord(
        service=service,
        environment=environment,
        revision=application.revision,
        ref_revision=application.revision,
        healthy=True,
        deployed_by=run.requester,
        deployed_at=run.now,
        request_id=run.request_id,
    )
    links = (Link(f"Open in {environment}", application.url),) if application.url else ()
    return Done(
        detail=f"{application.revision[:7]} is healthy in {environment}",
        links=links,
        record=Record(deployment=deployment),
    )


HEALTHY = StepKind(_do_healthy)
