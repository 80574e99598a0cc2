"""What git prints and reads, as values: names, commits, changes, trailers, a first commit. Pure; runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Final

from bot.errors import BackendErrorKind, PermanentBackendError
from integrations._git import BACKEND, EMAIL, IDENTITY
from integrations.ports import ChangedFile, Commit, ComparisonStatus, RenderedTree

DEFAULT_BRANCH: Final = "main"
COMMIT_FORMAT: Final = "--format=tformat:%H%x00%an%x00%ae%x00%at%x00%s"
SHA: Final = re.compile(r"[0-9a-f]{40}")

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_REF_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")
_STATUS: Final[Mapping[str, str]] = {"A": "added", "D": "removed", "R": "renamed"}


def refuse(message: str, kind: BackendErrorKind = BackendErrorKind.INVALID) -> PermanentBackendError:
    return PermanentBackendError(message, backend=BACKEND, kind=kind)


def is_ref_name(text: str) -> bool:
    """What may follow refs/heads/ or refs/tags/ (git check-ref-format), without names that look like refs already."""
    if (
        not text
        or len(text) > 200
        or not text.isprintable()
        or _REF_FORBIDDEN.search(text)
        or text.startswith(("-", "/", "refs/"))
    ):
        return False
    parts = text.split("/")
    return text not in {"@", "HEAD"} and not any(
        not part or part.startswith(".") or part.endswith((".", ".lock")) for part in parts
    )


def is_name(name: str) -> bool:
    """Names of repositories are DNS labels, so that none can lead out of the folder."""
    return _LABEL.fullmatch(name) is not None


def check_name(name: str) -> str:
    if not is_name(name):
        raise refuse(f"{name!r} is not a repository's name: use lower-case letters, digits and dashes.")
    return name


def check_ref(ref: str) -> str:
    if not is_ref_name(ref):
        raise refuse(f"{ref!r} is not a branch's name.")
    return ref


def is_tree_path(path: str) -> bool:
    """A relative path that a checkout on any machine keeps inside its folder and outside its .git."""
    if path.encode("utf-8", "ignore").decode() != path:
        return False
    if not path or "\x00" in path or path != str(PurePosixPath(path)) or path.startswith("/") or path == ".":
        return False
    return not any(part == ".." or part.lower().rstrip(". ") == ".git" for part in path.split("/"))


def clean_request_id(request_id: str) -> str:
    if not _REQUEST_ID.fullmatch(request_id):
        raise refuse(f"The request id {request_id!r} cannot be written into a commit.")
    return request_id


def parse_configuration(output: bytes) -> dict[str, str]:
    """`git config --list -z`: key, newline, value, NUL. Keys come in lower case, the last value wins."""
    entries = (entry.partition("\n") for entry in output.decode("utf-8", "replace").split("\0") if entry)
    return {key: value for key, _, value in entries}


def parse_commits(output: bytes) -> tuple[Commit, ...]:
    """`git log -z` with `COMMIT_FORMAT`: five fields a commit, each ended by NUL."""
    fields = output.decode("utf-8", "replace").split("\0")[:-1]
    if len(fields) % 5:
        raise refuse("git's list of commits is not complete.", BackendErrorKind.UNKNOWN)
    rows = (fields[start : start + 5] for start in range(0, len(fields), 5))
    return tuple(
        Commit(
            sha=sha, subject=subject, author_name=name, author_email=email, authored_at=parse_time(seconds)
        )
        for sha, name, email, seconds, subject in rows
    )


def parse_objects(output: bytes) -> tuple[str, ...]:
    """`git cat-file --batch-check=%(objectname)`: a hash a line; what is missing says so and is left out. Unique."""
    lines = output.decode("ascii", "replace").splitlines()
    return tuple(dict.fromkeys(line for line in lines if SHA.fullmatch(line)))


def parse_status(output: bytes) -> ComparisonStatus:
    """`git rev-list --left-right --count base...head`: commits only base has, tab, commits only head has."""
    behind, ahead = (int(count) for count in output.split())
    if behind and ahead:
        return ComparisonStatus.DIVERGED
    if ahead:
        return ComparisonStatus.AHEAD
    return ComparisonStatus.BEHIND if behind else ComparisonStatus.IDENTICAL


def parse_head(content: str) -> str:
    """The file HEAD of a bare repository: `ref: refs/heads/<branch>`."""
    return content.strip().removeprefix("ref: refs/heads/") or DEFAULT_BRANCH


def parse_time(seconds: str) -> datetime:
    """People's clocks may say anything; what no datetime can hold becomes the epoch instead of a failed promotion."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def parse_changes(output: bytes) -> tuple[ChangedFile, ...]:
    """`git diff-tree -r -z -M --raw --numstat`: first all raw entries, then all line counts, by path."""
    tokens = iter(output.decode("utf-8", "replace").split("\0")[:-1])
    statuses: dict[str, str] = {}
    counts: dict[str, tuple[int, int]] = {}
    try:
        for token in tokens:
            if token.startswith(":"):
                letter = token.rsplit(" ", 1)[1][0]
                path = next(tokens)
                statuses[next(tokens) if letter in "RC" else path] = _STATUS.get(letter, "modified")
            else:
                path, lines = _parse_counts(token, tokens)
                counts[path] = lines
    except (StopIteration, IndexError, ValueError) as error:
        raise refuse("git's list of changes is not complete.", BackendErrorKind.UNKNOWN) from error
    return tuple(ChangedFile(path, status, *counts.get(path, (0, 0))) for path, status in statuses.items())


def _parse_counts(token: str, following: Iterator[str]) -> tuple[str, tuple[int, int]]:
    """A rename leaves the path empty and sends the old and the new one after it; binary files count as `-`."""
    added, deleted, path = token.split("\t", 2)
    if not path:
        next(following)
        path = next(following)
    return path, (0 if added == "-" else int(added), 0 if deleted == "-" else int(deleted))


def parse_trailers(message: str) -> dict[str, str]:
    """The `Key: value` lines of the last paragraph; the last of several wins, as in `git interpret-trailers`."""
    last = message.rstrip().rpartition("\n\n")[2]
    pairs = (line.partition(": ") for line in last.splitlines())
    return {key: value.strip() for key, colon, value in pairs if colon}


def first_commit_stream(tree: RenderedTree, *, message: str, seconds: int) -> bytes:
    """The tree as `git fast-import` reads it: exact bytes, one root commit, the ref moved only if absent."""
    for path in tree:
        if not is_tree_path(path):
            raise refuse(f"The path {path!r} cannot stand in a repository.")
        if any(str(parent) in tree for parent in PurePosixPath(path).parents):
            raise refuse(f"The path {path!r} lies below a file.")
    body = message.encode("utf-8", "replace")
    parts = [
        f"commit refs/heads/{DEFAULT_BRANCH}\n".encode(),
        f"committer {IDENTITY} <{EMAIL}> {seconds} +0000\ndata {len(body)}\n".encode() + body + b"\n",
    ]
    for path, file in sorted(tree.items()):
        mode = "100755" if file.executable else "100644"
        parts.append(
            f"M {mode} inline {_quote(path)}\ndata {len(file.content)}\n".encode() + file.content + b"\n"
        )
    return b"".join([*parts, b"done\n"])


def _quote(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def with_trailers(message: str, **trailers: str) -> str:
    lines = [f"{key.replace('_', '-')}: {value}" for key, value in trailers.items()]
    return message.replace("\0", "").strip() + "\n\n" + "\n".join(lines) + "\n"
