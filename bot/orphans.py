"""`python -m bot orphans`: what carries our mark out there and no request knows, and what the database knows and is not there.

Looks only. What to do about a finding is a person's decision, so every line names the thing, where it is, and the way out. "Could not
ask" is a line of its own: silence about a backend that is down would read as "nothing is lost there".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from bot import config as configuration
from bot import registry
from bot.config import Config
from bot.domain import DeploymentRecord, Platform, Request, RequestState, Service
from bot.errors import BackendError, PlatformError
from bot.steps import database_claim
from bot.store import Store
from integrations.ports import Inventory, Marked, Surroundings

PAGE = 100
AT_ONCE = 8
DEADLINE_SECONDS = 60.0
NOTHING_STAYS = {
    RequestState.UNDONE: "was undone",
    RequestState.REFUSED: "was refused and never ran",
    RequestState.DENIED: "was denied and never ran",
    RequestState.CANCELLED: "was cancelled and never ran",
    RequestState.EXPIRED: "expired and never ran",
}
"""Ends after which a request has left nothing behind."""


class Memory(Protocol):
    """The part of the store that is asked."""

    async def find_request(self, request_id: str) -> Request | None: ...

    async def list_services(self, *, after: str = "", limit: int = PAGE) -> Sequence[Service]: ...

    async def last_deployment(self, service: str, environment: str) -> DeploymentRecord | None: ...


@dataclass(frozen=True)
class Line:
    """One finding: `why` it is one, and the way out."""

    kind: str
    name: str
    why: str
    place: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Survey:
    """`strays` are there and unknown, `lost` are known and not there, `unasked` are backends that could not be asked."""

    strays: tuple[Line, ...] = ()
    lost: tuple[Line, ...] = ()
    unasked: tuple[Line, ...] = ()


async def run(path: Path, environ: Mapping[str, str], write: Callable[[str], object]) -> int:
    """Print what was found; 0 when everything was asked and nothing found, else 1. Raises PlatformError."""
    config = configuration.load(path, environ)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(
            Store.open_for_reading(
                config.secrets.database_url.get_secret_value(), clock=lambda: datetime.now(tz=UTC)
            )
        )
        opened, unopened = await _open(stack, config, store)
        found = await survey(store, opened, config.platform)
    whole = Survey(found.strays, found.lost, (*unopened, *found.unasked))
    write(shown(whole))
    return 1 if whole.strays or whole.lost or whole.unasked else 0


async def _open(
    stack: AsyncExitStack, config: Config, store: Store
) -> tuple[dict[str, Any], tuple[Line, ...]]:
    """Port -> backend, and a line for each that cannot be opened: one that is down hides no other."""
    surroundings = Surroundings(
        state_folder=config.state_folder,
        base_folder=config.path.parent,
        entities=store,
        secrets={name: value.get_secret_value() for name, value in config.secrets.others.items()},
    )
    opened: dict[str, Any] = {}
    unopened = []
    for port, (module, settings) in registry.prepare(config).items():
        try:
            opened[port] = await stack.enter_async_context(module.open(settings, surroundings))
        except PlatformError as error:
            name = config.integrations[port].use
            unopened.append(Line(port, name, f"could not be opened: {error.message}", fix=error.fix or ""))
    return opened, tuple(unopened)


# ---------------------------------------------------------------- the survey


async def survey(memory: Memory, backends: Mapping[str, Any], platform: Platform) -> Survey:
    """`backends`: port -> what is open. Several ports at once, each with its own deadline."""
    strays, unasked = await _strays(memory, backends)
    lost, silent = await _lost(memory, backends, platform)
    return Survey(strays, lost, (*unasked, *silent))


async def _strays(memory: Memory, backends: Mapping[str, Any]) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    asked = {port: one for port, one in backends.items() if isinstance(one, Inventory)}
    answers = await asyncio.gather(*(_ask(port, one.list_marked()) for port, one in asked.items()))
    strays: list[Line] = []
    unasked: list[Line] = []
    requests: dict[str, Request | None] = {}
    for answer in answers:
        if isinstance(answer, Line):
            unasked.append(answer)
            continue
        for marked in answer:
            if marked.request_id not in requests:
                requests[marked.request_id] = await memory.find_request(marked.request_id)
            if why := stray(marked, requests[marked.request_id]):
                strays.append(why)
    return tuple(strays), tuple(unasked)


def stray(marked: Marked, request: Request | None) -> Line | None:
    """Why something with our mark should not be there; None where its request knows it."""
    if request is None:
        why = f"no request {marked.request_id} in this database"
        fix = "Another installation may own it, or the database was restored from before it was made."
    elif request.state in NOTHING_STAYS:
        why = f"its request {request.id} {NOTHING_STAYS[request.state]}"
        fix = "Remove it by hand when nobody needs it; the page of its backend in docs/backends says how."
    else:
        return None
    name = f"{marked.name} in {marked.environment}" if marked.environment else marked.name
    return Line(marked.kind, name, why, marked.place, fix)


async def _ask(port: str, question: Awaitable[Any]) -> Any:
    """The answer, or a line that says why there is none."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await question
    except TimeoutError:
        return Line(port, "", f"no answer within {DEADLINE_SECONDS:g} s")
    except BackendError as error:
        return Line(port, error.backend, f"could not be asked: {error.message}", fix=error.fix or "")


# ---------------------------------------------------------------- what is not there


async def _lost(
    memory: Memory, backends: Mapping[str, Any], platform: Platform
) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    slots = asyncio.Semaphore(AT_ONCE)
    lost: list[Line] = []
    silent: dict[str, Line] = {}

    async def look(service: Service) -> None:
        async with slots:
            async for port, question, line in _expected(memory, backends, platform, service):
                # One backend that is down is one line, not one for each service.
                if port in silent:
                    continue
                answer = await _ask(port, question())
                if isinstance(answer, Line):
                    silent[port] = answer
                elif answer is None:
                    lost.append(line)

    async for page in _services(memory):
        await asyncio.gather(*(look(service) for service in page))
    return tuple(sorted(lost, key=lambda one: (one.name, one.kind))), tuple(silent.values())


async def _services(memory: Memory) -> AsyncIterator[Sequence[Service]]:
    page = await memory.list_services(limit=PAGE)
    while page:
        yield page
        page = await memory.list_services(after=page[-1].name, limit=PAGE)


async def _expected(
    memory: Memory, backends: Mapping[str, Any], platform: Platform, service: Service
) -> AsyncIterator[tuple[str, Callable[[], Awaitable[Any]], Line]]:
    """Port, question and the line if the answer is None: what the database says that this service consists of."""
    name = service.name
    if host := backends.get("code_host"):
        known = f"the database knows it since {service.created_at:%Y-%m-%d}"
        fix = "Restore it from your backups, or ask who removed it."
        line = Line("repository", name, known, service.web_url, fix)
        yield "code_host", lambda: host.find_repository(name), line
    if catalog := backends.get("catalog"):
        fix = "Register its catalog-info.yaml again."
        yield (
            "catalog",
            lambda: catalog.find_entity(name),
            Line("catalog entry", name, "the service exists", "", fix),
        )
    for environment in platform.environments:
        deployed = await memory.last_deployment(name, environment.name)
        if deployed is None:
            continue
        known = f"{deployed.revision[:7]} was deployed there on {deployed.deployed_at:%Y-%m-%d}"
        where = f"{name} in {environment.name}"
        if delivery := backends.get("delivery"):
            fix = f"Deploy it again: /platform promote {name} --to {environment.name}"
            line = Line("application", where, known, "", fix)
            yield "delivery", _one(delivery.get_application, name, environment.name), line
        infrastructure = backends.get("infrastructure")
        if infrastructure and service.database != "none":
            claim = database_claim(
                service=name, environment=environment.name, team=service.team, kind=service.database
            ).name
            fix = "Its data may be gone: look for a backup before anything is created anew."
            line = Line("claim", claim, known, "", fix)
            yield "infrastructure", _claim(infrastructure, claim, environment.name), line


def _one(find: Callable[[str, str], Awaitable[Any]], *names: str) -> Callable[[], Awaitable[Any]]:
    """Bound now: the loop's variables have moved on when it is asked."""
    return lambda: find(*names)


def _claim(infrastructure: Any, name: str, environment: str) -> Callable[[], Awaitable[Any]]:
    return lambda: infrastructure.get_claim(name, environment=environment)


# ---------------------------------------------------------------- shown


def shown(found: Survey) -> str:
    """Text for a terminal: three parts, the empty ones left out."""
    parts = [
        ("There, and no request knows it:", found.strays),
        ("Known, and not there:", found.lost),
        ("Could not be asked, so nothing is known of it:", found.unasked),
    ]
    text = "\n".join("\n".join([title, *map(_line, lines)]) + "\n" for title, lines in parts if lines)
    return text or "Everything with our mark has its request, and everything the database knows is there.\n"


def _line(line: Line) -> str:
    head = "  ".join(filter(None, [f"  {line.kind:<14}", line.name, line.why, line.place]))
    return f"{head}\n      -> {line.fix}" if line.fix else head
