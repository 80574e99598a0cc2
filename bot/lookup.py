"""What commands look up before anything is recorded, with the sentence for what is not there. Local database only."""

from __future__ import annotations

import difflib

from bot.command import Knowledge, Scope
from bot.domain import Environment, Platform, Request, Service
from bot.errors import NotFoundError, UsageError

LETTERS_IN_COMMON = 3
MOST_COMPARED = 100


async def existing_service(knowledge: Knowledge, name: str) -> Service:
    """Raises NotFoundError with the nearest name."""
    service = await knowledge.find_service(name.lower())
    if service is not None:
        return service
    near = await _nearest(knowledge, name.lower())
    raise NotFoundError(
        f"There is no service “{name}”.",
        fix=f"Did you mean `{near}`?" if near else "`/platform services` lists what exists.",
    )


async def _nearest(knowledge: Knowledge, name: str) -> str:
    """Looked for among those that have a beginning or an end in common: there may be too many to compare them all."""
    for part in dict.fromkeys((name[:LETTERS_IN_COMMON], name[-LETTERS_IN_COMMON:])):
        known = await knowledge.list_services(text=part, limit=MOST_COMPARED)
        for near in difflib.get_close_matches(name, [one.name for one in known], n=1):
            return near
    return ""


async def existing_request(knowledge: Knowledge, request_id: str) -> Request:
    request = await knowledge.find_request(request_id.lower())
    if request is None:
        raise NotFoundError(
            f"There is no request “{request_id}”.", fix="`/platform requests` lists the open ones."
        )
    return request


async def request_scope(knowledge: Knowledge, request_id: str) -> Scope:
    """For verbs about an existing request: everybody may ask; who may decide is judged by the request's gates."""
    request = await existing_request(knowledge, request_id)
    return Scope(
        permission="look", team=request.team, service=request.service, environment=request.environment
    )


def release_environment(platform: Platform, name: str, *, field: str) -> Environment:
    """An environment that moves by promotion only; the last one where none is named. Raises UsageError for `field`."""
    wanted = name or platform.environments[-1].name
    environment = platform.environment(wanted)
    possible = ", ".join(one.name for one in platform.environments if one.position > 0)
    fields = {field: f"Accepted: {possible}."}
    if environment is None:
        raise UsageError(f"There is no environment “{wanted}”.", fix=f"Accepted: {possible}.", fields=fields)
    if environment.position == 0:
        raise UsageError(
            f"{environment.title} follows the branch {environment.follows or 'main'} by itself.",
            fix=f"Push there (or `git revert`), and it is deployed at once. By promotion: {possible}.",
            fields=fields,
        )
    return environment


async def release_scope(
    platform: Platform, knowledge: Knowledge, *, verb: str, service: str, environment: str, field: str
) -> Scope:
    """For verbs that move a release; of those that move the same one, one at a time. `field` is the environment's."""
    known = await existing_service(knowledge, service)
    target = release_environment(platform, environment, field=field)
    return Scope(
        permission=f"{verb}:{target.name}",
        team=known.team,
        service=known.name,
        environment=target.name,
        active_key=f"release:{known.name}:{target.name}",
    )
