"""Commits of a repository on Gitea: found by name, written as a whole tree, moved.

Gitea keeps the commits of every pull request in the repository it was made for, a stranger's fork included: a hash that
"exists" may never have been accepted. Only what is on a branch of the repository itself counts as its commit.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError
from integrations import _forge_names, _gitea_errors
from integrations._forge_push import GitObject, RefUpdate, commit_object, tree_objects
from integrations._forge_refusals import Refusals
from integrations._forge_release import NewCommit, Tip
from integrations._git_format import parse_trailers, with_trailers
from integrations._gitea_api import Api
from integrations._gitea_errors import REFUSALS, not_moved, refuse
from integrations._gitea_shapes import CommitAnswer, RepositoryAnswer, TreeAnswer, commit_of, files_of, tip_of
from integrations.ports import Commit, RenderedTree

TREE_PAGE: Final = "1000"
"""Gitea's own default and limit (`[api] DEFAULT_GIT_TREES_PER_PAGE`)."""
TREE_SECONDS: Final = 30.0


class Commits:
    def __init__(self, api: Api, *, release_branch: str) -> None:
        self._api = api
        self._release_branch = release_branch

    # ------------------------------------------------------------ finding

    async def resolve(self, repository: RepositoryAnswer, revision: str) -> str | None:
        """`revision`: full or abbreviated hash, tag or branch. Raises PermanentBackendError(INVALID) when ambiguous."""
        return await _forge_names.resolve(
            revision,
            find_ref=partial(self._api.find_ref, repository),
            find_hash=partial(self._by_hash, repository),
            refusals=REFUSALS,
        )

    async def need(self, repository: RepositoryAnswer, revision: str) -> str:
        if (sha := await self.resolve(repository, revision)) is None:
            raise refuse(f"{repository.name} has no commit {revision!r}.", BackendErrorKind.NOT_FOUND)
        return sha

    async def find(self, repository: RepositoryAnswer, revision: str) -> Commit | None:
        sha = await self.resolve(repository, revision)
        return None if sha is None else commit_of(await self.read(repository, sha))

    async def read(self, repository: RepositoryAnswer, sha: str) -> CommitAnswer:
        if (found := await self._api.find_commit(repository, sha)) is None:
            raise REFUSALS.not_ready(f"{sha[:12]} of {repository.name} went away while it was read.")
        return found

    async def _by_hash(self, repository: RepositoryAnswer, start: str) -> str | None:
        found = await self._api.find_commit(repository, start)
        # A branch may be called deadbeef; then this is not the commit that was asked for.
        if found is None or not found.sha.startswith(start):
            return None
        return found.sha if await self._is_ours(repository, found.sha) else None

    async def _is_ours(self, repository: RepositoryAnswer, sha: str) -> bool:
        for branch in dict.fromkeys((repository.default_branch, self._release_branch)):
            tip = await self._api.find_ref(repository, f"heads/{branch}")
            if tip is not None and await self.is_ancestor(repository, sha, tip):
                return True
        return any(one.object.sha == sha for one in await self._api.refs(repository, "heads"))

    async def is_ancestor(self, repository: RepositoryAnswer, older: str, newer: str) -> bool:
        return older == newer or await self._api.count(repository, older, without=newer) == 0

    async def files(self, repository: RepositoryAnswer, sha: str) -> dict[str, str]:
        """Every path of the commit's tree, with its mode and hash."""
        tree = (await self.read(repository, sha)).commit.tree.sha
        path, files = f"{repository.path}/git/trees/{tree}", dict[str, str]()
        page = 1
        while True:
            params = {"recursive": "true", "page": str(page), "per_page": TREE_PAGE}
            part = await self._api.get(path, TreeAnswer, params=params, read_seconds=TREE_SECONDS)
            files |= files_of(part.tree or ())
            if not part.truncated or not part.tree:
                return files
            page += 1

    # ------------------------------------------------------------ writing

    async def ensure_first(
        self, repository: RepositoryAnswer, tree: RenderedTree, *, message: str, request_id: str
    ) -> Commit:
        """The root of the default branch, pushed only while that branch is absent; what stands there is somebody's work."""
        REFUSALS.check_request_id(request_id)
        if (found := await self._first(repository, request_id)) is not None:
            return found
        REFUSALS.check_tree(tree)
        if not tree:
            raise refuse("A first commit needs at least one file.")
        branch = repository.default_branch
        if await self._api.find_ref(repository, f"heads/{branch}") is not None:
            raise _somebody_elses(repository)
        objects = tree_objects(tree)
        text = with_trailers(message, Request_Id=request_id)
        commit = await self._commit(NewCommit(objects[-1].sha, text, ()))
        updates = [RefUpdate(f"refs/heads/{branch}", None, commit.sha)]
        report = await self._api.push(repository, updates, [*objects, commit])
        tip = await self._api.find_ref(repository, f"heads/{branch}")
        if tip == commit.sha:
            return commit_of(await self.read(repository, tip))
        if (found := await self._first(repository, request_id)) is not None:
            return found
        if tip is None:
            raise not_moved(f"{branch} of {repository.name}", report.reason)
        raise _somebody_elses(repository)

    async def _first(self, repository: RepositoryAnswer, request_id: str) -> Commit | None:
        if await self._api.find_ref(repository, f"heads/{repository.default_branch}") is None:
            return None
        for one in reversed(await self._api.oldest(repository, repository.default_branch)):
            if parse_trailers(one.commit.message).get("Request-Id") == request_id:
                return commit_of(one)
        return None

    async def _commit(self, new: NewCommit) -> GitObject:
        """In the name of the bot's account, so that Gitea shows it as its work."""
        account = await self._api.account()
        return commit_object(
            tree=new.tree,
            parents=new.parents,
            message=new.message,
            author=(account.login, account.email),
            seconds=int(self._api.http.now().timestamp()),
        )

    async def put(
        self, repository: RepositoryAnswer, ref: str, *, tag: str, before: str | None, after: str | NewCommit
    ) -> str | None:
        """Branch and tag in one transaction. None where Gitea did it, else its reason."""
        objects = [] if isinstance(after, str) else [await self._commit(after)]
        sha = after if isinstance(after, str) else objects[0].sha
        updates = [RefUpdate(f"refs/heads/{ref}", before, sha), RefUpdate(f"refs/tags/{tag}", None, sha)]
        return (await self._api.push(repository, updates, objects)).reason


class RepositoryHistory:
    """Implements `integrations._forge_release.History` for one repository."""

    def __init__(self, api: Api, commits: Commits, repository: RepositoryAnswer) -> None:
        self._api = api
        self._commits = commits
        self._repository = repository

    @property
    def name(self) -> str:
        return self._repository.name

    @property
    def refusals(self) -> Refusals:
        return _gitea_errors.REFUSALS

    async def branch(self, ref: str) -> Tip | None:
        sha = await self._api.find_ref(self._repository, f"heads/{ref}")
        return None if sha is None else tip_of(await self._commits.read(self._repository, sha))

    async def tag(self, tag: str) -> str | None:
        return await self._api.find_ref(self._repository, f"tags/{tag}")

    async def commit(self, sha: str) -> Tip | None:
        found = await self._api.find_commit(self._repository, sha)
        return None if found is None else tip_of(found)

    async def need(self, revision: str) -> None:
        await self._commits.need(self._repository, revision)

    async def is_ancestor(self, older: str, newer: str) -> bool:
        return await self._commits.is_ancestor(self._repository, older, newer)

    async def move(self, ref: str, *, tag: str, before: str | None, after: str | NewCommit) -> str | None:
        return await self._commits.put(self._repository, ref, tag=tag, before=before, after=after)

    def not_moved(self, ref: str, reason: str | None) -> BackendError:
        return not_moved(f"{ref} of {self.name}", reason)

    def web_url(self, sha: str) -> str:
        return f"{self._repository.html_url}/commit/{sha}"


def _somebody_elses(repository: RepositoryAnswer) -> PermanentBackendError:
    return refuse(
        f"The repository {repository.name} has commits of somebody else.", BackendErrorKind.CONFLICT
    )
