"""`/platform deny`: refuse a request; the requester is told why."""

from __future__ import annotations

from bot import lookup
from bot.command import Args, Command, Context, Knowledge, Reply, Scope, argument
from bot.domain import Actor, Decision, Platform


class Deny(Args):
    request: str = argument("Request", "Its number, as on the card.", positional=True, choices="requests")
    reason: str = argument("Reason", "The requester reads it.", positional=True, rest=True, multiline=True)


async def scope(args: Deny, _actor: Actor, _platform: Platform, knowledge: Knowledge) -> Scope:
    return await lookup.request_scope(knowledge, args.request)


async def answer(ctx: Context, args: Deny) -> Reply:
    return await ctx.decide(args.request.lower(), Decision.DENY, reason=args.reason)


command = Command(
    name="deny",
    summary="Deny a request",
    example="/platform deny r-7k2m9x wait for the migration",
    args=Deny,
    scope=scope,
    permission="approve:{environment}",
    answer=answer,
    group="Requests",
    position=90,
)
