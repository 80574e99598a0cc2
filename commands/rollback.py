"""`/platform rollback`: back to a revision that was healthy before, by a forward move of the release ref."""

from __future__ import annotations

from collections.abc import Sequence

from bot import lookup, steps
from bot.command import Args, Command, Context, Knowledge, Scope, argument
from bot.domain import Actor, Change, Environment, Plan, PlannedCommit, Platform, Service
from bot.errors import PolicyDeniedError, UsageError
from integrations.ports import Application, DeployedRevision, ReleaseRef


class Rollback(Args):
    service: str = argument("Service", "What to roll back.", positional=True, choices="services")
    to: str = argument(
        "Version", "A commit or tag that was healthy; by default the last healthy one before.", default=""
    )
    environment: str = argument(
        "Environment",
        "Where; by default the last environment.",
        default="",
        choices="promotable_environments",
    )


async def scope(args: Rollback, _actor: Actor, platform: Platform, knowledge: Knowledge) -> Scope:
    service = await lookup.existing_service(knowledge, args.service)
    target = lookup.release_environment(platform, args.environment, field="environment")
    return Scope(
        permission=f"rollback:{target.name}",
        team=service.team,
        service=service.name,
        environment=target.name,
        active_key=f"release:{service.name}:{target.name}",
    )


async def plan(ctx: Context, args: Rollback) -> Plan:
    service = await lookup.existing_service(ctx.knowledge, args.service)
    target = lookup.release_environment(ctx.platform, args.environment, field="environment")
    current = await ctx.backends.delivery.get_application(service.name, target.name)
    if current is None or current.revision is None:
        raise PolicyDeniedError(
            f"`{service.name}` runs nothing in {target.name}.",
            rule="something-to-roll-back",
            fix=f"`/platform promote {service.name} --to {target.name}` brings it there.",
        )
    release = await ctx.backends.code_host.find_release(service.name, target.release_ref)
    history = await ctx.backends.delivery.history(service.name, target.name, limit=50)
    goal, known_good = await _goal(ctx, service, args.to, current=current, history=history)
    comparison = await ctx.backends.code_host.compare(service.name, base=goal, head=current.revision)
    return Plan(
        command="rollback",
        title=f"Roll back {service.name} in {target.name}",
        summary=f"From {current.revision[:7]} back to {goal[:7]}.",
        service=service.name,
        team=service.team,
        environment=target.name,
        arguments={**args.model_dump(), "environment": target.name},
        changes=_changes(service, target=target, revision=goal),
        steps=(
            steps.plan_release(
                service=service.name,
                ref=target.release_ref,
                revision=goal,
                expected=release.sha if release else None,
                previous=release.revision if release else None,
            ),
            steps.plan_deploy(
                service=service.name,
                environment=target.name,
                revision=goal,
                previous=current.revision,
            ),
        ),
        commits=tuple(
            PlannedCommit(
                sha=one.sha,
                subject=one.subject,
                author_name=one.author_name,
                author_email=one.author_email,
            )
            for one in comparison.commits
        ),
        facts={
            "target_revision": _approved(current, release),
            "target_health": current.health.value,
            "target_ref": release.sha if release else "",
            "goal_revision": goal,
            "rollback_known_good": "true" if known_good else "false",
        },
        notes=("The commits listed are the ones that are taken out of this environment.",),
        announce=f"{service.name} ⟲ {target.name}",
    )


def _approved(current: Application, release: ReleaseRef | None) -> str:
    if release is not None and release.sha == current.revision:
        return release.revision
    return current.revision or ""


async def _goal(
    ctx: Context,
    service: Service,
    wanted: str,
    *,
    current: Application,
    history: Sequence[DeployedRevision],
) -> tuple[str, bool]:
    """The revision to go back to, as the backend ran it, and whether it was healthy there."""
    if wanted:
        commit = await ctx.backends.code_host.find_commit(service.name, wanted)
        if commit is None:
            raise UsageError(
                f"`{service.name}` has no commit or tag “{wanted}”.",
                fix="Give a commit hash or a tag of its repository.",
                fields={"to": "No such commit or tag."},
            )
        if commit.sha == current.revision:
            raise PolicyDeniedError(f"{commit.sha[:7]} is what runs already.", rule="something-to-roll-back")
        return commit.sha, any(one.healthy for one in history if one.revision == commit.sha)
    earlier = next((one for one in history if one.healthy and one.revision != current.revision), None)
    if earlier is None:
        raise PolicyDeniedError(
            f"No other revision of `{service.name}` was ever healthy there, so there is nothing to go back to.",
            rule="something-to-roll-back",
            fix="Name one with `--to`, or promote a repaired revision.",
        )
    return earlier.revision, True


def _changes(service: Service, *, target: Environment, revision: str) -> tuple[Change, ...]:
    return (
        Change(
            kind="ref",
            action="move",
            name=target.release_ref,
            environment=target.name,
            detail=f"forward to the tree of {revision[:7]}",
        ),
        Change(
            kind="application",
            action="deploy",
            name=f"{service.name}-{target.name}",
            environment=target.name,
            detail=revision[:7],
        ),
    )


command = Command(
    name="rollback",
    summary="Roll a service back",
    example="/platform rollback orders --to 3f2a1bc",
    args=Rollback,
    scope=scope,
    permission="rollback:{environment}",
    plan=plan,
    steps={"release": steps.RELEASE, "deploy": steps.DEPLOY},
    confirm=True,
    confirm_label="Roll back",
    position=40,
)
