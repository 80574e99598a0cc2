"""Backends in memory that keep every promise of `integrations.ports`: idempotent, marked with request ids, never adopting.

A test makes one call fail with `faults`, loses one answer with `lost_answers` (the effect happened, the caller never heard of
it), and counts real effects in `effects`: calling an `ensure_*` twice adds one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations.ports import (
    Admission,
    Annotations,
    Application,
    ApplicationSpec,
    ChangedFile,
    Claim,
    ClaimSpec,
    ClosedWindow,
    Commit,
    Comparison,
    ComparisonStatus,
    Costs,
    DeployedRevision,
    Deployment,
    Entity,
    Evidence,
    Finding,
    GoldenPath,
    Health,
    Phase,
    Preview,
    ReleaseRef,
    RenderedFile,
    RenderedTree,
    Repository,
    Scaffolder,
    SecretStore,
    SecretSync,
    SignalSource,
    SyncStatus,
)

MOMENT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def sha(*parts: object) -> str:
    return hashlib.sha1("\x1f".join(map(str, parts)).encode()).hexdigest()


class Fake:
    """What all fakes share: one fault for each method, and a list of what really changed."""

    name = "backend"

    def __init__(self) -> None:
        self.faults: dict[str, Exception] = {}
        self.lost_answers: set[str] = set()
        self.effects: list[str] = []

    async def check(self) -> Sequence[Finding]:
        return [Finding(self.name, ok=True, detail="in memory")]

    def asked(self, method: str) -> None:
        if error := self.faults.pop(method, None):
            raise error

    def did(self, method: str, what: str) -> None:
        self.effects.append(f"{method} {what}")
        if method in self.lost_answers:
            self.lost_answers.discard(method)
            raise TemporaryBackendError("the connection was closed", backend=self.name)

    def refuse(self, kind: BackendErrorKind, message: str) -> PermanentBackendError:
        return PermanentBackendError(message, backend=self.name, kind=kind)


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


@dataclass
class _Repository:
    about: Repository
    commits: list[Commit] = field(default_factory=list)
    files: dict[str, tuple[ChangedFile, ...]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    releases: dict[str, tuple[ReleaseRef, str]] = field(default_factory=dict)
    carried: dict[str, str] = field(default_factory=dict)
    """Every release commit there ever was -> the revision whose tree it carries."""
    first_tree: RenderedTree | None = None


class FakeCodeHost(Fake):
    """Repositories with one branch; commits newest first."""

    name = "code host"

    def __init__(self) -> None:
        super().__init__()
        self.repositories: dict[str, _Repository] = {}

    def add_repository(self, name: str, *, request_id: str | None = None) -> _Repository:
        urls = f"file:///git/{name}.git", f"https://git.example.com/{name}"
        made = _Repository(Repository(name, *urls, default_branch="main", request_id=request_id))
        return self.repositories.setdefault(name, made)

    def push(
        self,
        name: str,
        subject: str,
        *,
        author: str = "Omar",
        email: str = "omar@example.com",
        files: Sequence[str] = (),
    ) -> str:
        repository = self.add_repository(name)
        revision = sha(name, subject, len(repository.commits))
        repository.commits.insert(0, Commit(revision, subject, author, email, MOMENT))
        repository.files[revision] = tuple(ChangedFile(path, "modified", 1, 1) for path in files)
        return revision

    async def find_repository(self, name: str) -> Repository | None:
        self.asked("find_repository")
        return self.repositories[name].about if name in self.repositories else None

    async def ensure_repository(
        self, name: str, *, description: str, team: str, request_id: str
    ) -> Repository:
        self.asked("ensure_repository")
        if name not in self.repositories:
            self.add_repository(name, request_id=request_id)
            self.did("ensure_repository", name)
        about = self.repositories[name].about
        if about.request_id != request_id:
            raise self.refuse(BackendErrorKind.ALREADY_EXISTS, f"the name {name} is taken")
        return about

    async def ensure_first_commit(
        self, name: str, tree: RenderedTree, *, message: str, request_id: str
    ) -> Commit:
        self.asked("ensure_first_commit")
        repository = self.repositories[name]
        if not repository.commits:
            self.push(name, message, author="Platform", email="platform@example.com", files=sorted(tree))
            repository.first_tree = tree
            self.did("ensure_first_commit", name)
        return repository.commits[-1]

    async def remove_repository(self, name: str, *, request_id: str) -> None:
        self.asked("remove_repository")
        repository = self.repositories.get(name)
        if repository is not None and repository.about.request_id == request_id:
            del self.repositories[name]
            self.did("remove_repository", name)

    async def find_commit(self, name: str, revision: str) -> Commit | None:
        self.asked("find_commit")
        repository = self.repositories[name]
        wanted = repository.tags.get(revision, revision)
        found = [one for one in repository.commits if one.sha.startswith(wanted) and len(wanted) >= 4]
        if len(found) > 1:
            raise self.refuse(BackendErrorKind.INVALID, f"{revision} is ambiguous")
        return found[0] if found else None

    def release(self, name: str, ref: str, revision: str, *, request_id: str) -> ReleaseRef:
        """Move the ref by a commit of its own, whoever held it."""
        repository = self.add_repository(name)
        current, _ = repository.releases.get(ref, (None, ""))
        moved = ReleaseRef(ref, sha("release", ref, revision, current.sha if current else ""), revision)
        repository.releases[ref] = (moved, request_id)
        repository.carried[moved.sha] = revision
        return moved

    async def compare(self, name: str, *, base: str | None, head: str) -> Comparison:
        self.asked("compare")
        repository = self.repositories[name]
        order = [one.sha for one in repository.commits]
        end = order.index(repository.carried.get(head, head))
        start = order.index(repository.carried.get(base, base)) if base else len(order)
        commits = tuple(repository.commits[end:start])
        status = ComparisonStatus.AHEAD if commits else ComparisonStatus.BEHIND
        if start == end:
            status = ComparisonStatus.IDENTICAL
        files = tuple(file for one in commits for file in repository.files[one.sha])
        return Comparison(base, head, status, commits, files)

    async def find_release(self, name: str, ref: str) -> ReleaseRef | None:
        self.asked("find_release")
        found = self.repositories[name].releases.get(ref)
        return found[0] if found else None

    async def move_release(
        self, name: str, ref: str, *, revision: str, expected: str | None, request_id: str
    ) -> ReleaseRef:
        self.asked("move_release")
        repository = self.repositories[name]
        current, mover = repository.releases.get(ref, (None, ""))
        if current is not None and mover == request_id and current.revision == revision:
            return current
        if (current.sha if current else None) != expected:
            raise self.refuse(BackendErrorKind.CONFLICT, f"{ref} stands elsewhere")
        moved = self.release(name, ref, revision, request_id=request_id)
        self.did("move_release", f"{ref} {revision[:7]}")
        return moved


class FakeInfrastructure(Fake):
    """Claims are created in `first_phase` and stay there until a test moves them with `settle`."""

    name = "infrastructure"

    def __init__(self) -> None:
        super().__init__()
        self.claims: dict[str, Claim] = {}
        self.refusals: dict[str, str] = {}
        self.first_phase = Phase.READY

    def settle(self, name: str, phase: Phase, message: str = "") -> None:
        self.claims[name] = replace(self.claims[name], phase=phase, message=message)

    async def refusal(self, spec: ClaimSpec) -> str | None:
        self.asked("refusal")
        return self.refusals.get(spec.kind)

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


class FakeDelivery(Fake):
    """Deployments begin as RUNNING; `settle` says how one ended, and only then is its revision live."""

    name = "delivery"

    def __init__(self) -> None:
        super().__init__()
        self.applications: dict[tuple[str, str], Application] = {}
        self.specs: dict[tuple[str, str], ApplicationSpec] = {}
        self.deployments: dict[str, Deployment] = {}
        self.past: dict[tuple[str, str], list[DeployedRevision]] = {}
        self.previews: dict[tuple[str, str], Preview] = {}
        self.rendered: dict[tuple[str, str, str], Sequence[Mapping[str, Any]]] = {}
        self.windows: dict[tuple[str, str], ClosedWindow] = {}

    def runs(
        self,
        service: str,
        environment: str,
        revision: str | None,
        *,
        health: Health = Health.HEALTHY,
        **more: object,
    ) -> Application:
        """Say what runs where; it enters the history too."""
        values = {"sync": SyncStatus.SYNCED, "url": f"http://{environment}.example.com/{service}", **more}
        made = Application(service, environment, revision, health, **values)  # type: ignore[arg-type]
        self.applications[service, environment] = made
        if revision:
            past = self.past.setdefault((service, environment), [])
            past.insert(0, DeployedRevision(revision, MOMENT, "omar", health is Health.HEALTHY))
        return made

    def settle(
        self, operation: str, phase: Phase, *, health: Health = Health.HEALTHY, message: str = ""
    ) -> None:
        self.deployments[operation] = replace(
            self.deployments[operation], phase=phase, health=health, message=message
        )

    def canary(self, operation: str, step: str, weight_percent: int, **more: Any) -> None:
        """The deployment stands at a step of its canary; `paused` unless said otherwise."""
        more = {"paused": True, "phase": Phase.WAITING_HUMAN, "health": Health.SUSPENDED, **more}
        self.deployments[operation] = replace(
            self.deployments[operation], step=step, weight_percent=weight_percent, **more
        )

    async def preview(self, spec: ApplicationSpec, *, request_id: str) -> Preview:
        self.asked("preview")
        return self.previews.get((spec.service, spec.environment), Preview())

    async def manifests(
        self, service: str, environment: str, *, revision: str
    ) -> Sequence[Mapping[str, Any]] | None:
        self.asked("manifests")
        return self.rendered.get((service, environment, revision))

    async def find_closed_window(self, service: str, environment: str) -> ClosedWindow | None:
        self.asked("find_closed_window")
        return self.windows.get((service, environment))

    async def resume(self, service: str, environment: str, *, operation: str, step: str) -> Deployment:
        self.asked("resume")
        self._require_step(operation, step)
        self.deployments[operation] = replace(
            self.deployments[operation], paused=False, phase=Phase.RUNNING, health=Health.PROGRESSING
        )
        self.did("resume", f"{operation} past {step}")
        return self.deployments[operation]

    async def abort(self, service: str, environment: str, *, operation: str, step: str) -> Deployment:
        self.asked("abort")
        if self.deployments[operation].phase is not Phase.FAILED:
            self._require_step(operation, step)
            self.settle(operation, Phase.FAILED, health=Health.DEGRADED, message="the canary was aborted")
            self.did("abort", f"{operation} at {step}")
        return self.deployments[operation]

    def _require_step(self, operation: str, step: str) -> None:
        found = self.deployments[operation]
        if not found.step:
            raise self.refuse(BackendErrorKind.INVALID, "there is no canary")
        if found.step != step or not found.paused:
            raise self.refuse(BackendErrorKind.CONFLICT, f"the canary is at step {found.step}")

    async def ensure_application(self, spec: ApplicationSpec, *, request_id: str) -> Application:
        self.asked("ensure_application")
        key = spec.service, spec.environment
        if key not in self.applications:
            self.applications[key] = Application(
                *key, None, Health.MISSING, SyncStatus.OUT_OF_SYNC, request_id=request_id
            )
            self.specs[key] = spec
            self.did("ensure_application", spec.name)
        if self.applications[key].request_id != request_id:
            raise self.refuse(BackendErrorKind.ALREADY_EXISTS, f"the name {spec.name} is taken")
        return self.applications[key]

    async def get_application(self, service: str, environment: str) -> Application | None:
        self.asked("get_application")
        return self.applications.get((service, environment))

    async def remove_application(self, service: str, environment: str, *, request_id: str) -> None:
        self.asked("remove_application")
        found = self.applications.get((service, environment))
        if found is not None and found.request_id == request_id:
            del self.applications[service, environment]
            self.did("remove_application", f"{service}-{environment}")

    async def deploy(
        self, service: str, environment: str, *, revision: str, operation: str, actor: str
    ) -> Deployment:
        self.asked("deploy")
        if operation not in self.deployments:
            self.deployments[operation] = Deployment(operation, revision, Phase.RUNNING, Health.PROGRESSING)
            self.did("deploy", f"{service}-{environment} {revision[:7]} for {actor}")
        return self.deployments[operation]

    async def get_deployment(self, service: str, environment: str, *, operation: str) -> Deployment | None:
        self.asked("get_deployment")
        return self.deployments.get(operation)

    async def history(self, service: str, environment: str, *, limit: int = 10) -> Sequence[DeployedRevision]:
        self.asked("history")
        return self.past.get((service, environment), [])[:limit]


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
