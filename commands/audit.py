"""`/platform audit`: who did what, newest first, from the tamper-evident trail."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from pydantic import field_validator

from bot import views
from bot.command import Args, Command, Context, Knowledge, Reply, Scope, argument
from bot.domain import Actor, AuditEvent, Platform

PAGE = 20
_SINCE = re.compile(r"(\d{1,4})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PERSON = re.compile(r"[UW][A-Z0-9]{2,}")


class Audit(Args):
    service: str = argument("Service", "Only this service.", default="", choices="services")
    person: str = argument("Person", "Only what this person did.", default="", choices="people")
    since: str = argument("Since", "How far back: 30m, 12h, 7d, 4w.", default="7d")
    steps: bool = argument("Steps", "Also what the platform did, step by step.", default=False)
    before: int = argument("Before", "The last number of the page before.", default=0, form=False)

    @field_validator("since")
    @classmethod
    def _duration(cls, text: str) -> str:
        if not _SINCE.fullmatch(text):
            raise ValueError(f"“{text}” is no span of time; accepted: 30m, 12h, 7d, 4w")
        return text

    @field_validator("person")
    @classmethod
    def _mention(cls, text: str) -> str:
        if text and not _PERSON.fullmatch(text):
            raise ValueError(f"“{text}” is not a person; accepted: a mention such as @alice")
        return text


def back_to(since: str, now: datetime) -> datetime:
    """`7d` before now."""
    match = _SINCE.fullmatch(since)
    if match is None:
        raise ValueError(since)
    return now - timedelta(**{_UNITS[match.group(2)]: int(match.group(1))})


async def scope(args: Audit, _actor: Actor, _platform: Platform, knowledge: Knowledge) -> Scope:
    service = await knowledge.find_service(args.service) if args.service else None
    return Scope(permission="audit", team=service.team if service else "", service=args.service)


async def answer(ctx: Context, args: Audit) -> Reply:
    found = await ctx.knowledge.list_audit(
        service=args.service,
        actor=args.person,
        since=back_to(args.since, ctx.now),
        before=args.before,
        steps=args.steps,
        limit=PAGE + 1,
    )
    page, more = list(found[:PAGE]), len(found) > PAGE
    if not page:
        text = f"Nothing happened in the last {args.since} that fits. Try `--since 4w`."
        return Reply(text, [views.section(text)])
    blocks = [*views.lines(_row(event) for event in page)]
    if more:
        blocks.append(views.context(f"Older: add `--before {page[-1].sequence}` to the same command."))
    blocks.append(
        views.context(
            f"Chain head of this page: {views.code(page[0].hash[:16])} · `python -m bot audit verify`"
        )
    )
    return Reply(f"{views.count(len(page), 'audit event')}, newest first", blocks)


def _row(event: AuditEvent) -> str:
    at = views.moment(datetime.fromisoformat(event.at))
    about = " ".join(filter(None, (event.service, event.environment)))
    return " · ".join(
        filter(
            None,
            (
                f"`{event.sequence}` {at}",
                views.mention(event.actor),
                f"*{views.escape(event.event)}*",
                views.escape(about),
                views.code(event.request_id) if event.request_id else "",
                views.escape(_detail(event)),
            ),
        )
    )


def _detail(event: AuditEvent) -> str:
    """What tells this event from others of its kind, cut short."""
    parts = [str(event.data[name]) for name in ("step", "detail", "reason", "error") if event.data.get(name)]
    return views.cut(" – ".join(parts), 160)


command = Command(
    name="audit",
    summary="Show who did what",
    example="/platform audit --service orders --since 7d",
    args=Audit,
    scope=scope,
    answer=answer,
    group="Requests",
    position=110,
)
