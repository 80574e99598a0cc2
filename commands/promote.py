"""`/platform promote`: the revision that runs healthy in one environment, moved to the next one by an approved plan."""

from __future__ import annotations

from bot import evidence, lookup, standing, steps, watching
from bot.command import Args, Command, Context, Knowledge, Scope, argument
from bot.domain import (
    Actor,
    Change,
    Environment,
    Plan,
    PlannedStep,
    Platform,
    Service,
)
from bot.errors import BackendErrorKind, PermanentBackendError, PolicyDeniedError, UsageError
from bot.standing import Standing
from integrations.ports import ClaimSpec, Comparison, ComparisonStatus, Health


class Promote(Args):
    service: str = argument("Service", "What to promote.", positional=True, choices="services")
    to: str = argument(
        "To", "The environment; by default the last one.", default="", choices="promotable_environments"
    )
    version: str = argument(
        "Version", "A commit or tag; by default what runs healthy in the environment before.", default=""
    )


async def scope(args: Promote, _actor: Actor, platform: Platform, knowledge: Knowledge) -> Scope:
    return await lookup.release_scope(
        platform, knowledge, verb="promote", service=args.service, environment=args.to, field="to"
    )


# ---------------------------------------------------------------- the plan


async def plan(ctx: Context, args: Promote) -> Plan:
    service = await lookup.existing_service(ctx.knowledge, args.service)
    target = lookup.release_environment(ctx.platform, args.to, field="to")
    source = ctx.platform.before(target.name)
    if source is None:
        raise UsageError(f"Nothing comes before {target.name}.")
    before = await standing.of(ctx, service.name, source)
    revision, source_health = await _candidate(ctx, service, source, before, args.version)
    now = await standing.of(ctx, service.name, target)
    comparison = await ctx.backends.code_host.compare(service.name, base=now.revision, head=revision)
    claim = await _missing_claim(ctx, service, target)
    planned = _steps(
        service,
        target=target,
        revision=revision,
        now=now,
        claim=claim,
        health_path=await _health_path(ctx, service),
    )
    made = Plan(
        command="promote",
        title=f"Promote {service.name} to {target.name}",
        summary=f"{revision[:7]} from {source.name}"
        + (f", instead of {now.revision[:7]}." if now.revision else ", for the first time."),
        service=service.name,
        team=service.team,
        environment=target.name,
        arguments={**args.model_dump(), "to": target.name},
        changes=_changes(service, target=target, revision=revision, planned=planned, claim=claim),
        steps=planned,
        commits=standing.commits(comparison),
        files=standing.files(comparison),
        truncated=comparison.truncated,
        facts={
            "source_environment": source.name,
            "source_revision": revision,
            "source_health": source_health,
            "target_revision": now.revision or "",
            "target_health": now.application.health.value if now.application else "",
            "target_ref": now.release.sha if now.release else "",
            **await standing.window(ctx, service.name, target),
            "relation": comparison.status.value,
        },
        notes=_notes(comparison, target),
        cost=None
        if now.application
        else steps.monthly_cost(ctx.platform, environment=target.name, claim=claim),
        announce=f"{service.name} → {target.name}",
    )
    runs = evidence.Source(source.name, before.as_it_runs(revision))
    return await evidence.considered(ctx, made, revision=revision, source=runs)


async def _candidate(
    ctx: Context, service: Service, source: Environment, before: Standing, version: str
) -> tuple[str, str]:
    """The revision to promote and its health in the environment before; healthy there once is enough when named."""
    running = before.application
    if not version:
        if running is None or before.revision is None:
            raise PolicyDeniedError(
                f"`{service.name}` runs nothing in {source.name}, so there is nothing to promote.",
                rule="healthy-before",
                fix=f"Push to its {source.follows or 'main'} branch and wait until {source.name} is healthy.",
            )
        return before.revision, running.health.value
    commit = await ctx.backends.code_host.find_commit(service.name, version)
    if commit is None:
        raise UsageError(
            f"`{service.name}` has no commit or tag “{version}”.",
            fix="Give a commit hash or a tag of its repository.",
            fields={"version": "No such commit or tag."},
        )
    if running is not None and commit.sha == before.revision:
        return commit.sha, running.health.value
    seen = [one for one in await standing.history(ctx, service.name, source) if one.revision == commit.sha]
    if any(one.healthy for one in seen):
        return commit.sha, Health.HEALTHY.value
    return commit.sha, Health.DEGRADED.value if seen else Health.MISSING.value


async def _missing_claim(ctx: Context, service: Service, target: Environment) -> ClaimSpec | None:
    if service.database == "none":
        return None
    claim = steps.database_claim(
        service=service.name, environment=target.name, team=service.team, kind=service.database
    )
    existing = await ctx.backends.infrastructure.get_claim(claim.name, environment=target.name)
    if existing is not None and existing.request_id != ctx.request_id:
        return None
    refusal = await ctx.backends.infrastructure.refusal(claim)
    if refusal:
        raise PolicyDeniedError(refusal, rule="infrastructure")
    return claim


async def _health_path(ctx: Context, service: Service) -> str:
    try:
        return (await ctx.backends.golden_paths.get_golden_path(service.golden_path)).health_path
    except PermanentBackendError as error:
        if error.kind is not BackendErrorKind.NOT_FOUND:
            raise
        # Made by a template that runs elsewhere, or by a golden path that is no longer offered.
        return steps.HEALTH_PATH


def _steps(
    service: Service,
    *,
    target: Environment,
    revision: str,
    now: Standing,
    claim: ClaimSpec | None,
    health_path: str,
) -> tuple[PlannedStep, ...]:
    planned = [steps.plan_claim(claim)] if claim else []
    if now.application is None:
        planned.append(
            steps.plan_application(
                service=service.name,
                team=service.team,
                environment=target.name,
                golden_path=service.golden_path,
                health_path=health_path,
                clone_url=service.repository_url,
            )
        )
    planned += [
        steps.plan_release(
            service=service.name,
            ref=target.release_ref,
            revision=revision,
            expected=now.release.sha if now.release else None,
            previous=now.release.revision if now.release else None,
        ),
        steps.plan_deploy(
            service=service.name,
            environment=target.name,
            revision=revision,
            previous=now.application.revision if now.application else None,
        ),
    ]
    if target.watch:
        planned.append(
            watching.plan_watch(
                service=service.name, environment=target.name, revision=revision, rule=target.watch
            )
        )
    return tuple(planned)


def _changes(
    service: Service,
    *,
    target: Environment,
    revision: str,
    planned: tuple[PlannedStep, ...],
    claim: ClaimSpec | None,
) -> tuple[Change, ...]:
    changes = [steps.claim_change(claim)] if claim else []
    name = f"{service.name}-{target.name}"
    if any(step.key == "application" for step in planned):
        changes.append(Change(kind="application", action="create", name=name, environment=target.name))
    changes += [
        Change(
            kind="ref",
            action="move",
            name=target.release_ref,
            environment=target.name,
            detail=f"to {revision[:7]}",
        ),
        Change(
            kind="application",
            action="deploy",
            name=name,
            environment=target.name,
            detail=f"{revision[:7]}; back by itself if it degrades",
        ),
    ]
    return tuple(changes)


def _notes(comparison: Comparison, target: Environment) -> tuple[str, ...]:
    notes = [watching.watch_note(target.watch)] if target.watch else []
    manifests = [one.path for one in comparison.files if one.path.startswith("k8s/")]
    if manifests:
        shown = ", ".join(manifests[:5]) + (f" and {len(manifests) - 5} more" if len(manifests) > 5 else "")
        notes.append(f"Manifests change: {shown}.")
    if comparison.status is ComparisonStatus.BEHIND:
        notes.append(f"This revision is older than what runs in {target.name}.")
    if comparison.status is ComparisonStatus.DIVERGED:
        notes.append(f"{target.release_ref} has commits of its own; a merge commit carries this revision.")
    if comparison.truncated:
        notes.append("The list of commits or files was cut by the code host.")
    return tuple(notes)


command = Command(
    name="promote",
    summary="Promote a service",
    example="/platform promote orders --to production",
    args=Promote,
    scope=scope,
    permission="promote:{environment}",
    plan=plan,
    steps={
        "claim": steps.CLAIM,
        "application": steps.APPLICATION,
        "release": steps.RELEASE,
        "deploy": steps.DEPLOY,
        "watch": watching.WATCH,
    },
    confirm_label="Promote",
    position=30,
)
