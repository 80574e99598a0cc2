"""`/platform cancel`: withdraw a request of mine that has not begun."""

from __future__ import annotations

from bot import lookup
from bot.command import Args, Command, Context, Knowledge, Reply, Scope, argument
from bot.domain import Actor, Platform


class Cancel(Args):
    request: str = argument("Request", "Its number, as on the card.", positional=True, choices="requests")


async def scope(args: Cancel, _actor: Actor, _platform: Platform, knowledge: Knowledge) -> Scope:
    return await lookup.request_scope(knowledge, args.request)


async def answer(ctx: Context, args: Cancel) -> Reply:
    return await ctx.cancel(args.request.lower())


command = Command(
    name="cancel",
    summary="Cancel my request",
    example="/platform cancel r-7k2m9x",
    args=Cancel,
    scope=scope,
    answer=answer,
    group="Requests",
    position=100,
)
