"""Claims of kind postgresql: one database and one role of the same name, on the server of this machine.

The role carries the mark first: `CREATE ROLE` and its comment are one transaction, while `CREATE DATABASE` allows none. So a
database without a comment is ours when its owner carries our mark. The comment on the database is written last and means
that everything is in place.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bot.errors import BackendErrorKind, PermanentBackendError
from integrations._claim_files import (
    BACKEND,
    Mark,
    SecretFiles,
    already_exists,
    as_claim,
    claim_key,
    new_mark,
    parse_identifier,
    parse_mark,
)
from integrations._postgres_server import SUPERUSER, PostgresServer
from integrations._scram import scram_matches, scram_verifier
from integrations.ports import Claim, ClaimSpec, Phase

VARIABLE: Final = "DATABASE_URL"

_ROLES: Final = """
    SELECT r.rolname AS name, shobj_description(r.oid, 'pg_authid') AS comment, r.rolpassword AS verifier,
           r.rolcanlogin AS can_login, d.oid IS NOT NULL AS has_database, d.datdba = r.oid AS owns_database,
           shobj_description(d.oid, 'pg_database') AS database_comment
      FROM pg_authid r LEFT JOIN pg_database d ON d.datname = r.rolname
"""
_TABLES: Final = """
    SELECT format('%I.%I', n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'
     ORDER BY 1
"""


@dataclass(frozen=True)
class Role:
    """What the server knows of a name. `database_comment` None with a database: its creation was interrupted."""

    name: str
    mark: Mark | None
    verifier: str | None
    can_login: bool
    has_database: bool
    owns_database: bool
    database_comment: str | None

    @property
    def is_complete(self) -> bool:
        return self.has_database and self.can_login and parse_mark(self.database_comment) == self.mark


def parse_role(row: Any) -> Role:
    return Role(
        name=row["name"],
        mark=parse_mark(row["comment"]),
        verifier=row["verifier"],
        can_login=row["can_login"],
        has_database=row["has_database"],
        owns_database=bool(row["owns_database"]),
        database_comment=row["database_comment"],
    )


def parse_password(url: str | None) -> str | None:
    """The password in a secret file; None where there is none to be kept."""
    return (urlsplit(url).password or None) if url else None


def database_url(identifier: str, *, password: str, port: int) -> str:
    return f"postgresql://{identifier}:{password}@127.0.0.1:{port}/{identifier}"


class PostgresClaims:
    """Every call starts the server when it is not running."""

    def __init__(self, server: PostgresServer, files: SecretFiles) -> None:
        self._server = server
        self._files = files
        # Creating is read, compare, write; two at once would both read "nothing there".
        self._lock = asyncio.Lock()

    async def ensure(self, spec: ClaimSpec, *, request_id: str) -> Claim:
        key = claim_key(spec.name, spec.environment)
        identifier = parse_identifier(key)
        mark = new_mark(spec, request_id=request_id)
        async with self._lock:
            await self._server.ensure_running()
            async with self._server.connect() as connection:
                role = await self._find(connection, identifier)
                await _refuse_foreign(connection, role, identifier, spec=spec, request_id=request_id)
                password = self._keep_password(key, identifier)
                await _ensure_role(connection, role, identifier, password=password, mark=mark)
                await _ensure_database(connection, identifier, mark=mark)
        return self._claim(mark, identifier, phase=Phase.READY)

    async def get(self, name: str, environment: str) -> Claim | None:
        key = claim_key(name, environment)
        if not self._server.has_data:
            return None
        await self._server.ensure_running()
        async with self._server.connect() as connection:
            role = await self._find(connection, parse_identifier(key))
        if (
            role is None
            or role.mark is None
            or (role.mark.claim, role.mark.environment) != (name, environment)
        ):
            return None
        return self._describe(role, role.mark)

    async def list_all(self) -> Sequence[Claim]:
        if not self._server.has_data:
            return []
        await self._server.ensure_running()
        async with self._server.connect() as connection:
            rows = await connection.fetch(_ROLES + " ORDER BY r.rolname")
        roles = [parse_role(row) for row in rows]
        return [self._describe(each, each.mark) for each in roles if each.mark]

    async def remove(self, name: str, environment: str, *, request_id: str) -> None:
        """Raises PermanentBackendError(DENIED) while the database holds anything."""
        key = claim_key(name, environment)
        identifier = parse_identifier(key)
        async with self._lock:
            if not self._server.has_data:
                return
            await self._server.ensure_running()
            async with self._server.connect() as connection:
                role = await self._find(connection, identifier)
                if role is None or role.mark is None or role.mark.request_id != request_id:
                    return
                if role.has_database and role.owns_database:
                    await self._drop_database(connection, identifier)
                await connection.execute(f'DROP ROLE IF EXISTS "{identifier}"')
            self._files.remove(key)

    async def _drop_database(self, connection: Any, identifier: str) -> None:
        # First nobody may write any more, then it is looked at: nothing can be added in between.
        await connection.execute(f'ALTER ROLE "{identifier}" NOLOGIN')
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", identifier
        )
        async with self._server.connect(identifier) as inside:
            filled = await _filled_tables(inside)
        if filled:
            await connection.execute(f'ALTER ROLE "{identifier}" LOGIN')
            raise PermanentBackendError(
                f"Data at stake: database {identifier} has rows in {', '.join(filled[:5])}.",
                backend=BACKEND,
                kind=BackendErrorKind.DENIED,
                fix=f"Keep what matters, then delete it by hand as {SUPERUSER} on port {self._server.port}: "
                f"`DROP DATABASE {identifier} WITH (FORCE); DROP ROLE {identifier};`",
            )
        await connection.execute(f'DROP DATABASE "{identifier}" WITH (FORCE)')

    async def _find(self, connection: Any, identifier: str) -> Role | None:
        row = await connection.fetchrow(_ROLES + " WHERE r.rolname = $1", identifier)
        return parse_role(row) if row is not None else None

    def _keep_password(self, key: str, identifier: str) -> str:
        """Made once. The file comes first: a role whose password nobody knows would be the worse half."""
        path = self._files.path(key, VARIABLE)
        known = self._files.read(path)
        password = parse_password(known) or secrets.token_urlsafe(24)
        url = database_url(identifier, password=password, port=self._server.port)
        if known != url:
            self._files.write(path, url)
        return password

    def _describe(self, role: Role, mark: Mark) -> Claim:
        path = self._files.path(claim_key(mark.claim, mark.environment), VARIABLE)
        password = parse_password(self._files.read(path))
        if role.is_complete and password is not None and scram_matches(role.verifier, password):
            return self._claim(mark, role.name, phase=Phase.READY)
        message = "Its secret file is missing." if password is None else "It is not completely set up."
        return self._claim(mark, role.name, phase=Phase.PENDING, message=message)

    def _claim(self, mark: Mark, identifier: str, *, phase: Phase, message: str = "") -> Claim:
        path: Path = self._files.path(claim_key(mark.claim, mark.environment), VARIABLE)
        return as_claim(mark, phase=phase, secret=path, external_id=identifier, message=message)


async def _refuse_foreign(
    connection: Any, role: Role | None, identifier: str, *, spec: ClaimSpec, request_id: str
) -> None:
    if role is None:
        if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", identifier):
            raise already_exists(f"Database {identifier}")
        return
    if role.mark is None or not role.mark.is_of(spec, request_id):
        raise already_exists(f"Role {identifier}")
    if role.has_database and not role.owns_database:
        raise already_exists(f"Database {identifier}")


async def _ensure_role(
    connection: Any, role: Role | None, identifier: str, *, password: str, mark: Mark
) -> None:
    if role is not None and role.can_login and scram_matches(role.verifier, password):
        return
    verifier = scram_verifier(password, salt=secrets.token_bytes(16))
    verb = "CREATE" if role is None else "ALTER"
    async with connection.transaction():
        await connection.execute(f"{verb} ROLE \"{identifier}\" LOGIN PASSWORD '{verifier}'")
        await _comment(connection, "ROLE", identifier, mark)


async def _ensure_database(connection: Any, identifier: str, *, mark: Mark) -> None:
    row = await connection.fetchrow(
        "SELECT shobj_description(oid, 'pg_database') AS comment FROM pg_database WHERE datname = $1",
        identifier,
    )
    if row is None:
        await connection.execute(f'CREATE DATABASE "{identifier}" OWNER "{identifier}"')
    if row is None or parse_mark(row["comment"]) != mark:
        # Otherwise every other service's role could connect.
        await connection.execute(f'REVOKE CONNECT, TEMPORARY ON DATABASE "{identifier}" FROM PUBLIC')
        await _comment(connection, "DATABASE", identifier, mark)


async def _comment(connection: Any, what: str, identifier: str, mark: Mark) -> None:
    """COMMENT takes no parameters, so the server itself quotes the text."""
    text = mark.model_dump_json(by_alias=True)
    statement = await connection.fetchval(
        "SELECT format('COMMENT ON %s %I IS %L', $1::text, $2::text, $3::text)", what, identifier, text
    )
    await connection.execute(statement)


async def _filled_tables(inside: Any) -> list[str]:
    """Tables with at least one row, and large objects; names are quoted by the server."""
    filled = []
    for record in await inside.fetch(_TABLES):
        if await inside.fetchval(f"SELECT EXISTS (SELECT 1 FROM {record[0]})"):  # noqa: S608 - quoted by the server
            filled.append(record[0])  # noqa: PERF401 - one question at a time on one connection
    if await inside.fetchval("SELECT EXISTS (SELECT 1 FROM pg_largeobject_metadata)"):
        filled.append("large objects")
    return filled
