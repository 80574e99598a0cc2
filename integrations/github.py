"""Code host on GitHub, github.com or Enterprise Server: what the port offers, put together from its parts.

Holds no state of its own but tokens and ETags: GitHub is asked every time. Must not know commands, requests or Slack.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field

from bot.errors import BackendErrorKind, StartError
from integrations import _github_check
from integrations._breaker import Breaker
from integrations._github_api import Api
from integrations._github_auth import (
    AppDialect,
    InstallationDialect,
    Signer,
    TokenDialect,
    sign_rs256,
)
from integrations._github_compare import compare
from integrations._github_deployments import Deployments
from integrations._github_errors import BACKEND, refuse
from integrations._github_git import Commits
from integrations._github_release import Releases
from integrations._github_repository import Blueprint, Repositories
from integrations._github_shapes import RepositoryAnswer
from integrations._github_webhook import GitHubHooks
from integrations._hook_secrets import HookSecrets
from integrations._http import Http, Limits, Timing
from integrations.ports import (
    Commit,
    Comparison,
    DeploymentState,
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

    organisation: str = Field(
        pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})$",
        description="The organisation that owns the repositories.",
    )
    base_url: str = Field(
        default="https://api.github.com",
        pattern=r"^https://[^\s?#]+$",
        description="The API; Enterprise Server: https://HOST/api/v3.",
    )
    app_id: str | None = Field(
        default=None, pattern=r"^[0-9]+$", description="Id of the GitHub App; without it a token is used."
    )
    installation_id: int | None = Field(
        default=None, gt=0, description="Its installation; looked up where it is not given."
    )
    private_key: str = Field(
        default="GITHUB_APP_PRIVATE_KEY",
        min_length=1,
        description="Variable that holds the App's private key.",
    )
    token: str = Field(
        default="GITHUB_TOKEN",
        min_length=1,
        description="Variable that holds the token, where there is no App.",
    )
    api_version: str = Field(
        default="2022-11-28", pattern=r"^\d{4}-\d{2}-\d{2}$", description="X-GitHub-Api-Version."
    )
    visibility: Literal["private", "internal", "public"] = Field(
        default="private", description="Of new repositories."
    )
    default_branch: str = Field(default="main", min_length=1, description="Of new repositories.")
    release_branch: str = Field(
        default="release", min_length=1, description="Moved by promotion only, and so are branches below it."
    )
    protect_release: bool = Field(
        default=True,
        description="Put a ruleset on the release branch (private repositories: needs a paid plan).",
    )
    topics: tuple[str, ...] = Field(
        default=(), description="Topics of new repositories, besides platform-managed."
    )
    teams: Mapping[str, str] = Field(
        default_factory=dict, description="Team of the platform: its slug on GitHub, where they differ."
    )
    team_permission: Literal["pull", "triage", "push", "maintain", "admin", "none"] = Field(
        default="push", description="What the team may do with its repository."
    )
    environments: tuple[str, ...] = Field(default=(), description="GitHub environments of new repositories.")
    undo: Literal["archive", "delete"] = Field(
        default="archive", description="What undoing a creation does with the repository."
    )
    webhook_secrets: tuple[str, ...] = Field(
        default=("GITHUB_WEBHOOK_SECRET",),
        description="Variables that hold the webhook's secret; two while one is being replaced.",
    )
    read_seconds: float = Field(default=15.0, gt=0, le=120, description="Longest wait for an answer.")
    patience_seconds: float = Field(
        default=20.0, ge=0, le=120, description="Longest wait for another try within one call."
    )
    write_gap_seconds: float = Field(
        default=1.0, ge=0, le=60, description="Pause between two writes; GitHub asks for one second."
    )
    concurrency: int = Field(default=8, ge=1, le=50, description="Calls at the same time.")
    breaker_failures: int = Field(
        default=5, ge=1, description="Failures in a row after which GitHub is left alone."
    )
    breaker_pause_seconds: float = Field(default=30.0, gt=0, le=600, description="For how long.")

    @property
    def graphql_url(self) -> str:
        """api.github.com/graphql, but HOST/api/graphql beside HOST/api/v3."""
        return f"{self.base_url.rstrip('/').removesuffix('/v3')}/graphql"

    @property
    def limits(self) -> Limits:
        return Limits(
            read_seconds=self.read_seconds,
            patience_seconds=self.patience_seconds,
            concurrency=self.concurrency,
            mutation_gap_seconds=self.write_gap_seconds,
        )

    @property
    def blueprint(self) -> Blueprint:
        return Blueprint(
            organisation=self.organisation,
            visibility=self.visibility,
            default_branch=self.default_branch,
            topics=self.topics,
            teams=self.teams,
            team_permission=None if self.team_permission == "none" else self.team_permission,
            release_branch=self.release_branch,
            bypass=_github_check.bypass_actor(self.app_id) if self.protect_release else None,
            environments=self.environments,
        )


class GitHub:
    """Implements `integrations.ports.CodeHost`, `DeploymentReports`, `Inventory` and `Hooked`."""

    def __init__(
        self,
        settings: Settings,
        http: Http,
        *,
        hooks: GitHubHooks,
        installation: InstallationDialect | None,
    ) -> None:
        self.hooks = hooks
        self._settings = settings
        self._installation = installation
        self._api = Api(http, graphql_url=settings.graphql_url)
        self._repositories = Repositories(self._api, settings.blueprint, undo=settings.undo)
        self._commits = Commits(self._api, release_branch=settings.release_branch)
        self._releases = Releases(self._api, self._commits)
        self._deployments = Deployments(self._api)

    async def check(self) -> Sequence[Finding]:
        found = await _github_check.findings(
            self._api, organisation=self._settings.organisation, installation=self._installation
        )
        return [*found, self.hooks.finding()]

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
        return await compare(self._commits, found, name=name, base=base, head=head)

    async def find_release(self, name: str, ref: str) -> ReleaseRef | None:
        found = await self._repositories.find(name)
        return None if found is None else await self._releases.find(found, ref)

    async def move_release(
        self, name: str, ref: str, *, revision: str, expected: str | None, request_id: str
    ) -> ReleaseRef:
        repository = await self._repositories.managed(name)
        return await self._releases.move(
            repository, ref, revision=revision, expected=expected, request_id=request_id
        )

    # ------------------------------------------------------------ beside the port

    async def list_marked(self) -> Sequence[Marked]:
        return [
            Marked("repository", one.name, one.request_id or "", place=one.html_url)
            for one in await self._repositories.marked()
        ]

    async def report_deployment(
        self,
        name: str,
        *,
        revision: str,
        environment: str,
        state: DeploymentState,
        operation: str,
        url: str = "",
    ) -> None:
        repository = await self._repositories.managed(name)
        await self._deployments.show(
            repository, state, revision=revision, environment=environment, operation=operation, url=url
        )


def _repository(name: str, found: RepositoryAnswer) -> Repository:
    return Repository(
        name=name,
        clone_url=found.clone_url,
        web_url=found.html_url,
        default_branch=found.default_branch,
        request_id=found.request_id,
    )


def connect(
    settings: Settings,
    secrets: Mapping[str, str],
    client: httpx.AsyncClient,
    *,
    timing: Timing | None = None,
    signer: Signer = sign_rs256,
) -> GitHub:
    """`client.base_url` is the API. Raises StartError where a secret is missing."""
    timing = timing or Timing()
    breaker = Breaker(
        BACKEND, failures=settings.breaker_failures, pause_seconds=settings.breaker_pause_seconds
    )
    hooks = GitHubHooks(HookSecrets.of(settings.webhook_secrets, secrets), organisation=settings.organisation)
    if settings.app_id is None:
        token = TokenDialect(settings.api_version, _secret(secrets, settings.token, "token"))
        http = Http(client, token, breaker=breaker, limits=settings.limits, timing=timing)
        return GitHub(settings, http, hooks=hooks, installation=None)
    # Environment variables often carry a key's line breaks as \n.
    key = _secret(secrets, settings.private_key, "private key of the App").replace("\\n", "\n")
    app = AppDialect(settings.api_version, settings.app_id, key, signer, timing)
    installation = InstallationDialect(
        Http(client, app, breaker=breaker, limits=settings.limits, timing=timing),
        api_version=settings.api_version,
        organisation=settings.organisation,
        installation_id=settings.installation_id,
    )
    http = Http(client, installation, breaker=breaker, limits=settings.limits, timing=timing)
    return GitHub(settings, http, hooks=hooks, installation=installation)


def _secret(secrets: Mapping[str, str], variable: str, what: str) -> str:
    if not secrets.get(variable):
        raise StartError(
            f"GitHub: the {what} is missing.",
            fix=f"Set the environment variable {variable}, or {variable}_FILE to a file that holds it.",
        )
    return secrets[variable].strip()


@asynccontextmanager
async def open(settings: Settings, surroundings: Surroundings) -> AsyncIterator[GitHub]:  # noqa: A001 - the port's word
    async with httpx.AsyncClient(base_url=settings.base_url) as client:
        yield connect(settings, surroundings.secrets, client)
