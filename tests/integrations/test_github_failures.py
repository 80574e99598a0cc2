"""GitHub slow, limited, wrong or silent: every write is lost, garbled or ignored once, and nothing exists twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from fake_github import FakeGitHub, Fault, writes
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

from bot.errors import BackendErrorKind, TemporaryBackendError
from integrations import github
from integrations.ports import DeploymentState


@pytest.fixture
def fake() -> FakeGitHub:
    return FakeGitHub()


@pytest.fixture
async def host(fake: FakeGitHub) -> AsyncIterator[github.GitHub]:
    async with opened(fake) as made:
        yield made


# ---------------------------------------------------------------- when answers are lost


async def shown(host: github.GitHub, sha: str, state: DeploymentState) -> None:
    await host.report_deployment(
        "orders", revision=sha, environment="production", state=state, operation="r2.1.deploy"
    )


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
    for state in (DeploymentState.IN_PROGRESS, DeploymentState.SUCCESS, DeploymentState.INACTIVE):
        await until_done(partial(shown, host, back.sha, state), fake)
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


WRITES = 19


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
