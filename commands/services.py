"""`/platform services`: what exists, by name."""

from __future__ import annotations

from bot import views
from bot.command import Args, Command, Context, Knowledge, Reply, Scope, argument
from bot.domain import Actor, Platform

PAGE = 20


class Services(Args):
    text: str = argument(
        "Text", "Part of a name, a description or a team.", default="", positional=True, rest=True
    )
    after: str = argument("After", "The last name of the page before.", default="", form=False)


async def scope(_args: Services, _actor: Actor, _platform: Platform, _knowledge: Knowledge) -> Scope:
    return Scope(permission="look")


async def answer(ctx: Context, args: Services) -> Reply:
    found = await ctx.knowledge.list_services(text=args.text, after=args.after, limit=PAGE + 1)
    page, more = list(found[:PAGE]), len(found) > PAGE
    if not page:
        what = f" with “{views.escape(args.text)}”" if args.text else ""
        text = f"There is no service{what} yet. `/platform create-service` makes one."
        return Reply(text, [views.section(text)])
    rows = [
        f"*{one.name}* · {one.team} · {one.golden_path}"
        + (f" · {views.escape(one.description)}" if one.description else "")
        for one in page
    ]
    blocks = [*views.lines(rows)]
    if more:
        rest = f" {args.text}" if args.text else ""
        blocks.append(views.context(f"More: `/platform services{rest} --after {page[-1].name}`"))
    names = ", ".join(one.name for one in page)
    return Reply(f"{views.count(len(page), 'service')}: {names}", blocks)


command = Command(
    name="services",
    summary="List services",
    example="/platform services orders",
    args=Services,
    scope=scope,
    answer=answer,
    position=50,
)
