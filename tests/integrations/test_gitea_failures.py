"""Gitea slow, limited, wrong or silent: every write is lost, garbled or ignored once, and nothing exists twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_gitea import FakeGitea
from fake_gitea_stage import REQUEST, TREE, create, opened, push, refused, start, until_done
from fake_github import Fault, writes

from bot.errors import BackendErrorKind, TemporaryBackendError
from integrations import gitea
from integrations._forge_mark import undone_names


@pytest.fixture
def fake(tmp_path: Path) -> FakeGitea:
    return FakeGitea(tmp_path)


@pytest.fixture
async def host(fake: FakeGitea) -> AsyncIterator[gitea.Gitea]:
    async with opened(fake) as made:
        yield made


# ---------------------------------------------------------------- when answers are lost


async def story(host: gitea.Gitea, fake: FakeGitea) -> None:
    """Every write this backend knows, each as a step that is tried again."""
    await until_done(lambda: create(host), fake)
    first = await until_done(
        lambda: host.ensure_first_commit("orders", TREE, message="m", request_id=REQUEST), fake
    )
    second = fake.repo().git.refs().get("refs/heads/person") or push(
        fake, first.sha, "second", branch="person"
    )
    release = await until_done(
        lambda: host.move_release("orders", "release", revision=second, expected=None, request_id="r1"), fake
    )
    await until_done(
        lambda: host.move_release(
            "orders", "release", revision=first.sha, expected=release.sha, request_id="r2"
        ),
        fake,
    )
    await until_done(lambda: host.remove_repository("orders", request_id=REQUEST), fake)


def seen_at_the_end(fake: FakeGitea) -> dict[str, Any]:
    """What a person would find, without hashes: their dates differ."""
    (repo,) = fake.state.repos.values()
    git = repo.git
    histories = {
        ref.rpartition("-")[0] if "tags" in ref else ref: [
            git.commit(one).message[:8] for one in git.reached(sha)
        ]
        for ref, sha in git.refs().items()
    }
    return {
        "repositories": [*fake.state.repos],
        "set up": (repo.topics, repo.teams, repo.archived, repo.description),
        "rules": [one["rule_name"] for one in repo.rules],
        "histories": histories,
    }


WRITES = 11
ENDING: dict[str, Any] = {
    "repositories": [undone_names("orders", REQUEST)[0]],
    "set up": (["platform-managed", "python"], ["orders"], True, "Takes orders [platform-bot:req-1]"),
    "rules": ["release", "release/**"],
    "histories": {
        "refs/heads/main": ["m\n\nReque"],
        "refs/heads/person": ["second", "m\n\nReque"],
        "refs/heads/release": ["Roll bac", "second", "m\n\nReque"],
        "refs/tags/platform/release/r1": ["second", "m\n\nReque"],
        "refs/tags/platform/release/r2": ["Roll bac", "second", "m\n\nReque"],
    },
}
"""Where nothing goes wrong, and where anything does."""


async def test_the_story_makes_so_many_writes(host: gitea.Gitea, fake: FakeGitea) -> None:
    await story(host, fake)
    assert len(fake.writes) == WRITES, "the tests below lose each of them once"
    assert seen_at_the_end(fake) == ENDING


@pytest.mark.parametrize("number", range(WRITES))
@pytest.mark.parametrize(
    ("how", "executed"),
    [
        ("broken", True), ("late", True), ("garbage", True), ("answer", True),
        ("broken", False), ("answer", False), ("garbage", False), ("nothing", False),
    ],
)  # fmt: skip
async def test_whatever_happens_to_one_write_nothing_exists_twice(
    fake: FakeGitea, number: int, how: str, executed: bool
) -> None:
    fake.faults.append(Fault(how, writes, after=number, executed=executed))
    async with opened(fake) as host:
        await story(host, fake)
    assert fake.faults[0].times == 0, "the fault was met"
    assert seen_at_the_end(fake) == ENDING


@pytest.mark.parametrize("how", ["broken", "late", "garbage", "answer"])
async def test_a_read_that_fails_changes_no_ending(tmp_path: Path, how: str) -> None:
    for number in range(0, 70, 9):
        ill = FakeGitea(tmp_path / str(number))
        (tmp_path / str(number)).mkdir()
        ill.faults.append(Fault(how, lambda request: request.method == "GET", after=number))
        async with opened(ill) as host:
            await story(host, ill)
        assert seen_at_the_end(ill) == ENDING


async def test_a_gitea_that_is_down_is_never_an_answer(host: gitea.Gitea, fake: FakeGitea) -> None:
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
    assert "open" in host.breaker_state()
    findings = await host.check()
    assert not all(finding.ok for finding in findings)
    assert "open" in findings[0].detail


# ---------------------------------------------------------------- pushes


def pushes(request: httpx.Request) -> bool:
    return request.url.path.endswith("/git-receive-pack")


async def test_a_push_that_lost_the_race_says_where_the_release_stands(
    host: gitea.Gitea, fake: FakeGitea
) -> None:
    """Somebody moves the branch between our look and our push: git itself compares, and neither ref moves."""
    first = await start(host)
    second = push(fake, first, "second")
    theirs = push(fake, second, "third")

    def overtaken(request: httpx.Request) -> bool:
        if pushes(request):
            fake.repo().git.put("refs/heads/release", theirs)
        return False

    fake.faults.append(Fault("broken", overtaken))
    call = host.move_release("orders", "release", revision=second, expected=None, request_id="r")
    error = await refused(BackendErrorKind.CONFLICT, call)
    assert theirs[:12] in error.message
    refs = fake.repo().git.refs()
    assert refs["refs/heads/release"] == theirs
    assert [ref for ref in refs if "tags" in ref] == []


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ((200, {}, {}), BackendErrorKind.UNKNOWN, "report of a push"),
        ((503, {"retry-after": "1"}, {}), BackendErrorKind.UNAVAILABLE, "503"),
    ],
)
async def test_a_report_that_is_none_is_no_yes(
    host: gitea.Gitea, fake: FakeGitea, answer: Any, kind: BackendErrorKind, words: str
) -> None:
    await create(host)
    fake.faults.append(Fault("answer", pushes, times=9, answer=answer))
    with pytest.raises(TemporaryBackendError) as caught:
        await host.ensure_first_commit("orders", TREE, message="m", request_id=REQUEST)
    assert caught.value.kind is kind
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("status", "text", "kind", "words"),
    [
        (413, "<html>Request Entity Too Large</html>", BackendErrorKind.INVALID, "client_max_body_size"),
        (403, "Interacting with repositories by HTTP protocol is not allowed", BackendErrorKind.DENIED, "DISABLE_HTTP_GIT"),
        (403, "User permission denied", BackendErrorKind.DENIED, "User permission denied"),
    ],
)  # fmt: skip
async def test_a_push_that_is_turned_away_names_the_way_out(
    host: gitea.Gitea, fake: FakeGitea, status: int, text: str, kind: BackendErrorKind, words: str
) -> None:
    """Git's endpoint speaks plain text, and a proxy its own page."""
    await create(host)
    headers = {"content-type": "text/html" if text.startswith("<") else "text/plain; charset=utf-8"}
    fake.faults.append(Fault("answer", pushes, times=9, answer=(status, headers, text)))
    call = host.ensure_first_commit("orders", TREE, message="m", request_id=REQUEST)
    assert words in (await refused(kind, call)).sentence


# ---------------------------------------------------------------- limits and refusals


@pytest.mark.parametrize(("headers", "wait"), [({"retry-after": "9"}, 9), ({}, 30)])
async def test_a_limit_of_a_proxy_is_waited_out_even_for_writes(
    fake: FakeGitea, headers: dict[str, str], wait: float
) -> None:
    fake.faults.append(Fault("answer", writes, answer=(429, headers, {"message": "slow down"})))
    async with opened(fake, patience_seconds=90) as host:
        await create(host)
    assert wait in fake.clock.waits
    assert [*fake.state.repos] == ["orders"]


async def test_a_long_limit_is_told_to_the_caller(host: gitea.Gitea, fake: FakeGitea) -> None:
    fake.faults.append(Fault("answer", times=9, answer=(429, {"retry-after": "1800"}, {})))
    with pytest.raises(TemporaryBackendError) as caught:
        await create(host)
    assert (caught.value.kind, caught.value.retry_after_seconds) == (BackendErrorKind.RATE_LIMITED, 1800)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ((403, {}, {"message": "token does not have at least one of required scope(s): [write:organization]"}),
         BackendErrorKind.DENIED, "the scope write:organization for"),
        ((403, {}, {"message": "token does not have at least one of required scope(s), required=[write:repository], token scope=read:user"}),
         BackendErrorKind.DENIED, "the scope write:repository for"),
        ((403, {}, {"message": "Given user is not allowed to create repository in organization."}),
         BackendErrorKind.DENIED, "python -m bot check"),
        ((401, {}, {"message": "token is required"}), BackendErrorKind.DENIED, "new token"),
        ((404, {}, {"message": "The target couldn't be found."}), BackendErrorKind.NOT_FOUND, "`organisation`"),
        ((422, {}, {"message": "name is reserved [name: orders]"}), BackendErrorKind.INVALID, "reserved"),
        ((451, {}, ["odd"]), BackendErrorKind.UNKNOWN, "451"),
    ],
)  # fmt: skip
async def test_a_refusal_says_what_it_is_and_the_way_out(
    host: gitea.Gitea,
    fake: FakeGitea,
    answer: tuple[int, dict[str, str], Any],
    kind: BackendErrorKind,
    words: str,
) -> None:
    fake.faults.append(Fault("answer", writes, times=9, answer=answer))
    error = await refused(kind, create(host))
    assert words in error.sentence


async def test_a_team_that_may_not_be_given_access_names_the_setting(
    host: gitea.Gitea, fake: FakeGitea
) -> None:
    fake.teams_by_admins = False
    error = await refused(BackendErrorKind.DENIED, create(host))
    assert "access of teams" in error.sentence


async def test_a_page_that_is_not_gitea_s_is_no_answer(host: gitea.Gitea, fake: FakeGitea) -> None:
    fake.faults.append(Fault("answer", times=99, answer=(200, {}, {"id": 1, "name": "orders"})))
    with pytest.raises(TemporaryBackendError, match="cannot be read"):
        await host.find_repository("orders")


async def test_the_token_is_in_no_message(host: gitea.Gitea, fake: FakeGitea) -> None:
    fake.faults.append(Fault("answer", times=99, answer=(400, {}, {"message": "token=sample-token refused"})))
    error = await refused(BackendErrorKind.INVALID, host.find_repository("orders"))
    assert "sample-token" not in error.sentence


# ---------------------------------------------------------------- check


async def checked(fake: FakeGitea, **settings: Any) -> dict[str, tuple[bool, str]]:
    async with opened(fake, **settings) as host:
        findings = await host.check()
    assert all(bool(one.fix) != one.ok for one in findings), "the way out where there is a need of one"
    return {one.subject: (one.ok, one.fix) for one in findings}


async def test_a_set_up_that_works_is_green_and_checking_it_changes_nothing(fake: FakeGitea) -> None:
    found = await checked(fake)
    assert {subject for subject, (ok, _) in found.items() if not ok} == set()
    assert [*found] == [
        "breaker", "server", "token", "scope write:repository", "scope write:organization", "organisation",
        "create repositories", "team access", "webhooks",
    ]  # fmt: skip
    assert fake.state.repos == {}


@pytest.mark.parametrize(
    ("change", "subject", "words"),
    [
        ({"scopes": {"read:user", "read:organization", "write:repository"}}, "scope write:organization", "scope write:organization"),
        ({"scopes": {"read:user", "write:organization", "read:repository"}}, "scope write:repository", "scope write:repository"),
        ({"scopes": {"write:organization", "write:repository"}}, "token", "scope read:user"),
        ({"may_create": False}, "create repositories", "Create repositories"),
        ({"teams_by_admins": False}, "team access", "add and remove access for teams"),
        ({"organisation_name": "acme-2"}, "organisation", "organisation: acme-2"),
        ({"version": "1.19.4"}, "server", "Upgrade"),
        ({"version": "6.0.1+gitea-1.21.5"}, "server", "Upgrade"),
    ],
)  # fmt: skip
async def test_what_is_missing_is_named_with_the_way_out(
    fake: FakeGitea, change: dict[str, Any], subject: str, words: str
) -> None:
    for name, value in change.items():
        setattr(fake, name, value)
    ok, fix = (await checked(fake))[subject]
    assert not ok
    assert words in fix


async def test_deleting_needs_an_owner(fake: FakeGitea) -> None:
    assert not (await checked(fake, undo="delete"))["delete repositories"][0]
    fake.is_owner = True
    assert (await checked(fake, undo="delete"))["delete repositories"][0]


@pytest.mark.parametrize("version", ["1.22.0", "1.27.3+dev-12", "7.0.5+gitea-1.22.0", "development"])
async def test_a_server_that_is_new_enough_or_says_nothing_is_taken(fake: FakeGitea, version: str) -> None:
    fake.version = version
    assert (await checked(fake))["server"][0]


async def test_an_organisation_that_is_not_there_is_named(fake: FakeGitea) -> None:
    ok, fix = (await checked(fake, organisation="nobody"))["organisation"]
    assert not ok
    assert "`organisation`" in fix
