"""`/platform create-service`: a repository from a golden path, its infrastructure, running in staging, in the catalog."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import field_validator

from bot import steps
from bot.command import Args, Command, Context, Done, Knowledge, Pending, Run, Scope, StepKind, argument
from bot.domain import (
    JSON,
    Actor,
    Change,
    DeploymentRecord,
    Link,
    Plan,
    PlannedStep,
    Platform,
    Record,
    Service,
    StepRecord,
)
from bot.errors import ConflictError, UsageError
from integrations.ports import ClaimSpec, Entity, GoldenPath, Health

NAME = re.compile(r"[a-z](?:[a-z0-9-]{1,38}[a-z0-9])")
NAME_RULE = "3 to 40 characters: lower-case letters, digits and dashes, beginning with a letter"
Database = Literal["none", "postgresql", "redis"]


class CreateService(Args):
    name: str = argument("Name", f"{NAME_RULE.capitalize()}.", positional=True)
    team: str = argument("Team", "The team that will own the service.", choices="teams")
    template: str = argument("Golden path", "The template it starts from.", choices="golden_paths")
    db: Database = argument(
        "Database", "Created for the service.", default="none", choices=("none", "postgresql", "redis")
    )
    description: str = argument("Description", "One line for the catalog.", default="")
    set: str = argument(
        "Template answers", "Further answers for the golden path: key=value, separated by commas.", default=""
    )

    @field_validator("name")
    @classmethod
    def _dns_label(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError(f"“{name}” cannot be a name; accepted: {NAME_RULE}")
        return name

    @field_validator("description")
    @classmethod
    def _short(cls, text: str) -> str:
        if len(text) > 200:
            raise ValueError(f"{len(text)} characters; accepted: at most 200")
        return text

    @field_validator("set")
    @classmethod
    def _pairs(cls, text: str) -> str:
        parse_answers(text)
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


async def scope(args: CreateService, _actor: Actor, platform: Platform, knowledge: Knowledge) -> Scope:
    if args.team not in platform.teams:
        raise _unknown(args, "team", f"There is no team “{args.team}”.", sorted(platform.teams))
    if args.template not in platform.golden_paths:
        what = f"There is no golden path “{args.template}”."
        raise _unknown(args, "template", what, platform.golden_paths)
    taken = await knowledge.find_service(args.name)
    if taken:
        raise ConflictError(
            f"`{args.name}` exists already; it belongs to team {taken.team}.",
            fix=f"Choose another name, or look at it: `/platform status {args.name}`.",
        )
    return Scope(
        permission="create-service",
        team=args.team,
        service=args.name,
        environment="",
        active_key=f"create-service:{args.name}",
    )


def _unknown(args: CreateService, field: str, what: str, offered: Sequence[str]) -> UsageError:
    accepted = f"Accepted: {', '.join(offered)}."
    typed = {name: str(value) for name, value in args.model_dump().items()}
    return UsageError(what, fix=accepted, fields={field: accepted}, given=typed)


# ---------------------------------------------------------------- the plan


async def plan(ctx: Context, args: CreateService) -> Plan:
    path = await ctx.backends.golden_paths.get_golden_path(args.template)
    environment = ctx.platform.environments[0].name
    await _refuse_taken_name(ctx, args)
    claim = _claim(args, environment)
    if claim:
        await _refuse_impossible_claim(ctx, claim, path)
    answers = _answers(args, path)
    tree = await ctx.backends.golden_paths.render(args.template, revision=path.revision, answers=answers)
    return Plan(
        command="create-service",
        title=f"Create service {args.name}",
        summary=f"{path.title} for team {args.team}, running in {environment}.",
        service=args.name,
        team=args.team,
        environment=environment,
        arguments=args.model_dump(),
        changes=_changes(args, environment=environment, files=len(tree), path=path, claim=claim),
        steps=_steps(args, path=path, environment=environment, answers=answers, claim=claim),
        facts={"template": args.template, "template_revision": path.revision, "name": args.name},
        notes=_notes(path),
        cost=steps.monthly_cost(ctx.platform, environment=environment, claim=claim),
    )


async def _refuse_taken_name(ctx: Context, args: CreateService) -> None:
    repository = await ctx.backends.code_host.find_repository(args.name)
    if repository and repository.request_id != ctx.request_id:
        raise ConflictError(
            f"A repository called `{args.name}` exists already ({repository.web_url}).",
            fix="Choose another name.",
        )
    entity = await ctx.backends.catalog.find_entity(args.name)
    if entity and entity.request_id != ctx.request_id:
        raise ConflictError(
            f"The catalog has `{args.name}` already; it belongs to {entity.owner}.",
            fix="Choose another name.",
        )


async def _refuse_impossible_claim(ctx: Context, claim: ClaimSpec, path: GoldenPath) -> None:
    if claim.kind not in path.databases:
        raise UsageError(
            f"{path.title} does not support {claim.kind}.",
            fix=f"It supports: {', '.join(path.databases)}.",
            fields={"db": f"Accepted: {', '.join(path.databases)}."},
        )
    refusal = await ctx.backends.infrastructure.refusal(claim)
    if refusal:
        raise UsageError(refusal, fields={"db": refusal})


def _answers(args: CreateService, path: GoldenPath) -> dict[str, str]:
    further = parse_answers(args.set)
    known = {parameter.name: parameter for parameter in path.parameters}
    for name, value in further.items():
        if name not in known:
            listed = ", ".join(known) or "none"
            raise UsageError(
                f"{path.title} asks nothing called “{name}”.",
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
    return {
        **further,
        "service_name": args.name,
        "team": args.team,
        "owner": f"group:default/{args.team}",
        "description": args.description or f"{args.name}, a service of team {args.team}",
        "database": args.db,
    }


def _claim(args: CreateService, environment: str) -> ClaimSpec | None:
    if args.db == "none":
        return None
    return steps.database_claim(service=args.name, environment=environment, team=args.team, kind=args.db)


def _changes(
    args: CreateService, *, environment: str, files: int, path: GoldenPath, claim: ClaimSpec | None
) -> tuple[Change, ...]:
    changes = [
        Change(
            kind="repository",
            action="create",
            name=args.name,
            detail=f"{files} files from {path.name} {path.revision[:12]}",
        )
    ]
    if claim:
        changes.append(steps.claim_change(claim))
    changes += [
        Change(
            kind="application",
            action="create",
            name=f"{args.name}-{environment}",
            environment=environment,
            detail="syncs by itself",
        ),
        Change(kind="catalog entry", action="register", name=args.name, detail=f"owner {args.team}"),
    ]
    return tuple(changes)


def _notes(path: GoldenPath) -> tuple[str, ...]:
    if not path.missing:
        return ()
    return (
        f"This machine lacks {', '.join(path.missing)}: the service cannot run here until it is installed.",
    )


def _steps(
    args: CreateService,
    *,
    path: GoldenPath,
    environment: str,
    answers: Mapping[str, str],
    claim: ClaimSpec | None,
) -> tuple[PlannedStep, ...]:
    common: JSON = {"service": args.name, "team": args.team, "environment": environment}
    planned = [
        PlannedStep(
            key="repository",
            title="Repository with the first commit",
            undo_title="Remove the repository",
            arguments={
                **common,
                "template": path.name,
                "template_revision": path.revision,
                "answers": dict(answers),
                "description": answers["description"],
                "database": args.db,
            },
        )
    ]
    if claim:
        planned.append(steps.plan_claim(claim))
    planned += [
        steps.plan_application(
            service=args.name,
            team=args.team,
            environment=environment,
            golden_path=path.name,
            health_path=path.health_path,
        ),
        PlannedStep(
            key="catalog",
            title="Catalog entry",
            undo_title="Remove the catalog entry",
            arguments={**common, "golden_path": path.name, "description": answers["description"]},
        ),
        PlannedStep(key="healthy", title="Answers its health check", arguments=common, timeout_seconds=900),
    ]
    return tuple(planned)


# ---------------------------------------------------------------- the steps


async def do_repository(run: Run, arguments: JSON) -> Done:
    name = arguments["service"]
    host = run.backends.code_host
    repository = await host.ensure_repository(
        name, description=arguments["description"], team=arguments["team"], request_id=run.request_id
    )
    tree = await run.backends.golden_paths.render(
        arguments["template"],
        revision=arguments["template_revision"],
        answers={
            **arguments["answers"],
            "repository_url": repository.web_url,
            "request_id": run.request_id,
        },
    )
    commit = await host.ensure_first_commit(
        name,
        tree,
        message=f"Start {name} from {arguments['template']}",
        request_id=run.request_id,
    )
    service = Service(
        name=name,
        team=arguments["team"],
        golden_path=arguments["template"],
        description=arguments["description"],
        database=arguments["database"],
        repository_url=repository.clone_url,
        web_url=repository.web_url,
        created_by=run.requester,
        created_at=run.now,
        request_id=run.request_id,
    )
    return Done(
        detail=f"first commit {commit.sha[:7]}, {len(tree)} files",
        external_id=repository.clone_url,
        output={
            "clone_url": repository.clone_url,
            "web_url": repository.web_url,
            "revision": commit.sha,
            "branch": repository.default_branch,
        },
        links=(Link("Repository", repository.web_url),),
        record=Record(service=service),
    )


async def undo_repository(run: Run, arguments: JSON, _done: StepRecord) -> Done:
    await run.backends.code_host.remove_repository(arguments["service"], request_id=run.request_id)
    return Done(detail="repository removed", record=Record(forget_service=arguments["service"]))


async def do_catalog(run: Run, arguments: JSON) -> Done:
    repository = run.output("repository")
    entity = await run.backends.catalog.ensure_entity(
        Entity(
            name=arguments["service"],
            title=arguments["service"],
            description=arguments["description"],
            owner=arguments["team"],
            golden_path=arguments["golden_path"],
            links={"Repository": repository["web_url"]},
            request_id=run.request_id,
        ),
        request_id=run.request_id,
    )
    shown = entity.links.get("Catalog")
    return Done(
        detail=f"owner {entity.owner}",
        external_id=arguments["service"],
        links=(Link("Catalog", shown),) if shown else (),
    )


async def undo_catalog(run: Run, arguments: JSON, _done: StepRecord) -> Done:
    await run.backends.catalog.remove_entity(arguments["service"], request_id=run.request_id)
    return Done(detail="catalog entry removed")


async def do_healthy(run: Run, arguments: JSON) -> Done | Pending:
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


command = Command(
    name="create-service",
    summary="Create a service",
    example="/platform create-service orders --team orders --template python-service --db postgresql",
    args=CreateService,
    scope=scope,
    permission="create-service",
    plan=plan,
    steps={
        "repository": StepKind(do_repository, undo_repository),
        "claim": steps.CLAIM,
        "application": steps.APPLICATION,
        "catalog": StepKind(do_catalog, undo_catalog),
        "healthy": StepKind(do_healthy),
    },
    confirm=True,
    confirm_label="Create",
    position=10,
)
