"""What travels in a push, held against git itself: objects, packs, reports."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from fake_gitea_git import ENVIRONMENT, Git
from hypothesis import given, settings
from hypothesis import strategies as st

from integrations._forge_push import (
    GitObject,
    PushReportError,
    RefUpdate,
    commit_object,
    pack,
    packet,
    parse_report,
    push_request,
    tree_objects,
)
from integrations.ports import RenderedFile

NAMES = st.sampled_from(["a", "a.b", "a-b", "a0", "B", "ü", "with space", "a\nb"])
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join),
    st.builds(RenderedFile, st.binary(max_size=300), st.booleans()),
    min_size=1,
    max_size=12,
).filter(lambda tree: not any(f"{one}/" == other[: len(one) + 1] for one in tree for other in tree))


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Git:
    made = Git(tmp_path_factory.mktemp("push") / "any.git")
    made.prepare()
    return made


@settings(max_examples=40, deadline=None)
@given(tree=TREES)
def test_git_reads_from_the_pack_exactly_the_tree_that_went_in(
    git: Git, tree: dict[str, RenderedFile]
) -> None:
    objects = tree_objects(tree)
    git.run("unpack-objects", "-q", "--strict", stdin=pack(objects))
    listed = git.run("ls-tree", "-r", "-z", objects[-1].sha).decode().split("\0")[:-1]
    blobs = {GitObject("blob", file.content).sha: file.content for file in tree.values()}
    found = {}
    for line in listed:
        (mode, _, sha), path = line.partition("\t")[0].split(), line.partition("\t")[2]
        found[path] = RenderedFile(blobs[sha], executable=mode == "100755")
    assert found == tree
    assert len({one.sha for one in objects}) == len(objects), "each object travels once"


@pytest.mark.parametrize("size", [0, 1, 15, 16, 2047, 2048, 300_000])
def test_a_pack_holds_objects_of_any_size(git: Git, size: int) -> None:
    blob = GitObject("blob", b"x" * size)
    git.run("unpack-objects", "-q", "--strict", stdin=pack([blob]))
    assert git.run("cat-file", "blob", blob.sha) == blob.content


def test_an_empty_pack_is_one_too(git: Git) -> None:
    git.run("unpack-objects", "-q", "--strict", stdin=pack([]))


@pytest.mark.parametrize(
    ("author", "shown"),
    [
        (("Bot", "bot@example.com"), "Bot <bot@example.com>"),
        (("B<o>t\n", "b\0@x"), "Bot <b@x>"),
        (("Ö", ""), "Ö <>"),
    ],
)
def test_git_finds_no_fault_with_a_commit(
    git: Git, tmp_path: Path, author: tuple[str, str], shown: str
) -> None:
    objects = tree_objects({"a": RenderedFile(b"")})
    root = commit_object(tree=objects[-1].sha, parents=(), message="ü\n\nBody\n", author=author, seconds=1)
    git.store(*objects, root)
    assert git.run("log", "-1", "--format=%an <%ae>|%s|%at", root.sha).decode().strip() == f"{shown}|ü|1"
    checked = subprocess.run(
        ["git", f"--git-dir={git.folder}", "fsck", "--strict", "--no-dangling", root.sha],
        env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "error" not in checked.stderr


def test_the_first_command_carries_what_we_can_do() -> None:
    sent = push_request(
        [RefUpdate("refs/heads/a", None, "1" * 40), RefUpdate("refs/tags/b", "2" * 40, "3" * 40)], []
    )
    first, second = (
        b"0" * 40 + b" " + b"1" * 40 + b" refs/heads/a\0",
        b"2" * 40 + b" " + b"3" * 40 + b" refs/tags/b",
    )
    assert sent[4:].startswith(first)
    assert b" atomic " in sent
    assert packet(second) + b"0000PACK" in sent


# ---------------------------------------------------------------- reports


def report(*lines: bytes, said: bytes = b"") -> bytes:
    inner = b"".join(packet(line + b"\n") for line in lines) + b"0000"
    words = packet(b"\x02" + said) if said else b""
    half = len(inner) // 2
    # Git cuts where its buffer ends, not where a line does.
    return words + packet(b"\x01" + inner[:half]) + packet(b"\x01" + inner[half:]) + b"0000"


def test_a_report_of_success_has_no_reason() -> None:
    found = parse_report(report(b"unpack ok", b"ok refs/heads/a", said=b"Create a pull request:\n"))
    assert (found.reason, found.said) == (None, "Create a pull request:")


@pytest.mark.parametrize(
    ("lines", "said", "reason"),
    [
        ([b"unpack ok", b"ng refs/heads/a failed to update ref"], b"", "failed to update ref"),
        ([b"unpack ok", b"ng refs/heads/a declined", b"ng refs/tags/b declined"], b"\nGitea: no\n", "Gitea: no; declined"),
        ([b"unpack index-pack abnormal exit"], b"", "index-pack abnormal exit"),
    ],
)  # fmt: skip
def test_a_refusal_has_git_s_reason_and_the_hook_s(lines: list[bytes], said: bytes, reason: str) -> None:
    assert parse_report(report(*lines, said=said)).reason == reason


@pytest.mark.parametrize(
    "content",
    [
        b"", b"<html>", b"0000", b"00", b"0003", b"zzzz", b"0004", b"0008abc", b"\xff" * 9,
        packet(b"\x01" + packet(b"unpack ok\n")) + b"0000",
        packet(b"\x09x") + b"0000",
        report(b"ok refs/heads/a"),
        report(b"hello"),
        report(b"unpack ok")[:-4],
    ],
)  # fmt: skip
def test_what_is_no_whole_report_is_said_to_be_none(content: bytes) -> None:
    with pytest.raises(PushReportError):
        parse_report(content)


@given(st.binary(max_size=200))
def test_no_answer_breaks_the_reader(content: bytes) -> None:
    try:
        parse_report(content)
    except PushReportError:
        return
