"""Releases on GitHub: where a release branch stands, and how it moves without ever being forced.

Forward where that is possible, else a commit of our own with exactly the promoted tree. In one transaction with the branch a
tag is set that names the request: it is what a lost answer is found again by.
"""

from __future__ import annotations

import asyncio

from bot.errors import BackendErrorKind, PermanentBackendError
from integrations._git_format import SHA, with_trailers
from integrations._github_api import Api, RefMove
from integrations._github_errors import check_ref, check_request_id, not_moved, refuse
from integrations._github_git import Commits
from integrations._github_shapes import GitCommitAnswer, RepositoryAnswer, move_tag
from integrations.ports import ReleaseRef


class Releases:
    def __init__(self, api: Api, commits: Commits) -> None:
        self._api = api
        self._commits = commits

    async def find(self, repository: RepositoryAnswer, ref: str) -> ReleaseRef | None:
        tip = await self._tip(repository, check_ref(ref))
        if tip is None:
            return None
        return _release(repository, ref, tip.sha, await self._revision_of(repository, tip))

    async def move(
        self, repository: RepositoryAnswer, ref: str, *, revision: str, expected: str | None, request_id: str
    ) -> ReleaseRef:
        check_ref(ref)
        check_request_id(request_id)
        if not SHA.fullmatch(revision):
            raise refuse(f"{revision!r} is not a full commit hash.")
        tip = await self._tip(repository, ref)
        if (done := await self._moved_already(repository, ref, tip, revision, request_id)) is not None:
            return done
        if (tip.sha if tip else None) != expected:
            raise _stands_elsewhere(repository, ref, tip)
        if tip is not None and revision in {tip.sha, await self._revision_of(repository, tip)}:
            return _release(repository, ref, tip.sha, revision)
        sha = await self._release_commit(repository, tip, revision=revision, request_id=request_id)
        moves = [
            RefMove(f"refs/heads/{ref}", expected, sha),
            RefMove(f"refs/tags/{move_tag(ref, request_id, revision)}", None, sha),
        ]
        reason = await self._api.move_refs(repository.node_id, moves)
        return await self._outcome(
            repository, ref, moves, revision=revision, reason=reason, request_id=request_id
        )

    async def _outcome(
        self,
        repository: RepositoryAnswer,
        ref: str,
        moves: list[RefMove],
        *,
        revision: str,
        reason: str | None,
        request_id: str,
    ) -> ReleaseRef:
        """Whatever GitHub said, what stands there now is the truth."""
        tip = await self._tip(repository, ref)
        if (done := await self._moved_already(repository, ref, tip, revision, request_id)) is not None:
            return done
        if (tip.sha if tip else None) != moves[0].before:
            raise _stands_elsewhere(repository, ref, tip)
        raise not_moved(f"{ref} of {repository.name}", reason)

    async def _release_commit(
        self, repository: RepositoryAnswer, tip: GitCommitAnswer | None, *, revision: str, request_id: str
    ) -> str:
        """The commit the ref shall stand on: `revision` itself where that is a fast-forward, else one with its tree."""
        await self._commits.need(repository, revision)
        if tip is None or await self._commits.is_ancestor(repository, tip.sha, revision):
            return revision
        promoted = await self._commits.read(repository, revision)
        back = await self._commits.is_ancestor(repository, revision, tip.sha)
        subject = f"{'Roll back to' if back else 'Promote'} {revision[:12]}"
        return await self._commits.write(
            repository,
            tree=promoted.tree.sha,
            message=with_trailers(subject, Request_Id=request_id, Promotes=revision),
            parents=(tip.sha,) if back else (tip.sha, revision),
        )

    async def _tip(self, repository: RepositoryAnswer, ref: str) -> GitCommitAnswer | None:
        sha = await self._api.find_ref(repository.path, f"heads/{ref}")
        return None if sha is None else await self._commits.read(repository, sha)

    async def _moved_already(
        self,
        repository: RepositoryAnswer,
        ref: str,
        tip: GitCommitAnswer | None,
        revision: str,
        request_id: str,
    ) -> ReleaseRef | None:
        if tip is None:
            return None
        tag = f"tags/{move_tag(ref, request_id, revision)}"
        tagged, carried = await asyncio.gather(
            self._api.find_ref(repository.path, tag), self._revision_of(repository, tip)
        )
        if tagged != tip.sha or revision not in {tip.sha, carried}:
            return None
        return _release(repository, ref, tip.sha, revision)

    async def _revision_of(self, repository: RepositoryAnswer, tip: GitCommitAnswer) -> str:
        """What a release commit promotes. Anybody can write a trailer; only one with the same tree is believed."""
        promotes = tip.trailers.get("Promotes", "")
        if not SHA.fullmatch(promotes):
            return tip.sha
        path = f"{repository.path}/git/commits/{promotes}"
        found = await self._api.find(path, GitCommitAnswer, missing=frozenset({404, 409, 422}))
        return promotes if found is not None and found.tree == tip.tree else tip.sha


def _release(repository: RepositoryAnswer, ref: str, sha: str, revision: str) -> ReleaseRef:
    return ReleaseRef(ref, sha, revision, web_url=f"{repository.html_url}/commits/{sha}")


def _stands_elsewhere(
    repository: RepositoryAnswer, ref: str, tip: GitCommitAnswer | None
) -> PermanentBackendError:
    where = f"stands on {tip.sha[:12]}" if tip else "does not exist"
    return refuse(
        f"{ref} of {repository.name} {where}, not where the plan saw it.", BackendErrorKind.CONFLICT
    )
