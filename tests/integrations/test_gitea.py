"""Gitea at its transport: what is created, found, compared, released, undone, and what is left alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fake_gitea import BASE_URL, BOT, FakeGitea
from fake_gitea_stage import REQUEST, TREE, create, opened, push, put_commit, refused, start

from bot.errors import BackendErrorKind, StartError
from integrations import gitea
from integrations.ports import ComparisonStatus, RenderedFile


@pytest.fixture
def fake(tmp_path: Path) -> FakeGitea:
    return FakeGitea(tmp_path)


@pytest.fixture
async def host(fake: FakeGitea) -> AsyncIterator[gitea.Gitea]:
    async with opened(fake) as made:
        yield made


# ---------------------------------------------------------------- what is created


async def test_a_service_gets_everything_it_needs(host: gitea.Gitea, fake: FakeGitea) -> None:
    await start(host)
    repo = fake.repo()
    assert repo.description == "Takes orders [platform-bot:req-1]"
    assert repo.private
    assert repo.topics == ["platform-managed", "python"]
    assert repo.teams == ["orders"]
    assert [rule["rule_name"] for rule in repo.rules] == ["release", "release/**"]
    assert {name for rule in repo.rules for name in rule["push_whitelist_usernames"]} == {BOT}


async def test_what_people_clone_is_what_gitea_says_not_where_we_ask(
    host: gitea.Gitea, fake: FakeGitea
) -> None:
    await create(host)
    found = await host.find_repository("orders")
    assert found is not None
    assert found.clone_url == "https://git.example.com/acme/orders.git"
    assert fake.seen[0].path.startswith("/api/v1/")


async def test_the_first_commit_is_a_root_in_the_name_of_the_account(
    host: gitea.Gitea, fake: FakeGitea
) -> None:
    sha = await start(host)
    commit = fake.repo().git.commit(sha)
    assert commit.parents == ()
    assert commit.author == (BOT, "platform-bot@example.com")
    fake.repo().git.run("fsck", "--strict", "--full")


async def test_what_is_switched_off_is_not_made(fake: FakeGitea) -> None:
    async with opened(fake, protect_release=False, grant_team=False, topics=(), private=False) as host:
        await create(host)
    assert (fake.repo().rules, fake.repo().teams, fake.repo().topics) == ([], [], ["platform-managed"])
    assert not fake.repo().private


async def test_a_team_goes_by_another_name_on_gitea(fake: FakeGitea) -> None:
    fake.state.teams = {"Team Orders"}
    async with opened(fake) as host:
        error = await refused(BackendErrorKind.NOT_FOUND, create(host))
        assert "teams: {orders: NAME}" in error.sentence
    async with opened(fake, teams={"orders": "Team Orders"}) as host:
        await create(host)
    assert fake.repo().teams == ["Team Orders"]


async def test_topics_people_added_stay(host: gitea.Gitea, fake: FakeGitea) -> None:
    await create(host)
    fake.repo().topics = ["mine"]
    await create(host)
    assert fake.repo().topics == ["mine", "platform-managed", "python"]


# ---------------------------------------------------------------- protection


async def test_nobody_but_the_bot_moves_a_release(host: gitea.Gitea, fake: FakeGitea) -> None:
    sha = await start(host)
    fake.repo().rules[0]["push_whitelist_usernames"] = ["alice"]
    fake.repo().protect()
    call = host.move_release("orders", "release", revision=sha, expected=None, request_id="r")
    error = await refused(BackendErrorKind.POLICY_DENIED, call)
    assert "protected branch release" in error.message
    assert "Branches" in error.sentence
    assert "refs/heads/release" not in fake.repo().git.refs()
    assert [ref for ref in fake.repo().git.refs() if "tags" in ref] == [], "both or neither"


async def test_a_rule_somebody_loosened_is_tightened(host: gitea.Gitea, fake: FakeGitea) -> None:
    await create(host)
    first, second = fake.repo().rules
    first["unprotected_file_patterns"] = "**"
    second["push_whitelist_usernames"] = [BOT, "alice"]
    await create(host)
    assert first["unprotected_file_patterns"] == ""
    assert second["push_whitelist_usernames"] == [BOT]


async def test_a_server_that_lacks_newer_fields_is_protected_as_far_as_it_goes(
    host: gitea.Gitea, fake: FakeGitea
) -> None:
    fake.unknown_fields = {"enable_force_push", "block_admin_merge_override"}
    await create(host)
    before = len(fake.writes)
    await create(host)
    assert len(fake.writes) == before


# ---------------------------------------------------------------- what is not ours


async def test_a_branch_somebody_pushed_first_is_not_overwritten(host: gitea.Gitea, fake: FakeGitea) -> None:
    await create(host)
    mine = put_commit(fake.repo().git, {"a": RenderedFile(b"mine")}, [], "mine", seconds=1)
    fake.repo().git.put("refs/heads/main", mine)
    call = host.ensure_first_commit("orders", TREE, message="m", request_id=REQUEST)
    await refused(BackendErrorKind.CONFLICT, call)
    assert fake.repo().git.refs()["refs/heads/main"] == mine


async def test_a_commit_of_a_strangers_pull_request_is_no_commit_of_ours(
    host: gitea.Gitea, fake: FakeGitea
) -> None:
    """Gitea keeps it under refs/pull in the repository itself; promoting one would deploy a stranger's code."""
    sha = await start(host)
    git = fake.repo().git
    forked = push(fake, sha, "harmful", branch="gone")
    git.put("refs/pull/1/head", forked)
    git.drop("refs/heads/gone")
    assert await host.find_commit("orders", forked) is None
    await refused(BackendErrorKind.NOT_FOUND, host.compare("orders", base=sha, head=forked))
    call = host.move_release("orders", "release", revision=forked, expected=None, request_id="r")
    await refused(BackendErrorKind.NOT_FOUND, call)
    git.put("refs/heads/feature", forked)
    assert await host.find_commit("orders", forked) is not None


# ---------------------------------------------------------------- undo


async def test_undo_deletes_where_the_operator_wants_it(fake: FakeGitea) -> None:
    fake.is_owner = True
    async with opened(fake, undo="delete") as host:
        await start(host)
        await host.remove_repository("orders", request_id="req-2")
        assert [*fake.state.repos] == ["orders"]
        await host.remove_repository("orders", request_id=REQUEST)
        await host.remove_repository("orders", request_id=REQUEST)
    assert fake.state.repos == {}


async def test_an_archived_repository_is_not_taken_up_again(host: gitea.Gitea, fake: FakeGitea) -> None:
    sha = await start(host)
    fake.repo().archived = True
    error = await refused(BackendErrorKind.CONFLICT, create(host))
    assert "Unarchive" in error.sentence
    call = host.move_release("orders", "release", revision=sha, expected=None, request_id="r")
    error = await refused(BackendErrorKind.DENIED, call)
    assert "Unarchive" in error.sentence


# ---------------------------------------------------------------- commits


async def test_annotated_tags_are_followed(host: gitea.Gitea, fake: FakeGitea) -> None:
    sha = await start(host)
    git = fake.repo().git
    tag = f"object {sha}\ntype commit\ntag v1\ntagger Alice <alice@example.com> 1 +0000\n\nFirst\n"
    git.put("refs/tags/v1", git.run("mktag", stdin=tag.encode()).decode().strip())
    found = await host.find_commit("orders", "v1")
    assert found is not None
    assert found.sha == sha


async def test_a_branch_is_not_taken_for_another_that_begins_the_same(
    host: gitea.Gitea, fake: FakeGitea
) -> None:
    sha = await start(host)
    fake.repo().git.put("refs/heads/release-2", sha)
    assert await host.find_release("orders", "release") is None
    fake.repo().git.put("refs/heads/mainline", sha)
    found = await host.find_commit("orders", "main")
    assert found is not None


async def test_a_comparison_sees_renames_modes_and_every_page_of_a_tree(
    host: gitea.Gitea, fake: FakeGitea
) -> None:
    fake.tree_page = 2
    base = await start(host)
    files = {path: file for path, file in TREE.items() if path != "README.md"} | {
        "docs/README.md": TREE["README.md"],
        "logo.bin": RenderedFile(TREE["logo.bin"].content),
        "new.txt": RenderedFile(b"1\n"),
    }
    head = put_commit(fake.repo().git, files, [base], "Change", seconds=1)
    fake.repo().git.put("refs/heads/main", head)
    shown = await host.compare("orders", base=base, head=head)
    assert {file.path: file.status for file in shown.files} == {
        "docs/README.md": "renamed",
        "logo.bin": "modified",
        "new.txt": "added",
    }
    back = await host.compare("orders", base=head, head=base)
    assert back.status is ComparisonStatus.BEHIND
    assert {file.path: file.status for file in back.files} == {
        "README.md": "renamed",
        "logo.bin": "modified",
        "new.txt": "removed",
    }


# ---------------------------------------------------------------- releases


async def test_every_move_leaves_a_tag_that_names_the_request(host: gitea.Gitea, fake: FakeGitea) -> None:
    sha = await start(host)
    moved = await host.move_release("orders", "release", revision=sha, expected=None, request_id="req:2")
    assert fake.repo().git.refs()[f"refs/tags/platform/release/req-2-{sha[:12]}"] == sha
    assert moved.web_url == f"{BASE_URL}/acme/orders/commit/{sha}"


# ---------------------------------------------------------------- settings


def test_a_token_that_is_missing_is_named(fake: FakeGitea) -> None:
    settings = gitea.Settings(base_url=BASE_URL, organisation="acme", token="OUR_TOKEN")
    with pytest.raises(StartError) as caught:
        gitea.connect(settings, {}, fake.client())
    assert "OUR_TOKEN_FILE" in caught.value.sentence


@pytest.mark.parametrize("given", ["https://git.example.com/code", "https://git.example.com/code/api/v1/"])
def test_the_address_of_the_api_is_understood_too(given: str) -> None:
    settings = gitea.Settings(base_url=given, organisation="acme")
    assert settings.base_url == "https://git.example.com/code"
