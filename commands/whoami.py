"""`/platform whoami`: who the platform takes me for, and what I may do."""

from __future__ import annotations

from bot import views
from bot.command import Args, Command, Context, Knowledge, Reply, Scope
from bot.domain import Actor, Platform


class WhoAmI(Args):
    pass


async def scope(_args: WhoAmI, _actor: Actor, _platform: Platform, _knowledge: Knowledge) -> Scope:
    return Scope(permission="look")


async def answer(ctx: Context, _args: WhoAmI) -> Reply:
    actor, platform = ctx.actor, ctx.platform
    rows = [f"You are {views.mention(actor.user_id)}, {actor.kind.value} of {platform.name}."]
    rows += [
        f"*{platform.roles[name].title if name in platform.roles else name}* everywhere"
        for name in sorted(actor.platform_roles)
    ]
    for team in sorted(actor.teams):
        role = platform.roles.get(actor.roles.get(team, ""))
        rows.append(
            f"*{platform.teams[team].title}*: {role.title if role else 'member'} · you may "
            + (", ".join(_allowed(ctx, team)) or "look")
        )
    if not actor.teams and not actor.platform_roles:
        rows.append(
            "You belong to no team, so you may look but not change anything. "
            "The platform team adds people under `teams` in platform.yml."
        )
    return Reply(rows[0], views.lines(rows))


def _allowed(ctx: Context, team: str) -> list[str]:
    """Verbs with the environments they are allowed in, as a person would say them."""
    environments = [one.name for one in ctx.platform.environments if one.position > 0]
    allowed = ["create services"] if ctx.may("create-service", team=team) else []
    for verb, words in (("promote", "promote to"), ("rollback", "roll back in"), ("approve", "approve for")):
        where = [name for name in environments if ctx.may(f"{verb}:{name}", team=team)]
        if where:
            allowed.append(f"{words} {', '.join(where)}")
    return allowed


command = Command(
    name="whoami",
    summary="Show what I may do",
    example="/platform whoami",
    args=WhoAmI,
    scope=scope,
    answer=answer,
    group="You",
    position=120,
)
