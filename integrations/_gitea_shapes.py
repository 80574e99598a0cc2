"""Gitea's answers, as far as they are relied on, and what they mean as values of the port. Pure.

Fields that are not listed are ignored; a listed field that is missing makes the answer unreadable, never a default that lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel

from integrations._forge_mark import marked_request
from integrations._forge_release import Tip
from integrations.ports import Commit


class Owner(BaseModel):
    login: str


class RepositoryAnswer(BaseModel):
    id: int
    name: str
    owner: Owner
    html_url: str
    clone_url: str
    default_branch: str
    description: str
    archived: bool
    topics: tuple[str, ...] | None = None

    @property
    def path(self) -> str:
        return f"/repos/{self.owner.login}/{self.name}"

    @property
    def request_id(self) -> str | None:
        return marked_request(self.description)


class GitObject(BaseModel):
    sha: str
    type: str


class RefAnswer(BaseModel):
    ref: str
    object: GitObject


class TagAnswer(BaseModel):
    object: GitObject


class ShaAnswer(BaseModel):
    sha: str


class Signature(BaseModel):
    name: str
    email: str
    date: datetime


class CommitDetails(BaseModel):
    message: str
    author: Signature | None
    tree: ShaAnswer


class CommitAnswer(BaseModel):
    """`GET git/commits/{sha}` and the items of lists of commits."""

    sha: str
    commit: CommitDetails


class TreeEntry(BaseModel):
    path: str
    mode: str
    type: str
    sha: str


class TreeAnswer(BaseModel):
    tree: tuple[TreeEntry, ...] | None
    truncated: bool


class AccountAnswer(BaseModel):
    login: str
    email: str


class OrganisationAnswer(BaseModel):
    name: str
    repo_admin_change_team_access: bool


class OrganisationPermissions(BaseModel):
    can_create_repository: bool
    is_owner: bool


class VersionAnswer(BaseModel):
    version: str


# ---------------------------------------------------------------- reading


def commit_of(answer: CommitAnswer) -> Commit:
    author = answer.commit.author
    return Commit(
        sha=answer.sha,
        subject=answer.commit.message.strip().split("\n", 1)[0],
        author_name=author.name if author else "",
        author_email=author.email if author else "",
        authored_at=author.date.astimezone(UTC) if author else datetime.fromtimestamp(0, UTC),
    )


def tip_of(answer: CommitAnswer) -> Tip:
    return Tip(answer.sha, answer.commit.tree.sha, answer.commit.message)


def files_of(entries: Iterable[TreeEntry]) -> dict[str, str]:
    """Path -> mode and hash: a script that lost its executable bit has changed."""
    return {entry.path: f"{entry.mode} {entry.sha}" for entry in entries if entry.type != "tree"}


# ---------------------------------------------------------------- protection

_CLOSED: Final[Mapping[str, Any]] = {
    "enable_push": True,
    "enable_push_whitelist": True,
    "push_whitelist_teams": [],
    "push_whitelist_deploy_keys": False,
    "enable_merge_whitelist": True,
    "merge_whitelist_teams": [],
    # Gitea lets anybody push commits that touch only files of such a pattern.
    "unprotected_file_patterns": "",
    # Forced pushes and administrators who overrule: fields that older servers do not know and ignore.
    "enable_force_push": False,
    "block_admin_merge_override": True,
}


def protection_body(rule: str, *, account: str) -> dict[str, Any]:
    """Nobody but the bot's account creates, moves or merges into the branches the rule names; nobody deletes them."""
    return {
        "rule_name": rule,
        **_CLOSED,
        "push_whitelist_usernames": [account],
        "merge_whitelist_usernames": [account],
    }


def same_protection(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Gitea adds fields; what was asked for must be there, unless this server does not know the field."""
    return all(_plain(stored.get(key, value)) == _plain(value) for key, value in wanted.items())


def _plain(value: Any) -> Any:
    """An empty list comes back as null, and names in any order and case."""
    if value is None or isinstance(value, list):
        return sorted(str(one).lower() for one in value or [])
    return value
