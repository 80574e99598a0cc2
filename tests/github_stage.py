"""A GitHub backend on a fake GitHub: opened, given a repository, tried again as a saga would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from fake_github import TOKEN, FakeGitHub

from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations import github
from integrations._http import Timing
from integrations.ports import RenderedFile, RenderedTree

REQUEST = "req-1"
TREE: RenderedTree = {
    "README.md": RenderedFile(b"# orders\n"),
    ".github/workflows/test.yml": RenderedFile(b"on: push\n"),
    "logo.bin": RenderedFile(bytes(range(256)), executable=True),
}
SETTINGS: dict[str, Any] = {
    "organisation": "acme",
    "environments": ("staging", "production"),
    "topics": ("python",),
}
APP: dict[str, Any] = {**SETTINGS, "app_id": "42"}
SECRETS = {"GITHUB_TOKEN": TOKEN, "GITHUB_APP_PRIVATE_KEY": "sample key"}
Result = TypeVar("Result")


def sample_signer(claims: Mapping[str, Any], private_key: str) -> str:
    return f"jwt:{claims['iss']}:{private_key}"


@asynccontextmanager
async def opened(fake: FakeGitHub, **settings: Any) -> AsyncIterator[github.GitHub]:
    chosen = github.Settings(**{**SETTINGS, **settings})
    timing = Timing(fake.clock.monotonic, fake.clock.now, fake.clock.sleep, lambda: 1.0)
    async with fake.client(chosen.base_url) as client:
        yield github.connect(chosen, SECRETS, client, timing=timing, signer=sample_signer)


async def create(host: github.GitHub, request_id: str = REQUEST) -> None:
    await host.ensure_repository("orders", description="Takes orders", team="orders", request_id=request_id)


async def start(host: github.GitHub) -> str:
    await create(host)
    return (await host.ensure_first_commit("orders", TREE, message="Create orders", request_id=REQUEST)).sha


def push(fake: FakeGitHub, on: str, text: str, branch: str = "main") -> str:
    objects = fake.repo().objects
    tree = objects.put_files({"a": text}, objects.commits[on]["tree"])
    sha = objects.put_commit(tree, [on], text, author=("Alice", "alice@example.com"), date=fake.date())
    fake.repo().refs[f"refs/heads/{branch}"] = sha
    return sha


async def until_done(call: Callable[[], Awaitable[Result]], fake: FakeGitHub) -> Result:
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
