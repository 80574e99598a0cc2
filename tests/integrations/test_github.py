"""GitHub at its transport: what is created, found, compared, released, undone, and what is left alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fake_github import FakeGitHub
from github_stage import (
    REQUEST,
    TREE,
    create,
    opened,
    push,
    refused,
    start,
    until_done,
)

from bot.errors import BackendErrorKind
from integrations import github
from integrations._forge_mark import marked_description
from integrations._github_git import batches
from integrations.ports import ComparisonStatus, DeploymentState


@pytest.fixture
def fake() -> FakeGitHub:
    return FakeGitHub()


@pytest.fixture
async def host(fake: FakeGitHub) -> AsyncIterator[github.GitHub]:
    async with opened(fake) as made:
        yield made


# ---------------------------------------------------------------- what is created


async def test_a_service_gets_everything_it_needs(host: github.GitHub, fake: FakeGitHub) -> None:
    await start(host)
    repo = fake.repo()
    assert repo.description == "Takes orders [platform-bot:req-1]"
    assert repo.visibility == "private"
    assert repo.topics == ["platform-managed", "python"]
    assert repo.teams == {"orders": "push"}
    assert repo.environments == ["staging", "production"]
    (ruleset,) = repo.rulesets
    assert ruleset["conditions"]["ref_name"]["include"] == ["refs/heads/release", "refs/heads/release/**"]
    assert ruleset["bypass_actors"] == [
        {"actor_id": 5, "actor_type": "RepositoryRole", "bypass_mode": "always"}
    ]


async def test_only_the_app_may_move_releases(fake: FakeGitHub) -> None:
    async with opened(fake, app_id="42") as host:
        await create(host)
    (ruleset,) = fake.repo().rulesets
    assert ruleset["bypass_actors"] == [
        {"actor_id": 42, "actor_type": "Integration", "bypass_mode": "always"}
    ]


async def test_a_ruleset_somebody_loosened_is_tightened(host: github.GitHub, fake: FakeGitHub) -> None:
    await create(host)
    fake.repo().rulesets[0]["enforcement"] = "disabled"
    await create(host)
    assert [one["enforcement"] for one in fake.repo().rulesets] == ["active"]


async def test_what_is_switched_off_is_not_made(fake: FakeGitHub) -> None:
    async with opened(fake, protect_release=False, team_permission="none", environments=()) as host:
        await create(host)
    assert (fake.repo().rulesets, fake.repo().teams, fake.repo().environments) == ([], {}, [])


async def test_the_default_branch_is_the_one_environments_follow(
    host: github.GitHub, fake: FakeGitHub
) -> None:
    fake.init_branch = "master"
    await start(host)
    assert (fake.repo().default_branch, [*fake.repo().refs]) == ("main", ["refs/heads/main"])


async def test_a_team_goes_by_another_name_on_github(fake: FakeGitHub) -> None:
    fake.state.teams = {"team-orders"}
    async with opened(fake) as host:
        error = await refused(BackendErrorKind.NOT_FOUND, create(host))
        assert "teams: {orders: SLUG}" in error.sentence
    async with opened(fake, teams={"orders": "team-orders"}) as host:
        await create(host)
    assert fake.repo().teams == {"team-orders": "push"}


@pytest.mark.parametrize(
    "text", ["", "x" * 1000, "two\nlines\t\x07", "ends with [platform-bot:req-9]", "\ud800 ü"]
)
async def test_any_description_keeps_our_mark(host: github.GitHub, text: str) -> None:
    made = await host.ensure_repository("orders", description=text, team="orders", request_id=REQUEST)
    assert made.request_id == REQUEST
    assert len(marked_description(text, "r" * 128)) <= 350


async def test_a_branch_somebody_pushed_first_is_not_overwritten(
    host: github.GitHub, fake: FakeGitHub
) -> None:
    await create(host)
    mine = push(fake, fake.repo().refs["refs/heads/main"], "mine")
    await refused(
        BackendErrorKind.CONFLICT, host.ensure_first_commit("orders", TREE, message="m", request_id=REQUEST)
    )
    assert fake.repo().refs["refs/heads/main"] == mine


async def test_content_that_comes_late_is_waited_for(host: github.GitHub, fake: FakeGitHub) -> None:
    fake.auto_init_reads = 4
    sha = await until_done(lambda: start(host), fake)
    assert fake.repo().refs["refs/heads/main"] == sha


def test_large_trees_go_up_in_parts() -> None:
    entries = [{"path": f"{number}", "content": "x" * 100_000} for number in range(50)]
    parts = list(batches(entries))
    assert [entry for part in parts for entry in part] == entries
    assert len(parts) == 3
    assert list(batches([])) == []


# ---------------------------------------------------------------- undo


async def test_undo_deletes_where_the_operator_wants_it(fake: FakeGitHub) -> None:
    async with opened(fake, undo="delete") as host:
        await start(host)
        await host.remove_repository("orders", request_id="req-2")
        assert [*fake.state.repos] == ["orders"]
        await host.remove_repository("orders", request_id=REQUEST)
        await host.remove_repository("orders", request_id=REQUEST)
    assert fake.state.repos == {}


async def test_an_archived_repository_is_not_taken_up_again(host: github.GitHub, fake: FakeGitHub) -> None:
    await create(host)
    fake.repo().archived = True
    error = await refused(BackendErrorKind.CONFLICT, create(host))
    assert "Unarchive" in error.sentence


# ---------------------------------------------------------------- renamed, moved away, forked


async def test_a_commit_of_a_fork_is_no_commit_of_ours(host: github.GitHub, fake: FakeGitHub) -> None:
    """GitHub shows objects of forks under the repository's own path; promoting one would deploy a stranger's code."""
    sha = await start(host)
    forked = push(fake, sha, "harmful", branch="gone")
    del fake.repo().refs["refs/heads/gone"]
    assert await host.find_commit("orders", forked) is None
    await refused(BackendErrorKind.NOT_FOUND, host.compare("orders", base=sha, head=forked))
    call = host.move_release("orders", "release", revision=forked, expected=None, request_id="r")
    await refused(BackendErrorKind.NOT_FOUND, call)
    fake.repo().refs["refs/heads/feature"] = forked
    assert await host.find_commit("orders", forked) is not None


async def test_annotated_tags_are_followed(host: github.GitHub, fake: FakeGitHub) -> None:
    sha = await start(host)
    fake.repo().objects.tags["b" * 40] = {"object": {"sha": sha, "type": "commit"}}
    fake.repo().refs["refs/tags/v1"] = "b" * 40
    found = await host.find_commit("orders", "v1")
    assert found is not None
    assert found.sha == sha


# ---------------------------------------------------------------- comparing


async def test_a_comparison_counts_lines_and_renames_in_both_directions(
    host: github.GitHub, fake: FakeGitHub
) -> None:
    base = await start(host)
    objects = fake.repo().objects
    tree = dict(objects.trees[objects.commits[base]["tree"]])
    tree["docs/README.md"] = tree.pop("README.md")
    tree["new.txt"] = ("100644", objects.put_blob(b"1\n2\n"))
    del tree["logo.bin"]
    head = objects.put_commit(
        objects.put_tree(tree), [base], "Change", author=("Alice", "alice@example.com"), date=fake.date()
    )
    fake.repo().refs["refs/heads/main"] = head
    there = {
        file.path: (file.status, file.additions, file.deletions)
        for file in (await host.compare("orders", base=base, head=head)).files
    }
    assert there["docs/README.md"] == ("renamed", 0, 0)
    assert there["new.txt"] == ("added", 2, 0)
    assert there["logo.bin"][0] == "removed"
    back = await host.compare("orders", base=head, head=base)
    assert back.status is ComparisonStatus.BEHIND
    files = {file.path: (file.status, file.additions, file.deletions) for file in back.files}
    assert files["README.md"] == ("renamed", 0, 0)
    assert files["new.txt"] == ("removed", 0, 2)
    assert files["logo.bin"][0] == "added"


# ---------------------------------------------------------------- releases


async def test_every_move_leaves_a_tag_that_names_the_request(host: github.GitHub, fake: FakeGitHub) -> None:
    sha = await start(host)
    await host.move_release("orders", "release", revision=sha, expected=None, request_id="req:2")
    assert fake.repo().refs[f"refs/tags/platform/release/req-2-{sha[:12]}"] == sha


async def test_a_rule_without_bypass_for_the_bot_is_named(host: github.GitHub, fake: FakeGitHub) -> None:
    sha = await start(host)
    fake.bypass_missing = True
    call = host.move_release("orders", "release", revision=sha, expected=None, request_id="r")
    error = await refused(BackendErrorKind.POLICY_DENIED, call)
    assert "bypass" in error.sentence
    assert "refs/heads/release" not in fake.repo().refs


# ---------------------------------------------------------------- deployments


async def show(host: github.GitHub, sha: str, state: DeploymentState, operation: str, url: str = "") -> None:
    await host.report_deployment(
        "orders", revision=sha, environment="staging", state=state, operation=operation, url=url
    )


def shown(fake: FakeGitHub) -> list[tuple[str, list[str]]]:
    """Operation and states of each deployment, oldest first."""
    return [
        (one["payload"]["operation"], [status["state"] for status in one["statuses"]])
        for one in fake.repo().deployments
    ]


async def test_a_deployment_is_shown_once_and_each_state_said_once(
    host: github.GitHub, fake: FakeGitHub
) -> None:
    sha = await start(host)
    for state in (DeploymentState.IN_PROGRESS, DeploymentState.SUCCESS):
        for _ in range(2):
            await show(host, sha, state, "req-2.1.deploy", "https://orders.example.com")
    (deployment,) = fake.repo().deployments
    assert deployment["payload"] == {
        "request_id": "req-2", "operation": "req-2.1.deploy", "managed_by": "platform-bot",
    }  # fmt: skip
    assert shown(fake) == [("req-2.1.deploy", ["in_progress", "success"])]
    assert deployment["statuses"][-1]["environment_url"] == "https://orders.example.com"
    await show(host, sha, DeploymentState.IN_PROGRESS, "req-2.2.deploy")
    assert len(fake.repo().deployments) == 2


async def test_taking_back_ends_what_this_request_left_open_and_nothing_else(
    host: github.GitHub, fake: FakeGitHub
) -> None:
    sha = await start(host)
    await show(host, sha, DeploymentState.IN_PROGRESS, "req-2.1.deploy")
    await show(host, sha, DeploymentState.FAILURE, "req-2.2.deploy")
    await show(host, sha, DeploymentState.SUCCESS, "req-3.1.deploy")
    await show(host, sha, DeploymentState.INACTIVE, "req-2.3.deploy")
    assert shown(fake) == [
        ("req-2.1.deploy", ["in_progress", "inactive"]),
        ("req-2.2.deploy", ["failure"]),
        ("req-3.1.deploy", ["success"]),
    ]


async def test_what_was_never_shown_is_not_taken_back(host: github.GitHub, fake: FakeGitHub) -> None:
    sha = await start(host)
    await show(host, sha, DeploymentState.INACTIVE, "req-2.1.deploy")
    assert fake.repo().deployments == []
