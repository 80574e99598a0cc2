"""The External Secrets Operator played by a test, and the bot with its rights of deploy/kubernetes/rbac-external-secrets.yaml.

The operator looks again when the object or its annotations changed, as the real one does, and writes what the real one writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kube import ROOT, Admin, FaultyWire, Server, haste

from bot.errors import TemporaryBackendError
from integrations._external_secrets_shapes import EXTERNAL_SECRETS
from integrations._kubernetes import Kubernetes, Object, Selection, open_kubernetes
from integrations.external_secrets import ExternalSecrets, Settings
from integrations.ports import Phase, SecretSpec, SyncedSecret

RBAC = ROOT / "deploy" / "kubernetes" / "rbac-external-secrets.yaml"
NAME = "orders-secrets"


@dataclass
class Operator:
    """For one namespace. `missing`: keys that the store does not have. `works` False: see `stop`."""

    admin: Admin
    namespace: str
    missing: set[str] = field(default_factory=set)
    works: bool = True
    pace_seconds: float = 0.02
    secrets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Name of a Secret -> the keys it would have."""
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def stop(self) -> None:
        """It is not running from here on, and in the middle of nothing."""
        async with self.busy:
            self.works = False

    async def reconcile_for_ever(self) -> None:
        while True:
            async with self.busy:
                if self.works:
                    await self._look_around()
            await asyncio.sleep(self.pace_seconds)

    async def _look_around(self) -> None:
        found = await self.admin.kubernetes.list(EXTERNAL_SECRETS, Selection(namespace=self.namespace))
        for item in found.items:
            await self._reconcile(item)

    async def _reconcile(self, item: Object) -> None:
        metadata, status = item["metadata"], item.get("status") or {}
        if metadata.get("deletionTimestamp"):
            await self._collect(metadata)
            return
        about = f"{metadata.get('labels')}{metadata.get('annotations')}".encode()
        version = f"{metadata['generation']}-{hashlib.sha256(about).hexdigest()}"
        data = item["spec"].get("data") or []
        lacking = [each["remoteRef"]["key"] for each in data if each["secretKey"] in self.missing]
        if lacking:
            said = f"error processing spec.data[0] (key: {lacking[0]}), err: Secret does not exist"
            wanted: Object = {"conditions": [_ready("False", "SecretSyncedError", said)]}
        elif status.get("syncedResourceVersion") != version:
            name = item["spec"]["target"].get("name", metadata["name"])
            self.secrets[name] = tuple(each["secretKey"] for each in data)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            condition = _ready("True", "SecretSynced", "secret synced")
            wanted = {"conditions": [condition], "refreshTime": now, "syncedResourceVersion": version}
        else:
            return
        if wanted["conditions"] != status.get("conditions") or not lacking:
            with contextlib.suppress(AssertionError):
                # It may have been deleted meanwhile.
                await self.admin.set_status(
                    EXTERNAL_SECRETS, metadata["name"], wanted, namespace=self.namespace
                )

    async def _collect(self, metadata: Object) -> None:
        """What the garbage collector does once the Secret is gone."""
        held = metadata.get("finalizers") or []
        if "foregroundDeletion" not in held:
            return
        left = [each for each in held if each != "foregroundDeletion"]
        self.secrets.pop(metadata["name"], None)
        await self.admin.patch(
            EXTERNAL_SECRETS,
            metadata["name"],
            {"metadata": {"finalizers": left or None}},
            namespace=self.namespace,
        )


def _ready(status: str, reason: str, message: str) -> Object:
    at = "2026-11-21T03:00:00Z"
    return {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": at,
    }


@asynccontextmanager
async def operating(admin: Admin, namespace: str, *, pace_seconds: float = 0.02) -> AsyncIterator[Operator]:
    operator = Operator(admin, namespace, pace_seconds=pace_seconds)
    task = asyncio.create_task(operator.reconcile_for_ever())
    try:
        yield operator
        if task.done():
            task.result()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@dataclass
class Place:
    """One namespace of one team, the bot as it works there, and the hand behind its back."""

    admin: Admin
    operator: Operator
    namespace: str
    wire: FaultyWire
    kubernetes: Kubernetes
    bot: ExternalSecrets

    @property
    def environment(self) -> str:
        return self.namespace.removeprefix("test-")

    def spec(self, *keys: str, service: str = "orders") -> SecretSpec:
        return SecretSpec(service, self.environment, "test", keys)

    async def live(self, name: str = NAME) -> Object:
        found = await self.admin.kubernetes.get(EXTERNAL_SECRETS, name, namespace=self.namespace)
        assert found is not None
        return found

    async def gone(self, name: str = NAME) -> bool:
        return await self.admin.kubernetes.get(EXTERNAL_SECRETS, name, namespace=self.namespace) is None

    async def recover(self) -> None:
        """No faults any more, and enough time gone by for the breaker to try again."""
        self.wire.lose, self.wire.instead = (lambda _: False), (lambda _: None)
        await self.kubernetes.timing.sleep(60)

    async def undo(self, *keys: str, request_id: str) -> None:
        await settled(lambda: self.bot.remove_keys(self.spec(*keys), request_id=request_id))

    async def add(self, *keys: str, request_id: str) -> None:
        await settled(lambda: self.bot.ensure_secret(self.spec(*keys), request_id=request_id))

    async def until(self, phase: Phase, *keys: str, request_id: str = "r1") -> SyncedSecret:
        return await until(
            lambda: self.bot.ensure_secret(self.spec(*keys), request_id=request_id),
            lambda synced: synced.phase is phase,
        )


async def settled(call: Callable[[], Awaitable[object]]) -> None:
    """What the loop around a step does with temporary failures, such as a change between reading and writing."""
    async with asyncio.timeout(20):
        while True:
            try:
                await call()
            except TemporaryBackendError:
                await asyncio.sleep(0.02)
            else:
                return


async def until(
    ask: Callable[[], Awaitable[SyncedSecret]], enough: Callable[[SyncedSecret], bool]
) -> SyncedSecret:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(TemporaryBackendError):
                synced = await ask()
                if enough(synced):
                    return synced
            await asyncio.sleep(0.02)


def settings(**more: Any) -> Settings:
    return Settings.model_validate({"deletion_wait_seconds": 2, **more})


@asynccontextmanager
async def working_place(server: Server, admin: Admin, namespace: str) -> AsyncIterator[Place]:
    await admin.grant(RBAC)
    token = await admin.token_of("platform-bot", "platform-bot")
    cluster = server.cluster_with(token)
    wire = FaultyWire(cluster)
    async with (
        operating(admin, namespace) as operator,
        open_kubernetes(cluster, transport=wire, timing=haste()) as kubernetes,
    ):
        yield Place(admin, operator, namespace, wire, kubernetes, ExternalSecrets(settings(), kubernetes))
