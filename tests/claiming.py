"""The bot with its rights of deploy/kubernetes/rbac-crossplane.yaml, a cluster, and a Crossplane that a test plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from composing import CLAIMS, GROUP, Composer, composing, install
from kube import ROOT, Admin, FaultyWire, Server, haste

from integrations._kubernetes import Kubernetes, Object, Resource, open_kubernetes
from integrations.crossplane import Crossplane, Settings
from integrations.ports import Claim, ClaimSpec, Phase

RBAC = ROOT / "deploy" / "kubernetes" / "rbac-crossplane.yaml"
KINDS: dict[str, Any] = {
    "postgresql": {
        "xrd": f"xdatabases.{GROUP}",
        "parameters": {"engine": "postgresql", "version": "16"},
        "sizes": {"small": {"size": "small"}, "large": {"size": "large"}},
    },
    "redis": {
        "xrd": f"caches.{GROUP}",
        "parameters": {"engine": "redis"},
        "connection_secret_status": "secret.name",
        "deletion": "delete",
    },
}


@dataclass
class Place:
    """One namespace of one team, the bot as it works there, and the hand behind its back."""

    admin: Admin
    composer: Composer
    namespace: str
    wire: FaultyWire
    kubernetes: Kubernetes
    bot: Crossplane

    def spec(
        self, name: str = "orders-staging-db", kind: str = "postgresql", size: str = "small"
    ) -> ClaimSpec:
        service = name.rsplit("-", 2)[0]
        return ClaimSpec(
            name, kind=kind, service=service, environment=self.environment, team="test", size=size
        )

    @property
    def environment(self) -> str:
        return self.namespace.removeprefix("test-")

    async def live(self, resource: Resource = CLAIMS, name: str = "orders-staging-db") -> Object:
        found = await self.admin.kubernetes.get(resource, name, namespace=self.namespace)
        assert found is not None
        return found

    async def gone(self, resource: Resource = CLAIMS, name: str = "orders-staging-db") -> bool:
        return await self.admin.kubernetes.get(resource, name, namespace=self.namespace) is None

    async def recover(self) -> None:
        """No faults any more, and enough time gone by for the breaker to try again."""
        self.wire.lose, self.wire.instead = (lambda _: False), (lambda _: None)
        await self.kubernetes.timing.sleep(60)

    async def until(self, spec: ClaimSpec, phase: Phase, *, request_id: str = "r1") -> Claim:
        return await until(
            lambda: self.bot.ensure_claim(spec, request_id=request_id), lambda claim: claim.phase is phase
        )


async def until(ask: Callable[[], Awaitable[Claim]], enough: Callable[[Claim], bool]) -> Claim:
    async with asyncio.timeout(20):
        while not enough(claim := await ask()):
            await asyncio.sleep(0.02)
    return claim


def settings(**more: Any) -> Settings:
    return Settings.model_validate({"kinds": KINDS, "deletion_wait_seconds": 60, **more})


@asynccontextmanager
async def working_bot(
    server: Server, token: str, configured: Settings
) -> AsyncIterator[tuple[Crossplane, FaultyWire, Kubernetes]]:
    cluster = server.cluster_with(token)
    wire = FaultyWire(cluster)
    async with open_kubernetes(cluster, transport=wire, timing=haste()) as kubernetes:
        yield Crossplane(configured, kubernetes), wire, kubernetes


@pytest.fixture
async def place(server: Server, admin: Admin, namespace: str) -> AsyncIterator[Place]:
    await install(admin)
    await admin.grant(RBAC)
    token = await admin.token_of("platform-bot", "platform-bot")
    async with (
        composing(admin, namespace) as composer,
        working_bot(server, token, settings()) as (bot, wire, kubernetes),
    ):
        yield Place(admin, composer, namespace, wire, kubernetes, bot)
