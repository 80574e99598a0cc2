"""Claims of kind redis: a database number on a Redis server that the operator runs.

Honest about what it is: one server and one password for all, told apart by a number only. Enough to try a service out, no
separation between teams. Numbers are kept in a file, because Redis has no place for a mark.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations._claim_files import (
    BACKEND,
    Mark,
    SecretFiles,
    already_exists,
    as_claim,
    claim_key,
    new_mark,
)
from integrations._files import write_atomically
from integrations.ports import Claim, ClaimSpec, Phase

VARIABLE: Final = "REDIS_URL"
NUMBERS: Final = range(1, 16)
"""0 is what people use by hand; 16 databases is Redis's default."""
_DEADLINE_SECONDS: Final = 3.0


def encode_command(*words: str) -> bytes:
    """The Redis serialisation protocol: an array of strings, so that no word needs quoting."""
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(each), each) for each in parts)


def parse_reply(line: bytes) -> str:
    """A simple string or a number. Raises PermanentBackendError for an error reply or a reply not asked for."""
    kind, text = line[:1], line[1:].decode("utf-8", "replace").strip()
    if kind in {b"+", b":"}:
        return text
    raise PermanentBackendError(f"Redis refused: {text}", backend=BACKEND, kind=BackendErrorKind.INVALID)


def parse_server(url: str) -> SplitResult:
    """Raises PermanentBackendError(INVALID) for what is not a redis:// or rediss:// address."""
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
        raise PermanentBackendError(
            "The configured Redis URL is not one.",
            backend=BACKEND,
            kind=BackendErrorKind.INVALID,
            fix="It looks like redis://:password@host:6379.",
        )
    return parts


class RedisClaims:
    def __init__(self, url: str, *, numbers_file: Path, files: SecretFiles) -> None:
        self._server = parse_server(url)
        self._numbers_file = numbers_file
        self._files = files
        self._lock = asyncio.Lock()

    async def ensure(self, spec: ClaimSpec, *, request_id: str) -> Claim:
        key = claim_key(spec.name, spec.environment)
        async with self._lock:
            marks = self._read()
            number = _number_of(marks, spec.name, spec.environment)
            if number is None:
                number = await self._choose_number(marks)
                self._write({**marks, number: new_mark(spec, request_id=request_id)})
            elif not marks[number].is_of(spec, request_id):
                raise already_exists(f"Claim {key}")
            url = urlunsplit(self._server._replace(path=f"/{number}", query="", fragment=""))
            path = self._files.path(key, VARIABLE)
            if self._files.read(path) != url:
                self._files.write(path, url)
        return self._claim(new_mark(spec, request_id=request_id), number)

    async def get(self, name: str, environment: str) -> Claim | None:
        marks = self._read()
        number = _number_of(marks, name, environment)
        return self._claim(marks[number], number) if number is not None else None

    async def list_all(self) -> Sequence[Claim]:
        return [self._claim(mark, number) for number, mark in self._read().items()]

    async def remove(self, name: str, environment: str, *, request_id: str) -> None:
        async with self._lock:
            marks = self._read()
            number = _number_of(marks, name, environment)
            if number is None or marks[number].request_id != request_id:
                return
            if size := await self._size(number):
                raise PermanentBackendError(
                    f"Data at stake: Redis database {number} holds {size} keys.",
                    backend=BACKEND,
                    kind=BackendErrorKind.DENIED,
                    fix=f"Keep what matters, then delete it by hand: `redis-cli -n {number} FLUSHDB`.",
                )
            self._write({each: mark for each, mark in marks.items() if each != number})
            self._files.remove(claim_key(name, environment))

    async def ping(self) -> None:
        """Raises BackendError when the server cannot be used."""
        async with self._session() as (reader, writer):
            await _ask(reader, writer, "PING")

    async def _choose_number(self, marks: dict[int, Mark]) -> int:
        for number in NUMBERS:
            # A number with keys in it is somebody's, though no claim says so.
            if number not in marks and await self._size(number) == 0:
                return number
        raise PermanentBackendError(
            f"All {len(NUMBERS)} Redis databases are taken.",
            backend=BACKEND,
            kind=BackendErrorKind.DENIED,
            fix="Remove a claim nobody needs, or configure another server.",
        )

    async def _size(self, number: int) -> int:
        async with self._session() as (reader, writer):
            await _ask(reader, writer, "SELECT", str(number))
            return int(await _ask(reader, writer, "DBSIZE"))

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        server = self._server
        secure = ssl.create_default_context() if server.scheme == "rediss" else None
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                reader, writer = await asyncio.open_connection(
                    server.hostname, server.port or 6379, ssl=secure
                )
                with contextlib.closing(writer):
                    if server.password:
                        user = [unquote(server.username)] if server.username else []
                        await _ask(reader, writer, "AUTH", *user, unquote(server.password))
                    yield reader, writer
        except OSError as error:
            raise TemporaryBackendError(f"Redis does not answer: {error}", backend=BACKEND) from error

    def _read(self) -> dict[int, Mark]:
        try:
            rows = json.loads(self._numbers_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return {int(number): Mark.model_validate(mark) for number, mark in rows.items()}

    def _write(self, marks: dict[int, Mark]) -> None:
        rows = {str(number): mark.model_dump(by_alias=True) for number, mark in sorted(marks.items())}
        write_atomically(self._numbers_file, json.dumps(rows, indent=2))

    def _claim(self, mark: Mark, number: int) -> Claim:
        path = self._files.path(claim_key(mark.claim, mark.environment), VARIABLE)
        message = "Shares a server with other services; told apart by the database number only."
        return as_claim(mark, phase=Phase.READY, secret=path, external_id=f"db{number}", message=message)


def _number_of(marks: dict[int, Mark], name: str, environment: str) -> int | None:
    matches = (n for n, mark in marks.items() if (mark.claim, mark.environment) == (name, environment))
    return next(matches, None)


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *words: str) -> str:
    writer.write(encode_command(*words))
    await writer.drain()
    line = await reader.readline()
    if not line:
        raise ConnectionResetError("the connection was closed")
    return parse_reply(line)
