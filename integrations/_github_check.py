"""What `python -m bot check` says of GitHub: who we are, what we may, which permission is missing, how much is left.

Asks only; changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

from bot.errors import BackendError
from integrations._forge_api import MISSING, segment
from integrations._github_api import Api
from integrations._github_auth import Installation, InstallationDialect
from integrations._http import Answer, Call
from integrations.ports import Finding

PERMISSIONS: Final[Mapping[str, tuple[str, str]]] = {
    "metadata": ("read", "find repositories"),
    "administration": (
        "write",
        "create, set up, rename, archive and delete repositories; team access; rulesets",
    ),
    "contents": ("write", "first commit, release branch, tags of promotions"),
    "workflows": ("write", "golden paths with files under .github/workflows"),
    "environments": ("write", "create environments"),
    "deployments": ("write", "show deployments on GitHub's pages"),
    "members": ("read", "give the team access to its repository"),
}
"""Permission of the App -> what is needed, and what for."""

CLASSIC_SCOPES: Final = ("repo", "workflow", "read:org")
_RANK: Final = {"read": 1, "write": 2, "admin": 3}
_ORGANISATION_WIDE: Final = frozenset({"members"})


async def findings(api: Api, *, organisation: str, installation: InstallationDialect | None) -> list[Finding]:
    found = [Finding("breaker", ok=True, detail=api.http.breaker_state())]
    if installation is None:
        found += await _asked(lambda: _token(api), "token")
    else:
        found += await _asked(lambda: _app(installation, organisation), "App")
    found += await _asked(lambda: _organisation(api, organisation), "organisation")
    return found


async def _asked(ask: Callable[[], Awaitable[list[Finding]]], subject: str) -> list[Finding]:
    try:
        return await ask()
    except BackendError as error:
        fix = error.fix or "Check base_url, the network and GitHub's status page."
        return [Finding(subject, ok=False, detail=error.message, fix=fix)]


async def _app(dialect: InstallationDialect, organisation: str) -> list[Finding]:
    return list(installation_findings(await dialect.installation(), organisation))


def installation_findings(installation: Installation, organisation: str) -> Iterator[Finding]:
    suspended = installation.suspended_at is not None
    name = installation.app_slug or "the App"
    yield Finding(
        "App",
        ok=not suspended,
        detail=f"{name} is {'suspended' if suspended else 'installed'} in {organisation}",
        fix="Unsuspend it in the organisation's settings, GitHub Apps." if suspended else "",
    )
    every = installation.repository_selection == "all"
    yield Finding(
        "repositories of the App",
        ok=every,
        detail="all" if every else "only selected ones: what the bot creates may not be among them",
        fix="" if every else "Organisation settings, GitHub Apps, Configure: All repositories.",
    )
    for permission, (needed, purpose) in PERMISSIONS.items():
        given = installation.permissions.get(permission, "none")
        ok = _RANK.get(given, 0) >= _RANK[needed]
        where = "Organization" if permission in _ORGANISATION_WIDE else "Repository"
        fix = f"App settings, Permissions, {where} permissions, {permission.capitalize()}: {needed}; then accept it in {organisation}."
        yield Finding(f"permission {permission}", ok=ok, detail=f"{given} ({purpose})", fix="" if ok else fix)


async def _token(api: Api) -> list[Finding]:
    answer = await api.http.send(Call("GET", "/user"))
    return list(scope_findings(answer))


def scope_findings(answer: Answer) -> Iterator[Finding]:
    """Classic tokens list their scopes in a header; fine-grained ones say nothing of what they may."""
    listed = answer.headers.get("x-oauth-scopes")
    if listed is None:
        detail = "accepted; GitHub does not tell what a fine-grained token may do"
        yield Finding("token", ok=True, detail=detail)
        return
    scopes = {one.strip() for one in listed.split(",")}
    yield Finding("token", ok=True, detail="accepted")
    for scope in CLASSIC_SCOPES:
        ok = scope in scopes or (scope == "read:org" and not scopes.isdisjoint({"admin:org", "write:org"}))
        fix = "" if ok else f"Give the token the scope {scope}, or use a GitHub App."
        yield Finding(f"scope {scope}", ok=ok, detail="given" if ok else "missing", fix=fix)


async def _organisation(api: Api, organisation: str) -> list[Finding]:
    answer = await api.http.send(Call("GET", f"/orgs/{segment(organisation)}", accept=MISSING))
    there = answer.status != 404
    found = [
        Finding(
            "organisation",
            ok=there,
            detail=f"{organisation} {'can be seen' if there else 'cannot be found'}",
            fix="" if there else "Correct `organisation` in platform.yml, or let the credential see it.",
        )
    ]
    left = answer.headers.get("x-ratelimit-remaining")
    if left is not None:
        whole = answer.headers.get("x-ratelimit-limit", "?")
        some = left != "0"
        fix = "" if some else "Wait until the hour is over; find out who else uses this credential."
        found.append(Finding("rate limit", ok=some, detail=f"{left} of {whole} calls left", fix=fix))
    return found


def bypass_actor(app_id: str | None) -> dict[str, Any]:
    """Who may move releases past the ruleset: the App, or with a token whoever administers the repository (role 5)."""
    if app_id is not None:
        return {"actor_id": int(app_id), "actor_type": "Integration"}
    return {"actor_id": 5, "actor_type": "RepositoryRole"}
