"""Repositories, commits and release refs. Port name: `code_host`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from integrations.ports.backend import Backend
from integrations.ports.golden_paths import RenderedTree


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


class DeploymentState(StrEnum):
    """How far a deployment is, for those who look at the code host."""

    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"
    INACTIVE = "inactive"
    """Given up or taken back."""


@runtime_checkable
class DeploymentReports(Protocol):
    """What a code host may offer besides: its pages show what ran where. Shown only; nothing is ever read back from it."""

    async def report_deployment(
        self,
        name: str,
        *,
        revision: str,
        environment: str,
        state: DeploymentState,
        operation: str,
        url: str = "",
    ) -> None:
        """`operation` is our key (`<request>.<run>.<purpose>`): the same key never shows two deployments, the same state is
        not told twice, and one that was never shown is not shown as inactive."""
        ...
