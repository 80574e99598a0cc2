"""All five ports in memory, for scenarios that are about people and not about processes: quick, truthful, and breakable.

They keep the contract of integrations/ports: marks by request id, compare before write, the same operation never twice. What
they share, and what a test may order, is memory_world.py. Nothing here knows the bot beyond its errors.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from memory_world import App, Repo, World, digest, now, permanent

from bot.config import Config
from bot.errors import BackendErrorKind
from bot.registry import OpenBackends
from integrations.ports import (
    Application,
    ApplicationSpec,
    ChangedFile,
    Claim,
    ClaimSpec,
    ClosedWindow,
    Commit,
    Comparison,
    ComparisonStatus,
    DeployedRevision,
    Deployment,
    Entity,
    Finding,
    GoldenPath,
    Health,
    Phase,
    Preview,
    ReleaseRef,
    RenderedFile,
    RenderedTree,
    Repository,
    SignalQuestion,
    Signals,
    Surroundings,
    SyncStatus,
)


class Port:
    """One backend; `calls` are named by the port."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def check(self) -> Sequence[Finding]:
        return [Finding(type(self).__name__, ok=True, detail="in memory")]


class MemoryGoldenPaths(Port):
    async def list_golden_paths(self) -> Sequence[GoldenPath]:
        await self.world.reached("golden_paths.list_golden_paths")
        return list(self.world.paths.values())

    async def get_golden_path(self, name: str) -> GoldenPath:
        await self.world.reached("golden_paths.get_golden_path")
        if name not in self.world.paths:
            raise permanent(f"There is no golden path {name}.", BackendErrorKind.NOT_FOUND)
        return self.world.paths[name]

    async def render(self, name: str, *, revision: str, answers: Mapping[str, str]) -> RenderedTree:
        await self.world.reached("golden_paths.render")
        if self.world.paths[name].revision != revision:
            raise permanent(f"{name} has changed.", BackendErrorKind.CONFLICT)
        readme = "\n".join(f"{key}: {value}" for key, value in sorted(answers.items()))
        return {"README.md": RenderedFile(readme.encode()), "app.py": RenderedFile(b"serve()\n")}


class MemoryCodeHost(Port):
    async def find_repository(self, name: str) -> Repository | None:
        await self.world.reached("code_host.find_repository")
        repo = self.world.repos.get(name)
        return repo.repository if repo else None

    async def ensure_repository(
        self, name: str, *, description: str, team: str, request_id: str
    ) -> Repository:
        await self.world.reached("code_host.ensure_repository")
        repo = self.world.repos.get(name)
        if repo is None:
            url = f"https://git.example.com/{name}"
            repo = Repo(Repository(name, f"{url}.git", url, "main", request_id))
            self.world.repos[name] = repo
        if repo.repository.request_id != request_id:
            raise permanent(f"A repository named {name} exists already.", BackendErrorKind.ALREADY_EXISTS)
        return repo.repository

    async def ensure_first_commit(
        self, name: str, tree: RenderedTree, *, message: str, request_id: str
    ) -> Commit:
        await self.world.reached("code_host.ensure_first_commit")
        repo = self.world.repos[name]
        if not repo.main:
            sha = digest(name, message, *(path for path in tree))
            repo.main.append(Commit(sha, message, "Platform", "platform@example.com", now()))
            repo.files[sha] = tuple(tree)
        return repo.main[0]

    async def remove_repository(self, name: str, *, request_id: str) -> None:
        await self.world.reached("code_host.remove_repository")
        repo = self.world.repos.get(name)
        if repo and repo.repository.request_id == request_id:
            del self.world.repos[name]

    async def find_commit(self, name: str, revision: str) -> Commit | None:
        await self.world.reached("code_host.find_commit")
        repo = self.world.repos[name]
        wanted = repo.tags.get(revision, revision)
        wanted = self.world.head(name) if wanted == "main" else wanted
        found = [one for one in repo.main if len(wanted) >= 4 and one.sha.startswith(wanted)]
        if len(found) > 1:
            raise permanent(f"{revision} is ambiguous.", BackendErrorKind.INVALID)
        return found[0] if found else None

    async def compare(self, name: str, *, base: str | None, head: str) -> Comparison:
        await self.world.reached("code_host.compare")
        repo = self.world.repos[name]
        start, end = repo.position(base) if base else -1, repo.position(head)
        between = repo.main[start + 1 : end + 1]
        status = ComparisonStatus.AHEAD if start < end else ComparisonStatus.BEHIND
        paths = dict.fromkeys(path for one in between for path in repo.files[one.sha])
        return Comparison(
            base=base,
            head=head,
            status=ComparisonStatus.IDENTICAL if start == end else status,
            commits=tuple(reversed(between)),
            files=tuple(ChangedFile(path, "modified", 3, 1) for path in paths),
        )

    async def find_release(self, name: str, ref: str) -> ReleaseRef | None:
        await self.world.reached("code_host.find_release")
        return self.world.repos[name].releases.get(ref)

    async def move_release(
        self, name: str, ref: str, *, revision: str, expected: str | None, request_id: str
    ) -> ReleaseRef:
        await self.world.reached("code_host.move_release")
        repo = self.world.repos[name]
        if done := repo.moved_by.get((ref, request_id)):
            return done
        current = repo.releases.get(ref)
        if (current.sha if current else None) != expected:
            raise permanent(f"{ref} has moved.", BackendErrorKind.CONFLICT)
        revision = repo.carried.get(revision, revision)
        forward = current is None or repo.position(current.revision) < repo.position(revision)
        sha = revision if forward else digest(ref, revision, request_id)
        repo.carried[sha] = revision
        repo.releases[ref] = repo.moved_by[ref, request_id] = ReleaseRef(ref, sha, revision)
        return repo.releases[ref]


class MemoryInfrastructure(Port):
    async def refusal(self, spec: ClaimSpec) -> str | None:
        await self.world.reached("infrastructure.refusal")
        if spec.kind == "redis":
            return "No Redis server is configured here. Ask the platform team, or choose postgresql."
        return None

    async def preview(self, spec: ClaimSpec, *, request_id: str) -> Preview:
        await self.world.reached("infrastructure.preview")
        return Preview()

    async def ensure_claim(self, spec: ClaimSpec, *, request_id: str) -> Claim:
        await self.world.reached("infrastructure.ensure_claim")
        key = spec.name, spec.environment
        claim = self.world.claims.get(key) or Claim(
            spec.name,
            spec.kind,
            spec.service,
            spec.environment,
            Phase.PENDING,
            secret=f"{spec.name}-secret",
            request_id=request_id,
        )
        if claim.request_id != request_id:
            raise permanent(f"{spec.name} exists already.", BackendErrorKind.ALREADY_EXISTS)
        self.world.claims[key] = replace(claim, phase=self.world.claim_phase)
        return self.world.claims[key]

    async def get_claim(self, name: str, *, environment: str) -> Claim | None:
        await self.world.reached("infrastructure.get_claim")
        return self.world.claims.get((name, environment))

    async def list_claims(self, service: str) -> Sequence[Claim]:
        await self.world.reached("infrastructure.list_claims")
        return [one for one in self.world.claims.values() if one.service == service]

    async def remove_claim(self, name: str, *, environment: str, request_id: str) -> None:
        await self.world.reached("infrastructure.remove_claim")
        claim = self.world.claims.get((name, environment))
        if claim and claim.request_id == request_id:
            del self.world.claims[name, environment]


class MemoryDelivery(Port):
    async def preview(self, spec: ApplicationSpec, *, request_id: str) -> Preview:
        await self.world.reached("delivery.preview")
        return Preview()

    async def manifests(
        self, service: str, environment: str, *, revision: str
    ) -> Sequence[Mapping[str, Any]] | None:
        await self.world.reached("delivery.manifests")
        return None

    async def find_closed_window(self, service: str, environment: str) -> ClosedWindow | None:
        await self.world.reached("delivery.find_closed_window")
        return self.world.windows.get(environment)

    async def resume(self, service: str, environment: str, *, operation: str, step: str) -> Deployment:
        await self.world.reached("delivery.resume")
        app = self.world.apps[service, environment]
        self._require_step(app, operation, step)
        app.passed[operation] = app.passed.get(operation, 0) + 1
        return self._looked_at(app, operation)

    async def abort(self, service: str, environment: str, *, operation: str, step: str) -> Deployment:
        await self.world.reached("delivery.abort")
        app = self.world.apps[service, environment]
        if app.deployments[operation].phase is not Phase.FAILED:
            self._require_step(app, operation, step)
            app.deployments[operation] = replace(
                app.deployments[operation],
                phase=Phase.FAILED,
                health=Health.DEGRADED,
                message="the canary was aborted",
                paused=False,
            )
        return app.deployments[operation]

    def _require_step(self, app: App, operation: str, step: str) -> None:
        found = self._looked_at(app, operation)
        if not self.world.canaries.get(app.spec.environment):
            raise permanent("There is no canary.", BackendErrorKind.INVALID)
        if found.step != step or not found.paused:
            raise permanent(f"The canary is at step {found.step or '?'}.", BackendErrorKind.CONFLICT)

    async def ensure_application(self, spec: ApplicationSpec, *, request_id: str) -> Application:
        await self.world.reached("delivery.ensure_application")
        key = spec.service, spec.environment
        app = self.world.apps.setdefault(key, App(spec, request_id))
        if app.request_id != request_id:
            raise permanent(f"{spec.name} exists already.", BackendErrorKind.ALREADY_EXISTS)
        if spec.follows and app.revision is None:
            self.world.run(app, self.world.head(spec.service), by="sync")
        return self._shown(app)

    async def get_application(self, service: str, environment: str) -> Application | None:
        await self.world.reached("delivery.get_application")
        await self.world.reached(f"delivery.get_application:{environment}")
        app = self.world.apps.get((service, environment))
        return self._shown(app) if app else None

    def _shown(self, app: App) -> Application:
        spec = app.spec
        health = self.world.health(spec.environment, app.revision, self.world.repos.get(spec.service))
        return Application(
            service=spec.service,
            environment=spec.environment,
            revision=app.revision,
            health=health,
            sync=SyncStatus.SYNCED,
            message="" if health is Health.HEALTHY else f"{spec.name} is {health.value}",
            url=f"https://{spec.name}.example.com" if app.revision else "",
            deployed_at=app.deployed_at,
            deployed_by=app.deployed_by,
            request_id=app.request_id,
        )

    async def remove_application(self, service: str, environment: str, *, request_id: str) -> None:
        await self.world.reached("delivery.remove_application")
        app = self.world.apps.get((service, environment))
        if app and app.request_id == request_id:
            del self.world.apps[service, environment]

    async def deploy(
        self, service: str, environment: str, *, revision: str, operation: str, actor: str
    ) -> Deployment:
        await self.world.reached("delivery.deploy")
        app = self.world.apps[service, environment]
        if operation not in app.deployments:
            self.world.run(app, revision, by=actor)
            app.deployments[operation] = Deployment(
                operation, revision, Phase.RUNNING, Health.PROGRESSING, started_at=now()
            )
        return self._looked_at(app, operation)

    async def get_deployment(self, service: str, environment: str, *, operation: str) -> Deployment | None:
        await self.world.reached("delivery.get_deployment")
        app = self.world.apps[service, environment]
        return self._looked_at(app, operation) if operation in app.deployments else None

    def _looked_at(self, app: App, operation: str) -> Deployment:
        """As it is now; once it has ended it stays so."""
        deployment = app.deployments[operation]
        if deployment.phase not in {Phase.RUNNING, Phase.WAITING_HUMAN}:
            return deployment
        spec = app.spec
        tree = self.world.repos[spec.service].carried.get(deployment.revision, deployment.revision)
        weights = self.world.canaries.get(spec.environment, []) if tree != app.stable else []
        passed = app.passed.get(operation, 0)
        if passed < len(weights):
            app.deployments[operation] = replace(
                deployment,
                phase=Phase.WAITING_HUMAN,
                health=Health.SUSPENDED,
                step=f"{passed + 1}/{len(weights)}",
                weight_percent=weights[passed],
                paused=True,
            )
            return app.deployments[operation]
        health = self.world.health(spec.environment, deployment.revision, self.world.repos[spec.service])
        phase = {Health.HEALTHY: Phase.READY, Health.DEGRADED: Phase.FAILED}.get(health, Phase.RUNNING)
        message = "" if phase is Phase.READY else f"readiness is {health.value}"
        app.stable = tree if phase is Phase.READY else app.stable
        app.deployments[operation] = replace(
            deployment,
            phase=phase,
            health=health,
            message=message,
            step="",
            weight_percent=None,
            paused=False,
        )
        return app.deployments[operation]

    async def history(self, service: str, environment: str, *, limit: int = 10) -> Sequence[DeployedRevision]:
        await self.world.reached("delivery.history")
        app = self.world.apps.get((service, environment))
        return app.history[:limit] if app else []


class MemoryCatalog(Port):
    async def ensure_entity(self, entity: Entity, *, request_id: str) -> Entity:
        await self.world.reached("catalog.ensure_entity")
        known = self.world.entities.setdefault(entity.name, entity)
        if known.request_id != request_id:
            raise permanent(f"{entity.name} is in the catalog already.", BackendErrorKind.ALREADY_EXISTS)
        return known

    async def find_entity(self, name: str) -> Entity | None:
        await self.world.reached("catalog.find_entity")
        return self.world.entities.get(name)

    async def search(self, text: str, *, limit: int = 20) -> Sequence[Entity]:
        await self.world.reached("catalog.search")
        found = [one for one in self.world.entities.values() if text.casefold() in one.name.casefold()]
        return sorted(found, key=lambda one: one.name)[:limit]

    async def remove_entity(self, name: str, *, request_id: str) -> None:
        await self.world.reached("catalog.remove_entity")
        entity = self.world.entities.get(name)
        if entity and entity.request_id == request_id:
            del self.world.entities[name]


class MemorySignals(Port):
    async def signals(self, question: SignalQuestion) -> Signals:
        await self.world.reached("signals.signals")
        return Signals(self.world.success_ratio, 0.12, 12.0, question.window_seconds, question.until or now())


@asynccontextmanager
async def open_world(
    world: World, config: Config, _surroundings: Surroundings
) -> AsyncIterator[OpenBackends]:
    """For `open_bot(open_backends=partial(open_world, world))`."""
    yield OpenBackends(
        golden_paths=MemoryGoldenPaths(world),
        code_host=MemoryCodeHost(world),
        infrastructure=MemoryInfrastructure(world),
        delivery=MemoryDelivery(world),
        catalog=MemoryCatalog(world),
        signals=MemorySignals(world) if "signals" in config.integrations else None,
    )
