"""Finds commands and opens backends: by folder, and by entry point for third parties. Refuses to start on any doubt.

A module of `commands/` or `integrations/` that does not load is an error that names it, never a warning: a verb or a backend that
silently is not there would be missed at the worst moment.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, cast

from pydantic import ValidationError

import commands as commands_package
import integrations as integrations_package
from bot.command import Backends, Command
from bot.config import Config
from bot.config_file import nearest, shown
from bot.config_model import BackendSection
from bot.errors import ConfigError, Problem, StartError, foreign_text
from integrations.ports import (
    OPTIONAL_PORTS,
    PORTS,
    Admission,
    Annotations,
    BackendModule,
    Catalog,
    CodeHost,
    Costs,
    Delivery,
    Evidence,
    GoldenPaths,
    Infrastructure,
    Scaffolder,
    SecretStore,
    SecretSync,
    SignalSource,
    Surroundings,
)

COMMANDS_GROUP = "platform_bot.commands"
BACKENDS_GROUP = "platform_bot.backends"
_FIX = "Repair or remove it; the bot does not start without knowing all its verbs and backends."


@dataclass(frozen=True)
class OpenBackends:
    """`bot.command.Backends`, opened."""

    golden_paths: GoldenPaths
    code_host: CodeHost
    infrastructure: Infrastructure
    delivery: Delivery
    catalog: Catalog
    admission: Admission | None = None
    evidence: Evidence | None = None
    secret_store: SecretStore | None = None
    secret_sync: SecretSync | None = None
    signals: SignalSource | None = None
    annotations: Annotations | None = None
    costs: Costs | None = None
    scaffolder: Scaffolder | None = None


# ---------------------------------------------------------------- commands


def load_commands(package: ModuleType = commands_package) -> dict[str, Command]:
    """Verb -> command, in the order of help. Raises StartError naming what is broken."""
    found: dict[str, Command] = {}
    origins: dict[str, str] = {}
    for one in _modules(package, COMMANDS_GROUP):
        command = getattr(one.module, "command", None)
        if not isinstance(command, Command):
            raise StartError(f"{one.origin} has no `command`.", fix=_FIX)
        if command.name in found:
            raise _twice("the verb", command.name, origins[command.name], one.origin)
        found[command.name], origins[command.name] = command, one.origin
    return dict(sorted(found.items(), key=lambda item: (item[1].position, item[0])))


@dataclass(frozen=True)
class _Found:
    """A loaded module; `origin` is what an error calls it."""

    name: str
    origin: str
    module: ModuleType


def _modules(package: ModuleType, group: str) -> list[_Found]:
    """What the folder holds and what entry points add. Shared parts begin with an underscore and are neither."""
    names = sorted(
        info.name
        for info in pkgutil.iter_modules(package.__path__)
        if not info.name.startswith("_") and info.name != "ports"
    )
    here = [
        _Found(name, origin, _load(origin, origin))
        for name, origin in ((name, f"{package.__name__}.{name}") for name in names)
    ]
    added = [
        _Found(entry.name, origin, _load(entry.value, origin))
        for entry, origin in (
            (entry, f"{entry.value} (entry point {entry.name})") for entry in entry_points(group=group)
        )
    ]
    return here + added


def _twice(what: str, name: str, first: str, second: str) -> StartError:
    return StartError(f"{second} brings {what} {name} a second time; {first} has it already.", fix=_FIX)


def _load(module: str, origin: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except Exception as error:
        said = foreign_text(f"{type(error).__name__}: {error}")
        raise StartError(f"{origin} cannot be loaded: {said}", fix=_FIX) from error


# ---------------------------------------------------------------- backends


@asynccontextmanager
async def open_backends(config: Config, surroundings: Surroundings) -> AsyncIterator[Backends]:
    """Every port opened as platform.yml says. Raises ConfigError for all wrong settings at once."""
    chosen = prepare(config)
    async with AsyncExitStack() as stack:
        opened = {
            port: await stack.enter_async_context(module.open(settings, surroundings))
            for port, (module, settings) in chosen.items()
        }
        yield OpenBackends(**opened)


def prepare(config: Config) -> dict[str, tuple[BackendModule, Any]]:
    """Port -> its module and validated settings. Raises ConfigError."""
    available = backend_modules()
    problems: list[Problem] = []
    chosen: dict[str, tuple[BackendModule, Any]] = {}
    for port in (*PORTS, *OPTIONAL_PORTS):
        section = config.integrations.get(port)
        if section is None:
            continue
        module = available.get(section.use)
        if module is None or port != module.PORT:
            problems.append(_no_such_backend(config, port, section.use, available))
            continue
        try:
            chosen[port] = (module, module.Settings.model_validate(section.settings))
        except ValidationError as error:
            problems += _settings_problems(config, port, section, module, error)
    problems += _impossible_pairs(config, chosen)
    if problems:
        raise ConfigError(problems)
    return chosen


def _impossible_pairs(config: Config, chosen: Mapping[str, tuple[BackendModule, Any]]) -> list[Problem]:
    """What a backend says it cannot work with, as its module's `NOT_WITH`: name of the other -> why, and what to take instead."""
    problems = []
    uses = {config.integrations[port].use for port in chosen}
    for port, (module, _) in chosen.items():
        refused: Mapping[str, str] = getattr(module, "NOT_WITH", {})
        for other in sorted(uses & set(refused)):
            where = config.document.place(("integrations", port, "use"))
            value = f"{config.integrations[port].use} together with {other}"
            problems.append(Problem(config.document.file, where, value, refused[other]))
    return problems


def backend_modules(package: ModuleType = integrations_package) -> dict[str, BackendModule]:
    """Name in platform.yml -> module. Raises StartError naming what is broken."""
    found: dict[str, BackendModule] = {}
    origins: dict[str, str] = {}
    for one in _modules(package, BACKENDS_GROUP):
        missing = [name for name in ("PORT", "Settings", "open") if not hasattr(one.module, name)]
        if missing:
            raise StartError(f"{one.origin} lacks {', '.join(missing)}.", fix=_FIX)
        known = (*PORTS, *OPTIONAL_PORTS)
        if one.module.PORT not in known:
            raise StartError(
                f"{one.origin}: there is no port “{one.module.PORT}”.", fix=f"Ports: {', '.join(known)}."
            )
        if one.name in found:
            raise _twice("the backend", one.name, origins[one.name], one.origin)
        found[one.name], origins[one.name] = cast("BackendModule", one.module), one.origin
    return found


def _no_such_backend(config: Config, port: str, use: str, available: Mapping[str, BackendModule]) -> Problem:
    fitting = [name for name, module in available.items() if port == module.PORT]
    where = config.document.place(("integrations", port, "use"))
    return Problem(config.document.file, where, shown(use), nearest(use, fitting))


def _settings_problems(
    config: Config, port: str, section: BackendSection, module: BackendModule, error: ValidationError
) -> list[Problem]:
    problems = []
    for one in error.errors():
        where = config.document.place(("integrations", port, *one["loc"]))
        message = str(one["msg"]).removeprefix("Value error, ")
        value, accepted = shown(one.get("input")), message
        if one["type"] == "extra_forbidden":
            known = nearest(str(one["loc"][-1]), module.Settings.model_fields)
            value, accepted = "unknown key", f"settings of {section.use}: {known}"
        elif one["type"] == "missing":
            field = module.Settings.model_fields.get(str(one["loc"][0]))
            value, accepted = "missing", (field.description if field else None) or "a value"
        problems.append(Problem(config.document.file, where, value, accepted))
    return problems
