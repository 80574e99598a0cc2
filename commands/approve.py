"""`/platform approve`: the same decision as the card's button, typed."""

from __future__ import annotations

from bot import lookup
from bot.command import Args, Command, Context, Knowledge, Reply, Scope, argument
from bot.domain import Actor, Decision, Platform


class Approve(Args):
    request: str = argument("Request", "Its number, as on the card.", positional=True, choices="requests")
    reason: str = argument("Reason", "Kept in the audit trail.", default="", positional=True, rest=True)


async def scope(args: Approve, _actor: Actor, _platform: Platform, knowledge: Knowledge) -> Scope:
    return await lookup.request_scope(knowledge, args.request)


async def answer(ctx: Context, args: Approve) -> Reply:
    return await ctx.decide(args.request.lower(), Decision.APPROVE, reason=args.reason)


command = Command(
    name="approve",
    summary="Approve a request",
    example="/platform approve r-7k2m9x looks good",
    args=Approve,
    scope=scope,
    permission="approve:{environment}",
    answer=answer,
    group="Requests",
    position=80,
)
