"""The code host on this machine, with real git: what callers and people who clone and push can rely on."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations import _git_format as formats
from integrations import local_git
from integrations._git import translate, translate_os_error
from integrations.ports import (
    CodeHost,
    ComparisonStatus,
    Entity,
    RenderedFile,
    RenderedTree,
    Repository,
    Surroundings,
)

REQUEST = "req-1"
TREE: RenderedTree = {
    "README.md": RenderedFile(b"# orders\n"),
    "run.sh": RenderedFile(b"#!/bin/sh\n", executable=True),
    "src/app.py": RenderedFile(b"print('one')\n"),
}


class NoEntities:
    async def put_entity(self, entity: Entity) -> None: ...

    async def find_entity(self, name: str) -> Entity | None: ...

    async def search_entities(self, text: str, *, limit: int) -> list[Entity]:
        return []

    async def delete_entity(self, name: str) -> None: ...


def surroundings(folder: Path) -> Surroundings:
    return Surroundings(state_folder=folder, base_folder=folder, entities=NoEntities(), secrets={})


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[local_git.LocalGit]:
    async with local_git.open(local_git.Settings(), surroundings(tmp_path)) as opened:
        yield opened


class Person:
    """Somebody with a clone and an ordinary git."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["git", "clone", "-q", url, str(folder)], check=True, capture_output=True)
        self.git("config", "user.name", "Alice Müller")
        self.git("config", "user.email", "alice@example.com")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, path: str, content: str, subject: str = "Change it") -> str:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(content)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", subject)
        return self.git("rev-parse", "HEAD")

    def push(self, branch: str = "main") -> None:
        self.git("push", "-q", "origin", f"HEAD:refs/heads/{branch}")


async def create(host: CodeHost, name: str = "orders", request_id: str = REQUEST) -> Repository:
    return await host.ensure_repository(
        name, description="Takes orders", team="orders", request_id=request_id
    )


async def create_with_tree(host: CodeHost, tree: RenderedTree = TREE) -> Repository:
    repository = await create(host)
    await host.ensure_first_commit("orders", tree, message="Create orders", request_id=REQUEST)
    return repository


@pytest.fixture
async def alice(host: local_git.LocalGit, tmp_path: Path) -> Person:
    repository = await create_with_tree(host)
    return Person(repository.clone_url, tmp_path / "alice")


def tree_of(repository: Path, sha: str) -> str:
    return plain_git(repository, "rev-parse", f"{sha}^{{tree}}")


def plain_git(repository: Path, *arguments: str) -> str:
    command = ["git", f"--git-dir={repository}", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


async def refused(kind: BackendErrorKind, call: object) -> PermanentBackendError:
    with pytest.raises(PermanentBackendError) as caught:
        await call  # type: ignore[misc]
    assert caught.value.kind is kind
    assert caught.value.sentence
    return caught.value


# ---------------------------------------------------------------- repositories


async def test_it_is_a_code_host(host: local_git.LocalGit) -> None:
    typed: CodeHost = host
    assert isinstance(typed, CodeHost)
    assert local_git.PORT == "code_host"


async def test_nothing_is_found_where_nothing_was_made(host: local_git.LocalGit) -> None:
    assert await host.find_repository("orders") is None
    assert await host.find_commit("orders", "main") is None
    assert await host.find_release("orders", "release") is None


async def test_a_repository_carries_the_request_that_made_it(
    host: local_git.LocalGit, tmp_path: Path
) -> None:
    made = await create(host)
    assert made == await host.find_repository("orders")
    assert made.request_id == REQUEST
    assert made.default_branch == "main"
    assert made.clone_url == str(tmp_path / "git" / "orders.git")
    assert made.web_url == (tmp_path / "git" / "orders.git").as_uri()


async def test_making_it_again_changes_nothing(host: local_git.LocalGit) -> None:
    first = await create(host)
    before = sorted((path, path.stat().st_mtime_ns) for path in Path(first.clone_url).rglob("*"))
    assert await create(host) == first
    assert before == sorted((path, path.stat().st_mtime_ns) for path in Path(first.clone_url).rglob("*"))


async def test_a_name_taken_by_another_request_is_refused(host: local_git.LocalGit) -> None:
    await create(host)
    await refused(BackendErrorKind.ALREADY_EXISTS, create(host, request_id="req-2"))


@pytest.mark.parametrize("prepare", ["bare", "folder", "file"])
async def test_what_a_person_put_there_is_never_adopted(
    host: local_git.LocalGit, tmp_path: Path, prepare: str
) -> None:
    place = tmp_path / "git" / "orders.git"
    if prepare == "bare":
        subprocess.run(["git", "init", "-q", "--bare", str(place)], check=True)
    elif prepare == "folder":
        place.mkdir()
    else:
        place.write_text("mine")
    await refused(BackendErrorKind.ALREADY_EXISTS, create(host))
    found = await host.find_repository("orders")
    assert found is not None
    assert found.request_id is None
    await refused(
        BackendErrorKind.ALREADY_EXISTS,
        host.ensure_first_commit("orders", TREE, message="x", request_id=REQUEST),
    )
    await host.remove_repository("orders", request_id=REQUEST)
    assert place.exists()


async def test_two_at_once_of_one_request_both_succeed(host: local_git.LocalGit) -> None:
    made = await asyncio.gather(*(create(host) for _ in range(6)))
    assert len(set(made)) == 1


async def test_two_requests_at_once_have_one_winner(host: local_git.LocalGit) -> None:
    results = await asyncio.gather(
        *(create(host, request_id=f"req-{number}") for number in range(4)), return_exceptions=True
    )
    won = [result for result in results if isinstance(result, Repository)]
    lost = [result for result in results if isinstance(result, PermanentBackendError)]
    assert len(won) == 1
    assert [error.kind for error in lost] == [BackendErrorKind.ALREADY_EXISTS] * 3
    assert await host.find_repository("orders") == won[0]


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "a/b", "A", "-a", "a-", "a.b", ".making", "a" * 64, "ä", "a\n", "a b"]
)
async def test_a_name_that_is_no_label_reaches_no_path(
    host: local_git.LocalGit, tmp_path: Path, name: str
) -> None:
    await refused(BackendErrorKind.INVALID, create(host, name=name))
    await refused(BackendErrorKind.INVALID, host.find_repository(name))
    assert [path.name for path in (tmp_path / "git").iterdir()] == [".making"]


async def test_what_people_typed_is_kept_as_data(host: local_git.LocalGit) -> None:
    nasty = 'a "quoted" \\ back\nslash; $(touch x) [section]\n\tkey = 1 ü 🚀'
    made = await host.ensure_repository("orders", description=nasty, team="o\nr", request_id=REQUEST)
    config = Path(made.clone_url) / "config"
    out = subprocess.run(
        ["git", "config", "-f", str(config), "-z", "platform.description"], capture_output=True, check=True
    )
    assert out.stdout.decode() == nasty + "\0"
    assert (await create(host)).request_id == REQUEST


@pytest.mark.parametrize("request_id", ["", "a\nb", "a b", "x" * 200, "é"])
async def test_a_request_id_that_no_commit_can_carry_is_refused(
    host: local_git.LocalGit, request_id: str
) -> None:
    await refused(BackendErrorKind.INVALID, create(host, request_id=request_id))
    assert await host.find_repository("orders") is None


async def test_what_carries_our_mark_is_listed(host: local_git.LocalGit) -> None:
    await create_with_tree(host)
    (listed,) = await host.list_marked()
    assert (listed.kind, listed.name, listed.request_id) == ("repository", "orders", REQUEST)
    assert Path(listed.place).is_dir()
    for foreign in ("Not A Name.git", "empty.git"):
        (Path(listed.place).parent / foreign).mkdir()
    assert await host.list_marked() == [listed]


# ---------------------------------------------------------------- undo and left-overs


async def test_undo_removes_what_the_request_made_and_nothing_else(
    host: local_git.LocalGit, tmp_path: Path
) -> None:
    await create_with_tree(host)
    await host.remove_repository("orders", request_id="req-2")
    assert await host.find_repository("orders") is not None
    await host.remove_repository("orders", request_id=REQUEST)
    await host.remove_repository("orders", request_id=REQUEST)
    assert await host.find_repository("orders") is None
    assert list((tmp_path / "git" / ".trash").iterdir()) == []
    assert (await create(host, request_id="req-2")).request_id == "req-2"


async def test_undo_twice_at_once_succeeds(host: local_git.LocalGit) -> None:
    await create_with_tree(host)
    await asyncio.gather(*(host.remove_repository("orders", request_id=REQUEST) for _ in range(5)))
    assert await host.find_repository("orders") is None


async def test_left_overs_of_a_killed_process_do_not_disturb(tmp_path: Path) -> None:
    old, young = tmp_path / "git/.making/orders-1.git", tmp_path / "git/.making/orders-2.git"
    trash = tmp_path / "git/.trash/orders.git-1"
    for folder in (old, young, trash):
        (folder / "objects").mkdir(parents=True)
    long_ago = time.time() - 2 * 3600
    os.utime(old, (long_ago, long_ago))
    async with local_git.open(local_git.Settings(), surroundings(tmp_path)) as host:
        assert not old.exists()
        assert young.exists(), "another process may still be making it"
        assert not trash.exists()
        assert (await create(host)).request_id == REQUEST


CREATE_AND_DIE = """
import asyncio, os, signal, sys
from pathlib import Path
sys.path[:0] = [{root!r}]
from integrations import local_git
from integrations._git import Git
calls = 0
class Dying(Git):
    async def run(self, *arguments, **options):
        global calls
        calls += 1
        result = await super().run(*arguments, **options)
        if calls == {kill_at}:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
async def main():
    folder = Path({folder!r})
    git = Dying("git", home=folder.parent, deadline_seconds=30)
    host = local_git.LocalGit(folder, git, release_branch="release")
    await host.ensure_repository("orders", description="d", team="t", request_id="req-1")
asyncio.run(main())
"""


@pytest.mark.crash
@pytest.mark.parametrize("kill_at", [1, 4, 8])
async def test_killed_while_making_it_the_next_try_finishes(tmp_path: Path, kill_at: int) -> None:
    async with local_git.open(local_git.Settings(), surroundings(tmp_path)) as host:
        root = str(Path(local_git.__file__).parent.parent)
        script = CREATE_AND_DIE.format(root=root, folder=str(tmp_path / "git"), kill_at=kill_at)
        died = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
        assert died.returncode == -9, died.stderr.decode()
        found = await host.find_repository("orders")
        assert found is None or found.request_id == REQUEST
        assert (await create(host)).request_id == REQUEST
        await host.ensure_first_commit("orders", TREE, message="Create orders", request_id=REQUEST)


# ---------------------------------------------------------------- first commit


async def test_a_clone_holds_exactly_the_tree(alice: Person) -> None:
    files = {
        str(path.relative_to(alice.folder)): (path.read_bytes(), os.access(path, os.X_OK))
        for path in alice.folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(alice.folder).parts
    }
    assert files == {name: (file.content, file.executable) for name, file in TREE.items()}
    assert "Request-Id: req-1" in alice.git("log", "-1", "--format=%B")
    assert alice.git("fsck", "--strict") == ""


async def test_a_second_first_commit_returns_the_first(host: local_git.LocalGit, alice: Person) -> None:
    first = await host.find_commit("orders", "main")
    assert first is not None
    alice.commit("README.md", "changed")
    alice.push()
    again = await host.ensure_first_commit("orders", {}, message="other", request_id=REQUEST)
    assert again == first
    assert (first.subject, first.author_name) == ("Create orders", "platform-bot")
    assert abs(first.authored_at - datetime.now(UTC)).total_seconds() < 300


async def test_many_first_commits_at_once_make_one(host: local_git.LocalGit) -> None:
    await create(host)
    commits = await asyncio.gather(
        *(host.ensure_first_commit("orders", TREE, message="m", request_id=REQUEST) for _ in range(5))
    )
    assert len(set(commits)) == 1


async def test_a_branch_somebody_pushed_first_is_not_overwritten(
    host: local_git.LocalGit, tmp_path: Path
) -> None:
    repository = await create(host)
    bob = Person(repository.clone_url, tmp_path / "bob")
    sha = bob.commit("mine", "mine")
    bob.push()
    await refused(
        BackendErrorKind.CONFLICT, host.ensure_first_commit("orders", TREE, message="m", request_id=REQUEST)
    )
    assert plain_git(Path(repository.clone_url), "rev-parse", "main") == sha


async def test_the_first_commit_of_another_request_is_refused(host: local_git.LocalGit) -> None:
    await create(host)
    call = host.ensure_first_commit("orders", TREE, message="m", request_id="req-2")
    await refused(BackendErrorKind.ALREADY_EXISTS, call)
    missing = host.ensure_first_commit("payments", TREE, message="m", request_id=REQUEST)
    await refused(BackendErrorKind.NOT_FOUND, missing)


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/x",
        "a/../../x",
        ".git/config",
        "a/.GIT/hooks/x",
        "",
        ".",
        "a//b",
        "./a",
        "a\0b",
        "a/",
        ".git ",
        "\ud800",
    ],
)
async def test_a_path_that_leaves_the_tree_is_refused(host: local_git.LocalGit, path: str) -> None:
    await create(host)
    call = host.ensure_first_commit("orders", {path: RenderedFile(b"")}, message="m", request_id=REQUEST)
    await refused(BackendErrorKind.INVALID, call)
    assert await host.find_commit("orders", "main") is None


async def test_a_file_below_a_file_is_refused(host: local_git.LocalGit) -> None:
    await create(host)
    tree = {"a": RenderedFile(b"1"), "a/b": RenderedFile(b"2")}
    call = host.ensure_first_commit("orders", tree, message="m", request_id=REQUEST)
    await refused(BackendErrorKind.INVALID, call)


PART = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=12
).filter(lambda part: part not in {".", ".."} and part.lower().rstrip(". ") != ".git")
PATHS = st.lists(PART, min_size=1, max_size=3).map("/".join).filter(formats.is_tree_path)
FILES = st.builds(RenderedFile, content=st.binary(max_size=200), executable=st.booleans())


@given(files=st.dictionaries(PATHS, FILES, min_size=1, max_size=6), message=st.text(min_size=1, max_size=80))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_name_and_content_survives(
    tmp_path_factory: pytest.TempPathFactory, files: Mapping[str, RenderedFile], message: str
) -> None:
    tree = {
        path: file for path, file in files.items() if not any(other.startswith(path + "/") for other in files)
    }
    folder = tmp_path_factory.mktemp("any")
    async with local_git.open(local_git.Settings(), surroundings(folder)) as host:
        repository = await create(host)
        commit = await host.ensure_first_commit("orders", tree, message=message, request_id=REQUEST)
        assert await host.ensure_first_commit("orders", tree, message=message, request_id=REQUEST) == commit
        shown = await host.compare("orders", base=None, head=commit.sha)
        assert {file.path for file in shown.files} == set(tree)
        listed = subprocess.run(
            ["git", f"--git-dir={repository.clone_url}", "ls-tree", "-r", "-z", "main"],
            check=True,
            capture_output=True,
        ).stdout.decode()
        for line in listed.split("\0")[:-1]:
            mode, _, sha, path = line.replace("\t", " ", 1).split(" ", 3)
            content = subprocess.run(
                ["git", f"--git-dir={repository.clone_url}", "cat-file", "blob", sha],
                check=True,
                capture_output=True,
            ).stdout
            assert tree[path] == RenderedFile(content, mode == "100755")


# ---------------------------------------------------------------- reading commits


async def test_a_commit_is_found_by_hash_abbreviation_tag_and_branch(
    host: local_git.LocalGit, alice: Person
) -> None:
    sha = alice.commit("a", "1", "Say hello")
    alice.git("tag", "-m", "annotated", "v1.0.0")
    alice.push()
    alice.git("push", "-q", "--tags")
    for revision in (sha, sha.upper(), sha[:7], sha[:7].upper(), "v1.0.0", "main"):
        found = await host.find_commit("orders", revision)
        assert found is not None
        assert (found.sha, found.subject, found.author_name) == (sha, "Say hello", "Alice Müller")
        assert found.author_email == "alice@example.com"
        assert found.authored_at.utcoffset() is not None


@pytest.mark.parametrize(
    "revision",
    ["", "nothing", "HEAD", "main~0", "main^{tree}", "@{-1}", "--all", "-x", "a b", "main\nmain", "refs/heads/main",
     "0" * 40, "main:README.md", "a\0b", ":/Create", "\ud800", "é" * 300],
)  # fmt: skip
async def test_what_names_no_commit_is_not_found(host: local_git.LocalGit, revision: str) -> None:
    await create_with_tree(host)
    assert await host.find_commit("orders", revision) is None


async def test_a_hash_of_a_file_is_no_commit(host: local_git.LocalGit, alice: Person) -> None:
    blob = alice.git("rev-parse", "main:README.md")
    assert await host.find_commit("orders", blob) is None
    assert await host.find_commit("orders", blob[:10]) is None


async def test_a_revision_with_two_meanings_is_refused(host: local_git.LocalGit, alice: Person) -> None:
    first = alice.git("rev-parse", "HEAD")
    alice.commit("a", "1")
    alice.push()
    alice.push("v1")
    alice.git(
        "push", "-q", "origin", f"{first}:refs/tags/v1", f"{first}:refs/tags/v2", f"{first}:refs/heads/v2"
    )
    alice.push(first[:8])
    error = await refused(BackendErrorKind.INVALID, host.find_commit("orders", "v1"))
    assert first[:12] in error.message
    await refused(BackendErrorKind.INVALID, host.find_commit("orders", first[:8]))
    same = await host.find_commit("orders", "v2")
    assert same is not None
    assert same.sha == first


async def test_an_impossible_date_does_not_stop_anybody(host: local_git.LocalGit, alice: Person) -> None:
    alice.commit("a", "1")
    raw = alice.git("cat-file", "commit", "HEAD").replace(" +0000", " +0000")
    lines = [
        "author A <a@b> 99999999999999 +0000" if line.startswith("author ") else line
        for line in raw.splitlines()
    ]
    made = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--stdin", "--literally"],
        cwd=alice.folder, input="\n".join(lines) + "\n", text=True, capture_output=True, check=True,
    ).stdout.strip()  # fmt: skip
    alice.git("push", "-q", "origin", f"{made}:refs/heads/odd")
    found = await host.find_commit("orders", "odd")
    assert found is not None
    assert found.author_name == "A"


async def test_replaced_objects_do_not_fool_the_plan(host: local_git.LocalGit, alice: Person) -> None:
    bad = alice.commit("a", "bad", "Harmful")
    alice.push()
    alice.git("reset", "-q", "--hard", "HEAD~1")
    good = alice.commit("a", "good", "Harmless")
    alice.git("push", "-q", "origin", f"{good}:refs/replace/{bad}")
    found = await host.find_commit("orders", bad)
    assert found is not None
    assert found.subject == "Harmful"


# ---------------------------------------------------------------- comparing


async def test_a_comparison_lists_commits_and_files(host: local_git.LocalGit, alice: Person) -> None:
    base = alice.git("rev-parse", "HEAD")
    alice.git("mv", "src/app.py", "src/main\tapp.py")
    alice.commit("README.md", "# orders\nmore\nlines\n", 'Rename "it"; $(rm) <b> ü')
    (alice.folder / "run.sh").unlink()
    (alice.folder / "image.bin").write_bytes(b"\0\1\2")
    head = alice.commit("new\nline.txt", "1\n2\n", "Second")
    alice.push()
    shown = await host.compare("orders", base=base, head="main")
    assert (shown.base, shown.head, shown.status) == (base, head, ComparisonStatus.AHEAD)
    assert [commit.subject for commit in shown.commits] == ["Second", 'Rename "it"; $(rm) <b> ü']
    files = {file.path: (file.status, file.additions, file.deletions) for file in shown.files}
    assert files == {
        "README.md": ("modified", 2, 0),
        "src/main\tapp.py": ("renamed", 0, 0),
        "run.sh": ("removed", 0, 1),
        "image.bin": ("added", 0, 0),
        "new\nline.txt": ("added", 2, 0),
    }
    assert not shown.truncated


async def test_every_relation_of_two_commits_has_its_word(host: local_git.LocalGit, alice: Person) -> None:
    base = alice.git("rev-parse", "HEAD")
    left = alice.commit("a", "1")
    alice.push()
    alice.git("reset", "-q", "--hard", base)
    alice.commit("b", "1")
    alice.push("side")
    for older, newer, status, commits in [
        (left, left, ComparisonStatus.IDENTICAL, 0),
        (base, left, ComparisonStatus.AHEAD, 1),
        (left, base, ComparisonStatus.BEHIND, 0),
        (left, "side", ComparisonStatus.DIVERGED, 1),
        (None, left, ComparisonStatus.AHEAD, 2),
    ]:
        shown = await host.compare("orders", base=older, head=newer)
        assert (shown.status, len(shown.commits)) == (status, commits)
    back = await host.compare("orders", base=left, head=base)
    assert [(file.path, file.status) for file in back.files] == [("a", "removed")]


async def test_a_long_comparison_is_cut_and_says_so(host: local_git.LocalGit, tmp_path: Path) -> None:
    repository = await create_with_tree(host)
    stream = b"".join(
        b"commit refs/heads/long\ncommitter A <a@b> %d +0000\ndata 2\nc%d\n"
        % (1700000000 + number, number % 10)
        + (b"from refs/heads/main^0\n" if number == 0 else b"")
        + b"M 100644 inline f%d\ndata 1\nx\n" % number
        for number in range(301)
    )
    subprocess.run(
        ["git", f"--git-dir={repository.clone_url}", "fast-import", "--quiet"], input=stream, check=True
    )
    whole = await host.compare("orders", base="main", head="long")
    assert whole.truncated
    assert (len(whole.commits), len(whole.files)) == (local_git.COMMIT_LIMIT, local_git.FILE_LIMIT)
    part = await host.compare("orders", base=whole.commits[9].sha, head="long")
    assert not part.truncated
    assert [commit.sha for commit in part.commits] == [commit.sha for commit in whole.commits[:9]]


async def test_comparing_what_is_not_there_is_refused(host: local_git.LocalGit) -> None:
    await create_with_tree(host)
    await refused(BackendErrorKind.NOT_FOUND, host.compare("orders", base="gone", head="main"))
    await refused(BackendErrorKind.NOT_FOUND, host.compare("payments", base=None, head="main"))


@given(st.binary(max_size=300))
def test_any_answer_of_git_is_read_or_refused(output: bytes) -> None:
    for parse in (formats.parse_commits, formats.parse_changes):
        with suppress(PermanentBackendError):
            parse(output)
    formats.parse_configuration(output)
    formats.parse_objects(output)


# ---------------------------------------------------------------- releases


async def move(
    host: CodeHost, revision: str, expected: str | None, request_id: str = "req-2", ref: str = "release"
) -> str:
    moved = await host.move_release(
        "orders", ref, revision=revision, expected=expected, request_id=request_id
    )
    assert (moved.name, moved.revision) == (ref, revision)
    assert await host.find_release("orders", ref) == moved
    return moved.sha


async def test_a_release_starts_and_moves_forward_without_new_commits(
    host: local_git.LocalGit, alice: Person
) -> None:
    first = alice.git("rev-parse", "HEAD")
    second = alice.commit("a", "1")
    alice.push()
    assert await move(host, first, None) == first
    assert await move(host, second, first, "req-3") == second


async def test_rolling_back_and_promoting_again_never_forces(
    host: local_git.LocalGit, alice: Person, tmp_path: Path
) -> None:
    repository = tmp_path / "git" / "orders.git"
    first = alice.git("rev-parse", "HEAD")
    second = alice.commit("a", "1")
    third = alice.commit("a", "2")
    alice.push()
    await move(host, second, None, "r1")
    back = await move(host, first, second, "r2")
    assert plain_git(repository, "log", "-1", "--format=%P", back) == second
    assert tree_of(repository, back) == tree_of(repository, first)
    assert f"Request-Id: r2\nPromotes: {first}" in plain_git(repository, "log", "-1", "--format=%B", back)
    merged = await move(host, third, back, "r3")
    assert plain_git(repository, "log", "-1", "--format=%P", merged) == f"{back} {third}"
    assert tree_of(repository, merged) == tree_of(repository, third)
    again = await move(host, second, merged, "r4")
    assert tree_of(repository, again) == tree_of(repository, second)
    for older, newer in [(second, back), (back, merged), (merged, again)]:
        plain_git(repository, "merge-base", "--is-ancestor", older, newer)


@pytest.mark.parametrize("kind", ["create", "forward", "merge", "back"])
async def test_moving_twice_for_one_request_moves_once(
    host: local_git.LocalGit, alice: Person, kind: str
) -> None:
    first = alice.git("rev-parse", "HEAD")
    second = alice.commit("a", "1")
    third = alice.commit("a", "2")
    alice.push()
    expected: str | None = None
    target = first
    if kind != "create":
        expected = await move(host, second, None, "r1")
        target = {"forward": third, "merge": third, "back": first}[kind]
    if kind == "merge":
        expected = await move(host, first, expected, "r2")
    moved = await move(host, target, expected, "r3")
    assert await move(host, target, expected, "r3") == moved
    other = host.move_release("orders", "release", revision=target, expected=expected, request_id="r4")
    error = await refused(BackendErrorKind.CONFLICT, other)
    assert moved[:12] in error.message
    assert await move(host, target, moved, "r4") == moved, (
        "it stands where the plan saw it, and carries the tree"
    )


async def test_a_release_that_moved_meanwhile_is_a_conflict(host: local_git.LocalGit, alice: Person) -> None:
    first = alice.git("rev-parse", "HEAD")
    second = alice.commit("a", "1")
    alice.push()
    for expected in (second, "f" * 40):
        call = host.move_release("orders", "release", revision=first, expected=expected, request_id="r")
        await refused(BackendErrorKind.CONFLICT, call)
    assert await host.find_release("orders", "release") is None


async def test_of_many_requests_at_once_one_moves_the_release(
    host: local_git.LocalGit, alice: Person
) -> None:
    first = alice.git("rev-parse", "HEAD")
    shas = [alice.commit("a", str(number)) for number in range(5)]
    alice.push()
    await move(host, first, None, "r0")
    results = await asyncio.gather(
        *(
            host.move_release("orders", "release", revision=sha, expected=first, request_id=f"r-{sha}")
            for sha in shas
        ),
        return_exceptions=True,
    )
    lost = [result for result in results if isinstance(result, BaseException)]
    assert len(lost) == 4
    assert {getattr(error, "kind", None) for error in lost} == {BackendErrorKind.CONFLICT}
    standing = await host.find_release("orders", "release")
    assert [result for result in results if not isinstance(result, BaseException)] == [standing]


async def test_one_request_many_times_at_once_moves_once(host: local_git.LocalGit, alice: Person) -> None:
    first = alice.git("rev-parse", "HEAD")
    second = alice.commit("a", "1")
    alice.push()
    await move(host, second, None, "r0")
    moved = await asyncio.gather(
        *(
            host.move_release("orders", "release", revision=first, expected=second, request_id="r1")
            for _ in range(6)
        )
    )
    assert len(set(moved)) == 1


async def test_a_forged_trailer_is_not_believed(host: local_git.LocalGit, alice: Person) -> None:
    first = alice.git("rev-parse", "HEAD")
    forged = alice.commit("a", "1", f"Innocent\n\nRequest-Id: r1\nPromotes: {first}")
    alice.push()
    assert await move(host, forged, None, "r9") == forged


async def test_people_cannot_push_to_the_release(host: local_git.LocalGit, alice: Person) -> None:
    first = alice.git("rev-parse", "HEAD")
    await move(host, first, None)
    await move(host, first, None, ref="release-eu")
    alice.commit("a", "1")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        alice.push("release")
    assert "hidden ref" in caught.value.stderr
    with pytest.raises(subprocess.CalledProcessError):
        alice.git("push", "origin", ":refs/heads/release")
    release = await host.find_release("orders", "release")
    assert release is not None
    assert release.sha == first
    alice.git("fetch", "-q", "origin")
    assert alice.git("rev-parse", "origin/release") == first


@pytest.mark.parametrize(
    "ref", ["", "-d", "../main", "a..b", "refs/heads/x", "a b", "x.lock", "a\nb", "HEAD", "/x", "x/"]
)
async def test_a_release_needs_a_branch_name(host: local_git.LocalGit, alice: Person, ref: str) -> None:
    sha = alice.git("rev-parse", "HEAD")
    call = host.move_release("orders", ref, revision=sha, expected=None, request_id="r")
    await refused(BackendErrorKind.INVALID, call)
    await refused(BackendErrorKind.INVALID, host.find_release("orders", ref))


async def test_a_release_needs_a_full_existing_hash_of_our_repository(
    host: local_git.LocalGit, alice: Person
) -> None:
    sha = alice.git("rev-parse", "HEAD")
    for revision, kind in [
        ("main", BackendErrorKind.INVALID),
        (sha[:10], BackendErrorKind.INVALID),
        ("a" * 40, BackendErrorKind.NOT_FOUND),
    ]:
        call = host.move_release("orders", "release", revision=revision, expected=None, request_id="r")
        await refused(kind, call)
    gone = host.move_release("payments", "release", revision=sha, expected=None, request_id="r")
    await refused(BackendErrorKind.NOT_FOUND, gone)


# ---------------------------------------------------------------- when git or the machine fails


def program(folder: Path, script: str) -> str:
    path = folder / "fake-git"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return str(path)


@asynccontextmanager
async def failing(folder: Path, script: str, deadline_seconds: float = 5.0) -> AsyncIterator[CodeHost]:
    chosen = local_git.Settings(program=program(folder, script), deadline_seconds=deadline_seconds)
    async with local_git.open(chosen, surroundings(folder)) as host:
        yield host


@pytest.mark.parametrize(
    ("words", "temporary", "kind"),
    [
        ("error: unable to write file: No space left on device", True, BackendErrorKind.UNAVAILABLE),
        ("fatal: cannot mkdir x: Permission denied", False, BackendErrorKind.DENIED),
        ("fatal: Unable to create '/x/a.lock': File exists.", True, BackendErrorKind.NOT_READY),
        ("fatal: not a git repository: x", False, BackendErrorKind.INVALID),
        ("error: object file x is corrupt", False, BackendErrorKind.INVALID),
        ("fatal: what is this", False, BackendErrorKind.UNKNOWN),
        ("", False, BackendErrorKind.UNKNOWN),
    ],
)
async def test_what_git_says_becomes_an_error_with_a_way_out(
    tmp_path: Path, words: str, temporary: bool, kind: BackendErrorKind
) -> None:
    async with failing(tmp_path, f'echo "{words}" >&2\nexit 128\n') as host:
        with pytest.raises((TemporaryBackendError, PermanentBackendError)) as caught:
            await create(host)
        assert caught.value.temporary is temporary
        assert caught.value.kind is kind
        findings = await host.check()
        assert [finding.ok for finding in findings] == [False, True]
        assert findings[0].fix


async def test_a_hanging_git_is_ended_at_its_deadline(tmp_path: Path) -> None:
    async with failing(tmp_path, f"sleep 60 &\necho $! > {tmp_path}/child\nwait\n", 0.3) as host:
        with pytest.raises(TemporaryBackendError, match="took longer"):
            await create(host)
        child = int((tmp_path / "child").read_text())
        await until(lambda: not alive(child))


async def test_an_endless_answer_is_cut(tmp_path: Path) -> None:
    (tmp_path / "git" / "orders.git").mkdir(parents=True)
    (tmp_path / "git" / "orders.git" / "config").touch()
    async with failing(tmp_path, "head -c 40000000 /dev/zero\n", 30) as host:
        await refused(BackendErrorKind.INVALID, host.find_repository("orders"))


async def test_without_git_the_check_says_what_to_install(tmp_path: Path) -> None:
    chosen = local_git.Settings(program="git-that-is-not-there")
    async with local_git.open(chosen, surroundings(tmp_path)) as host:
        error = await refused(BackendErrorKind.UNAVAILABLE, create(host))
        assert "Install git" in error.sentence
        program_found, folder = await host.check()
        assert (program_found.ok, folder.ok) == (False, True)
        assert "Install git" in program_found.fix


async def test_the_check_finds_a_healthy_machine_healthy(host: local_git.LocalGit, tmp_path: Path) -> None:
    assert [finding.ok for finding in await host.check()] == [True, True]
    (tmp_path / "git" / ".making").rmdir()
    (tmp_path / "git").rmdir()
    assert [finding.ok for finding in await host.check()] == [True, False]


async def test_an_old_git_is_named(tmp_path: Path) -> None:
    async with failing(tmp_path, "echo git version 2.20.1\n") as host:
        finding = (await host.check())[0]
        assert (finding.ok, finding.fix) == (False, "Install git 2.30 or newer.")


async def test_git_never_sees_the_secrets_of_the_bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-secret")
    monkeypatch.setenv("GIT_DIR", "/somewhere/else")
    async with failing(tmp_path, f"env > {tmp_path}/seen\nexit 1\n") as host:
        with pytest.raises(PermanentBackendError):
            await create(host)
    seen = dict(line.split("=", 1) for line in (tmp_path / "seen").read_text().splitlines() if "=" in line)
    assert not [value for value in seen.values() if "xoxb" in value]
    assert "GIT_DIR" not in seen
    assert seen["HOME"] == str(tmp_path)


async def test_a_lock_left_by_a_killed_process_is_removed_when_old(
    host: local_git.LocalGit, alice: Person, tmp_path: Path
) -> None:
    sha = alice.git("rev-parse", "HEAD")
    lock = tmp_path / "git/orders.git/refs/heads/release.lock"
    lock.touch()
    with pytest.raises(TemporaryBackendError):
        await move(host, sha, None)
    long_ago = time.time() - 3600
    os.utime(lock, (long_ago, long_ago))
    assert await move(host, sha, None) == sha


@pytest.mark.parametrize(
    ("error", "temporary"),
    [
        (OSError(28, "No space left on device"), True),
        (PermissionError(13, "Permission denied", "/x"), False),
        (OSError(30, "Read-only file system"), False),
        (OSError(24, "Too many open files"), True),
    ],
)
def test_failures_of_the_machine_are_translated(error: OSError, temporary: bool) -> None:
    assert translate_os_error(error).temporary is temporary


def test_no_secret_of_a_remote_leaves_with_an_error() -> None:
    assert "hunter2" not in translate("fatal: https://alice:hunter2@example.com/x failed").sentence


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
