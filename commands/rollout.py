"""`/platform rollout`: continue or abort a rollout that waits for a person, typed; the same as the card's buttons."""

from __future__ import annotations

from typing import Literal

from bot import lookup
from bot.command import Args, Command, Context, Knowledge, Reply, Scope, argument
from bot.domain import Actor, Choice, Platform


class Rollout(Args):
    action: Literal["continue", "abort"] = argument(
        "Action", "Let it go on past this pause, or back.", positional=True, choices=("continue", "abort")
    )
    request: str = argument("Request", "Its number, as on the card.", positional=True, choices="requests")


async def scope(args: Rollout, _actor: Actor, _platform: Platform, knowledge: Knowledge) -> Scope:
    return await lookup.request_scope(knowledge, args.request)


async def answer(ctx: Context, args: Rollout) -> Reply:
    return await ctx.steer(args.request.lower(), Choice(args.action))


command = Command(
    name="rollout",
    summary="Continue or abort a rollout",
    example="/platform rollout continue r-7k2m9x",
    args=Rollout,
    scope=scope,
    permission="promote:{environment}",
    answer=answer,
    group="Requests",
    position=105,
)
