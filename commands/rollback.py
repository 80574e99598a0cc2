"""`/platform rollback`: back to a revision that was healthy before, by a forward move of the release ref."""

from __future__ import annotations

from collections.abc import Sequence

from bot import evidence, lookup, standing, steps
from bot.command import Args, Command, Context, Knowledge, Scope, argument
from bot.domain import Actor, Change, Environment, Plan, Platform, Service
from bot.errors import PolicyDeniedError, UsageError
from integrations.ports import DeployedRevision


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
    return await lookup.release_scope(
        platform,
        knowledge,
        verb="rollback",
        service=args.service,
        environment=args.environment,
        field="environment",
    )


async def plan(ctx: Context, args: Rollback) -> Plan:
    service = await lookup.existing_service(ctx.knowledge, args.service)
    target = lookup.release_environment(ctx.platform, args.environment, field="environment")
    now = await standing.of(ctx, service.name, target)
    if now.application is None or now.application.revision is None or now.revision is None:
        raise PolicyDeniedError(
            f"`{service.name}` runs nothing in {target.name}.",
            rule="something-to-roll-back",
            fix=f"`/platform promote {service.name} --to {target.name}` brings it there.",
        )
    live = now.application.revision
    ran = await standing.history(ctx, service.name, target)
    goal, known_good = await _goal(ctx, service, args.to, current=now.revision, ran=ran)
    comparison = await ctx.backends.code_host.compare(service.name, base=goal, head=live)
    made = Plan(
        command="rollback",
        title=f"Roll back {service.name} in {target.name}",
        summary=f"From {now.revision[:7]} back to {goal[:7]}.",
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
                expected=now.release.sha if now.release else None,
                previous=now.release.revision if now.release else None,
            ),
            steps.plan_deploy(
                service=service.name,
                environment=target.name,
                revision=goal,
                previous=live,
            ),
        ),
        commits=standing.commits(comparison),
        facts={
            "target_revision": now.revision,
            "target_health": now.application.health.value,
            "target_ref": now.release.sha if now.release else "",
            **await standing.window(ctx, service.name, target),
            "goal_revision": goal,
            "rollback_known_good": "true" if known_good else "false",
        },
        notes=("The commits listed are the ones that are taken out of this environment.",),
        announce=f"{service.name} ⟲ {target.name}",
    )
    return await evidence.considered_in_an_emergency(ctx, made, revision=goal)


async def _goal(
    ctx: Context,
    service: Service,
    wanted: str,
    *,
    current: str,
    ran: Sequence[DeployedRevision],
) -> tuple[str, bool]:
    """The approved revision to go back to, and whether it was healthy there."""
    if wanted:
        commit = await ctx.backends.code_host.find_commit(service.name, wanted)
        if commit is None:
            raise UsageError(
                f"`{service.name}` has no commit or tag “{wanted}”.",
                fix="Give a commit hash or a tag of its repository.",
                fields={"to": "No such commit or tag."},
            )
        if commit.sha == current:
            raise PolicyDeniedError(f"{commit.sha[:7]} is what runs already.", rule="something-to-roll-back")
        return commit.sha, any(one.healthy for one in ran if one.revision == commit.sha)
    earlier = next((one for one in ran if one.healthy and one.revision != current), None)
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
