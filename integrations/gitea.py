"""Code host on Gitea or Forgejo: what the port offers, put together from its parts.

Holds no state of its own but the name of its account: Gitea is asked every time. Must not know commands, requests or Slack.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bot.errors import BackendErrorKind, StartError
from integrations import _forge_release, _gitea_check
from integrations._breaker import Breaker
from integrations._gitea_api import Api, Client, TokenDialect
from integrations._gitea_compare import compare
from integrations._gitea_errors import BACKEND, REFUSALS, refuse
from integrations._gitea_git import Commits, RepositoryHistory
from integrations._gitea_repository import Blueprint, Repositories
from integrations._gitea_shapes import RepositoryAnswer
from integrations._gitea_webhook import GiteaHooks
from integrations._hook_secrets import HookSecrets
from integrations._http import Http, Limits, Timing
from integrations.ports import (
    Commit,
    Comparison,
    Finding,
    Marked,
    ReleaseRef,
    RenderedTree,
    Repository,
    Surroundings,
)

PORT: Final = "code_host"


class Settings(BaseModel):
    """The `code_host` section of platform.yml. Secrets are named here, never written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field(
        pattern=r"^https://[^\s?#]+$",
        description="Where people open Gitea or Forgejo, such as https://git.example.com.",
    )
    organisation: str = Field(
        pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,38}[A-Za-z0-9])?$",
        description="The organisation that owns the repositories.",
    )
    token: str = Field(
        default="GITEA_TOKEN", min_length=1, description="Variable that holds the token of the bot's account."
    )
    private: bool = Field(default=True, description="Whether new repositories are private.")
    default_branch: str = Field(default="main", min_length=1, description="Of new repositories.")
    release_branch: str = Field(
        default="release", min_length=1, description="Moved by promotion only, and so are branches below it."
    )
    protect_release: bool = Field(
        default=True, description="Let nobody but the bot's account move the release branch."
    )
    topics: tuple[str, ...] = Field(
        default=(), description="Topics of new repositories, besides platform-managed."
    )
    teams: Mapping[str, str] = Field(
        default_factory=dict, description="Team of the platform: its name on Gitea, where they differ."
    )
    grant_team: bool = Field(
        default=True, description="Give the team its repository; what it may do there is said by the team."
    )
    undo: Literal["archive", "delete"] = Field(
        default="archive", description="What undoing a creation does with the repository."
    )
    webhook_secrets: tuple[str, ...] = Field(
        default=("GITEA_WEBHOOK_SECRET",),
        description="Variables that hold the webhook's secret; two while one is being replaced.",
    )
    read_seconds: float = Field(default=15.0, gt=0, le=120, description="Longest wait for an answer.")
    patience_seconds: float = Field(
        default=20.0, ge=0, le=120, description="Longest wait for another try within one call."
    )
    concurrency: int = Field(default=8, ge=1, le=50, description="Calls at the same time.")
    breaker_failures: int = Field(
        default=5, ge=1, description="Failures in a row after which Gitea is left alone."
    )
    breaker_pause_seconds: float = Field(default=30.0, gt=0, le=600, description="For how long.")

    @field_validator("base_url")
    @classmethod
    def _without_api(cls, url: str) -> str:
        """People copy the address of the API from its documentation; git's own lies beside it."""
        return url.rstrip("/").removesuffix("/api/v1")

    @property
    def limits(self) -> Limits:
        return Limits(
            read_seconds=self.read_seconds,
            patience_seconds=self.patience_seconds,
            concurrency=self.concurrency,
        )

    @property
    def blueprint(self) -> Blueprint:
        return Blueprint(
            organisation=self.organisation,
            private=self.private,
            default_branch=self.default_branch,
            topics=self.topics,
            teams=self.teams,
            grant_team=self.grant_team,
            release_branch=self.release_branch,
            protect_release=self.protect_release,
        )


class Gitea:
    """Implements `integrations.ports.CodeHost`, `Inventory` and `Hooked`."""

    def __init__(self, settings: Settings, api: Api, *, hooks: GiteaHooks) -> None:
        self.hooks = hooks
        self._settings = settings
        self._api = api
        self._repositories = Repositories(api, settings.blueprint, undo=settings.undo)
        self._commits = Commits(api, release_branch=settings.release_branch)

    async def check(self) -> Sequence[Finding]:
        wanted = _gitea_check.Wanted(
            organisation=self._settings.organisation,
            grants_teams=self._settings.grant_team,
            deletes=self._settings.undo == "delete",
        )
        return [*await _gitea_check.findings(self._api, wanted), self.hooks.finding()]

    def breaker_state(self) -> str:
        return self._api.http.breaker_state()

    async def find_repository(self, name: str) -> Repository | None:
        found = await self._repositories.find(name)
        return None if found is None else _repository(name, found)

    async def ensure_repository(
        self, name: str, *, description: str, team: str, request_id: str
    ) -> Repository:
        made = await self._repositories.ensure(
            name, description=description, team=team, request_id=request_id
        )
        return _repository(name, made)

    async def remove_repository(self, name: str, *, request_id: str) -> None:
        await self._repositories.remove(name, request_id=request_id)

    async def ensure_first_commit(
        self, name: str, tree: RenderedTree, *, message: str, request_id: str
    ) -> Commit:
        repository = await self._repositories.managed(name)
        if repository.request_id != request_id:
            raise refuse(
                f"The repository {name} belongs to another request.", BackendErrorKind.ALREADY_EXISTS
            )
        return await self._commits.ensure_first(repository, tree, message=message, request_id=request_id)

    async def find_commit(self, name: str, revision: str) -> Commit | None:
        found = await self._repositories.find(name)
        return None if found is None else await self._commits.find(found, revision)

    async def compare(self, name: str, *, base: str | None, head: str) -> Comparison:
        found = await self._repositories.find(name)
        return await compare(self._api, self._commits, found, name=name, base=base, head=head)

    async def find_release(self, name: str, ref: str) -> ReleaseRef | None:
        REFUSALS.check_ref(ref)
        found = await self._repositories.find(name)
        return None if found is None else await _forge_release.find_release(self._history(found), ref)

    async def move_release(
        self, name: str, ref: str, *, revision: str, expected: str | None, request_id: str
    ) -> ReleaseRef:
        repository = await self._repositories.managed(name)
        return await _forge_release.move_release(
            self._history(repository), ref, revision=revision, expected=expected, request_id=request_id
        )

    async def list_marked(self) -> Sequence[Marked]:
        return [
            Marked("repository", one.name, one.request_id or "", place=one.html_url)
            for one in await self._repositories.marked()
        ]

    def _history(self, repository: RepositoryAnswer) -> RepositoryHistory:
        return RepositoryHistory(self._api, self._commits, repository)


def _repository(name: str, found: RepositoryAnswer) -> Repository:
    return Repository(
        name=name,
        clone_url=found.clone_url,
        web_url=found.html_url,
        default_branch=found.default_branch,
        request_id=found.request_id,
    )


def connect(
    settings: Settings, secrets: Mapping[str, str], client: Client, *, timing: Timing | None = None
) -> Gitea:
    """`client.base_url` is that of the settings. Raises StartError where the token is missing."""
    if not secrets.get(settings.token):
        raise StartError(
            "Gitea: the token is missing.",
            fix=f"Set the environment variable {settings.token}, or {settings.token}_FILE to a file that holds it.",
        )
    dialect = TokenDialect(secrets[settings.token].strip())
    breaker = Breaker(
        BACKEND, failures=settings.breaker_failures, pause_seconds=settings.breaker_pause_seconds
    )
    http = Http(client, dialect, breaker=breaker, limits=settings.limits, timing=timing)
    hooks = GiteaHooks(HookSecrets.of(settings.webhook_secrets, secrets), organisation=settings.organisation)
    return Gitea(settings, Api(http, dialect=dialect), hooks=hooks)


@asynccontextmanager
async def open(settings: Settings, surroundings: Surroundings) -> AsyncIterator[Gitea]:  # noqa: A001 - the port's word
    async with Client(base_url=settings.base_url) as client:
        yield connect(settings, surroundings.secrets, client)
