"""A forge's REST API by shape: read one object, write, and see for oneself that it was done.

Knows how a forge is asked, not which one. Paths, refs and pages are the forge's own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from integrations._forge_refusals import Refusals
from integrations._http import Answer, Call, Http, unreadable

Shape = TypeVar("Shape")

MISSING: Final = frozenset({404})
SETTLING_SECONDS: Final = (0.5, 1.0, 2.0)
"""Forges read from replicas and work in queues: what was just written may be seen a moment later."""
WRITE_SECONDS: Final = 30.0


def segment(text: str) -> str:
    return quote(text, safe="")


def ref_path(text: str) -> str:
    return quote(text, safe="/")


def parse_answer(answer: Answer, shape: type[Shape], *, backend: str) -> Shape:
    """Raises TemporaryBackendError: what cannot be read is neither yes nor no."""
    try:
        return TypeAdapter(shape).validate_json(answer.content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise unreadable(backend, f"{first['type']} {where}".strip()) from error


class ForgeApi:
    """`base` stands before every path."""

    def __init__(self, http: Http, *, base: str = "") -> None:
        self.http = http
        self._base = base
        self._refusals = Refusals(http.backend)

    def parse(self, answer: Answer, shape: type[Shape]) -> Shape:
        return parse_answer(answer, shape, backend=self.http.backend)

    async def find(
        self,
        path: str,
        shape: type[Shape],
        *,
        params: Mapping[str, str] | None = None,
        missing: frozenset[int] = MISSING,
        read_seconds: float | None = None,
    ) -> Shape | None:
        """None for the statuses in `missing`."""
        call = Call("GET", self._base + path, params=params or {}, accept=missing, read_seconds=read_seconds)
        answer = await self.http.send(call)
        return None if answer.status in missing else self.parse(answer, shape)

    async def get(
        self,
        path: str,
        shape: type[Shape],
        *,
        params: Mapping[str, str] | None = None,
        read_seconds: float | None = None,
    ) -> Shape:
        call = Call("GET", self._base + path, params=params or {}, read_seconds=read_seconds)
        return self.parse(await self.http.send(call), shape)

    async def write(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        repeatable: bool,
        accept: frozenset[int] = frozenset(),
    ) -> Answer:
        """`repeatable`: doing it twice is the same as once, so that a lost answer is asked for again."""
        call = Call(
            method,
            path if "://" in path else self._base + path,
            body=body,
            repeatable=repeatable,
            accept=accept,
            read_seconds=WRITE_SECONDS,
        )
        return await self.http.send(call)

    async def settled(self, path: str, shape: type[Shape], *, what: str) -> Shape:
        """What was just written, as soon as it can be read. Raises TemporaryBackendError(NOT_READY) where it is not."""
        for pause in (*SETTLING_SECONDS, None):
            if (found := await self.find(path, shape, missing=frozenset({404, 409}))) is not None:
                return found
            if pause is not None:
                await self.http.wait(pause)
        raise self._unseen(what)

    async def make_true(
        self, holds: Callable[[], Awaitable[bool]], write: Callable[[], Awaitable[object]], *, what: str
    ) -> None:
        """Read, compare, write, and read again: a forge's yes alone is no proof."""
        if await holds():
            return
        await write()
        for pause in (*SETTLING_SECONDS, None):
            if await holds():
                return
            if pause is not None:
                await self.http.wait(pause)
        raise self._unseen(what)

    def _unseen(self, what: str) -> Exception:
        return self._refusals.not_ready(f"{self.http.backend} said yes, but {what} is not there.")
