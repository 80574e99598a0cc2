"""The local runtime and repositories that not everybody may read: git's own smart HTTP behind a token, and where the token does not go."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast

import pytest
from git_server import TOKEN, GitServer, open_git_server

from bot.errors import BackendErrorKind, PermanentBackendError, StartError, TemporaryBackendError
from integrations import local_processes
from integrations._git import Git
from integrations._runtime_release import Access, Releases
from integrations._runtime_settings import Settings
from integrations.ports import ApplicationSpec, Delivery, EntityStore, Surroundings

VARIABLE = "CLONE_TOKEN"
GOOD, WRONG, NONE = Access(VARIABLE, TOKEN), Access(VARIABLE, "another"), Access()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[GitServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    async with open_git_server(folder) as server:
        server.put(".platform/service.json", '{"run": ["{python}", "-m", "service"]}')
        yield server


Make = Callable[[Access], Releases]


@pytest.fixture
def releases(tmp_path: Path) -> Make:
    (tmp_path / "app").mkdir()
    git = Git("git", home=tmp_path, deadline_seconds=20)
    return lambda access: Releases(tmp_path / "app", git=git, python="python3", access=access)


def open_runtime(folder: Path, *, token: str, **secrets: str) -> AbstractAsyncContextManager[Delivery]:
    around = Surroundings(folder, folder, entities=cast("EntityStore", object()), secrets=secrets)
    return local_processes.open(Settings(clone_token=token), around)


async def test_with_the_token_a_revision_is_found_and_checked_out(served: GitServer, releases: Make) -> None:
    ours = releases(GOOD)
    await ours.require_readable(served.url)
    head = await ours.head(served.url, "main")
    assert head == served.tip()
    release = await ours.checkout(served.url, served.tip())
    assert (release.folder / ".platform" / "service.json").is_file()


@pytest.mark.parametrize(
    ("access", "way_out"), [(NONE, "Set `clone_token`"), (WRONG, f"token in {VARIABLE}")]
)
async def test_without_it_the_refusal_is_final_and_names_the_way_out(
    served: GitServer, releases: Make, access: Access, way_out: str
) -> None:
    ours = releases(access)
    asks: list[Any] = [
        ours.require_readable(served.url),
        ours.head(served.url, "main"),
        ours.checkout(served.url, served.tip()),
    ]
    for ask in asks:
        with pytest.raises(PermanentBackendError) as refused:
            await ask
        assert refused.value.kind is BackendErrorKind.DENIED
        assert way_out in refused.value.sentence


async def test_a_repository_that_is_hidden_reads_like_one_that_may_not_be_read(
    served: GitServer, releases: Make
) -> None:
    with pytest.raises(PermanentBackendError, match="may not be read"):
        await releases(GOOD).head(served.url.replace("gitops", "hidden"), "main")


async def test_a_code_host_that_is_away_is_asked_again(served: GitServer, releases: Make) -> None:
    with pytest.raises(TemporaryBackendError, match="could not be read"):
        await releases(GOOD).require_readable("http://127.0.0.1:1/orders.git")


async def test_the_token_stands_in_no_file_and_on_no_command_line(
    served: GitServer, releases: Make, tmp_path: Path
) -> None:
    seen = tmp_path / "commands"
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    real = subprocess.check_output(["which", "git"], text=True).strip()
    program.write_text(f'#!/bin/sh\necho "$@" >> {seen}\nexec {real} "$@"\n')
    program.chmod(0o755)
    watched = Git(str(program), home=tmp_path, deadline_seconds=20)
    ours = Releases(tmp_path / "app", git=watched, python="python3", access=GOOD)
    releases(GOOD)
    await ours.checkout(served.url, served.tip())
    assert "fetch" in seen.read_text()
    files = [path for path in (tmp_path / "app").rglob("*") if path.is_file()]
    assert any(path.name == "config" for path in files)
    assert [path for path in [*files, seen] if TOKEN.encode() in path.read_bytes()] == []
    assert TOKEN not in repr(GOOD)


def test_another_host_and_another_way_are_not_shown_the_token(tmp_path: Path) -> None:
    shown = GOOD.environment("https://github.com/acme/orders.git", tmp_path)
    (key,) = [value for name, value in shown.items() if name.startswith("GIT_CONFIG_KEY")]
    assert key == "http.https://github.com/.extraHeader"
    for url in ("/srv/orders.git", "ssh://git@github.com/acme/orders.git", "git@github.com:acme/orders.git"):
        assert GOOD.environment(url, tmp_path) == {}


async def test_a_variable_that_holds_nothing_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=VARIABLE):
        async with open_runtime(tmp_path, token=VARIABLE):
            pass


async def test_an_application_that_could_never_be_fetched_is_refused_before_it_is_made(
    served: GitServer, tmp_path: Path
) -> None:
    spec = ApplicationSpec("orders", "staging", "orders", served.url, "python-service", follows="main")
    async with open_runtime(tmp_path / "state", token="") as delivery:
        with pytest.raises(PermanentBackendError, match="may not be read"):
            await delivery.ensure_application(spec, request_id="r1")
        assert await delivery.get_application("orders", "staging") is None
    assert not list((tmp_path / "state" / "runtime").glob("*/application.json"))
