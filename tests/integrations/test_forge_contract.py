"""What GitHub and Gitea both promise about repositories that people work in, too; each asked at its transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import fake_gitea_stage
import github_stage
import pytest
from fake_gitea import BASE_URL, FakeGitea
from fake_github import FakeGitHub

from bot.errors import BackendErrorKind
from integrations import gitea, github
from integrations._forge_mark import undone_names
from integrations.ports import Inventory

REQUEST = "req-1"


@dataclass
class Forge:
    """`stage` is what opens and fills it; `way_out` is what a person is told to do by hand."""

    host: github.GitHub | gitea.Gitea
    fake: FakeGitHub | FakeGitea
    stage: ModuleType
    refs_of: Callable[[Any], Mapping[str, str]]
    web_url: str
    way_out: str

    async def create(self, request_id: str = REQUEST) -> None:
        await self.stage.create(self.host, request_id)

    async def start(self) -> str:
        sha: str = await self.stage.start(self.host)
        return sha

    async def refused(self, kind: BackendErrorKind, call: object) -> str:
        error = await self.stage.refused(kind, call)
        return str(error.sentence)


@pytest.fixture(params=["github", "gitea"])
async def forge(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Forge]:
    if request.param == "github":
        hub = FakeGitHub()
        async with github_stage.opened(hub) as on_github:
            yield Forge(on_github, hub, github_stage, lambda repo: repo.refs, "https://github.com", "Delete")
        return
    tea = FakeGitea(tmp_path)
    async with fake_gitea_stage.opened(tea) as on_gitea:
        yield Forge(on_gitea, tea, fake_gitea_stage, lambda repo: repo.git.refs(), BASE_URL, "on Gitea")


async def test_making_it_again_changes_nothing(forge: Forge) -> None:
    await forge.start()
    before = len(forge.fake.writes)
    await forge.start()
    assert len(forge.fake.writes) == before


# ---------------------------------------------------------------- what is not ours


async def test_what_a_person_made_is_never_adopted_changed_or_undone(forge: Forge) -> None:
    forge.fake.add_repo("orders", description="Mine")
    await forge.refused(BackendErrorKind.ALREADY_EXISTS, forge.create())
    found = await forge.host.find_repository("orders")
    assert found is not None
    assert found.request_id is None
    for call in (
        forge.host.ensure_first_commit("orders", forge.stage.TREE, message="m", request_id=REQUEST),
        forge.host.move_release("orders", "release", revision="a" * 40, expected=None, request_id=REQUEST),
    ):
        await forge.refused(BackendErrorKind.ALREADY_EXISTS, call)
    await forge.host.remove_repository("orders", request_id=REQUEST)
    assert [one for one in forge.fake.writes if one.status < 300] == []


async def test_a_name_taken_by_something_invisible_is_said_clearly(forge: Forge) -> None:
    forge.fake.add_repo("orders")
    forge.fake.state.invisible.add("orders")
    assert "cannot see" in await forge.refused(BackendErrorKind.ALREADY_EXISTS, forge.create())


async def test_a_repository_that_left_the_organisation_is_not_ours_any_more(forge: Forge) -> None:
    await forge.start()
    forge.fake.repo().owner = "somebody"
    assert await forge.host.find_repository("orders") is None


async def test_a_reworded_description_stops_no_promotion_and_no_undo_of_it_happens(forge: Forge) -> None:
    sha = await forge.start()
    forge.fake.repo().description = "Takes orders, better"
    await forge.host.move_release("orders", "release", revision=sha, expected=None, request_id="r")
    await forge.host.remove_repository("orders", request_id=REQUEST)
    assert not forge.fake.repo().archived


async def test_a_repository_people_renamed_is_followed(forge: Forge) -> None:
    sha = await forge.start()
    state: Any = forge.fake.state
    repo = state.repos.pop("orders")
    repo.name = "orders-v2"
    state.repos["orders-v2"] = repo
    state.former["orders"] = repo.id
    found = await forge.host.find_commit("orders", "main")
    assert found is not None
    assert found.sha == sha
    moved = await forge.host.move_release("orders", "release", revision=sha, expected=None, request_id="r")
    assert moved.sha == sha
    assert forge.refs_of(repo)["refs/heads/release"] == sha


async def test_what_carries_our_mark_can_be_listed_but_not_what_was_undone(forge: Forge) -> None:
    for number in range(120):
        forge.fake.add_repo(f"theirs-{number}", description="Mine")
    await forge.create()
    await forge.host.remove_repository("orders", request_id=REQUEST)
    await forge.create("req-2")
    assert isinstance(forge.host, Inventory)
    (found,) = await forge.host.list_marked()
    assert (found.kind, found.name, found.request_id) == ("repository", "orders", "req-2")
    assert found.place == f"{forge.web_url}/acme/orders"


# ---------------------------------------------------------------- undo


async def test_undo_archives_and_frees_the_name(forge: Forge) -> None:
    await forge.start()
    await forge.host.remove_repository("orders", request_id=REQUEST)
    assert forge.fake.repo(undone_names("orders", REQUEST)[0]).archived
    assert await forge.host.find_repository("orders") is None
    await forge.create("req-2")
    assert forge.fake.repo("orders").description == "Takes orders [platform-bot:req-2]"


async def test_a_request_that_is_retried_after_its_undo_can_be_undone_again(forge: Forge) -> None:
    for _ in range(3):
        await forge.start()
        await forge.host.remove_repository("orders", request_id=REQUEST)
        assert await forge.host.find_repository("orders") is None
    assert sorted(forge.fake.state.repos) == sorted(undone_names("orders", REQUEST))
    assert all(repo.archived for repo in forge.fake.state.repos.values())
    await forge.start()
    undo = forge.host.remove_repository("orders", request_id=REQUEST)
    assert forge.way_out in await forge.refused(BackendErrorKind.CONFLICT, undo)


# ---------------------------------------------------------------- comparing


async def test_a_long_comparison_is_cut_and_says_so(forge: Forge) -> None:
    first = sha = await forge.start()
    for number in range(255):
        sha = forge.stage.push(forge.fake, sha, str(number))
    for base in (first, None):
        shown = await forge.host.compare("orders", base=base, head="main")
        assert shown.truncated
        assert len(shown.commits) == 250
        assert (shown.commits[0].subject, shown.commits[-1].subject) == ("254", "5")
    again = await forge.host.ensure_first_commit("orders", forge.stage.TREE, message="m", request_id=REQUEST)
    assert again.sha == first, "found on the last of several pages"
