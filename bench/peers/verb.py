"""One more verb, as a third party would bring it."""

from bot.command import Args, Command, Context, Knowledge, Reply, Scope, argument
from bot.domain import Actor, Platform


class Words(Args):
    words: str = argument("Words", "Whatever you like.", positional=True, default="", rest=True)


async def scope(_args: Words, _actor: Actor, _platform: Platform, _knowledge: Knowledge) -> Scope:
    return Scope(permission="look", team="", service="", environment="")


async def answer(_ctx: Context, args: Words) -> Reply:
    return Reply(args.words or "Nothing.", [])


command = Command(
    name="bench-verb",
    summary="One more verb",
    example="/platform bench-verb",
    args=Words,
    scope=scope,
    permission="look",
    answer=answer,
    position=900,
)
