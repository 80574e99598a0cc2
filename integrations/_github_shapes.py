"""GitHub's answers, as far as they are relied on, and what they mean as values of the port. Pure.

Fields that are not listed are ignored; a listed field that is missing makes the answer unreadable, never a default that lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel

from integrations._forge_api import Shape, parse_answer
from integrations._forge_mark import marked_request
from integrations._git_format import parse_trailers
from integrations._github_errors import BACKEND
from integrations._http import Answer, unreadable
from integrations.ports import ChangedFile, Commit, ComparisonStatus


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
        return marked_request(self.description)


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
    mode: str
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
    return parse_answer(answer, shape, backend=BACKEND)


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


def files_of(tree: TreeAnswer) -> dict[str, str]:
    """Path -> mode and hash: a script that lost its executable bit has changed."""
    return {entry.path: f"{entry.mode} {entry.sha}" for entry in tree.tree if entry.type != "tree"}


# ---------------------------------------------------------------- our ruleset


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
