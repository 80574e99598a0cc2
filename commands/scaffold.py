"""`/platform scaffold`: a service from a template that runs in Backstage, deployed and recorded like one from a golden path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import field_validator

from bot import evidence, new_service, steps
from bot.command import Args, Command, Context, Done, Knowledge, Pending, Run, Scope, StepKind, argument
from bot.domain import JSON, Actor, Change, Link, Plan, PlannedStep, Platform, Record, Service, StepRecord
from bot.errors import BackendErrorKind, NotFoundError, PermanentBackendError, UsageError
from integrations.ports import Phase, Scaffolder, ScaffolderTask, ScaffolderTemplate

TASK_TIMEOUT_SECONDS = 1800


class Scaffold(Args):
    template: str = argument("Template", "The template that Backstage runs.", positional=True)
    name: str = argument("Name", f"{new_service.NAME_RULE.capitalize()}.")
    team: str = argument("Team", "The team that will own the service.", choices="teams")
    description: str = argument("Description", "One line for the catalog.", default="")
    set: str = argument(
        "Values", "Further values for the template: key=value, separated by commas.", default=""
    )

    _name = field_validator("name")(new_service.check_name)
    _description = field_validator("description")(new_service.check_description)
    _set = field_validator("set")(new_service.check_answers)


async def scope(args: Scaffold, _actor: Actor, platform: Platform, knowledge: Knowledge) -> Scope:
    return await new_service.scope(args.name, args.team, platform, knowledge, given=args.model_dump())


# ---------------------------------------------------------------- the plan


async def plan(ctx: Context, args: Scaffold) -> Plan:
    scaffolder = _require(ctx.backends.scaffolder)
    template = await _template(scaffolder, args.template)
    await new_service.refuse_taken_name(ctx, args.name)
    environment = ctx.platform.environments[0].name
    values = _values(args, template)
    made = Plan(
        command="scaffold",
        title=f"Create service {args.name}",
        summary=f"{template.title}, run by Backstage for team {args.team}; then running in {environment}.",
        service=args.name,
        team=args.team,
        environment=environment,
        arguments=args.model_dump(),
        changes=(
            Change(kind="template", action="run", name=template.name, detail=", ".join(template.steps)),
            Change(
                kind="application",
                action="create",
                name=f"{args.name}-{environment}",
                environment=environment,
                detail="syncs by itself",
            ),
        ),
        steps=_steps(args, template=template, environment=environment, values=values),
        facts={"template": template.name, "template_revision": template.revision, "name": args.name},
        notes=(
            *(f"{name}: {value}" for name, value in sorted(values.items())),
            "What the template's steps make is theirs: Backstage knows no undo.",
        ),
        cost=steps.monthly_cost(ctx.platform, environment=environment, claim=None),
    )
    return await evidence.considered(ctx, made)


def _require(scaffolder: Scaffolder | None) -> Scaffolder:
    if scaffolder is None:
        raise UsageError(
            "This platform runs no templates of Backstage.",
            fix="Use `/platform create-service`; a platform admin can add `integrations.scaffolder` to platform.yml.",
        )
    return scaffolder


async def _template(scaffolder: Scaffolder, name: str) -> ScaffolderTemplate:
    try:
        return await scaffolder.get_template(name)
    except PermanentBackendError as error:
        if error.kind is not BackendErrorKind.NOT_FOUND:
            raise
        offered = ", ".join(one.name for one in await scaffolder.list_templates()) or "none"
        raise UsageError(
            f"There is no template “{name}”.",
            fix=f"Accepted: {offered}.",
            fields={"template": f"Accepted: {offered}."},
        ) from error


def _values(args: Scaffold, template: ScaffolderTemplate) -> dict[str, str]:
    """What the platform knows goes where the template asks for it; everything else is typed. Raises UsageError."""
    typed = new_service.parse_answers(args.set)
    new_service.require_known(typed, template.parameters, asker=template.title)
    known = {
        "name": args.name,
        "owner": f"group:default/{args.team}",
        "description": args.description or f"{args.name}, a service of team {args.team}",
    }
    asked = {one.name for one in template.parameters}
    values = {**{name: value for name, value in known.items() if name in asked}, **typed}
    missing = _missing(template, values)
    if missing:
        listed = ", ".join(missing)
        raise UsageError(
            f"{template.title} also asks for: {listed}.",
            fix=f"Add `--set {missing[0]}=…`; separate several by commas.",
            fields={"set": f"Missing: {listed}."},
        )
    return values


def _missing(template: ScaffolderTemplate, values: Mapping[str, str]) -> Sequence[str]:
    return [
        one.name for one in template.parameters if one.required and not one.default and one.name not in values
    ]


def _steps(
    args: Scaffold, *, template: ScaffolderTemplate, environment: str, values: Mapping[str, str]
) -> tuple[PlannedStep, ...]:
    common: JSON = {"service": args.name, "team": args.team, "environment": environment}
    return (
        PlannedStep(
            # The next step asks the step of this key for the address of the repository.
            key="repository",
            title=f"Backstage runs {template.name}",
            undo_title="Stop the task; what it made stays",
            arguments={
                **common,
                "template": template.name,
                "template_revision": template.revision,
                "values": dict(values),
                "description": args.description or f"{args.name}, a service of team {args.team}",
            },
            timeout_seconds=TASK_TIMEOUT_SECONDS,
        ),
        steps.plan_application(
            service=args.name,
            team=args.team,
            environment=environment,
            golden_path=template.name,
            health_path=steps.HEALTH_PATH,
        ),
        new_service.plan_healthy(service=args.name, team=args.team, environment=environment),
    )


# ---------------------------------------------------------------- the steps


async def do_task(run: Run, arguments: JSON) -> Done | Pending:
    scaffolder = _require(run.backends.scaffolder)
    task = await scaffolder.ensure_task(
        arguments["template"], values=arguments["values"], request_id=run.request_id
    )
    if task.phase is Phase.FAILED:
        raise PermanentBackendError(
            task.message,
            backend="Backstage",
            kind=BackendErrorKind.UNKNOWN,
            fix=f"Its log: {task.web_url}. What it made before it failed is still there.",
        )
    if task.phase is not Phase.READY:
        return Pending(_progress(task), after_seconds=2.0)
    return await _made(run, arguments, task)


def _progress(task: ScaffolderTask) -> str:
    return f"{task.message}: {task.events[-1]}" if task.events else task.message


async def _made(run: Run, arguments: JSON, task: ScaffolderTask) -> Done:
    name = arguments["service"]
    repository = await run.backends.code_host.find_repository(name)
    clone_url = repository.clone_url if repository else task.repository
    web_url = repository.web_url if repository else task.repository.removesuffix(".git")
    if not clone_url:
        raise NotFoundError(
            f"The template ended, but neither names a repository nor made one called {name}.",
            fix="Let the template put the repository's address into its output, then retry from here.",
        )
    service = Service(
        name=name,
        team=arguments["team"],
        golden_path=arguments["template"],
        description=arguments["description"],
        database="none",
        repository_url=clone_url,
        web_url=web_url,
        created_by=run.requester,
        created_at=run.now,
        request_id=run.request_id,
    )
    return Done(
        detail=f"Backstage's task is done{f', {task.entity}' if task.entity else ''}",
        external_id=task.id,
        output={"clone_url": clone_url, "web_url": web_url},
        links=(Link("Repository", web_url), Link("Task", task.web_url)),
        record=Record(service=service),
    )


async def undo_task(run: Run, arguments: JSON, _done: StepRecord) -> Done:
    await _require(run.backends.scaffolder).cancel_task(request_id=run.request_id)
    return Done(
        detail="task stopped; what it made stays, see its log in Backstage",
        record=Record(forget_service=arguments["service"]),
    )


command = Command(
    name="scaffold",
    summary="Create a service with Backstage",
    example="/platform scaffold node-microservice --name orders --team orders",
    args=Scaffold,
    scope=scope,
    needs="scaffolder",
    permission="create-service",
    plan=plan,
    steps={
        "repository": StepKind(do_task, undo_task),
        "application": steps.APPLICATION,
        "healthy": new_service.HEALTHY,
    },
    confirm=True,
    confirm_label="Start",
    position=15,
)
