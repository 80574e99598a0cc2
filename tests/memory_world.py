"""The world behind the backends in memory: repositories, applications, claims, and the handles a test turns.

A test pushes commits, says how revisions fare, and orders trouble for a call. The ports over it are in memory_backends.py.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations.ports import (
    ApplicationSpec,
    Claim,
    ClosedWindow,
    Commit,
    DeployedRevision,
    Deployment,
    Entity,
    GoldenPath,
    Health,
    Parameter,
    Phase,
    ReleaseRef,
    Repository,
)


def digest(*parts: str) -> str:
    """Looks like a commit's hash, and is the same for the same parts."""
    return hashlib.sha1("\x1f".join(parts).encode(), usedforsecurity=False).hexdigest()


def now() -> datetime:
    return datetime.now(tz=UTC)


def temporary(message: str = "503 from the backend", **more: Any) -> TemporaryBackendError:
    return TemporaryBackendError(message, backend="the backend", **more)


def permanent(
    message: str = "refused", kind: BackendErrorKind = BackendErrorKind.DENIED
) -> PermanentBackendError:
    return PermanentBackendError(message, backend="the backend", kind=kind)


GOLDEN_PATHS = (
    GoldenPath(
        name="python-service",
        title="Python service",
        description="An HTTP service.",
        language="python",
        revision=digest("python-service"),
        databases=("none", "postgresql", "redis"),
        parameters=(
            Parameter("python_version", "Python", choices=("3.11", "3.12"), default="3.11"),
            Parameter("greeting", "Greeting"),
        ),
    ),
    GoldenPath(
        name="node-service",
        title="Node service",
        description="An HTTP service.",
        language="node",
        revision=digest("node-service"),
        databases=("none",),
    ),
    GoldenPath(
        name="go-service",
        title="Go service",
        description="An HTTP service.",
        language="go",
        revision=digest("go-service"),
        databases=("none",),
        missing=("go",),
    ),
)


@dataclass
class Repo:
    """`main` oldest first; a release ref carries one of its revisions, perhaps by a commit of its own."""

    repository: Repository
    main: list[Commit] = field(default_factory=list)
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    releases: dict[str, ReleaseRef] = field(default_factory=dict)
    moved_by: dict[tuple[str, str], ReleaseRef] = field(default_factory=dict)
    carried: dict[str, str] = field(default_factory=dict)

    def position(self, revision: str) -> int:
        """-1 where there is no such commit; a release commit stands where its tree comes from."""
        wanted = self.carried.get(revision, revision)
        return next((index for index, one in enumerate(self.main) if one.sha == wanted), -1)


@dataclass
class App:
    spec: ApplicationSpec
    request_id: str
    revision: str | None = None
    deployed_at: datetime | None = None
    deployed_by: str = ""
    history: list[DeployedRevision] = field(default_factory=list)
    deployments: dict[str, Deployment] = field(default_factory=dict)
    stable: str = ""
    """The revision that last got all of the traffic: going back to it runs through no canary."""
    passed: dict[str, int] = field(default_factory=dict)
    """Operation -> how many pauses of its canary somebody has let it past."""


class World:
    """What the five backends share, and the handles a test turns."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.apps: dict[tuple[str, str], App] = {}
        self.claims: dict[tuple[str, str], Claim] = {}
        self.entities: dict[str, Entity] = {}
        self.paths = {path.name: path for path in GOLDEN_PATHS}
        self.calls: list[str] = []
        self.claim_phase = Phase.READY
        self.windows: dict[str, ClosedWindow] = {}
        self.canaries: dict[str, list[int]] = {}
        """Environment -> the weights at which a canary pauses."""
        self.success_ratio: float | None = 1.0
        """Of every service, as what measures them tells; None: no traffic."""
        self._health: dict[tuple[str, str], Health] = {}
        self._trouble: dict[str, list[BackendError]] = defaultdict(list)
        self._latency: dict[str, float] = {}

    # ------------------------------------------------------------ what a test may do

    def fail(self, call: str, error: BackendError, *, times: int = 1) -> None:
        """The next calls (`delivery.deploy`) raise."""
        self._trouble[call] += [error] * times

    def slow(self, call: str, seconds: float) -> None:
        """Every such call takes so long; 0 makes it quick again."""
        self._latency[call] = seconds

    def mend(self) -> None:
        self._trouble.clear()
        self._latency.clear()

    def fares(self, environment: str, revision: str, health: Health) -> None:
        """How a revision is once it runs there; healthy where nothing is said."""
        self._health[environment, revision] = health

    def push(
        self,
        service: str,
        subject: str,
        *,
        author: str = "Omar Osman",
        email: str = "omar@example.com",
        files: tuple[str, ...] = ("app.py",),
        health: Health = Health.HEALTHY,
    ) -> str:
        """A commit on main; what follows main deploys it at once. Returns its hash."""
        repo = self.repos[service]
        sha = digest(service, subject, str(len(repo.main)))
        repo.main.append(Commit(sha, subject, author, email, now()))
        repo.files[sha] = files
        for (name, environment), app in self.apps.items():
            if name == service and app.spec.follows == "main":
                self._health[environment, sha] = health
                self.run(app, sha, by=author)
        return sha

    def head(self, service: str) -> str:
        return self.repos[service].main[-1].sha

    # ------------------------------------------------------------ what backends ask

    async def reached(self, call: str) -> None:
        self.calls.append(call)
        if seconds := self._latency.get(call):
            await asyncio.sleep(seconds)
        if self._trouble[call]:
            raise self._trouble[call].pop(0)

    def health(self, environment: str, revision: str | None, repo: Repo | None) -> Health:
        if revision is None:
            return Health.MISSING
        tree = repo.carried.get(revision, revision) if repo else revision
        return self._health.get((environment, tree), Health.HEALTHY)

    def run(self, app: App, revision: str, *, by: str) -> None:
        app.revision, app.deployed_at, app.deployed_by = revision, now(), by
        repo = self.repos.get(app.spec.service)
        healthy = self.health(app.spec.environment, revision, repo) is Health.HEALTHY
        app.history.insert(0, DeployedRevision(revision, app.deployed_at, by, healthy))
