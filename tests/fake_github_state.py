"""What the fake GitHub knows: organisation, repositories, tokens; its clock, which moves only when somebody waits; its routes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from fake_github_git import Objects

API = "https://api.github.com"
ORGANISATION = "acme"
ABSENT = "0" * 40
READING = {"GET", "HEAD"}


@dataclass
class Clock:
    """Time that passes only when somebody waits."""

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    started: datetime = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return self.started + timedelta(seconds=self.seconds)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


@dataclass
class Repo:
    id: int
    name: str
    owner: str = ORGANISATION
    description: str | None = None
    visibility: str = "private"
    default_branch: str = "main"
    archived: bool = False
    topics: list[str] = field(default_factory=list)
    teams: dict[str, str] = field(default_factory=dict)
    rulesets: list[dict[str, Any]] = field(default_factory=list)
    environments: list[str] = field(default_factory=list)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)
    objects: Objects = field(default_factory=Objects)
    clone_base: str = "https://github.com"
    empty_reads: int = 0
    """So many more reads until GitHub's own first commit can be seen."""


@dataclass
class State:
    repos: dict[str, Repo] = field(default_factory=dict)
    former: dict[str, int] = field(default_factory=dict)
    """Names that repositories had before -> id."""
    invisible: set[str] = field(default_factory=set)
    teams: set[str] = field(default_factory=lambda: {"orders"})
    tokens: dict[str, datetime] = field(default_factory=dict)
    next_id: int = 1

    def new_id(self) -> int:
        self.next_id += 1
        return self.next_id


class Refusal(Exception):  # noqa: N818 - it is GitHub's answer, not an error of the test
    def __init__(
        self, status: int, message: str, *, errors: Any = None, headers: dict[str, str] | None = None
    ) -> None:
        self.status = status
        self.body = {"message": message, "documentation_url": "https://docs.github.com/rest"}
        if errors is not None:
            self.body["errors"] = errors
        self.headers = headers or {}


Handler = Callable[..., tuple[Any, ...]]
ROUTES: list[tuple[str, str, Handler]] = []


def route(method: str, pattern: str) -> Callable[[Handler], Handler]:
    def keep(handler: Handler) -> Handler:
        ROUTES.append((method, pattern, handler))
        return handler

    return keep
