"""`/platform requests`: what is open, newest first."""

from __future__ import annotations

from bot import request_views, views
from bot.command import Args, Command, Context, Knowledge, Reply, Scope, argument
from bot.domain import Actor, Platform, RequestState

PAGE = 15


class Requests(Args):
    mine: bool = argument("Mine", "Only what I asked for.", default=False)
    pending: bool = argument("Pending", "Only what waits for an approval.", default=False)
    all: bool = argument("All", "Closed ones too.", default=False)
    before: str = argument("Before", "The last request of the page before.", default="", form=False)


async def scope(_args: Requests, _actor: Actor, _platform: Platform, _knowledge: Knowledge) -> Scope:
    return Scope(permission="look")


async def answer(ctx: Context, args: Requests) -> Reply:
    found = await ctx.knowledge.list_requests(
        requester=ctx.actor.user_id if args.mine else "",
        states=(RequestState.AWAITING,) if args.pending else (),
        only_open=not args.all,
        before=args.before,
        limit=PAGE + 1,
    )
    page, more = list(found[:PAGE]), len(found) > PAGE
    if not page:
        whose = "of yours " if args.mine else ""
        text = f"No request {whose}is {'waiting for approval' if args.pending else 'open'}."
        return Reply(text, [views.section(text)])
    blocks = [*views.lines(request_views.row(one) for one in page)]
    if more:
        flags = "".join(f" --{name}" for name in ("mine", "pending", "all") if getattr(args, name))
        blocks.append(views.context(f"Older: `/platform requests{flags} --before {page[-1].id}`"))
    return Reply(views.count(len(page), "request"), blocks)


command = Command(
    name="requests",
    summary="List requests",
    example="/platform requests --pending",
    args=Requests,
    scope=scope,
    answer=answer,
    group="Requests",
    position=70,
)
