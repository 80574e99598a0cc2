"""`/platform create-service`: a repository from a golden path, its infrastructure, running in staging, in the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import field_validator

from bot import evidence, new_service, steps
from bot.command import Args, Command, Context, Done, Knowledge, Run, Scope, StepKind, argument
from bot.domain import (
    JSON,
    Actor,
    Change,
    Link,
    Plan,
    PlannedStep,
    Platform,
    Record,
    Service,
    StepRecord,
)
from bot.errors import UsageError
from integrations.ports import ClaimSpec, Entity, GoldenPath

Database = Literal["none", "postgresql", "redis"]


class CreateService(Args):
    name: str = argument("Name", f"{new_service.NAME_RULE.capitalize()}.", positional=True)
    team: str = argument("Team", "The team that will own the service.", choices="teams")
    template: str = argument("Golden path", "The template it starts from.", choices="golden_paths")
    db: Database = argument(
        "Database", "Created for the service.", default="none", choices=("none", "postgresql", "redis")
    )
    description: str = argument("Description", "One line for the catalog.", default="")
    set: str = argument(
        "Template answers", "Further answers for the golden path: key=value, separated by commas.", default=""
    )

    _name = field_validator("name")(new_service.check_name)
    _description = field_validator("description")(new_service.check_description)
    _set = field_validator("set")(new_service.check_answers)


async def scope(args: CreateService, _actor: Actor, platform: Platform, knowledge: Knowledge) -> Scope:
    given = args.model_dump()
    if args.template not in platform.golden_paths:
        what = f"There is no golden path “{args.template}”."
        raise new_service.unknown("template", what, platform.golden_paths, given=given)
    return await new_service.scope(args.name, args.team, platform, knowledge, given=given)


# ---------------------------------------------------------------- the plan


async def plan(ctx: Context, args: CreateService) -> Plan:
    path = await ctx.backends.golden_paths.get_golden_path(args.template)
    environment = ctx.platform.environments[0].name
    await new_service.refuse_taken_name(ctx, args.name)
    claim = _claim(args, environment)
    if claim:
        await _refuse_impossible_claim(ctx, claim, path)
    answers = _answers(args, path)
    tree = await ctx.backends.golden_paths.render(args.template, revision=path.revision, answers=answers)
    made = Plan(
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
    return await evidence.considered(ctx, made)


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
    further = new_service.parse_answers(args.set)
    new_service.require_known(further, path.parameters, asker=path.title)
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
        new_service.plan_healthy(service=args.name, team=args.team, environment=environment),
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
        "healthy": new_service.HEALTHY,
    },
    confirm=True,
    confirm_label="Create",
    position=10,
)
