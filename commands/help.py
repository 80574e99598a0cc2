"""`/platform` and `/platform help`: what this person may do, with buttons."""

from __future__ import annotations

import difflib

from bot import forms, views
from bot.command import Args, Command, Context, Knowledge, Reply, Scope, argument
from bot.domain import Actor, Platform
from bot.errors import NotFoundError

BUTTONS = ("create-service", "status", "promote", "requests", "whoami")


class Help(Args):
    verb: str = argument("Verb", "What to explain.", default="", positional=True)


async def scope(_args: Help, _actor: Actor, _platform: Platform, _knowledge: Knowledge) -> Scope:
    return Scope(permission="look")


async def answer(ctx: Context, args: Help) -> Reply:
    if args.verb:
        return _explain(ctx, args.verb.lower())
    offered = {name: one for name, one in ctx.commands.items() if _may(ctx, one)}
    blocks: list[views.Block] = [views.section(f"*{views.escape(ctx.platform.name)}* · what you can do")]
    for group in dict.fromkeys(one.group for one in offered.values()):
        rows = [
            f"{views.code(f'/platform {one.name}')}  {one.summary}"
            for one in offered.values()
            if one.group == group
        ]
        blocks += [views.context(f"*{group}*"), *views.lines(rows)]
    buttons = [
        views.button(offered[name].summary, action=f"form:{name}", value=name)
        for name in BUTTONS
        if name in offered
    ]
    blocks += views.actions(buttons, block_id="help")
    blocks.append(views.context("`/platform help VERB` explains one of them."))
    return Reply("What you can do: " + ", ".join(offered), views.fit(blocks))


def _may(ctx: Context, command: Command) -> bool:
    if command.needs and getattr(ctx.backends, command.needs) is None:
        return False
    if not command.permission:
        return True
    wanted = [
        command.permission.replace("{environment}", one.name)
        for one in ctx.platform.environments
        if one.position > 0
    ]
    return any(
        ctx.may(permission, team=team) for permission in wanted for team in (*sorted(ctx.actor.teams), "")
    )


def _explain(ctx: Context, verb: str) -> Reply:
    command = ctx.commands.get(verb)
    if command is None:
        near = difflib.get_close_matches(verb, ctx.commands, n=1)
        raise NotFoundError(
            f"There is no verb “{verb}”.",
            fix=f"Did you mean `/platform help {near[0]}`?" if near else "`/platform` lists them all.",
        )
    rows = [f"*{command.summary}*", views.code(forms.usage(command))]
    rows += [
        f"• *{one.name.upper() if one.positional else one.flag}* {views.escape(one.description)}"
        + (f" Accepted: {', '.join(one.choices)}." if isinstance(one.choices, tuple) and one.choices else "")
        + (f" Default: {one.default}." if one.default else "")
        for one in forms.arguments(command.args)
        if one.in_form
    ]
    rows.append(f"For example: {views.code(command.example)}")
    if not _may(ctx, command):
        rows.append(":warning: Your roles do not allow it; `/platform whoami` shows what they allow.")
    buttons = views.actions([views.button("Open the form", action=f"form:{verb}", value=verb)])
    shown = buttons if forms.arguments(command.args) and _may(ctx, command) else []
    return Reply(f"{command.summary}: {forms.usage(command)}", [*views.lines(rows), *shown])


command = Command(
    name="help",
    summary="Explain the verbs",
    example="/platform help promote",
    args=Help,
    scope=scope,
    answer=answer,
    group="You",
    position=130,
)
