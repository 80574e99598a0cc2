"""A code host in memory: repositories with one branch, release refs that move by commits of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fake_backend import MOMENT, Fake, sha

from bot.errors import BackendErrorKind
from integrations.ports import (
    ChangedFile,
    Commit,
    Comparison,
    ComparisonStatus,
    ReleaseRef,
    RenderedTree,
    Repository,
)


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
