"""A way to a backend on which one thing goes wrong: the first write is harmed, or nobody is there. Whatever the backend is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

Harm = Callable[[httpx.Request], httpx.Response]


def broken(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(500, text="<html>Server Error</html>")


def hangs(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("", request=request)


def garbage(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text="<html>Sign in</html>")


def lost(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("connection reset by peer", request=request)


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no route to host", request=request)


def nothing(request: httpx.Request) -> httpx.Response:
    """Success in the words of each, and nothing was done."""
    body = json.loads(request.content)
    if "locations" in request.url.path:
        location = {"id": "x", "type": "url", "target": body["target"], "entityRef": "location:default/x"}
        return httpx.Response(201, json={"location": location, "entities": []})
    if "/orgs/" in request.url.path:
        owner, url = {"login": "acme", "id": 1}, f"https://github.com/acme/{body['name']}"
        told = {"id": 7, "node_id": "R_7", "owner": owner, "html_url": url, "clone_url": f"{url}.git"}
        return httpx.Response(201, json={**body, **told, "default_branch": "main"})
    return httpx.Response(201, content=request.content)


@dataclass
class Wire(httpx.AsyncBaseTransport):
    """`harm` happens once, to the first thing that is written; `executed`: it is done all the same. `down`: nobody is there."""

    inner: httpx.AsyncBaseTransport
    harm: Harm | None = None
    executed: bool = False
    down: bool = False
    turned_away: int = 0
    after_write: Callable[[], None] = field(default=lambda: None)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            self.turned_away += 1
            return unreachable(request)
        writing = is_writing(request)
        if self.harm is not None and writing:
            harm, self.harm = self.harm, None
            if self.executed:
                done = await self.inner.handle_async_request(request)
                await done.aread()
                await done.aclose()
            return harm(request)
        answer = await self.inner.handle_async_request(request)
        if writing:
            self.after_write()
        return answer

    async def aclose(self) -> None:
        await self.inner.aclose()


def is_writing(request: httpx.Request) -> bool:
    """Not what only asks: trials, rights, a token for the next hour."""
    asks = "dryRun" in request.url.params or request.url.path.endswith(("reviews", "access_tokens"))
    return request.method not in {"GET", "HEAD"} and not asks
