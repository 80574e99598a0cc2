"""What every code host promises, asked of each of them: real git on this machine, GitHub and Gitea at their transports."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from fake_gitea import BASE_URL, FakeGitea
from fake_gitea import TOKEN as GITEA_TOKEN
from fake_github import TOKEN, FakeGitHub

from bot.errors import BackendErrorKind, PermanentBackendError
from integrations import gitea, github, local_git
from integrations._git_format import parse_trailers
from integrations._http import Timing
from integrations.ports import CodeHost, ComparisonStatus, Entity, RenderedFile, RenderedTree, Surroundings

REQUEST = "req-1"
TREE: RenderedTree = {
    "README.md": RenderedFile(b"# orders\n"),
    "run.sh": RenderedFile(b"#!/bin/sh\n", executable=True),
    "src/app.py": RenderedFile(b"print('one')\n"),
    "logo.bin": RenderedFile(bytes(range(256))),
    "large.txt": RenderedFile(b"0123456789abcdef\n" * 8000),
}


class Person(Protocol):
    """Somebody who commits to the repository `orders` by other ways than ours."""

    def commit(self, files: dict[str, str], subject: str, *, on: str) -> str:
        """On top of `on`; reachable only once it is pushed."""
        ...

    def push(self, sha: str, ref: str = "refs/heads/main") -> None: ...

    def tree(self, sha: str) -> dict[str, tuple[bytes, bool]]:
        """Path -> content, executable."""
        ...

    def parents(self, sha: str) -> list[str]: ...

    def message(self, sha: str) -> str: ...


@dataclass
class Stage:
    host: CodeHost
    person: Person

    async def create(self, request_id: str = REQUEST) -> None:
        await self.host.ensure_repository(
            "orders", description="Takes orders", team="orders", request_id=request_id
        )

    async def start(self) -> str:
        """A repository with its first commit, whose hash this is."""
        await self.create()
        return (
            await self.host.ensure_first_commit("orders", TREE, message="Create orders", request_id=REQUEST)
        ).sha

    def push(self, subject: str, *, on: str, branch: str = "main", path: str = "a") -> str:
        sha = self.person.commit({path: subject}, subject, on=on)
        self.person.push(sha, f"refs/heads/{branch}")
        return sha

    async def move(self, revision: str, expected: str | None, request_id: str = "req-2") -> str:
        moved = await self.host.move_release(
            "orders", "release", revision=revision, expected=expected, request_id=request_id
        )
        assert (moved.name, moved.revision) == ("release", revision)
        assert await self.host.find_release("orders", "release") == moved
        return moved.sha


class LocalPerson:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def git(self, *arguments: str, text: str = "", environment: dict[str, str] | None = None) -> bytes:
        who = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in (
            ("NAME", "Alice Müller"), ("EMAIL", "alice@example.com"))}  # fmt: skip
        command = ["git", f"--git-dir={self._folder}", *arguments]
        everything = {"PATH": "/usr/bin:/bin:/usr/local/bin", **who, **(environment or {})}
        return subprocess.run(
            command, input=text.encode(), env=everything, check=True, capture_output=True
        ).stdout

    def line(self, *arguments: str, text: str = "", environment: dict[str, str] | None = None) -> str:
        return self.git(*arguments, text=text, environment=environment).decode().strip()

    def commit(self, files: dict[str, str], subject: str, *, on: str) -> str:
        index = {"GIT_INDEX_FILE": str(self._folder / "person-index")}
        self.line("read-tree", on, environment=index)
        for path, content in files.items():
            blob = self.line("hash-object", "-w", "--stdin", text=content)
            self.line("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", environment=index)
        tree = self.line("write-tree", environment=index)
        return self.line("commit-tree", tree, "-p", on, "-F", "-", text=subject)

    def push(self, sha: str, ref: str = "refs/heads/main") -> None:
        self.line("update-ref", ref, sha)

    def tree(self, sha: str) -> dict[str, tuple[bytes, bool]]:
        found = {}
        for line in self.line("ls-tree", "-r", sha).splitlines():
            mode, _, blob, path = line.split(None, 3)
            found[path] = (self.git("cat-file", "blob", blob), mode == "100755")
        return found

    def parents(self, sha: str) -> list[str]:
        return self.line("log", "-1", "--format=%P", sha).split()

    def message(self, sha: str) -> str:
        return self.line("log", "-1", "--format=%B", sha)


class GitHubPerson:
    def __init__(self, fake: FakeGitHub) -> None:
        self._fake = fake

    def commit(self, files: dict[str, str], subject: str, *, on: str) -> str:
        objects = self._fake.repo().objects
        tree = objects.put_files(files, objects.commits[on]["tree"])
        author = ("Alice Müller", "alice@example.com")
        return objects.put_commit(tree, [on], subject, author=author, date=self._fake.date())

    def push(self, sha: str, ref: str = "refs/heads/main") -> None:
        self._fake.repo().refs[ref] = sha

    def tree(self, sha: str) -> dict[str, tuple[bytes, bool]]:
        objects = self._fake.repo().objects
        files = objects.trees[objects.commits[sha]["tree"]]
        return {path: (objects.blobs[blob], mode == "100755") for path, (mode, blob) in files.items()}

    def parents(self, sha: str) -> list[str]:
        return list(self._fake.repo().objects.commits[sha]["parents"])

    def message(self, sha: str) -> str:
        return str(self._fake.repo().objects.commits[sha]["message"])


class GiteaPerson(LocalPerson):
    """Pushes to the repository behind the fake, which is a real one."""

    def __init__(self, fake: FakeGitea) -> None:
        self._fake = fake

    def git(self, *arguments: str, text: str = "", environment: dict[str, str] | None = None) -> bytes:
        self._folder = self._fake.repo().git.folder
        return super().git(*arguments, text=text, environment=environment)

    def commit(self, files: dict[str, str], subject: str, *, on: str) -> str:
        self._folder = self._fake.repo().git.folder
        return super().commit(files, subject, on=on)


class NoEntities:
    async def put_entity(self, entity: Entity) -> None: ...

    async def find_entity(self, name: str) -> Entity | None: ...

    async def search_entities(self, text: str, *, limit: int) -> list[Entity]:
        return []

    async def delete_entity(self, name: str) -> None: ...


@pytest.fixture(params=["local_git", "github", "gitea"])
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    if request.param == "local_git":
        place = Surroundings(state_folder=tmp_path, base_folder=tmp_path, entities=NoEntities(), secrets={})
        async with local_git.open(local_git.Settings(), place) as host:
            yield Stage(host, LocalPerson(tmp_path / "git" / "orders.git"))
        return
    if request.param == "gitea":
        fake_gitea = FakeGitea(tmp_path)
        clock = fake_gitea.clock
        timing = Timing(clock.monotonic, clock.now, clock.sleep, lambda: 1.0)
        async with fake_gitea.client() as client:
            chosen = gitea.Settings(base_url=BASE_URL, organisation="acme")
            gitea_host = gitea.connect(chosen, {"GITEA_TOKEN": GITEA_TOKEN}, client, timing=timing)
            yield Stage(gitea_host, GiteaPerson(fake_gitea))
        return
    fake = FakeGitHub()
    timing = Timing(fake.clock.monotonic, fake.clock.now, fake.clock.sleep, lambda: 1.0)
    settings = github.Settings(organisation="acme")
    async with fake.client() as client:
        host = github.connect(settings, {"GITHUB_TOKEN": TOKEN}, client, timing=timing)
        yield Stage(host, GitHubPerson(fake))


async def refused(kind: BackendErrorKind, call: Coroutine[Any, Any, Any]) -> PermanentBackendError:
    with pytest.raises(PermanentBackendError) as caught:
        await call
    assert caught.value.kind is kind
    assert caught.value.sentence
    return caught.value


# ---------------------------------------------------------------- repositories


async def test_it_is_a_code_host(stage: Stage) -> None:
    assert isinstance(stage.host, CodeHost)


async def test_nothing_is_found_where_nothing_was_made(stage: Stage) -> None:
    assert await stage.host.find_repository("orders") is None
    assert await stage.host.find_commit("orders", "main") is None
    assert await stage.host.find_release("orders", "release") is None


async def test_a_repository_carries_the_request_that_made_it(stage: Stage) -> None:
    await stage.create()
    made = await stage.host.find_repository("orders")
    assert made is not None
    assert (made.name, made.request_id, made.default_branch) == ("orders", REQUEST, "main")
    again = await stage.host.ensure_repository("orders", description="x", team="orders", request_id=REQUEST)
    assert again == made


async def test_a_name_taken_by_another_request_is_refused_and_not_undone(stage: Stage) -> None:
    await stage.create()
    await refused(BackendErrorKind.ALREADY_EXISTS, stage.create("req-2"))
    await stage.host.remove_repository("orders", request_id="req-2")
    assert await stage.host.find_repository("orders") is not None


async def test_an_undone_name_is_free_for_the_next_request(stage: Stage) -> None:
    await stage.start()
    for _ in range(2):
        await stage.host.remove_repository("orders", request_id=REQUEST)
        assert await stage.host.find_repository("orders") is None
    await stage.create("req-2")
    await stage.host.remove_repository("orders", request_id=REQUEST)
    found = await stage.host.find_repository("orders")
    assert found is not None
    assert found.request_id == "req-2"


async def test_two_at_once_of_one_request_both_succeed(stage: Stage) -> None:
    await asyncio.gather(*(stage.create() for _ in range(5)))
    assert await stage.host.find_repository("orders") is not None


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "A", "-a", "a.b", "a" * 64, "ä", "a\n"])
async def test_a_name_that_is_no_label_is_refused(stage: Stage, name: str) -> None:
    await refused(BackendErrorKind.INVALID, stage.host.find_repository(name))
    await refused(BackendErrorKind.INVALID, stage.host.remove_repository(name, request_id=REQUEST))


@pytest.mark.parametrize("request_id", ["", "a\nb", "a b", "x" * 200, "é"])
async def test_a_request_id_that_no_commit_can_carry_is_refused(stage: Stage, request_id: str) -> None:
    await refused(BackendErrorKind.INVALID, stage.create(request_id))
    assert await stage.host.find_repository("orders") is None


# ---------------------------------------------------------------- first commit


async def test_the_first_commit_holds_exactly_the_tree(stage: Stage) -> None:
    sha = await stage.start()
    assert stage.person.tree(sha) == {path: (file.content, file.executable) for path, file in TREE.items()}
    assert parse_trailers(stage.person.message(sha))["Request-Id"] == REQUEST
    found = await stage.host.find_commit("orders", "main")
    assert found is not None
    assert (found.sha, found.subject) == (sha, "Create orders")


async def test_a_second_first_commit_returns_the_first(stage: Stage) -> None:
    first = await stage.start()
    stage.push("later", on=first)
    again = await stage.host.ensure_first_commit("orders", {}, message="other", request_id=REQUEST)
    assert again.sha == first


async def test_many_first_commits_at_once_make_one(stage: Stage) -> None:
    await stage.create()
    made = await asyncio.gather(
        *(stage.host.ensure_first_commit("orders", TREE, message="m", request_id=REQUEST) for _ in range(4))
    )
    assert len(set(made)) == 1


async def test_the_first_commit_of_another_request_is_refused(stage: Stage) -> None:
    await stage.create()
    call = stage.host.ensure_first_commit("orders", TREE, message="m", request_id="req-2")
    await refused(BackendErrorKind.ALREADY_EXISTS, call)
    missing = stage.host.ensure_first_commit("payments", TREE, message="m", request_id=REQUEST)
    await refused(BackendErrorKind.NOT_FOUND, missing)


@pytest.mark.parametrize("path", ["../x", "/etc/x", ".git/config", "a/.GIT/x", "", "a//b", "./a", "a\0b"])
async def test_a_path_that_leaves_the_tree_is_refused(stage: Stage, path: str) -> None:
    await stage.create()
    tree = {path: RenderedFile(b"")}
    call = stage.host.ensure_first_commit("orders", tree, message="m", request_id=REQUEST)
    await refused(BackendErrorKind.INVALID, call)


# ---------------------------------------------------------------- reading commits


async def test_a_commit_is_found_by_hash_abbreviation_tag_and_branch(stage: Stage) -> None:
    sha = stage.push("Say hello\n\nBody", on=await stage.start())
    stage.person.push(sha, "refs/tags/v1.0.0")
    for revision in (sha, sha.upper(), sha[:10], "v1.0.0", "main"):
        found = await stage.host.find_commit("orders", revision)
        assert found is not None
        assert (found.sha, found.subject, found.author_name) == (sha, "Say hello", "Alice Müller")
        assert found.author_email == "alice@example.com"
        assert found.authored_at.utcoffset() is not None


@pytest.mark.parametrize(
    "revision", ["", "nothing", "HEAD", "main~0", "--all", "a b", "refs/heads/main", "0" * 40]
)
async def test_what_names_no_commit_is_not_found(stage: Stage, revision: str) -> None:
    await stage.start()
    assert await stage.host.find_commit("orders", revision) is None


async def test_a_revision_with_two_meanings_is_refused(stage: Stage) -> None:
    first = await stage.start()
    second = stage.push("second", on=first)
    stage.person.push(first, "refs/tags/v1")
    stage.person.push(second, "refs/heads/v1")
    error = await refused(BackendErrorKind.INVALID, stage.host.find_commit("orders", "v1"))
    assert first[:12] in error.message
    stage.person.push(second, f"refs/heads/{first[:8]}")
    await refused(BackendErrorKind.INVALID, stage.host.find_commit("orders", first[:8]))


async def test_every_relation_of_two_commits_has_its_word(stage: Stage) -> None:
    base = await stage.start()
    left = stage.push("left", on=base)
    right = stage.push("right", on=base, branch="side", path="b")
    for older, newer, status, subjects in [
        (left, left, ComparisonStatus.IDENTICAL, []),
        (base, left, ComparisonStatus.AHEAD, ["left"]),
        (left, base, ComparisonStatus.BEHIND, []),
        (left, right, ComparisonStatus.DIVERGED, ["right"]),
    ]:
        shown = await stage.host.compare("orders", base=older, head=newer)
        assert (shown.base, shown.head, shown.status) == (older, newer, status)
        assert [commit.subject for commit in shown.commits] == subjects
        assert not shown.truncated
    files = {}
    for older, newer in [(base, left), (left, base), (left, right)]:
        shown = await stage.host.compare("orders", base=older, head=newer)
        files[(older, newer)] = sorted((file.path, file.status) for file in shown.files)
    assert files[(base, left)] == [("a", "added")]
    assert files[(left, base)] == [("a", "removed")], "what an environment on `left` would see change"
    assert files[(left, right)] == [("a", "removed"), ("b", "added")]


async def test_compared_with_nothing_everything_counts(stage: Stage) -> None:
    head = stage.push("second", on=await stage.start())
    shown = await stage.host.compare("orders", base=None, head=head)
    assert (shown.base, shown.status) == (None, ComparisonStatus.AHEAD)
    assert [commit.subject for commit in shown.commits][:2] == ["second", "Create orders"]
    assert {file.path: file.status for file in shown.files} == dict.fromkeys([*TREE, "a"], "added")


async def test_comparing_what_is_not_there_is_refused(stage: Stage) -> None:
    await stage.start()
    await refused(BackendErrorKind.NOT_FOUND, stage.host.compare("orders", base="gone", head="main"))
    await refused(BackendErrorKind.NOT_FOUND, stage.host.compare("payments", base=None, head="main"))


# ---------------------------------------------------------------- releases


async def test_a_release_moves_forward_without_new_commits(stage: Stage) -> None:
    first = await stage.start()
    second = stage.push("second", on=first)
    assert await stage.move(first, None) == first
    assert await stage.move(second, first, "req-3") == second


async def test_rolling_back_and_promoting_again_never_forces(stage: Stage) -> None:
    first = await stage.start()
    second = stage.push("second", on=first)
    third = stage.push("third", on=second)
    await stage.move(second, None, "r1")
    back = await stage.move(first, second, "r2")
    assert stage.person.parents(back) == [second]
    assert stage.person.tree(back) == stage.person.tree(first)
    trailers = parse_trailers(stage.person.message(back))
    assert (trailers["Request-Id"], trailers["Promotes"]) == ("r2", first)
    merged = await stage.move(third, back, "r3")
    assert stage.person.parents(merged) == [back, third]
    assert stage.person.tree(merged) == stage.person.tree(third)
    again = await stage.move(second, merged, "r4")
    assert stage.person.tree(again) == stage.person.tree(second)


@pytest.mark.parametrize("kind", ["create", "forward", "merge", "back"])
async def test_moving_twice_for_one_request_moves_once(stage: Stage, kind: str) -> None:
    first = await stage.start()
    second = stage.push("second", on=first)
    third = stage.push("third", on=second)
    expected, target = None, first
    if kind != "create":
        expected = await stage.move(second, None, "r1")
        target = {"forward": third, "merge": third, "back": first}[kind]
    if kind == "merge":
        expected = await stage.move(first, expected, "r2")
    moved = await stage.move(target, expected, "r3")
    assert await stage.move(target, expected, "r3") == moved
    other = stage.host.move_release("orders", "release", revision=target, expected=expected, request_id="r4")
    error = await refused(BackendErrorKind.CONFLICT, other)
    assert moved[:12] in error.message
    assert await stage.move(target, moved, "r4") == moved


async def test_of_many_requests_at_once_one_moves_the_release(stage: Stage) -> None:
    """All of them would be fast-forwards of each other: only a compare-and-set tells who was first."""
    first = await stage.start()
    shas = [first]
    for number in range(4):
        shas.append(stage.push(str(number), on=shas[-1]))
    await stage.move(first, None, "r0")
    results = await asyncio.gather(
        *(
            stage.host.move_release("orders", "release", revision=sha, expected=first, request_id=f"r-{sha}")
            for sha in shas[1:]
        ),
        return_exceptions=True,
    )
    lost = [result for result in results if isinstance(result, BaseException)]
    assert [getattr(error, "kind", error) for error in lost] == [BackendErrorKind.CONFLICT] * 3
    standing = await stage.host.find_release("orders", "release")
    assert [result for result in results if not isinstance(result, BaseException)] == [standing]


async def test_one_request_many_times_at_once_moves_once(stage: Stage) -> None:
    first = await stage.start()
    second = stage.push("second", on=first)
    await stage.move(second, None, "r0")
    moved = await asyncio.gather(
        *(
            stage.host.move_release("orders", "release", revision=first, expected=second, request_id="r1")
            for _ in range(4)
        )
    )
    assert len(set(moved)) == 1


async def test_a_release_that_stands_elsewhere_is_a_conflict(stage: Stage) -> None:
    first = await stage.start()
    second = stage.push("second", on=first)
    call = stage.host.move_release("orders", "release", revision=first, expected=second, request_id="r")
    await refused(BackendErrorKind.CONFLICT, call)
    assert await stage.host.find_release("orders", "release") is None


async def test_a_forged_trailer_is_not_believed(stage: Stage) -> None:
    first = await stage.start()
    forged = stage.push(f"Innocent\n\nRequest-Id: r1\nPromotes: {first}", on=first)
    assert await stage.move(forged, None, "r9") == forged


@pytest.mark.parametrize(
    "ref", ["", "-d", "../main", "a..b", "refs/heads/x", "a b", "x.lock", "HEAD", "/x", "x/"]
)
async def test_a_release_needs_a_branch_name(stage: Stage, ref: str) -> None:
    sha = await stage.start()
    call = stage.host.move_release("orders", ref, revision=sha, expected=None, request_id="r")
    await refused(BackendErrorKind.INVALID, call)
    await refused(BackendErrorKind.INVALID, stage.host.find_release("orders", ref))


async def test_a_release_needs_a_full_existing_hash_of_our_repository(stage: Stage) -> None:
    sha = await stage.start()
    for revision, kind in [
        ("main", BackendErrorKind.INVALID),
        (sha[:10], BackendErrorKind.INVALID),
        ("a" * 40, BackendErrorKind.NOT_FOUND),
    ]:
        call = stage.host.move_release("orders", "release", revision=revision, expected=None, request_id="r")
        await refused(kind, call)
    gone = stage.host.move_release("payments", "release", revision=sha, expected=None, request_id="r")
    await refused(BackendErrorKind.NOT_FOUND, gone)
