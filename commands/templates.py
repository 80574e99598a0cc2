"""`/platform templates`: the golden paths on offer, and what each of them asks."""

from __future__ import annotations

from bot import views
from bot.command import Args, Command, Context, Knowledge, Reply, Scope
from bot.domain import Actor, Platform
from integrations.ports import GoldenPath


class Templates(Args):
    pass


async def scope(_args: Templates, _actor: Actor, _platform: Platform, _knowledge: Knowledge) -> Scope:
    return Scope(permission="look")


async def answer(ctx: Context, _args: Templates) -> Reply:
    offered = [
        path
        for path in await ctx.backends.golden_paths.list_golden_paths()
        if path.name in ctx.platform.golden_paths
    ]
    if not offered:
        text = (
            "No golden path is on offer. The platform team lists them under `golden_paths` in platform.yml."
        )
        return Reply(text, [views.section(text)])
    blocks: list[views.Block] = []
    for path in offered:
        blocks += [views.section(_describe(path)), *_buttons(ctx, path)]
    return Reply("Golden paths: " + ", ".join(path.name for path in offered), views.fit(blocks))


def _describe(path: GoldenPath) -> str:
    rows = [
        f"*{path.name}* · {views.escape(path.title)}",
        views.escape(path.description),
        f"Databases: {', '.join(path.databases)} · revision {views.code(path.revision[:12])}",
    ]
    if path.parameters:
        asked = ", ".join(
            f"{one.name} ({', '.join(one.choices)})" if one.choices else one.name for one in path.parameters
        )
        rows.append(f"Also asks: {views.escape(asked)}")
    if path.missing:
        rows.append(f":warning: cannot run on this machine: {', '.join(path.missing)} is not installed")
    return "\n".join(row for row in rows if row)


def _buttons(ctx: Context, path: GoldenPath) -> list[views.Block]:
    if not any(ctx.may("create-service", team=team) for team in ctx.actor.teams):
        return []
    return views.actions(
        [views.button("Use this golden path", action="form:create-service", value=f"template={path.name}")],
        block_id=f"template:{path.name}",
    )


command = Command(
    name="templates",
    summary="List golden paths",
    example="/platform templates",
    args=Templates,
    scope=scope,
    answer=answer,
    position=60,
)
