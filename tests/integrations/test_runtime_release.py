"""What is checked out to be run: whole, whatever was interrupted before."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from git_server import TOKEN, GitServer, open_git_server

from integrations._git import Git
from integrations._runtime_release import Access, Releases


def git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", repository, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[GitServer]:
    (tmp_path / "served").mkdir()
    async with open_git_server(tmp_path / "served") as server:
        server.put(".platform/service.json", '{"run": ["{python}", "-m", "service"]}')
        yield server


async def test_a_fetch_that_was_killed_half_way_is_made_again(served: GitServer, tmp_path: Path) -> None:
    """Git writes a small fetch's commits before its files, and moves the branches last."""
    (tmp_path / "app").mkdir()
    runner = Git("git", home=tmp_path, deadline_seconds=20)
    releases = Releases(tmp_path / "app", git=runner, python="python3", access=Access("CLONE_TOKEN", TOKEN))
    revision, source = served.tip(), tmp_path / "app" / "source.git"
    git(tmp_path, "init", "-q", "--bare", "--template=", str(source))
    git(source, "fetch", "-q", str(served.bare), "refs/heads/main")
    blob = git(source, "rev-parse", f"{revision}:.platform/service.json")
    (source / "objects" / blob[:2] / blob[2:]).unlink()

    release = await releases.checkout(served.url, revision)

    assert (release.folder / ".platform" / "service.json").is_file()
