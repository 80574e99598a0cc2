"""The fake GitHub's repositories over git's own smart HTTP, behind a token, as they stand at each request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from fake_github import FakeGitHub
from git_server import GitServer, open_git_server


class GitHubServer(GitServer):
    """Reading only: who pushes to this GitHub is a test, at its state."""

    def __init__(self, folder: Path, fake: FakeGitHub) -> None:
        super().__init__(folder)
        self._fake = fake

    async def answer(self, request: web.Request) -> web.Response:
        for repo in self._fake.state.repos.values():
            self._write(self.folder / repo.owner / f"{repo.name}.git", repo.name)
        return await super().answer(request)

    def _write(self, bare: Path, name: str) -> None:
        repo = self._fake.repo(name)
        if not bare.exists():
            branch = f"--initial-branch={repo.default_branch}"
            self.git("init", "--bare", "--quiet", branch, str(bare), repository=False)
        repo.objects.write_to(bare)
        for ref, sha in repo.refs.items():
            (bare / ref).parent.mkdir(parents=True, exist_ok=True)
            (bare / ref).write_text(f"{sha}\n")


@asynccontextmanager
async def serving(fake: FakeGitHub, folder: Path) -> AsyncIterator[GitServer]:
    """From now on the fake's clone URLs lead here."""
    async with open_git_server(folder, lambda made: GitHubServer(made, fake)) as server:
        fake.clone_base = server.url.removesuffix("/gitops.git")
        yield server
