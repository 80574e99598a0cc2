"""Code host on this machine: bare git repositories in one folder, which people clone from and push to.

The mark of the request that created a repository lies in the repository's own configuration, so that it appears and
disappears with it. Creation is a rename, releases move by git's compare-and-swap; a kill at any instant leaves
either the old state or the new one. Must not hold state of its own: git is asked every time.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations import _git_format as formats
from integrations._git import BACKEND, Git, probe_version
from integrations._git_folder import (
    default_branch,
    discard,
    is_there,
    making_path,
    prepare,
    put_in_place,
    repository_names,
    translated,
)
from integrations.ports import (
    Commit,
    Comparison,
    ComparisonStatus,
    Finding,
    Marked,
    ReleaseRef,
    RenderedTree,
    Repository,
    Surroundings,
)

PORT: Final = "code_host"

COMMIT_LIMIT: Final = 250
"""As many as GitHub's compare returns without paging."""
FILE_LIMIT: Final = 300
"""GitHub's compare caps its file list there."""

ABSENT: Final = "0" * 40
_EMPTY_TREE: Final = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_ABBREVIATED: Final = re.compile(r"[0-9a-fA-F]{4,39}")
_MANAGED_BY: Final = "platform-bot"


class Settings(BaseModel):
    """The `code_host` section of platform.yml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str = Field(
        default="git", min_length=1, description="Where repositories lie; relative to the state."
    )
    release_branch: str = Field(
        default="release", min_length=1, description="Pushes to this branch, and below it, are refused."
    )
    program: str = Field(default="git", min_length=1, description="The git program, by name or path.")
    deadline_seconds: float = Field(
        default=30.0, gt=0, le=600, description="Longest time for one call of git."
    )


@dataclass(frozen=True)
class _Tip:
    """The commit a branch stands on."""

    sha: str
    tree: str
    trailers: dict[str, str]


class LocalGit:
    """Implements `integrations.ports.CodeHost`."""

    def __init__(self, folder: Path, git: Git, *, release_branch: str) -> None:
        self._folder = folder
        self._git = git
        self._release_branch = release_branch

    async def check(self) -> Sequence[Finding]:
        writable = os.access(self._folder, os.R_OK | os.W_OK | os.X_OK)
        fix = "" if writable else "Create the folder and let the bot's user write to it."
        detail = f"{self._folder} is {'' if writable else 'not '}writable"
        folder = Finding("folder of the repositories", ok=writable, detail=detail, fix=fix)
        return [await probe_version(self._git), folder]

    async def list_marked(self) -> Sequence[Marked]:
        names = await asyncio.to_thread(repository_names, self._folder)
        marks = {name: await self._marks(name) or {} for name in names}
        return [
            Marked("repository", name, marks[name]["platform.request-id"], place=str(self._path(name)))
            for name in names
            if "platform.request-id" in marks[name]
        ]

    async def find_repository(self, name: str) -> Repository | None:
        marks = await self._marks(name)
        if marks is None:
            return None
        path = self._path(name)
        return Repository(
            name=name,
            clone_url=str(path),
            web_url=path.as_uri(),
            default_branch=default_branch(path),
            request_id=marks.get("platform.request-id"),
        )

    async def ensure_repository(
        self, name: str, *, description: str, team: str, request_id: str
    ) -> Repository:
        formats.clean_request_id(request_id)
        if (repository := await self.find_repository(name)) is None:
            await self._create(name, description=description, team=team, request_id=request_id)
            repository = await self.find_repository(name)
        if repository is None:
            raise TemporaryBackendError(
                f"The repository {name} went away while it was made.", backend=BACKEND
            )
        if repository.request_id != request_id:
            raise formats.refuse(
                f"A repository named {name} exists already.", BackendErrorKind.ALREADY_EXISTS
            )
        return repository

    async def _create(self, name: str, *, description: str, team: str, request_id: str) -> None:
        """Made complete beside its place and then renamed: nobody ever sees a repository without its mark."""
        making = making_path(self._folder, name)
        settings = {
            "platform.managed-by": _MANAGED_BY,
            "platform.request-id": request_id,
            "platform.team": team,
            "platform.description": description.replace("\0", ""),
            # Fixes the date of the first commit, so that making it again makes the same commit.
            "platform.created-at": str(int(time.time())),
            # Who moved a branch when can then be read and undone by hand (git reflog).
            "core.logAllRefUpdates": "true",
            # Releases move by promotion only; git refuses a push to what is hidden from pushes.
            "receive.hideRefs": f"refs/heads/{self._release_branch}",
        }
        try:
            branch = f"--initial-branch={formats.DEFAULT_BRANCH}"
            await self._git.run("init", "--quiet", "--bare", "--template=", branch, str(making))
            for key, value in settings.items():
                await self._git.run("config", "--file", str(making / "config"), key, value)
            with translated():
                put_in_place(making, self._path(name))
        finally:
            await asyncio.to_thread(shutil.rmtree, making, ignore_errors=True)

    async def remove_repository(self, name: str, *, request_id: str) -> None:
        marks = await self._marks(name)
        # Undo runs even where the outcome is unknown; what stands there may be somebody else's, and stays.
        if marks is not None and marks.get("platform.request-id") == request_id:
            with translated():
                await asyncio.to_thread(discard, self._path(name), self._folder)

    async def ensure_first_commit(
        self, name: str, tree: RenderedTree, *, message: str, request_id: str
    ) -> Commit:
        marks = await self._managed(name)
        if marks["platform.request-id"] != request_id:
            raise formats.refuse(
                f"The repository {name} belongs to another request.", BackendErrorKind.ALREADY_EXISTS
            )
        if (commit := await self._first_commit(name, request_id)) is not None:
            return commit
        text = formats.with_trailers(message, Request_Id=formats.clean_request_id(request_id))
        seconds = int(marks.get("platform.created-at", "0"))
        stream = formats.first_commit_stream(tree, message=text, seconds=seconds)
        # fast-import moves the branch by compare-and-swap from "absent"; a second one at the same time loses.
        await self._git.run("fast-import", "--quiet", "--done", repository=self._path(name), stdin=stream)
        if (commit := await self._first_commit(name, request_id)) is not None:
            return commit
        raise formats.refuse(
            f"The repository {name} has commits of somebody else.", BackendErrorKind.CONFLICT
        )

    async def _first_commit(self, name: str, request_id: str) -> Commit | None:
        path = self._path(name)
        if (head := await self._branch(path, formats.DEFAULT_BRANCH)) is None:
            return None
        roots = await self._git.run("rev-list", "--max-parents=0", head, repository=path)
        for root in roots.line.split():
            if (await self._tip(path, root)).trailers.get("Request-Id") == request_id:
                return (await self._log(path, "--max-count=1", root))[0]
        return None

    async def find_commit(self, name: str, revision: str) -> Commit | None:
        path = self._path(name)
        if not is_there(path) or (sha := await self._resolve(path, revision)) is None:
            return None
        return (await self._log(path, "--max-count=1", sha))[0]

    async def compare(self, name: str, *, base: str | None, head: str) -> Comparison:
        """Files are those of the two trees compared directly: what an environment on `base` would see change."""
        path = self._path(name)
        newer = await self._commit(path, head)
        older = None if base is None else await self._commit(path, base)
        status = ComparisonStatus.AHEAD
        if older is not None:
            both = f"{older}...{newer}"
            counts = await self._git.run("rev-list", "--left-right", "--count", both, repository=path)
            status = formats.parse_status(counts.stdout)
        span = (newer,) if older is None else (newer, f"^{older}")
        commits = await self._log(path, "--date-order", f"--max-count={COMMIT_LIMIT + 1}", *span)
        how = ("-r", "-z", "-M", "--raw", "--numstat", "--no-ext-diff", "--no-textconv")
        printed = await self._git.run("diff-tree", *how, older or _EMPTY_TREE, newer, repository=path)
        files = formats.parse_changes(printed.stdout)
        return Comparison(
            base=older,
            head=newer,
            status=status,
            commits=commits[:COMMIT_LIMIT],
            files=files[:FILE_LIMIT],
            truncated=len(commits) > COMMIT_LIMIT or len(files) > FILE_LIMIT,
        )

    async def find_release(self, name: str, ref: str) -> ReleaseRef | None:
        path = self._path(name)
        tip = await self._branch_tip(path, formats.check_ref(ref)) if is_there(path) else None
        return None if tip is None else ReleaseRef(ref, tip.sha, await self._revision_of(path, tip))

    async def move_release(
        self, name: str, ref: str, *, revision: str, expected: str | None, request_id: str
    ) -> ReleaseRef:
        path = self._path(name)
        formats.check_ref(ref)
        formats.clean_request_id(request_id)
        if not formats.SHA.fullmatch(revision):
            raise formats.refuse(f"{revision!r} is not a full commit hash.")
        await self._managed(name)
        tip = await self._branch_tip(path, ref)
        if (done := await self._moved_already(path, ref, tip, revision, request_id)) is not None:
            return done
        if (tip.sha if tip else None) != expected:
            raise _stands_elsewhere(name, ref, tip)
        if tip is not None and revision in {tip.sha, await self._revision_of(path, tip)}:
            return ReleaseRef(ref, tip.sha, revision)
        sha = await self._release_commit(path, tip, revision=revision, request_id=request_id)
        log = ("--create-reflog", "-m", _reason(request_id))
        result = await self._git.run(
            "update-ref", *log, f"refs/heads/{ref}", sha, expected or ABSENT, repository=path
        )
        if not result.lost_race:
            return ReleaseRef(ref, sha, revision)
        tip = await self._branch_tip(path, ref)
        if (done := await self._moved_already(path, ref, tip, revision, request_id)) is not None:
            return done
        raise _stands_elsewhere(name, ref, tip)

    async def _release_commit(self, path: Path, tip: _Tip | None, *, revision: str, request_id: str) -> str:
        """The commit the ref shall stand on: `revision` itself where that is a fast-forward, else one with its tree."""
        promoted = await self._tip(path, await self._commit(path, revision))
        if tip is None or await self._is_ancestor(path, tip.sha, revision):
            return revision
        back = await self._is_ancestor(path, revision, tip.sha)
        parents = ("-p", tip.sha) if back else ("-p", tip.sha, "-p", revision)
        subject = f"{'Roll back to' if back else 'Promote'} {revision[:12]}"
        message = formats.with_trailers(subject, Request_Id=request_id, Promotes=revision)
        commit = await self._git.run(
            "commit-tree", *parents, "-F", "-", promoted.tree, repository=path, stdin=message.encode()
        )
        return commit.line

    async def _moved_already(
        self, path: Path, ref: str, tip: _Tip | None, revision: str, request_id: str
    ) -> ReleaseRef | None:
        """A fast-forward leaves no commit of its own; the log of the ref says which request moved it."""
        if tip is None or revision not in {tip.sha, await self._revision_of(path, tip)}:
            return None
        if tip.trailers.get("Request-Id") != request_id:
            how = ("--walk-reflogs", "--max-count=1", "--format=%H %gs")
            last = await self._git.run("log", *how, f"refs/heads/{ref}", "--", repository=path)
            if last.line != f"{tip.sha} {_reason(request_id)}":
                return None
        return ReleaseRef(ref, tip.sha, revision)

    async def _revision_of(self, path: Path, tip: _Tip) -> str:
        """What a release commit promotes. Anybody can write a trailer; only one with the same tree is believed."""
        promotes = tip.trailers.get("Promotes", "")
        if not formats.SHA.fullmatch(promotes) or await self._resolve(path, promotes) is None:
            return tip.sha
        return promotes if (await self._tip(path, promotes)).tree == tip.tree else tip.sha

    # ------------------------------------------------------------ asking git

    def _path(self, name: str) -> Path:
        return self._folder / f"{formats.check_name(name)}.git"

    async def _marks(self, name: str) -> dict[str, str] | None:
        """The repository's own configuration; empty for a folder that is no repository; None where nothing is."""
        path = self._path(name)
        if not is_there(path):
            return None
        if not (path / "config").is_file():
            return {}
        how = ("config", "--file", str(path / "config"), "--list", "-z")
        try:
            listed = await self._git.run(*how)
        except BackendError:
            # Removed while it was asked about: then there is nothing, and that is the answer.
            if is_there(path):
                raise
            return None
        return formats.parse_configuration(listed.stdout)

    async def _managed(self, name: str) -> dict[str, str]:
        marks = await self._marks(name)
        if marks is None:
            raise formats.refuse(f"There is no repository named {name}.", BackendErrorKind.NOT_FOUND)
        if marks.get("platform.managed-by") != _MANAGED_BY or "platform.request-id" not in marks:
            raise formats.refuse(
                f"The repository {name} was not made by the platform.", BackendErrorKind.ALREADY_EXISTS
            )
        return marks

    async def _resolve(self, path: Path, revision: str) -> str | None:
        if formats.SHA.fullmatch(revision.lower()):
            names = [revision.lower()]
        elif formats.is_ref_name(revision):
            names = [f"refs/tags/{revision}", f"refs/heads/{revision}"]
            if _ABBREVIATED.fullmatch(revision):
                short = await self._git.run(
                    "rev-parse", f"--disambiguate={revision.lower()}", repository=path
                )
                names += short.line.split()
        else:
            return None
        asked = "".join(f"{name}^{{commit}}\n" for name in names).encode()
        batch = await self._git.run("cat-file", "--batch-check=%(objectname)", repository=path, stdin=asked)
        found = formats.parse_objects(batch.stdout)
        if len(found) > 1:
            raise formats.refuse(f"{revision} may be any of {', '.join(sha[:12] for sha in found[:5])}.")
        return found[0] if found else None

    async def _commit(self, path: Path, revision: str) -> str:
        if not is_there(path):
            raise formats.refuse(f"There is no repository named {path.stem}.", BackendErrorKind.NOT_FOUND)
        if (sha := await self._resolve(path, revision)) is None:
            raise formats.refuse(f"{path.stem} has no commit {revision!r}.", BackendErrorKind.NOT_FOUND)
        return sha

    async def _branch(self, path: Path, branch: str) -> str | None:
        asked = f"refs/heads/{branch}^{{commit}}\n".encode()
        batch = await self._git.run("cat-file", "--batch-check=%(objectname)", repository=path, stdin=asked)
        return next(iter(formats.parse_objects(batch.stdout)), None)

    async def _branch_tip(self, path: Path, branch: str) -> _Tip | None:
        sha = await self._branch(path, branch)
        return None if sha is None else await self._tip(path, sha)

    async def _tip(self, path: Path, sha: str) -> _Tip:
        printed = await self._git.run("log", "--max-count=1", "--format=%T%x00%B", sha, "--", repository=path)
        tree, _, message = printed.line.partition("\0")
        return _Tip(sha=sha, tree=tree, trailers=formats.parse_trailers(message))

    async def _log(self, path: Path, *arguments: str) -> tuple[Commit, ...]:
        printed = await self._git.run("log", "-z", formats.COMMIT_FORMAT, *arguments, "--", repository=path)
        return formats.parse_commits(printed.stdout)

    async def _is_ancestor(self, path: Path, older: str, newer: str) -> bool:
        how = ("merge-base", "--is-ancestor", older, newer)
        return (await self._git.run(*how, repository=path, accept=frozenset({0, 1}))).code == 0


def _reason(request_id: str) -> str:
    return f"request {request_id}"


def _stands_elsewhere(name: str, ref: str, tip: _Tip | None) -> PermanentBackendError:
    where = f"stands on {tip.sha[:12]}" if tip else "does not exist"
    return formats.refuse(f"{ref} of {name} {where}, not where the plan saw it.", BackendErrorKind.CONFLICT)


@asynccontextmanager
async def open(settings: Settings, surroundings: Surroundings) -> AsyncIterator[LocalGit]:  # noqa: A001 - the port's word
    home = surroundings.state_folder.resolve()
    folder = (home / settings.folder).resolve()
    with translated():
        await asyncio.to_thread(prepare, folder, home)
    git = Git(settings.program, home=home, deadline_seconds=settings.deadline_seconds)
    yield LocalGit(folder, git, release_branch=settings.release_branch)
