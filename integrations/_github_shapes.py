"""GitHub's answers, as far as they are relied on, and what they mean as values of the port. Pure.

Fields that are not listed are ignored; a listed field that is missing makes the answer unreadable, never a default that lies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from integrations._git_format import parse_trailers
from integrations._github_errors import BACKEND
from integrations._http import Answer, unreadable
from integrations.ports import ChangedFile, Commit, ComparisonStatus

Shape = TypeVar("Shape")

MANAGED_TOPIC: Final = "platform-managed"
DESCRIPTION_LIMIT: Final = 350
"""Characters of a repository's description; GitHub refuses more, and control characters too."""

_MARK: Final = re.compile(r"\[platform-bot:([A-Za-z0-9][A-Za-z0-9._:-]{0,127})\]$")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Owner(BaseModel):
    login: str


class RepositoryAnswer(BaseModel):
    id: int
    node_id: str
    name: str
    owner: Owner
    html_url: str
    clone_url: str
    default_branch: str
    description: str | None = None
    archived: bool = False
    topics: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return f"/repos/{self.owner.login}/{self.name}"

    @property
    def request_id(self) -> str | None:
        found = _MARK.search((self.description or "").rstrip())
        return found[1] if found else None


class GitObject(BaseModel):
    sha: str
    type: str = "commit"


class RefAnswer(BaseModel):
    ref: str
    object: GitObject


class TagAnswer(BaseModel):
    object: GitObject


class ShaAnswer(BaseModel):
    sha: str


class Signature(BaseModel):
    name: str = ""
    email: str = ""
    date: datetime


class GitCommitAnswer(BaseModel):
    """`GET git/commits/{sha}`."""

    sha: str
    message: str
    author: Signature
    tree: ShaAnswer
    parents: tuple[ShaAnswer, ...]

    @property
    def trailers(self) -> Mapping[str, str]:
        return parse_trailers(self.message)


class CommitDetails(BaseModel):
    message: str
    author: Signature | None
    tree: ShaAnswer


class CommitAnswer(BaseModel):
    """`GET commits/{ref}` and the items of lists of commits."""

    sha: str
    commit: CommitDetails
    parents: tuple[ShaAnswer, ...] = ()


class FileAnswer(BaseModel):
    filename: str
    status: str
    additions: int
    deletions: int
    previous_filename: str | None = None


class ComparisonAnswer(BaseModel):
    status: str
    total_commits: int
    commits: tuple[CommitAnswer, ...]
    files: tuple[FileAnswer, ...] = ()


class TreeEntry(BaseModel):
    path: str
    type: str
    sha: str | None = None


class TreeAnswer(BaseModel):
    sha: str
    tree: tuple[TreeEntry, ...]
    truncated: bool = False


class RulesetAnswer(BaseModel):
    id: int
    name: str
    source_type: str = "Repository"


class TeamAccess(BaseModel):
    role_name: str = ""


class NamedAnswer(BaseModel):
    name: str


# ---------------------------------------------------------------- reading


def parse(answer: Answer, shape: type[Shape]) -> Shape:
    """Raises TemporaryBackendError: what cannot be read is neither yes nor no."""
    try:
        return TypeAdapter(shape).validate_json(answer.content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise unreadable(BACKEND, f"{first['type']} {where}".strip()) from error


def commit_of(answer: CommitAnswer) -> Commit:
    return _commit(answer.sha, answer.commit.message, answer.commit.author)


def commit_of_git(answer: GitCommitAnswer) -> Commit:
    return _commit(answer.sha, answer.message, answer.author)


def _commit(sha: str, message: str, author: Signature | None) -> Commit:
    return Commit(
        sha=sha,
        subject=message.strip().split("\n", 1)[0],
        author_name=author.name if author else "",
        author_email=author.email if author else "",
        authored_at=author.date.astimezone(UTC) if author else datetime.fromtimestamp(0, UTC),
    )


_STATUS: Final[Mapping[str, ComparisonStatus]] = {status.value: status for status in ComparisonStatus}


def status_of(answer: ComparisonAnswer) -> ComparisonStatus:
    if answer.status not in _STATUS:
        raise unreadable(BACKEND, f"comparison is {answer.status}")
    return _STATUS[answer.status]


_WORDS: Final = {"added": "added", "copied": "added", "removed": "removed", "renamed": "renamed"}
_BACKWARDS: Final = {"added": "removed", "removed": "added"}


def changed_files(files: Sequence[FileAnswer]) -> tuple[ChangedFile, ...]:
    return tuple(
        ChangedFile(file.filename, _WORDS.get(file.status, "modified"), file.additions, file.deletions)
        for file in files
        if file.status != "unchanged"
    )


def reversed_files(files: Sequence[FileAnswer]) -> tuple[ChangedFile, ...]:
    """The same difference read from the other side: what was added goes away, and lines change their sign."""
    return tuple(
        ChangedFile(
            file.previous_filename or file.filename,
            "removed"
            if file.status == "copied"
            else _BACKWARDS.get(file.status, _WORDS.get(file.status, "modified")),
            file.deletions,
            file.additions,
        )
        for file in files
        if file.status != "unchanged"
    )


def tree_difference(older: TreeAnswer | None, newer: TreeAnswer) -> tuple[ChangedFile, ...]:
    """Two whole trees by hash: exact paths, no line counts. A file that kept its content and changed its path is renamed."""
    before = _files(older) if older else {}
    after = _files(newer)
    gone = sorted(before.keys() - after.keys())
    changes = {path: "modified" for path, sha in after.items() if path in before and before[path] != sha}
    for path in sorted(after.keys() - before.keys()):
        partner = next((one for one in gone if before[one] == after[path]), None)
        changes[path] = "added" if partner is None else "renamed"
        gone = [one for one in gone if one != partner]
    changes |= dict.fromkeys(gone, "removed")
    return tuple(ChangedFile(path, changes[path]) for path in sorted(changes))


def _files(tree: TreeAnswer) -> dict[str, str | None]:
    return {entry.path: entry.sha for entry in tree.tree if entry.type != "tree"}


# ---------------------------------------------------------------- our mark


def marked_description(description: str, request_id: str) -> str:
    """The mark is part of the description because that is set by the very call that creates: never there without it."""
    mark = f"[platform-bot:{request_id}]"
    text = _CONTROL.sub(" ", description.encode("utf-8", "ignore").decode()).strip()
    return f"{text[: DESCRIPTION_LIMIT - len(mark) - 1]} {mark}".strip()


def undone_names(name: str, request_id: str) -> tuple[str, ...]:
    """Where an archived repository goes, so that its name is free again. The same request finds it again."""
    first = f"{name}-undone-{sha256(request_id.encode()).hexdigest()[:8]}"
    return (first, f"{first}-2", f"{first}-3")


def move_tag(ref: str, request_id: str, revision: str) -> str:
    """The tag that is set in one transaction with a release: GitHub's reflog cannot carry a request id, this can."""
    request = request_id.replace(":", "-").replace("..", "-").rstrip(".")
    return f"platform/{ref}/{request}-{revision[:12]}"


def ruleset_body(name: str, *, branch: str, bypass: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "target": "branch",
        "enforcement": "active",
        "bypass_actors": [{**bypass, "bypass_mode": "always"}],
        "conditions": {
            "ref_name": {"include": [f"refs/heads/{branch}", f"refs/heads/{branch}/**"], "exclude": []}
        },
        "rules": [{"type": rule} for rule in ("creation", "update", "deletion", "non_fast_forward")],
    }


def same_ruleset(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """GitHub adds fields and orders lists as it likes; what was asked for must be there and nothing looser."""

    def gist(ruleset: Mapping[str, Any]) -> tuple[Any, ...]:
        names = ruleset.get("conditions", {}).get("ref_name", {})
        return (
            ruleset.get("enforcement"),
            ruleset.get("target"),
            sorted(str(rule.get("type")) for rule in ruleset.get("rules", [])),
            sorted(names.get("include", [])),
            sorted(names.get("exclude", [])),
            sorted(
                (str(one.get("actor_type")), str(one.get("actor_id")))
                for one in ruleset.get("bypass_actors", [])
            ),
        )

    return gist(stored) == gist(wanted)
