"""A Gitea backend on a fake Gitea: opened, given a repository, tried again as a saga would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from fake_gitea import BASE_URL, TOKEN, FakeGitea
from fake_gitea_git import Git

from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations import gitea
from integrations._forge_push import commit_object, tree_objects
from integrations._http import Timing
from integrations.ports import RenderedFile, RenderedTree

REQUEST = "req-1"
TREE: RenderedTree = {
    "README.md": RenderedFile(b"# orders\n"),
    ".gitea/workflows/test.yml": RenderedFile(b"on: push\n"),
    "logo.bin": RenderedFile(bytes(range(256)), executable=True),
}
Result = TypeVar("Result")


@asynccontextmanager
async def opened(fake: FakeGitea, **settings: Any) -> AsyncIterator[gitea.Gitea]:
    chosen = gitea.Settings(
        **{"base_url": BASE_URL, "organisation": "acme", "topics": ("python",), **settings}
    )
    timing = Timing(fake.clock.monotonic, fake.clock.now, fake.clock.sleep, lambda: 1.0)
    async with fake.client(chosen.base_url) as client:
        yield gitea.connect(chosen, {"GITEA_TOKEN": TOKEN}, client, timing=timing)


async def create(host: gitea.Gitea, request_id: str = REQUEST) -> None:
    await host.ensure_repository("orders", description="Takes orders", team="orders", request_id=request_id)


async def start(host: gitea.Gitea) -> str:
    await create(host)
    return (await host.ensure_first_commit("orders", TREE, message="Create orders", request_id=REQUEST)).sha


def put_commit(git: Git, files: RenderedTree, parents: list[str], text: str, *, seconds: int) -> str:
    """Somebody's commit with exactly these files, reachable from nothing yet."""
    objects = tree_objects(files)
    author = ("Alice", "alice@example.com")
    commit = commit_object(
        tree=objects[-1].sha, parents=parents, message=text, author=author, seconds=seconds
    )
    git.store(*objects, commit)
    return commit.sha


def push(fake: FakeGitea, on: str, text: str, branch: str = "main") -> str:
    """Somebody adds the file `a` to what the first commit holds."""
    fake.clock.seconds += 1
    git = fake.repo().git
    files = {**TREE, "a": RenderedFile(text.encode())}
    sha = put_commit(git, files, [on], text, seconds=int(fake.clock.now().timestamp()))
    git.put(f"refs/heads/{branch}", sha)
    return sha


async def until_done(call: Callable[[], Awaitable[Result]], fake: FakeGitea) -> Result:
    """What a step of a saga does: the same again, later, as long as the failure is temporary."""
    for _ in range(8):
        try:
            return await call()
        except TemporaryBackendError as error:
            fake.clock.seconds += max(60, error.retry_after_seconds or 0)
    return await call()


async def refused(kind: BackendErrorKind, call: Awaitable[object]) -> PermanentBackendError:
    with pytest.raises(PermanentBackendError) as caught:
        await call
    assert caught.value.kind is kind
    return caught.value
