"""The company's platform of whole_platform.py with trouble on every wire: to GitHub, to Kubernetes (twice), to Backstage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from github_stage import sample_signer
from harmed_wire import Harm, Wire
from whole_platform import Platform

from integrations import argocd, backstage, crossplane, github
from integrations._http import Timing
from integrations._kubernetes import open_kubernetes
from integrations._kubernetes_cluster import kubeconfig_cluster
from integrations.ports import Surroundings


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
