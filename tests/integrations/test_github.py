"""GitHub at its transport: what is created, what is left alone, and what happens when GitHub is slow, limited, wrong or silent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from fake_github import TOKEN, FakeGitHub, Fault, writes
from pydantic import ValidationError

from bot.errors import BackendErrorKind, PermanentBackendError, StartError, TemporaryBackendError
from integrations import github
from integrations._github_auth import app_claims, sign_rs256
from integrations._github_check import PERMISSIONS
from integrations._github_deployments import DeploymentReport, DeploymentState
from integrations._github_git import batches
from integrations._github_shapes import marked_description, undone_name
from integrations._http import Timing
from integrations.ports import ComparisonStatus, Entity, Finding, RenderedFile, RenderedTree, Surroundings

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


@pytest.fixture
def fake() -> FakeGitHub:
    return FakeGitHub()


@pytest.fixture
async def host(fake: FakeGitHub) -> AsyncIterator[github.GitHub]:
    async with opened(fake) as made:
        yield made


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


async def test_making_it_again_changes_nothing(host: github.GitHub, fake: FakeGitHub) -> None:
    await start(host)
    before = len(fake.writes)
    await start(host)
    assert len(fake.writes) == before


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


async def test_what_a_person_made_is_never_adopted_changed_or_undone(
    host: github.GitHub, fake: FakeGitHub
) -> None:
    fake.add_repo("orders", description="Mine")
    await refused(BackendErrorKind.ALREADY_EXISTS, create(host))
    found = await host.find_repository("orders")
    assert found is not None
    assert found.request_id is None
    for call in (
        host.ensure_first_commit("orders", TREE, message="m", request_id=REQUEST),
        host.move_release("orders", "release", revision="a" * 40, expected=None, request_id=REQUEST),
    ):
        await refused(BackendErrorKind.ALREADY_EXISTS, call)
    await host.remove_repository("orders", request_id=REQUEST)
    assert [one for one in fake.writes if one.status < 300] == []


async def test_a_name_taken_by_something_invisible_is_said_clearly(
    host: github.GitHub, fake: FakeGitHub
) -> None:
    fake.add_repo("orders")
    fake.state.invisible.add("orders")
    error = await refused(BackendErrorKind.ALREADY_EXISTS, create(host))
    assert "cannot see" in error.message


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


async def test_undo_archives_and_frees_the_name(host: github.GitHub, fake: FakeGitHub) -> None:
    await start(host)
    await host.remove_repository("orders", request_id=REQUEST)
    left = fake.repo(undone_name("orders", REQUEST))
    assert left.archived
    assert await host.find_repository("orders") is None
    await create(host, "req-2")
    assert fake.repo("orders").description == "Takes orders [platform-bot:req-2]"


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


async def test_a_repository_people_renamed_is_followed(host: github.GitHub, fake: FakeGitHub) -> None:
    sha = await start(host)
    repo = fake.state.repos.pop("orders")
    repo.name = "orders-v2"
    fake.state.repos["orders-v2"] = repo
    fake.state.former["orders"] = repo.id
    found = await host.find_commit("orders", "main")
    assert found is not None
    assert found.sha == sha
    moved = await host.move_release("orders", "release", revision=sha, expected=None, request_id="r")
    assert moved.sha == sha
    assert repo.refs["refs/heads/release"] == sha


async def test_a_repository_that_left_the_organisation_is_not_ours_any_more(
    host: github.GitHub, fake: FakeGitHub
) -> None:
    await start(host)
    fake.repo().owner = "somebody"
    assert await host.find_repository("orders") is None


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


async def test_a_long_comparison_is_cut_and_says_so(host: github.GitHub, fake: FakeGitHub) -> None:
    first = sha = await start(host)
    for number in range(255):
        sha = push(fake, sha, str(number))
    for base in (first, None):
        shown = await host.compare("orders", base=base, head="main")
        assert shown.truncated
        assert len(shown.commits) == 250
        assert (shown.commits[0].subject, shown.commits[-1].subject) == ("254", "5")
    again = await host.ensure_first_commit("orders", TREE, message="m", request_id=REQUEST)
    assert again.sha == first, "found on the last of several pages"


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


async def test_a_deployment_is_made_once_and_its_status_said_once(
    host: github.GitHub, fake: FakeGitHub
) -> None:
    sha = await start(host)
    report = DeploymentReport(
        DeploymentState.SUCCESS, "x" * 500, environment_url="https://orders.example.com"
    )
    for _ in range(2):
        made = await host.ensure_deployment("orders", revision=sha, environment="staging", request_id="req-2")
        await host.report_deployment("orders", made, report)
    (deployment,) = fake.repo().deployments
    assert deployment["payload"] == {"request_id": "req-2", "managed_by": "platform-bot"}
    assert [status["state"] for status in deployment["statuses"]] == ["success"]
    await host.ensure_deployment("orders", revision=sha, environment="staging", request_id="req-3")
    assert len(fake.repo().deployments) == 2


# ---------------------------------------------------------------- when answers are lost


async def story(host: github.GitHub, fake: FakeGitHub) -> None:
    """Every write this backend knows, each as a step that is tried again."""
    await until_done(lambda: create(host), fake)
    first = await until_done(
        lambda: host.ensure_first_commit("orders", TREE, message="m", request_id=REQUEST), fake
    )
    second = fake.repo().refs.get("refs/heads/person") or push(fake, first.sha, "second", branch="person")
    release = await until_done(
        lambda: host.move_release("orders", "release", revision=second, expected=None, request_id="r1"), fake
    )
    back = await until_done(
        lambda: host.move_release(
            "orders", "release", revision=first.sha, expected=release.sha, request_id="r2"
        ),
        fake,
    )
    made = await until_done(
        lambda: host.ensure_deployment(
            "orders", revision=back.sha, environment="production", request_id="r2"
        ),
        fake,
    )
    report = DeploymentReport(DeploymentState.IN_PROGRESS)
    await until_done(lambda: host.report_deployment("orders", made, report), fake)
    await until_done(lambda: host.remove_repository("orders", request_id=REQUEST), fake)


def seen_at_the_end(fake: FakeGitHub) -> dict[str, Any]:
    """What a person would find, without hashes: their dates differ."""
    (repo,) = fake.state.repos.values()
    objects = repo.objects
    histories = {
        ref.rpartition("-")[0] if "tags" in ref else ref: [
            objects.commits[one]["message"][:8] for one in objects.ancestors(sha)
        ]
        for ref, sha in repo.refs.items()
    }
    return {
        "repositories": [*fake.state.repos],
        "set up": (repo.topics, repo.teams, repo.environments, repo.archived, repo.description),
        "rulesets": [one["name"] for one in repo.rulesets],
        "histories": histories,
        "deployments": [[one["state"] for one in deployment["statuses"]] for deployment in repo.deployments],
    }


WRITES = 17


async def test_the_story_makes_so_many_writes(host: github.GitHub, fake: FakeGitHub) -> None:
    await story(host, fake)
    assert len(fake.writes) == WRITES, "the tests below lose each of them once"
    assert len(fake.state.repos) == 1


@pytest.mark.parametrize("number", range(WRITES))
@pytest.mark.parametrize(
    ("how", "executed"),
    [
        ("broken", True), ("late", True), ("garbage", True), ("answer", True),
        ("broken", False), ("answer", False), ("garbage", False), ("nothing", False),
    ],
)  # fmt: skip
async def test_whatever_happens_to_one_write_nothing_exists_twice(
    number: int, how: str, executed: bool
) -> None:
    well, ill = FakeGitHub(), FakeGitHub()
    async with opened(well) as host:
        await story(host, well)
    ill.faults.append(Fault(how, writes, after=number, executed=executed))
    async with opened(ill) as host:
        await story(host, ill)
    assert ill.faults[0].times == 0, "the fault was met"
    assert seen_at_the_end(ill) == seen_at_the_end(well)


@pytest.mark.parametrize("how", ["broken", "late", "garbage", "answer"])
async def test_a_read_that_fails_changes_no_ending(how: str) -> None:
    well = FakeGitHub()
    async with opened(well) as host:
        await story(host, well)
    for number in range(0, len(well.seen), 7):
        ill = FakeGitHub()
        ill.faults.append(Fault(how, lambda request: request.method == "GET", after=number))
        async with opened(ill) as host:
            await story(host, ill)
        assert seen_at_the_end(ill) == seen_at_the_end(well)


async def test_a_github_that_is_down_is_never_an_answer(host: github.GitHub, fake: FakeGitHub) -> None:
    fake.faults.append(Fault("unreachable", times=10**6))
    for call in (
        host.find_repository("orders"),
        host.find_commit("orders", "main"),
        host.find_release("orders", "release"),
        host.remove_repository("orders", request_id=REQUEST),
        create(host),
    ):
        with pytest.raises(TemporaryBackendError):
            await call
    assert len(fake.clock.waits) < 10, "the breaker spares everybody the waiting"
    findings = await host.check()
    assert not all(finding.ok for finding in findings)
    assert "open" in findings[0].detail


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("status", "headers", "message", "wait"),
    [
        (403, {"retry-after": "9"}, "You have exceeded a secondary rate limit", 9),
        (429, {"retry-after": "9"}, "Too many requests", 9),
        (403, {}, "You have exceeded a secondary rate limit and have been temporarily blocked", 60),
        (429, {}, "", 60),
        (
            403,
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795251660"},
            "API rate limit exceeded",
            59,
        ),
    ],
)
async def test_limits_are_waited_out_even_for_writes(
    status: int, headers: dict[str, str], message: str, wait: float
) -> None:
    fake = FakeGitHub()
    fake.clock.seconds = 1
    fake.faults.append(Fault("answer", writes, answer=(status, headers, {"message": message})))
    async with opened(fake, patience_seconds=90) as host:
        await create(host)
    assert wait in fake.clock.waits
    assert [*fake.state.repos] == ["orders"]


async def test_a_long_limit_is_told_to_the_caller(host: github.GitHub, fake: FakeGitHub) -> None:
    limit = (403, {"retry-after": "1800"}, {"message": "secondary rate limit"})
    fake.faults.append(Fault("answer", times=9, answer=limit))
    with pytest.raises(TemporaryBackendError) as caught:
        await create(host)
    assert (caught.value.kind, caught.value.retry_after_seconds) == (BackendErrorKind.RATE_LIMITED, 1800)


async def test_writes_are_a_second_apart(host: github.GitHub, fake: FakeGitHub) -> None:
    await create(host)
    assert fake.clock.waits.count(1.0) == len(fake.writes) - 1


async def test_what_has_not_changed_costs_nothing(host: github.GitHub, fake: FakeGitHub) -> None:
    sha = await start(host)
    await host.find_commit("orders", sha)
    before = len(fake.seen)
    await host.find_commit("orders", sha)
    assert {one.status for one in fake.seen[before:]} == {304}


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ((403, {"x-accepted-github-permissions": "administration=write"}, {"message": "Resource not accessible by integration"}),
         BackendErrorKind.DENIED, "administration: write"),
        ((403, {}, {"message": "Upgrade to GitHub Pro or make this repository public to enable this feature."}),
         BackendErrorKind.DENIED, "protect_release"),
        ((401, {}, {"message": "Bad credentials"}), BackendErrorKind.DENIED, "private key"),
        ((404, {}, {"message": "Not Found"}), BackendErrorKind.DENIED, "Administration: write"),
        ((422, {}, {"message": "Validation Failed", "errors": [{"field": "name", "code": "invalid"}]}),
         BackendErrorKind.INVALID, "name invalid"),
        ((422, {}, {"message": "Validation Failed", "errors": ["Visibility is not allowed"]}),
         BackendErrorKind.INVALID, "Visibility"),
        ((409, {}, {"message": "Repository rule violations found"}), BackendErrorKind.POLICY_DENIED, "bypass"),
        ((451, {}, ["odd"]), BackendErrorKind.UNKNOWN, "451"),
    ],
)  # fmt: skip
async def test_a_refusal_says_what_it_is_and_the_way_out(
    host: github.GitHub,
    fake: FakeGitHub,
    answer: tuple[int, dict[str, str], Any],
    kind: BackendErrorKind,
    words: str,
) -> None:
    fake.faults.append(Fault("answer", writes, times=9, answer=answer))
    error = await refused(kind, create(host))
    assert words in error.sentence


async def test_a_page_that_is_not_github_s_is_no_answer(host: github.GitHub, fake: FakeGitHub) -> None:
    fake.faults.append(Fault("answer", times=99, answer=(200, {}, {"id": 1, "name": "orders"})))
    with pytest.raises(TemporaryBackendError, match="cannot be read"):
        await host.find_repository("orders")


# ---------------------------------------------------------------- who we are


async def test_an_app_works_with_short_tokens_renewed_in_time(fake: FakeGitHub) -> None:
    async with opened(fake, app_id="42") as host:
        await start(host)
        assert len(fake.state.tokens) == 1
        fake.clock.seconds += 3600 - 299
        await host.find_commit("orders", "main")
        assert len(fake.state.tokens) == 2


async def test_a_revoked_token_is_replaced_at_once(fake: FakeGitHub) -> None:
    async with opened(fake, app_id="42") as host:
        await create(host)
        fake.state.tokens = dict.fromkeys(fake.state.tokens, fake.clock.started)
        assert await host.find_repository("orders") is not None


async def test_many_callers_share_one_new_token(fake: FakeGitHub) -> None:
    async with opened(fake, app_id="42", installation_id=77) as host:
        await asyncio.gather(*(host.find_repository(f"orders-{number}") for number in range(10)))
    assert len(fake.state.tokens) == 1
    assert not any(one.path.endswith("/installation") for one in fake.seen)


async def test_an_app_that_is_not_installed_says_what_to_click(fake: FakeGitHub) -> None:
    fake.installation = {}
    async with opened(fake, app_id="42") as host:
        error = await refused(BackendErrorKind.NOT_FOUND, host.find_repository("orders"))
        assert "Install App" in error.sentence


async def test_no_secret_is_ever_logged_or_shown(fake: FakeGitHub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    words = {"message": f"Bad credentials {TOKEN} ghs_42_eyJhbGciOi.x.y"}
    async with opened(fake, app_id="42") as host:
        await create(host)
        shown = [repr(vars(host)), repr(github.Settings(**APP))]
        fake.faults.append(Fault("answer", times=9, answer=(403, {}, words)))
        error = await refused(BackendErrorKind.DENIED, create(host))
    everything = " ".join([caplog.text, error.sentence, *shown])
    for secret in (*fake.state.tokens, TOKEN, "sample key", "ghs_42", "jwt:42"):
        assert secret not in everything


@pytest.mark.parametrize(
    ("settings", "variable"), [(SETTINGS, "GITHUB_TOKEN"), (APP, "GITHUB_APP_PRIVATE_KEY")]
)
async def test_without_its_secret_it_does_not_open(
    tmp_path: Path, settings: dict[str, Any], variable: str
) -> None:
    class NoEntities:
        async def put_entity(self, entity: Entity) -> None: ...

        async def find_entity(self, name: str) -> Entity | None: ...

        async def search_entities(self, text: str, *, limit: int) -> list[Entity]:
            return []

        async def delete_entity(self, name: str) -> None: ...

    place = Surroundings(state_folder=tmp_path, base_folder=tmp_path, entities=NoEntities(), secrets={})
    with pytest.raises(StartError) as caught:
        async with github.open(github.Settings(**settings), place):
            pass
    assert variable in caught.value.sentence


def test_the_app_s_claims_live_nine_minutes_and_forgive_a_minute(fake: FakeGitHub) -> None:
    now = fake.clock.now()
    claims = app_claims("42", now)
    assert claims == {"iss": "42", "iat": now.timestamp() - 60, "exp": now.timestamp() + 540}


def test_a_real_key_signs_what_its_public_half_verifies() -> None:
    jwt = pytest.importorskip("jwt")
    rsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa")
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    token = sign_rs256({"iss": "42"}, pem.decode())
    assert jwt.decode(token, key.public_key(), algorithms=["RS256"]) == {"iss": "42"}
    with pytest.raises(PermanentBackendError, match="cannot be read") as caught:
        sign_rs256({"iss": "42"}, "not a key")
    assert "not a key" not in str(caught.value.__cause__)


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"organisation": "a/b"},
        {"organisation": "acme", "base_url": "http://github.example"},
        {"organisation": "acme", "app_id": "Iv1.x"},
        {"organisation": "acme", "undo": "forget"},
        {"organisation": "acme", "tokens": "x"},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        github.Settings(**settings)


async def test_enterprise_server_has_its_own_addresses(fake: FakeGitHub) -> None:
    settings = github.Settings(organisation="acme", base_url="https://github.example/api/v3")
    assert settings.graphql_url == "https://github.example/api/graphql"
    assert github.Settings(organisation="acme").graphql_url == "https://api.github.com/graphql"
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(404, json={"message": "Not Found"})

    async with httpx.AsyncClient(base_url=settings.base_url, transport=httpx.MockTransport(answer)) as client:
        host = github.connect(settings, SECRETS, client)
        assert await host.find_repository("orders") is None
    assert asked == ["https://github.example/api/v3/repos/acme/orders"]


# ---------------------------------------------------------------- check


async def failing(host: github.GitHub) -> dict[str, Finding]:
    return {finding.subject: finding for finding in await host.check() if not finding.ok}


async def test_the_check_of_a_good_set_up_is_good_and_changes_nothing(fake: FakeGitHub) -> None:
    for settings in (SETTINGS, APP):
        async with opened(fake, **settings) as host:
            assert await failing(host) == {}
    assert [one.path for one in fake.writes] == ["/app/installations/77/access_tokens"]


@pytest.mark.parametrize("permission", PERMISSIONS)
async def test_the_check_names_each_missing_permission(fake: FakeGitHub, permission: str) -> None:
    fake.installation["permissions"].pop(permission)
    async with opened(fake, app_id="42") as host:
        wrong = await failing(host)
    assert [*wrong] == [f"permission {permission}"]
    assert PERMISSIONS[permission][0] in wrong[f"permission {permission}"].fix


async def test_the_check_knows_an_app_that_cannot_work(fake: FakeGitHub) -> None:
    fake.installation |= {"suspended_at": "2026-11-20T09:00:00Z", "repository_selection": "selected"}
    fake.installation["permissions"]["contents"] = "read"
    async with opened(fake, app_id="42", organisation="acme") as host:
        wrong = await failing(host)
    assert [*wrong] == ["App", "repositories of the App", "permission contents"]
    assert all(finding.fix for finding in wrong.values())


async def test_the_check_reads_the_scopes_of_a_token(fake: FakeGitHub) -> None:
    fake.scopes = "repo"
    async with opened(fake) as host:
        assert [*await failing(host)] == ["scope workflow", "scope read:org"]
    fake.scopes = None
    async with opened(fake) as host:
        assert await failing(host) == {}
        assert any("fine-grained" in finding.detail for finding in await host.check())


async def test_the_check_names_an_organisation_that_is_not_there(fake: FakeGitHub) -> None:
    async with opened(fake, organisation="nobody") as host:
        assert [*await failing(host)] == ["organisation"]
