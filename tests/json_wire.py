"""A backend at the transport: answers what its handler says, keeps what it was asked, and can fail in every way a network can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from fake_github_state import Clock

from integrations._http import Timing
from integrations.ports import Entity, Surroundings

Handler = Callable[[httpx.Request], httpx.Response]
BREAKER_FAILURES = 5


@dataclass
class JsonWire:
    """`faults` happen first, one for each request; None lets the next one through. `lost`: executed, the answer never arrives."""

    handler: Handler
    faults: list[httpx.Response | Exception | None] = field(default_factory=list)
    lose: Callable[[httpx.Request], bool] = lambda _request: False
    asked: list[httpx.Request] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            return fault
        answer = self.handler(request)
        if self.lose(request):
            raise httpx.ReadError("connection reset by peer", request=request)
        return answer

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self)

    @property
    def timing(self) -> Timing:
        return Timing(self.clock.monotonic, self.clock.now, self.clock.sleep, lambda: 0.5)

    def methods(self) -> list[str]:
        return [request.method for request in self.asked]


class NoEntities:
    """Backends that keep no entities are given this."""

    async def put_entity(self, entity: Entity) -> None:
        raise AssertionError(f"nothing is kept here: {entity.name}")

    async def find_entity(self, name: str) -> Entity | None:
        raise AssertionError(f"nothing is kept here: {name}")

    async def search_entities(self, text: str, *, limit: int) -> list[Entity]:
        raise AssertionError(f"nothing is kept here: {text} {limit}")

    async def delete_entity(self, name: str) -> None:
        raise AssertionError(f"nothing is kept here: {name}")


def surroundings(**secrets: str) -> Surroundings:
    return Surroundings(state_folder=Path(), base_folder=Path(), entities=NoEntities(), secrets=secrets)


UNREACHABLE = httpx.ConnectError("no route to host")
HANGS = httpx.ReadTimeout("")
AWAY = httpx.Response(502, text="<html>Bad gateway</html>")
GARBAGE = httpx.Response(200, text="<html>Sign in</html>")
