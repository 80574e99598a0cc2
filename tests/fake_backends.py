"""Backends in memory that keep every promise of `integrations.ports`: idempotent, marked with request ids, never adopting.

A test makes one call fail with `faults`, loses one answer with `lost_answers` (the effect happened, the caller never heard of
it), and counts real effects in `effects`: calling an `ensure_*` twice adds one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fake_backend import MOMENT, Fake, sha
from fake_code_host import FakeCodeHost
from fake_delivery import FakeDelivery

from bot.errors import BackendErrorKind
from integrations.ports import (
    Admission,
    Annotations,
    Claim,
    ClaimSpec,
    Costs,
    Entity,
    Evidence,
    EvidenceKind,
    EvidenceReport,
    EvidenceVerdict,
    GoldenPath,
    Phase,
    Preview,
    RenderedFile,
    RenderedTree,
    Scaffolder,
    SecretStore,
    SecretSync,
    SignalSource,
)

__all__ = [
    "MOMENT",
    "Fake",
    "FakeAdmission",
    "FakeBackends",
    "FakeCatalog",
    "FakeCodeHost",
    "FakeDelivery",
    "FakeEvidence",
    "FakeGoldenPaths",
    "FakeInfrastructure",
    "python_service",
    "sha",
]


class FakeGoldenPaths(Fake):
    name = "golden paths"

    def __init__(self, *paths: GoldenPath) -> None:
        super().__init__()
        self.paths = {path.name: path for path in paths}

    async def list_golden_paths(self) -> Sequence[GoldenPath]:
        self.asked("list_golden_paths")
        return list(self.paths.values())

    async def get_golden_path(self, name: str) -> GoldenPath:
        self.asked("get_golden_path")
        if name not in self.paths:
            raise self.refuse(BackendErrorKind.NOT_FOUND, f"no golden path {name}")
        return self.paths[name]

    async def render(self, name: str, *, revision: str, answers: Mapping[str, str]) -> RenderedTree:
        self.asked("render")
        if (await self.get_golden_path(name)).revision != revision:
            raise self.refuse(BackendErrorKind.CONFLICT, f"{name} changed since the plan was made")
        return {
            "README.md": RenderedFile(repr(sorted(answers.items())).encode()),
            "run": RenderedFile(b"#!/bin/sh\n", executable=True),
        }


class FakeInfrastructure(Fake):
    """Claims are created in `first_phase` and stay there until a test moves them with `settle`."""

    name = "infrastructure"

    def __init__(self) -> None:
        super().__init__()
        self.claims: dict[str, Claim] = {}
        self.refusals: dict[str, str] = {}
        self.previews: dict[str, Preview] = {}
        self.first_phase = Phase.READY

    def settle(self, name: str, phase: Phase, message: str = "") -> None:
        self.claims[name] = replace(self.claims[name], phase=phase, message=message)

    async def refusal(self, spec: ClaimSpec) -> str | None:
        self.asked("refusal")
        return self.refusals.get(spec.kind)

    async def preview(self, spec: ClaimSpec, *, request_id: str) -> Preview:
        self.asked("preview")
        return self.previews.get(spec.name, Preview())

    async def ensure_claim(self, spec: ClaimSpec, *, request_id: str) -> Claim:
        self.asked("ensure_claim")
        if spec.name not in self.claims:
            self.claims[spec.name] = Claim(
                spec.name, spec.kind, spec.service, spec.environment, self.first_phase,
                secret=f"{spec.name}-connection", request_id=request_id, external_id=f"claim/{spec.name}",
            )  # fmt: skip
            self.did("ensure_claim", spec.name)
        claim = self.claims[spec.name]
        if claim.request_id != request_id:
            raise self.refuse(BackendErrorKind.ALREADY_EXISTS, f"the name {spec.name} is taken")
        return claim

    async def get_claim(self, name: str, *, environment: str) -> Claim | None:
        self.asked("get_claim")
        return self.claims.get(name)

    async def list_claims(self, service: str) -> Sequence[Claim]:
        self.asked("list_claims")
        return [one for one in self.claims.values() if one.service == service]

    async def remove_claim(self, name: str, *, environment: str, request_id: str) -> None:
        self.asked("remove_claim")
        if name in self.claims and self.claims[name].request_id == request_id:
            del self.claims[name]
            self.did("remove_claim", name)


class FakeCatalog(Fake):
    name = "catalog"

    def __init__(self) -> None:
        super().__init__()
        self.entities: dict[str, Entity] = {}

    async def ensure_entity(self, entity: Entity, *, request_id: str) -> Entity:
        self.asked("ensure_entity")
        known = self.entities.get(entity.name)
        if known is not None and known.request_id != request_id:
            raise self.refuse(BackendErrorKind.ALREADY_EXISTS, f"the name {entity.name} is taken")
        wanted = replace(entity, request_id=request_id)
        if known != wanted:
            self.entities[entity.name] = wanted
            self.did("ensure_entity", entity.name)
        return wanted

    async def find_entity(self, name: str) -> Entity | None:
        self.asked("find_entity")
        return self.entities.get(name)

    async def search(self, text: str, *, limit: int = 20) -> Sequence[Entity]:
        self.asked("search")
        return [one for one in self.entities.values() if text.lower() in one.name][:limit]

    async def remove_entity(self, name: str, *, request_id: str) -> None:
        self.asked("remove_entity")
        if name in self.entities and self.entities[name].request_id == request_id:
            del self.entities[name]
            self.did("remove_entity", name)


class FakeAdmission(Fake):
    """Says the same to whatever it is shown, and keeps what that was."""

    name = "admission"

    def __init__(self, says: Preview | None = None) -> None:
        super().__init__()
        self.says = says or Preview()
        self.shown: list[tuple[str, str, str, Sequence[Mapping[str, Any]]]] = []

    async def preview(
        self, manifests: Sequence[Mapping[str, Any]], *, service: str, team: str, environment: str
    ) -> Preview:
        self.asked("preview")
        self.shown.append((service, team, environment, manifests))
        return self.says


class FakeEvidence(Fake):
    """Reports by environment and revision; nothing is known of anything else."""

    name = "evidence"

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[tuple[str, str | None], Sequence[EvidenceReport]] = {}

    async def reports(
        self, service: str, environment: str, *, team: str, revision: str | None = None
    ) -> Sequence[EvidenceReport]:
        self.asked("reports")
        nothing = [
            EvidenceReport(kind, "scanner", EvidenceVerdict.UNKNOWN, f"There is no report on {service}.", {})
            for kind in EvidenceKind
        ]
        return self.known.get((environment, revision), nothing)


def python_service(**changes: object) -> GoldenPath:
    made = GoldenPath(
        name="python-service",
        title="Python service",
        description="An HTTP service in Python.",
        language="python",
        revision="1" * 64,
        databases=("postgresql", "none"),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


class FakeBackends:
    """The five that every platform has, empty but for one golden path; a test puts in what else it needs."""

    def __init__(self) -> None:
        self.golden_paths = FakeGoldenPaths(python_service())
        self.code_host = FakeCodeHost()
        self.infrastructure = FakeInfrastructure()
        self.delivery = FakeDelivery()
        self.catalog = FakeCatalog()
        self.admission: Admission | None = None
        self.evidence: Evidence | None = None
        self.secret_store: SecretStore | None = None
        self.secret_sync: SecretSync | None = None
        self.signals: SignalSource | None = None
        self.annotations: Annotations | None = None
        self.costs: Costs | None = None
        self.scaffolder: Scaffolder | None = None

    @property
    def effects(self) -> list[str]:
        """What really changed, backend after backend."""
        return [effect for fake in vars(self).values() if fake for effect in fake.effects]
