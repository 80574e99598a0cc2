"""What a backend of each kind offers: the contract between commands and the company's systems.

Shaped for GitHub, Crossplane, Argo CD and Backstage; the local backends implement the same. Knows `bot.errors` only.

Rules for every implementation:

* `ensure_*` reads, compares, writes: calling it twice, or again after a lost answer, changes nothing more.
* Whatever is created carries the request id, so that "exists" can be told from "exists, and is ours". A name taken by
  somebody else raises PermanentBackendError(kind=ALREADY_EXISTS) and is never adopted, changed or undone.
* `remove_*` is an undo: it removes only what carries the given request id, and succeeds when nothing is there.
* Failures leave as TemporaryBackendError or PermanentBackendError, translated at this border, chained.
* "Could not ask" raises; it is never an answer. `unknown` is an answer and never means healthy.
* Times are aware datetimes in UTC. Revisions are full commit hashes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel


@dataclass(frozen=True)
class Finding:
    """One line of `python -m bot check`: what was tried, whether it works, and the way out where it does not."""

    subject: str
    ok: bool
    detail: str
    fix: str = ""


@runtime_checkable
class Backend(Protocol):
    """What all backends share."""

    async def check(self) -> Sequence[Finding]:
        """Probe reachability and every permission the backend will need, changing nothing. Never raises BackendError."""
        ...


# ---------------------------------------------------------------- golden paths


@dataclass(frozen=True)
class Parameter:
    """A question of a golden path; `choices` empty means free text."""

    name: str
    title: str
    description: str = ""
    default: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True)
class GoldenPath:
    """A template on offer. `revision` identifies its content exactly (hash), so that a plan can be bound to it."""

    name: str
    title: str
    description: str
    language: str
    revision: str
    databases: tuple[str, ...]
    parameters: tuple[Parameter, ...] = ()
    health_path: str = "/healthz"
    missing: tuple[str, ...] = ()
    """Executables this machine lacks for running such a service locally; empty where it can run."""


@dataclass(frozen=True)
class RenderedFile:
    content: bytes
    executable: bool = False


RenderedTree = Mapping[str, RenderedFile]
"""Relative POSIX path -> file."""


class GoldenPaths(Backend, Protocol):
    """Renders golden paths. Port name: `golden_paths`."""

    async def list_golden_paths(self) -> Sequence[GoldenPath]: ...

    async def get_golden_path(self, name: str) -> GoldenPath:
        """Raises PermanentBackendError(NOT_FOUND)."""
        ...

    async def render(self, name: str, *, revision: str, answers: Mapping[str, str]) -> RenderedTree:
        """Raises PermanentBackendError: INVALID for refused answers, CONFLICT when `revision` is no longer on offer."""
        ...


# ---------------------------------------------------------------- code host


@dataclass(frozen=True)
class Repository:
    """`request_id` is the mark of the request that created it; None where it is not ours."""

    name: str
    clone_url: str
    web_url: str
    default_branch: str
    request_id: str | None


@dataclass(frozen=True)
class Commit:
    sha: str
    subject: str
    author_name: str
    author_email: str
    authored_at: datetime


@dataclass(frozen=True)
class ChangedFile:
    path: str
    status: str
    """added, modified, removed or renamed."""
    additions: int = 0
    deletions: int = 0


class ComparisonStatus(StrEnum):
    IDENTICAL = "identical"
    AHEAD = "ahead"
    BEHIND = "behind"
    DIVERGED = "diverged"


@dataclass(frozen=True)
class Comparison:
    """What `head` has that `base` has not, newest commit first; `truncated` where the backend cut the lists."""

    base: str | None
    head: str
    status: ComparisonStatus
    commits: tuple[Commit, ...]
    files: tuple[ChangedFile, ...]
    truncated: bool = False


@dataclass(frozen=True)
class ReleaseRef:
    """Where a release ref stands: `sha` is the ref's commit, whose tree equals that of `revision`."""

    name: str
    sha: str
    revision: str
    web_url: str = ""


class CodeHost(Backend, Protocol):
    """Repositories. Port name: `code_host`."""

    async def find_repository(self, name: str) -> Repository | None: ...

    async def ensure_repository(
        self, name: str, *, description: str, team: str, request_id: str
    ) -> Repository:
        """Raises PermanentBackendError(ALREADY_EXISTS) when the name is taken by something without our mark."""
        ...

    async def ensure_first_commit(
        self, name: str, tree: RenderedTree, *, message: str, request_id: str
    ) -> Commit:
        """Put the tree on the default branch as its first commit; a second call returns the first's commit."""
        ...

    async def remove_repository(self, name: str, *, request_id: str) -> None: ...

    async def find_commit(self, name: str, revision: str) -> Commit | None:
        """`revision`: full or abbreviated hash, tag or branch. Raises PermanentBackendError(INVALID) when ambiguous."""
        ...

    async def compare(self, name: str, *, base: str | None, head: str) -> Comparison:
        """`base` None compares with the empty tree: every commit of `head` counts. Files are compared tree against tree, so
        that a way back shows its real changes; commits are what `head` reaches and `base` does not."""
        ...

    async def find_release(self, name: str, ref: str) -> ReleaseRef | None: ...

    async def move_release(
        self, name: str, ref: str, *, revision: str, expected: str | None, request_id: str
    ) -> ReleaseRef:
        """Make `ref` carry the tree of `revision`: fast-forward, else a merge commit, else (rolling back) a forward
        commit with the good tree; never by force. `expected` is the ref's commit the plan was made on (None: absent);
        PermanentBackendError(CONFLICT) when it stands elsewhere, unless this request moved it there already."""
        ...


# ---------------------------------------------------------------- infrastructure


class Phase(StrEnum):
    """How far something asynchronous is. UNKNOWN never counts as READY."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING_HUMAN = "waiting_human"
    READY = "ready"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class ClaimSpec:
    """A wish for infrastructure. `kind`: postgresql, redis, …; `size` is a name the operator's price table knows."""

    name: str
    kind: str
    service: str
    environment: str
    team: str
    size: str = "small"


@dataclass(frozen=True)
class Claim:
    """`secret` names where the connection secret lies (file or Secret), never its content."""

    name: str
    kind: str
    service: str
    environment: str
    phase: Phase
    message: str = ""
    secret: str = ""
    request_id: str | None = None
    external_id: str = ""


class Infrastructure(Backend, Protocol):
    """Databases and the like by claim. Port name: `infrastructure`."""

    async def refusal(self, spec: ClaimSpec) -> str | None:
        """A sentence why this claim cannot be met here, with the way out; None when it can."""
        ...

    async def ensure_claim(self, spec: ClaimSpec, *, request_id: str) -> Claim: ...

    async def get_claim(self, name: str, *, environment: str) -> Claim | None: ...

    async def list_claims(self, service: str) -> Sequence[Claim]: ...

    async def remove_claim(self, name: str, *, environment: str, request_id: str) -> None: ...


# ---------------------------------------------------------------- delivery


class Health(StrEnum):
    """Argo CD's words."""

    HEALTHY = "healthy"
    PROGRESSING = "progressing"
    DEGRADED = "degraded"
    SUSPENDED = "suspended"
    MISSING = "missing"
    UNKNOWN = "unknown"


class SyncStatus(StrEnum):
    SYNCED = "synced"
    OUT_OF_SYNC = "out_of_sync"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class ApplicationSpec:
    """One service in one environment. `follows` is the branch that syncs by itself; None: only by `deploy`."""

    service: str
    environment: str
    team: str
    repository_url: str
    golden_path: str
    follows: str | None
    health_path: str = "/healthz"
    secrets: tuple[str, ...] = ()
    """Names of connection secrets (Claim.secret) the service is given."""

    @property
    def name(self) -> str:
        return f"{self.service}-{self.environment}"


@dataclass(frozen=True)
class Application:
    """What the backend knows of one service in one environment, now."""

    service: str
    environment: str
    revision: str | None
    health: Health
    sync: SyncStatus
    message: str = ""
    url: str = ""
    console_url: str = ""
    deployed_at: datetime | None = None
    deployed_by: str = ""
    request_id: str | None = None
    """The request that created the application."""
    unhealthy: tuple[str, ...] = ()
    """What is unhealthy, one line each."""


@dataclass(frozen=True)
class Deployment:
    """One run of `deploy`, found again by its `operation` key. `step`/`weight_percent` where a canary reports them."""

    operation: str
    revision: str
    phase: Phase
    health: Health
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    step: str = ""
    weight_percent: int | None = None


@dataclass(frozen=True)
class DeployedRevision:
    revision: str
    deployed_at: datetime
    deployed_by: str
    healthy: bool


class Delivery(Backend, Protocol):
    """Runs revisions in environments. Port name: `delivery`."""

    async def ensure_application(self, spec: ApplicationSpec, *, request_id: str) -> Application: ...

    async def get_application(self, service: str, environment: str) -> Application | None:
        """None: there is none. Raises TemporaryBackendError when it could not be asked."""
        ...

    async def remove_application(self, service: str, environment: str, *, request_id: str) -> None: ...

    async def deploy(
        self, service: str, environment: str, *, revision: str, operation: str, actor: str
    ) -> Deployment:
        """Start deploying `revision`; `operation` is our key for this run: the same key never deploys twice.
        `actor` is who asked, for the backend's own history."""
        ...

    async def get_deployment(self, service: str, environment: str, *, operation: str) -> Deployment | None:
        """READY means: this operation done, its revision live and healthy, observed after it finished."""
        ...

    async def history(self, service: str, environment: str, *, limit: int = 10) -> Sequence[DeployedRevision]:
        """Newest first."""
        ...


# ---------------------------------------------------------------- catalog


@dataclass(frozen=True)
class Entity:
    """A component of the software catalog. `owner` is the team's name."""

    name: str
    title: str
    description: str
    owner: str
    golden_path: str
    lifecycle: str = "production"
    links: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None


class Catalog(Backend, Protocol):
    """What exists and who owns it. Port name: `catalog`."""

    async def ensure_entity(self, entity: Entity, *, request_id: str) -> Entity: ...

    async def find_entity(self, name: str) -> Entity | None: ...

    async def search(self, text: str, *, limit: int = 20) -> Sequence[Entity]:
        """Case-insensitive over name, title, description and owner; empty text lists by name."""
        ...

    async def remove_entity(self, name: str, *, request_id: str) -> None: ...


# ---------------------------------------------------------------- opening a backend


class EntityStore(Protocol):
    """Where a catalog without a server of its own keeps its entities: the bot's database, behind `bot.store`."""

    async def put_entity(self, entity: Entity) -> None: ...

    async def find_entity(self, name: str) -> Entity | None: ...

    async def search_entities(self, text: str, *, limit: int) -> Sequence[Entity]: ...

    async def delete_entity(self, name: str) -> None: ...


@dataclass(frozen=True)
class Surroundings:
    """What a backend may use of the place it runs in. `secrets`: variable -> value, for the names its settings give."""

    state_folder: Path
    base_folder: Path
    """Folder of platform.yml: relative paths in settings start here."""
    entities: EntityStore
    secrets: Mapping[str, str]


class BackendModule(Protocol):
    """What a file in `integrations/` offers to `bot.registry`: one backend, named by the file."""

    @property
    def PORT(self) -> str:  # noqa: N802 - a module's constant
        """golden_paths, code_host, infrastructure, delivery or catalog."""
        ...

    @property
    def Settings(self) -> type[BaseModel]:  # noqa: N802 - a module's class
        """The section of platform.yml, without `use:`."""
        ...

    def open(self, settings: Any, surroundings: Surroundings) -> AbstractAsyncContextManager[Any]: ...


PORTS: Mapping[str, type] = {
    "golden_paths": GoldenPaths,
    "code_host": CodeHost,
    "infrastructure": Infrastructure,
    "delivery": Delivery,
    "catalog": Catalog,
}
"""Port name -> what it must offer."""
