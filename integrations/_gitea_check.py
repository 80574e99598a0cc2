"""What `python -m bot check` says of Gitea: who we are, what the token and the account may, which of it is missing.

Changes nothing. A token cannot ask for its own scopes, so two writes are tried that can never be carried out: a change of a
repository whose name Gitea reserves, and the creation of one without a name. Scopes are looked at before either.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bot.errors import BackendError
from integrations._forge_api import MISSING, segment
from integrations._gitea_api import BASE, Api
from integrations._gitea_errors import missing_scope, refuse, said
from integrations._gitea_shapes import OrganisationAnswer, OrganisationPermissions, VersionAnswer
from integrations._http import Call
from integrations.ports import Finding

OLDEST: Final = (1, 22)
"""Forgejo 7 calls itself 7.x+gitea-1.22.0."""
RESERVED_NAME: Final = "platform-bot-check.wiki"

_VERSION: Final = re.compile(r"(\d+)\.(\d+)")
_REFUSED: Final = frozenset({400, 403, 404, 422})


@dataclass(frozen=True)
class Wanted:
    """What the settings ask of the account, besides creating repositories."""

    organisation: str
    grants_teams: bool
    deletes: bool


async def findings(api: Api, wanted: Wanted) -> list[Finding]:
    found = [Finding("breaker", ok=True, detail=api.http.breaker_state())]
    found += await _asked(lambda: _server(api), "server")
    found += await _asked(lambda: _account(api), "token")
    organisation = segment(wanted.organisation)
    for scope, method, path, body in (
        ("write:repository", "PATCH", f"/repos/{organisation}/{RESERVED_NAME}", {}),
        ("write:organization", "POST", f"/orgs/{organisation}/repos", {"name": ""}),
    ):
        call = Call(method, BASE + path, body=body, accept=_REFUSED, repeatable=True)
        found += await _asked(lambda scope=scope, call=call: _scope(api, scope, call), f"scope {scope}")  # type: ignore[misc]
    found += await _asked(lambda: _organisation(api, wanted), "organisation")
    return found


async def _asked(ask: Callable[[], Awaitable[Sequence[Finding]]], subject: str) -> Sequence[Finding]:
    try:
        return await ask()
    except BackendError as error:
        fix = error.fix or "Check base_url, the network and the server itself."
        return [Finding(subject, ok=False, detail=error.message, fix=fix)]


async def _server(api: Api) -> Sequence[Finding]:
    version = (await api.get("/version", VersionAnswer)).version
    recent = is_recent(version)
    fix = "" if recent else "Upgrade to Gitea 1.22 or Forgejo 7, or newer."
    return [Finding("server", ok=recent, detail=version, fix=fix)]


def is_recent(version: str) -> bool:
    """Forgejo says which Gitea it is after a plus sign; what cannot be read is not called too old."""
    found = _VERSION.search(version.rpartition("gitea-")[2])
    return found is None or (int(found[1]), int(found[2])) >= OLDEST


async def _account(api: Api) -> Sequence[Finding]:
    return [Finding("token", ok=True, detail=f"accepted; the account is {(await api.account()).login}")]


async def _scope(api: Api, scope: str, call: Call) -> Sequence[Finding]:
    words = said(await api.http.send(call))
    ok = missing_scope(words) is None
    fix = "" if ok else f"Make a token with the scope {scope} for the bot's account."
    return [Finding(f"scope {scope}", ok=ok, detail="given" if ok else "missing", fix=fix)]


async def _organisation(api: Api, wanted: Wanted) -> Sequence[Finding]:
    path = f"/orgs/{segment(wanted.organisation)}"
    settings = await api.find(path, OrganisationAnswer)
    if settings is None:
        raise refuse(
            f"{wanted.organisation} cannot be found.",
            fix="Correct `organisation` in platform.yml, or let the bot's account see it.",
        )
    login = (await api.account()).login
    may = await api.find(
        f"/users/{segment(login)}{path}/permissions", OrganisationPermissions, missing=MISSING
    )
    return list(permission_findings(wanted, settings, may, login=login))


def permission_findings(
    wanted: Wanted, settings: OrganisationAnswer, may: OrganisationPermissions | None, *, login: str
) -> Iterator[Finding]:
    organisation = wanted.organisation
    # Gitea answers for the former name of an organisation; what it then says of repositories is of the new one.
    same = settings.name.lower() == organisation.lower()
    yield Finding(
        "organisation",
        ok=same,
        detail=f"{organisation} can be seen" if same else f"{organisation} is now called {settings.name}",
        fix="" if same else f"Write `organisation: {settings.name}` in platform.yml.",
    )
    owner = may is not None and may.is_owner
    creates = may is not None and may.can_create_repository
    yield Finding(
        "create repositories",
        ok=creates,
        detail=f"{login} may {'' if creates else 'not '}create repositories in {organisation}",
        fix="" if creates else f"Put {login} into a team of {organisation} with *Create repositories*.",
    )
    if wanted.grants_teams:
        grants = owner or settings.repo_admin_change_team_access
        yield Finding(
            "team access",
            ok=grants,
            detail=f"{login} may {'' if grants else 'not '}give teams access to its repositories",
            fix=""
            if grants
            else f"Settings of {organisation}: *Repository admin can add and remove access for teams*.",
        )
    if wanted.deletes:
        yield Finding(
            "delete repositories",
            ok=owner,
            detail=f"{login} is {'' if owner else 'not '}an owner of {organisation}",
            fix="" if owner else f"Make {login} an owner of {organisation}, or set `undo: archive`.",
        )
