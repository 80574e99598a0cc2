"""What the bot may do in Backstage, found out without changing anything. Reports; decides nothing.

Backstage answers 403 where a permission to write is missing, but an empty list where a permission to read is. So writing is
asked for something that cannot be (a type of location that no catalog allows, an id that no location has), and of reading
an empty answer is not taken for a good one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from bot.errors import BackendError
from integrations._backstage_errors import error_of
from integrations._backstage_shapes import parse_locations, parse_page, parse_processed
from integrations._http import Call, Http
from integrations.ports import Finding

NOWHERE: Final = "00000000-0000-4000-8000-000000000000"
"""A well-formed id: PostgreSQL would answer anything else with an error of its own."""
NO_SUCH_TYPE: Final = "platform-bot-check"


async def probe(http: Http) -> list[Finding]:
    """The first part that cannot be asked at all ends it: the others would only say the same again."""
    findings: list[Finding] = []
    for subject, ask in (
        ("Backstage: catalog", _reading),
        ("Backstage: register", _registering),
        ("Backstage: unregister", _unregistering),
        ("Backstage: locations", _listing),
    ):
        finding = await _asked(subject, ask, http)
        findings.append(finding)
        if finding is findings[0] and not finding.ok:
            break
    return findings


async def _asked(subject: str, ask: Callable[[Http, str], Awaitable[Finding]], http: Http) -> Finding:
    try:
        return await ask(http, subject)
    except BackendError as error:
        detail = error.message
        if (state := http.breaker_state()) != "closed":
            detail = f"{detail} Circuit breaker: {state}."
        return Finding(
            subject, ok=False, detail=detail, fix=error.fix or "Check base_url and Backstage's log."
        )


async def _reading(http: Http, subject: str) -> Finding:
    page = parse_page(await http.send(Call("GET", "/entities/by-query", {"limit": "1"})))
    if page.items:
        return Finding(subject, ok=True, detail="the token is valid, the catalog can be read")
    return Finding(
        subject,
        ok=False,
        detail="the token is valid, but the catalog shows it nothing",
        fix=_grant("catalog.entity.read", "An empty catalog looks the same."),
    )


async def _registering(http: Http, subject: str) -> Finding:
    body = {"type": NO_SUCH_TYPE, "target": NO_SUCH_TYPE}
    answer = await http.send(
        Call(
            "POST",
            "/locations",
            {"dryRun": "true"},
            body,
            accept=frozenset({400, 403}),
            repeatable=True,
        )
    )
    name, message = error_of(answer)
    if answer.status == 400 and name == "InputError":
        return Finding(subject, ok=True, detail="a dry run is allowed")
    return Finding(
        subject,
        ok=False,
        detail=message or f"status {answer.status} where a refused type was expected",
        fix=_grant("catalog.location.create"),
    )


async def _unregistering(http: Http, subject: str) -> Finding:
    answer = await http.send(
        Call("DELETE", f"/locations/{NOWHERE}", accept=frozenset({403, 404}), repeatable=True)
    )
    name, message = error_of(answer)
    if answer.status == 404 and name == "NotFoundError":
        return Finding(subject, ok=True, detail="the catalog is writable, deleting a location is allowed")
    if "readonly mode" in message:
        fix = "Set catalog.readonly to false in Backstage's app-config; registering needs it, too."
    else:
        fix = _grant("catalog.location.delete")
    return Finding(subject, ok=False, detail=message or f"status {answer.status}", fix=fix)


async def _listing(http: Http, subject: str) -> Finding:
    seen = parse_locations(await http.send(Call("GET", "/locations")))
    if seen:
        return Finding(subject, ok=True, detail=f"{len(seen)} registered locations can be read")
    if await _registered_after_all(http):
        return Finding(
            subject,
            ok=False,
            detail="locations are registered, but the token is shown none",
            fix=_grant("catalog.location.read"),
        )
    return Finding(
        subject, ok=True, detail="none is registered; catalog.location.read shows with the first one"
    )


async def _registered_after_all(http: Http) -> bool:
    """A dry run tells of a location whether it is registered, whoever asks."""
    params = {"limit": "5", "filter": "kind=location,spec.type=url"}
    for entity in parse_page(await http.send(Call("GET", "/entities/by-query", params))).items:
        body = {"type": "url", "target": entity.origin}
        answer = await http.send(
            Call(
                "POST",
                "/locations",
                {"dryRun": "true"},
                body,
                accept=frozenset({400, 403}),
                repeatable=True,
            )
        )
        if answer.status < 300 and parse_processed(answer).exists:
            return True
    return False


def _grant(permission: str, also: str = "") -> str:
    grant = f"Add {permission} to the token's accessRestrictions (plugin catalog)."
    return f"{grant} {also}" if also else grant
