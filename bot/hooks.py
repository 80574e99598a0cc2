"""What the company's systems tell by themselves: verified by the backend, kept once, then looked after. Never believed.

A hint starts nothing and decides nothing. It makes steps that wait look now instead of at their next poll, and has the bot read
what runs in the environments it is about. Everything works without hints, only a little later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from bot import inbox
from bot.command import Backends
from bot.domain import Platform
from bot.errors import BackendErrorKind, PermanentBackendError, StartError, TemporaryBackendError
from bot.metrics import Metrics
from bot.observing import Observer
from bot.store import Store, Transaction
from integrations.ports import PORTS, Hint, Hooked, Hooks

log = structlog.get_logger(__name__)


class Wake(Protocol):
    """Makes steps of this process look again now; returns how many."""

    def __call__(self, *, request_id: str, service: str) -> int: ...


@dataclass(frozen=True)
class Answer:
    """`word` is what the sender's page of deliveries shows: one of a few, and never why somebody was not believed."""

    status: int
    word: str


ACCEPTED = Answer(202, "accepted")
SEEN = Answer(202, "seen before")
IGNORED = Answer(202, "ignored")
FORGED = Answer(401, "refused")
UNREADABLE = Answer(400, "unreadable")
UNAVAILABLE = Answer(503, "unavailable")
_COUNTED = {
    ACCEPTED: "accepted",
    SEEN: "seen",
    IGNORED: "ignored",
    FORGED: "forged",
    UNREADABLE: "unreadable",
    UNAVAILABLE: "unavailable",
}


def open_hooks(backends: Backends) -> dict[str, Hooks]:
    """Name -> who listens, for every backend that has a secret to verify by. Raises StartError for a name used twice."""
    found: dict[str, Hooks] = {}
    for port in PORTS:
        backend = getattr(backends, port, None)
        if not isinstance(backend, Hooked) or not backend.hooks.is_open:
            continue
        hooks = backend.hooks
        if hooks.name in found:
            raise StartError(
                f"Two backends listen at /hooks/{hooks.name}; {port} is the second.",
                fix="Take the secret of one of them away in platform.yml.",
            )
        found[hooks.name] = hooks
    return found


def places(hint: Hint, platform: Platform) -> list[str]:
    """The environments it is worth looking at: the one that is named, or those that follow the branch that moved."""
    return [
        one.name
        for one in platform.environments
        if one.name == hint.environment or (hint.branch != "" and one.follows == hint.branch)
    ]


class Reception:
    """Takes what is delivered, and answers before anything is looked at."""

    def __init__(
        self,
        hooks: Mapping[str, Hooks],
        *,
        store: Store,
        platform: Platform,
        observer: Observer,
        wake: Wake,
        metrics: Metrics,
    ) -> None:
        self._hooks = hooks
        self._store = store
        self._platform = platform
        self._observer = observer
        self._wake = wake
        self._metrics = metrics

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._hooks)

    async def receive(self, name: str, headers: Mapping[str, str], body: bytes) -> Answer:
        answer = await self._received(self._hooks[name], headers, body)
        self._metrics.hook(name, _COUNTED[answer])
        return answer

    def refused(self, name: str, outcome: str) -> None:
        """What did not get as far as `receive`: too_large or too_slow."""
        self._metrics.hook(name, outcome)

    async def _received(self, hooks: Hooks, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            hints = hooks.receive(headers, body)
        except PermanentBackendError as error:
            log.info("hooks.refused", name=hooks.name, kind=error.kind.value, error=error.message)
            return FORGED if error.kind is BackendErrorKind.DENIED else UNREADABLE
        if not hints:
            return IGNORED
        try:
            fresh = await self._store.write(lambda tx: _fresh(tx, hooks.name, hints))
        except TemporaryBackendError as error:
            log.warning("hooks.unavailable", name=hooks.name, error=error.message)
            return UNAVAILABLE
        for hint in fresh:
            self._follow(hooks.name, hint)
        return ACCEPTED if fresh else SEEN

    def _follow(self, name: str, hint: Hint) -> None:
        woken = self._wake(request_id=hint.request_id, service=hint.service)
        environments = places(hint, self._platform)
        for environment in environments:
            self._observer.look_at(hint.service, environment)
        log.info("hooks.followed", name=name, service=hint.service, woken=woken, environments=environments)


async def _fresh(tx: Transaction, name: str, hints: Sequence[Hint]) -> list[Hint]:
    """Those that were not delivered before."""
    return [hint for hint in hints if not await inbox.heard(tx, name, hint.delivery)]
