"""Infrastructure by Crossplane: a database is a claim, or a namespaced composite resource, that somebody's composition fulfils.

What can be had is what `kinds` in platform.yml maps to a CompositeResourceDefinition; how to apply it is discovered from the
definition. The bot needs no right to read Secrets and never does: it passes on the name of the connection secret. What may hold data is not
deleted by an undo: a person does that, with the line the refusal names. Must not know any one composition.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations import _crossplane as shapes
from integrations._crossplane import GROUP, Offer
from integrations._crossplane_check import check_all
from integrations._kubernetes import Kubernetes, Object, Selection, being_deleted, open_kubernetes
from integrations._kubernetes_cluster import find_cluster
from integrations._kubernetes_dry_run import preview_claim
from integrations._namespace_rule import NamespaceRule, fixed_namespaces, namespace_of
from integrations.ports import Claim, ClaimSpec, Finding, Infrastructure, Marked, Phase, Preview, Surroundings

PORT: Final = "infrastructure"
_OURS: Final[Mapping[str, str]] = {shapes.MANAGED_BY: shapes.MANAGER}


class KindSettings(BaseModel):
    """How one kind of claim is made. `parameters`, with those of the size over them, become its `spec`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    xrd: str = Field(
        pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$", description="Name of the CompositeResourceDefinition."
    )
    parameters: dict[str, Any] = Field(default_factory=dict)
    sizes: dict[str, dict[str, Any]] = Field(default={"small": {}}, min_length=1)
    connection_secret: str | None = Field(
        default="{name}-connection", description="Name of the Secret; null for what has none."
    )
    connection_secret_status: str = Field(
        default="", description="Where a composite resource's status names the Secret; empty: by convention."
    )
    deletion: Literal["ask", "delete"] = Field(
        default="ask", description="Whether an undo may delete what was ready once and may hold data."
    )

    @field_validator("connection_secret")
    @classmethod
    def _one_place(cls, value: str | None) -> str | None:
        used = {name for _, name, _, _ in Formatter().parse(value or "") if name is not None}
        if used - {"name"}:
            raise ValueError("accepted placeholders: name")
        return value


class Settings(BaseModel):
    """The section of platform.yml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kubeconfig: str | None = Field(
        default=None, description="Else the pod's service account, else $KUBECONFIG, else ~/.kube/config."
    )
    context: str | None = None
    namespace: NamespaceRule = Field(
        default="{team}-{environment}", description="Rule; may use team, environment, service."
    )
    kinds: dict[str, KindSettings] = Field(min_length=1)
    check_namespaces: tuple[str, ...] = Field(
        default=(), description="Where `check` asks for rights that are granted namespace by namespace."
    )
    deletion_wait_seconds: float = Field(default=10.0, ge=0)


@dataclass(frozen=True)
class _Found:
    kind: str
    offer: Offer
    object: Object

    @property
    def request_id(self) -> str | None:
        annotations = self.object["metadata"].get("annotations") or {}
        return annotations.get(shapes.REQUEST_ID)


class Crossplane:
    """Implements `integrations.ports.Infrastructure` and `Inventory`."""

    def __init__(self, settings: Settings, kubernetes: Kubernetes) -> None:
        self._settings = settings
        self._kubernetes = kubernetes

    # ------------------------------------------------------------ the port

    async def refusal(self, spec: ClaimSpec) -> str | None:
        """Of what is offered at all; what admission says to this very claim is `preview`'s."""
        try:
            settings = self._kind(spec)
            offer = await self._offer(settings)
            namespace = self._namespace(spec)
            if offer.problem:
                return f"{offer.problem}. The platform team sees more with `kubectl describe xrd {settings.xrd}`."
            standing = await self._kubernetes.get(offer.resource, spec.name, namespace=namespace)
            if standing is not None:
                # Whose it is otherwise, only the request that carries it out can tell.
                self._must_be_marked(_Found(spec.kind, offer, standing))
        except PermanentBackendError as error:
            return error.sentence
        return None

    async def preview(self, spec: ClaimSpec, *, request_id: str) -> Preview:
        try:
            offer = await self._offer(self._kind(spec))
            wanted = self._intent(offer, spec, request_id=request_id)
            manager = _manager(request_id)
            return await preview_claim(self._kubernetes, offer.resource, wanted, field_manager=manager)
        except TemporaryBackendError as error:
            return Preview(unknown=(f"{error.backend} could not be asked: {error.message}",))
        except PermanentBackendError as error:
            return Preview(denials=(error.sentence,))

    async def ensure_claim(self, spec: ClaimSpec, *, request_id: str) -> Claim:
        offer = await self._offer(self._kind(spec))
        wanted = self._intent(offer, spec, request_id=request_id)
        namespace = wanted["metadata"]["namespace"]
        live = await self._kubernetes.get(offer.resource, spec.name, namespace=namespace)
        if live is not None:
            self._must_be_ours(_Found(spec.kind, offer, live), request_id)
        if live is None or not shapes.holds(live, wanted):
            # A manager of its own for each request: should two of them come at the same instant, the API server lets
            # one have the name and shows the other a conflict, where a shared manager would overwrite.
            manager = _manager(request_id)
            live = await self._kubernetes.apply(offer.resource, wanted, field_manager=manager)
        found = _Found(spec.kind, offer, live)
        claim = self._claim(found)
        if claim.phase is Phase.READY:
            await self._remember_ready(found)
        return claim

    async def get_claim(self, name: str, *, environment: str) -> Claim | None:
        """Of ours: a namesake without our mark gives no service its database, and `refusal` names it."""
        found = await self._find(name, environment)
        return self._claim(found[0]) if found else None

    async def list_claims(self, service: str) -> Sequence[Claim]:
        selection = Selection(labels={**_OURS, shapes.SERVICE: service})
        return [self._claim(each) for each in await self._everywhere(selection)]

    async def list_marked(self) -> Sequence[Marked]:
        """Ours everywhere, those in no namespace of a present team included."""
        return [_marked(each) for each in await self._everywhere(Selection(labels=_OURS))]

    async def remove_claim(self, name: str, *, environment: str, request_id: str) -> None:
        for found in await self._find(name, environment):
            if found.request_id == request_id:
                await self._remove(found)

    def breaker_state(self) -> str:
        return self._kubernetes.breaker_state()

    async def check(self) -> Sequence[Finding]:
        xrds = {kind: settings.xrd for kind, settings in self._settings.kinds.items()}
        namespaces = fixed_namespaces(self._settings.namespace, self._settings.check_namespaces)
        return await check_all(self._kubernetes, xrds, namespaces=namespaces)

    # ------------------------------------------------------------ parts

    def _kind(self, spec: ClaimSpec) -> KindSettings:
        settings = self._settings.kinds.get(spec.kind)
        if settings is None:
            raise self._not_offered(f"{spec.kind} cannot be had here.", self._settings.kinds)
        if spec.size not in settings.sizes:
            raise self._not_offered(f"{spec.kind} cannot be had in size {spec.size}.", settings.sizes)
        return settings

    def _not_offered(self, message: str, offered: Mapping[str, object]) -> PermanentBackendError:
        choices = ", ".join(sorted(offered))
        return PermanentBackendError(
            message,
            backend=shapes.BACKEND,
            kind=BackendErrorKind.INVALID,
            fix=f"Choose {choices}, or ask the platform team to offer it.",
        )

    async def _offer(self, settings: KindSettings) -> Offer:
        found = await self._find_offer(settings)
        if found is None:
            raise PermanentBackendError(
                f"The cluster has no CompositeResourceDefinition {settings.xrd}.",
                backend=shapes.BACKEND,
                kind=BackendErrorKind.NOT_FOUND,
                fix="The platform team installs it, or corrects `xrd` in platform.yml.",
            )
        return found

    async def _find_offer(self, settings: KindSettings) -> Offer | None:
        """Read each time: a definition may move to another version while the bot runs."""
        versions = await self._kubernetes.served_versions(GROUP)
        if not versions:
            return None
        xrd = await self._kubernetes.get(shapes.definitions(versions[0]), settings.xrd)
        return None if xrd is None else shapes.parse_offer(xrd)

    def _namespace(self, spec: ClaimSpec) -> str:
        return namespace_of(
            self._settings.namespace,
            team=spec.team,
            environment=spec.environment,
            service=spec.service,
            backend=shapes.BACKEND,
        )

    def _intent(self, offer: Offer, spec: ClaimSpec, *, request_id: str) -> Object:
        settings = self._settings.kinds[spec.kind]
        return shapes.intent(
            offer,
            spec,
            namespace=self._namespace(spec),
            parameters=shapes.merged(settings.parameters, settings.sizes[spec.size]),
            secret=_secret_name(settings, spec.name),
            request_id=request_id,
        )

    def _must_be_ours(self, found: _Found, request_id: str) -> None:
        self._must_be_marked(found)
        if found.request_id != request_id:
            raise _taken(found, f"request {found.request_id}")
        if found.object["metadata"].get("deletionTimestamp"):
            raise being_deleted(found.object)

    def _must_be_marked(self, found: _Found) -> None:
        if not found.request_id:
            raise _taken(found, "somebody else")

    async def _remember_ready(self, found: _Found) -> None:
        """From now on it may hold data, whatever becomes of its conditions: see `may_hold_data`."""
        metadata = found.object["metadata"]
        if (metadata.get("annotations") or {}).get(shapes.WAS_READY):
            return
        mark = {"metadata": {"uid": metadata["uid"], "annotations": {shapes.WAS_READY: "true"}}}
        await self._kubernetes.merge(
            found.offer.resource,
            metadata["name"],
            mark,
            namespace=metadata["namespace"],
            field_manager=shapes.MANAGER,
        )

    async def _find(self, name: str, environment: str) -> list[_Found]:
        """The team, and so the namespace, is not known from a name: our labels say where."""
        return await self._everywhere(Selection(labels={**_OURS, shapes.ENVIRONMENT: environment}, name=name))

    async def _everywhere(self, selection: Selection) -> list[_Found]:
        found = {}
        for kind, settings in self._settings.kinds.items():
            offer = await self._find_offer(settings)
            if offer is None:
                # Without its definition the API server keeps no object of the kind either.
                continue
            for item in (await self._kubernetes.list(offer.resource, selection)).items:
                # Two kinds may share a definition, such as postgresql and mysql of one composition.
                mine = _label(item, shapes.KIND) or kind
                found[item["metadata"]["uid"]] = _Found(mine, offer, item)
        return list(found.values())

    def _claim(self, found: _Found) -> Claim:
        metadata = found.object["metadata"]
        phase, message = shapes.readiness(found.object)
        settings = self._settings.kinds.get(found.kind)
        wanted = _secret_name(settings, metadata["name"]) if settings else ""
        status_field = settings.connection_secret_status if settings else ""
        secret = wanted and shapes.published_secret(
            found.object, style=found.offer.style, name=wanted, status_field=status_field
        )
        if phase is Phase.READY and wanted and not secret:
            phase, message = Phase.RUNNING, "Ready, but its connection secret is not published yet"
        return Claim(
            name=metadata["name"],
            kind=found.kind,
            service=_label(found.object, shapes.SERVICE),
            environment=_label(found.object, shapes.ENVIRONMENT),
            phase=phase,
            message=message,
            secret=secret if phase is Phase.READY else "",
            request_id=found.request_id,
            external_id=f"{found.offer.resource}/{metadata['namespace']}/{metadata['name']}",
        )

    async def _remove(self, found: _Found) -> None:
        resource, metadata = found.offer.resource, found.object["metadata"]
        if not metadata.get("deletionTimestamp"):
            settings = self._settings.kinds.get(found.kind)
            if shapes.may_hold_data(found.object) and (settings is None or settings.deletion == "ask"):
                raise _ask_a_person(found)
            await self._kubernetes.delete(resource, found.object)
        await self._kubernetes.wait_gone(
            resource, found.object, timeout_seconds=self._settings.deletion_wait_seconds
        )


def _manager(request_id: str) -> str:
    return f"{shapes.MANAGER}/{request_id}"


def _secret_name(settings: KindSettings, name: str) -> str:
    return settings.connection_secret.format(name=name) if settings.connection_secret else ""


def _marked(found: _Found) -> Marked:
    metadata, where = found.object["metadata"], _label(found.object, shapes.ENVIRONMENT)
    place = f"{metadata['namespace']}/{metadata['name']}"
    return Marked("claim", metadata["name"], found.request_id or "", where, place)


def _label(item: Object, name: str) -> str:
    return str((item["metadata"].get("labels") or {}).get(name, ""))


def _taken(found: _Found, owner: str) -> PermanentBackendError:
    metadata = found.object["metadata"]
    return PermanentBackendError(
        f"{found.offer.resource.kind} {metadata['name']} exists already in {metadata['namespace']} and belongs to {owner}.",
        backend=shapes.BACKEND,
        kind=BackendErrorKind.ALREADY_EXISTS,
        fix="Choose another name, or ask whoever made it.",
    )


def _ask_a_person(found: _Found) -> PermanentBackendError:
    metadata = found.object["metadata"]
    line = f"kubectl delete {found.offer.resource} {metadata['name']} --namespace {metadata['namespace']}"
    return PermanentBackendError(
        f"{found.offer.resource.kind} {metadata['name']} was ready and may hold data; the bot does not delete it.",
        backend=shapes.BACKEND,
        kind=BackendErrorKind.DENIED,
        fix=f"Somebody who knows that the data can go runs `{line}`.",
    )


def _kubeconfig(settings: Settings, base: Path) -> Path | None:
    return base / Path(settings.kubeconfig).expanduser() if settings.kubeconfig else None


@asynccontextmanager
async def open(settings: Settings, surroundings: Surroundings) -> AsyncIterator[Infrastructure]:  # noqa: A001
    """Raises StartError where there is no kubeconfig to read; a server that is away stops nothing."""
    kubeconfig = _kubeconfig(settings, surroundings.base_folder)
    cluster = find_cluster(kubeconfig=kubeconfig, context=settings.context, environment=os.environ)
    async with open_kubernetes(cluster) as kubernetes:
        yield Crossplane(settings, kubernetes)
