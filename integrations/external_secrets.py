"""Secrets brought to the workload by the External Secrets Operator: one ExternalSecret for each service and environment.

The bot names keys and where they lie; the operator reads values and writes the Secret. The bot has no right to read Secrets and
needs none: that the copy is there is the operator's word. Never by force: what somebody else holds stays theirs.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from string import Formatter
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations import _external_secrets_shapes as shapes
from integrations._external_secrets_check import check_all
from integrations._external_secrets_shapes import BACKEND, EXTERNAL_SECRETS, GROUP, VERSION, Rules
from integrations._kubernetes import Kubernetes, Object, Selection, being_deleted, open_kubernetes
from integrations._kubernetes_cluster import find_cluster
from integrations._namespace_rule import NamespaceRule
from integrations.ports import Finding, Marked, SecretSpec, SecretSync, Surroundings, SyncedSecret

PORT: Final = "secret_sync"
_PLACES: Final = {"team", "service", "environment"}


class Settings(BaseModel):
    """The section of platform.yml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kubeconfig: str | None = Field(
        default=None, description="Else the pod's service account, else $KUBECONFIG, else ~/.kube/config."
    )
    context: str | None = None
    namespace: NamespaceRule = Field(
        "{team}-{environment}", description="Rule; may use team, service, environment."
    )
    store_kind: Literal["SecretStore", "ClusterSecretStore"] = "SecretStore"
    store: str = Field("vault", description="Rule for the name of the store; the same placeholders.")
    remote_key: str = Field(
        "{team}/{service}/{environment}/{key}", description="Where a key lies in the store; also {key}."
    )
    remote_property: str = Field("value", description="Its field there; empty: the whole entry is the value.")
    refresh_seconds: int = Field(900, ge=60, description="How soon a value that was filled in arrives.")
    check_namespaces: tuple[str, ...] = Field(
        (), description="Where `check` asks for rights that are granted namespace by namespace."
    )
    deletion_wait_seconds: float = Field(10.0, ge=0)

    @field_validator("store")
    @classmethod
    def _named_by_rule(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9{}.-]+", value) or _fields(value) - _PLACES:
            raise ValueError(f"a name of Kubernetes, with placeholders {', '.join(sorted(_PLACES))}")
        return value

    @field_validator("remote_key")
    @classmethod
    def _one_place_per_key(cls, value: str) -> str:
        used = _fields(value)
        if used - _PLACES - {"key"} or not {"service", "environment", "key"} <= used:
            raise ValueError("a path with {service}, {environment} and {key}; {team} may be in it")
        return value

    def rules(self) -> Rules:
        return Rules(
            namespace=self.namespace,
            store_kind=self.store_kind,
            store=self.store,
            remote_key=self.remote_key,
            remote_property=self.remote_property,
            refresh_seconds=self.refresh_seconds,
        )


def _fields(rule: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(rule) if name is not None}


class ExternalSecrets:
    """Implements `integrations.ports.SecretSync` and `Inventory`."""

    def __init__(self, settings: Settings, kubernetes: Kubernetes) -> None:
        self._settings = settings
        self._rules = settings.rules()
        self._kubernetes = kubernetes
        # Reading and applying are two calls. Applying is bound to what was read, but nothing can bind a creation.
        self._changing = asyncio.Lock()

    def breaker_state(self) -> str:
        return self._kubernetes.breaker_state()

    async def check(self) -> Sequence[Finding]:
        rule = self._settings.namespace
        namespaces = self._settings.check_namespaces or ((rule,) if "{" not in rule else ())
        plain = self._settings.store_kind == "ClusterSecretStore" and "{" not in self._settings.store
        return await check_all(
            self._kubernetes, namespaces=namespaces, cluster_store=self._settings.store if plain else ""
        )

    # ------------------------------------------------------------ the port

    async def ensure_secret(self, spec: SecretSpec, *, request_id: str) -> SyncedSecret:
        shapes.require_names(spec)
        await self._require_version()
        async with self._changing:
            live = await self._live(spec)
            if live is not None:
                self._must_be_ours(live)
                if live["metadata"].get("deletionTimestamp"):
                    raise being_deleted(live)
            wanted = shapes.with_keys(live, spec, self._rules, request_id)
            if live is None or not shapes.holds(live, wanted):
                live = await self._apply(wanted)
        if missing := [key for key in spec.keys if key not in shapes.keys_of(live)]:
            raise TemporaryBackendError(
                f"The API server said yes, but {missing[0]} is not there.",
                backend=BACKEND,
                kind=BackendErrorKind.NOT_READY,
            )
        return self._synced(live)

    async def get_secret(self, service: str, environment: str) -> SyncedSecret | None:
        """The team, and so the namespace, is not known from a service's name: our labels say where."""
        await self._require_version()
        labels = {
            shapes.MANAGED_BY: shapes.MANAGER,
            shapes.SERVICE: service,
            shapes.ENVIRONMENT: environment,
        }
        listing = await self._kubernetes.list(EXTERNAL_SECRETS, Selection(labels=labels))
        found = [item for item in listing.items if item["metadata"]["name"] == shapes.secret_name(service)]
        return self._synced(found[0]) if found else None

    async def list_marked(self) -> Sequence[Marked]:
        """Once for each request that added keys: one may be known, and another not."""
        await self._require_version()
        ours = Selection(labels={shapes.MANAGED_BY: shapes.MANAGER})
        items = (await self._kubernetes.list(EXTERNAL_SECRETS, ours)).items
        return [each for item in items for each in shapes.marks(item)]

    async def remove_keys(self, spec: SecretSpec, *, request_id: str) -> None:
        shapes.require_names(spec)
        async with self._changing:
            live = await self._live(spec)
            if live is None or not shapes.is_ours(live):
                return
            gone = bool(live["metadata"].get("deletionTimestamp"))
            if not gone and request_id not in shapes.added_by(live).values():
                return
            left = shapes.without_keys(live, spec, self._rules, request_id)
            if left is not None and not gone:
                await self._apply(left)
                return
            if not gone:
                await self._kubernetes.delete(EXTERNAL_SECRETS, live)
        await self._kubernetes.wait_gone(
            EXTERNAL_SECRETS, live, timeout_seconds=self._settings.deletion_wait_seconds
        )

    # ------------------------------------------------------------ parts

    async def _live(self, spec: SecretSpec) -> Object | None:
        namespace = shapes.namespace_of(self._settings.namespace, spec)
        return await self._kubernetes.get(
            EXTERNAL_SECRETS, shapes.secret_name(spec.service), namespace=namespace
        )

    async def _apply(self, wanted: Object) -> Object:
        return await self._kubernetes.apply(EXTERNAL_SECRETS, wanted, field_manager=shapes.MANAGER)

    def _synced(self, live: Object) -> SyncedSecret:
        return shapes.to_synced(live, now=self._kubernetes.timing.now())

    async def _require_version(self) -> None:
        """Read each time: the operator may be upgraded while the bot runs."""
        versions = await self._kubernetes.served_versions(GROUP)
        if VERSION in versions:
            return
        served = f"serves {GROUP} in {', '.join(versions)} only" if versions else f"does not serve {GROUP}"
        raise PermanentBackendError(
            f"The cluster {served}; the bot needs {VERSION}.",
            backend=BACKEND,
            kind=BackendErrorKind.NOT_FOUND,
            fix="The platform team installs a recent External Secrets Operator (0.17 or later).",
        )

    def _must_be_ours(self, live: Object) -> None:
        if shapes.is_ours(live):
            return
        metadata = live["metadata"]
        raise PermanentBackendError(
            f"ExternalSecret {metadata['name']} exists already in {metadata['namespace']} and is not the bot's.",
            backend=BACKEND,
            kind=BackendErrorKind.ALREADY_EXISTS,
            fix="Add the key to it where it comes from, or rename it there.",
        )


def _kubeconfig(settings: Settings, base: Path) -> Path | None:
    return base / Path(settings.kubeconfig).expanduser() if settings.kubeconfig else None


@asynccontextmanager
async def open(settings: Settings, surroundings: Surroundings) -> AsyncIterator[SecretSync]:  # noqa: A001
    """Raises StartError where there is no kubeconfig to read; a server that is away stops nothing."""
    kubeconfig = _kubeconfig(settings, surroundings.base_folder)
    cluster = find_cluster(kubeconfig=kubeconfig, context=settings.context, environment=os.environ)
    async with open_kubernetes(cluster) as kubernetes:
        yield ExternalSecrets(settings, kubernetes)
