"""The company's platform of whole_platform.py with trouble on every wire: to GitHub, to Kubernetes (twice), to Backstage."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from github_stage import sample_signer
from whole_platform import Platform

from integrations import argocd, backstage, crossplane, github
from integrations._http import Timing
from integrations._kubernetes import open_kubernetes
from integrations._kubernetes_cluster import kubeconfig_cluster
from integrations.ports import Surroundings

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


@dataclass
class Troubled:
    """`wires`: name of a backend -> the way to it."""

    around: Platform
    wires: dict[str, Wire]

    def hurt(self, harm: Harm, *, executed: bool) -> None:
        for wire in self.wires.values():
            wire.harm, wire.executed = harm, executed

    def take_down(self) -> None:
        for wire in self.wires.values():
            wire.down = True

    def bring_back(self) -> None:
        for wire in self.wires.values():
            wire.down = False


def troubled(around: Platform) -> Troubled:
    """Every backend is opened on a wire that can be harmed."""
    cluster = kubeconfig_cluster(around.kubeconfig, context=None)
    made = Troubled(
        around,
        {
            "github": Wire(around.github.transport),
            "backstage": Wire(around.backstage.transport()),
            "crossplane": Wire(httpx.AsyncHTTPTransport(verify=cluster.tls)),
            "argocd": Wire(httpx.AsyncHTTPTransport(verify=cluster.tls)),
        },
    )
    clock = around.github.clock
    timing = Timing(clock.monotonic, clock.now, clock.sleep, lambda: 1.0)

    @asynccontextmanager
    async def open_github(settings: Any, surroundings: Surroundings) -> AsyncIterator[Any]:
        async with httpx.AsyncClient(base_url=settings.base_url, transport=made.wires["github"]) as client:
            yield github.connect(settings, surroundings.secrets, client, timing=timing, signer=sample_signer)

    @asynccontextmanager
    async def open_backstage(settings: Any, surroundings: Surroundings) -> AsyncIterator[Any]:
        door = backstage.connect(
            settings, surroundings, transport=made.wires["backstage"], timing=around.backstage.clock.timing()
        )
        async with door as opened:
            yield opened

    @asynccontextmanager
    async def open_crossplane(settings: Any, _surroundings: Surroundings) -> AsyncIterator[Any]:
        async with open_kubernetes(cluster, transport=made.wires["crossplane"], timing=timing) as kubernetes:
            yield crossplane.Crossplane(settings, kubernetes)

    @asynccontextmanager
    async def open_argocd(settings: Any, _surroundings: Surroundings) -> AsyncIterator[Any]:
        async with open_kubernetes(cluster, transport=made.wires["argocd"], timing=timing) as kubernetes:
            yield argocd.connect_cluster(settings, kubernetes)

    around.doors |= {
        "github": open_github,
        "backstage": open_backstage,
        "crossplane": open_crossplane,
        "argocd": open_argocd,
    }
    return made
