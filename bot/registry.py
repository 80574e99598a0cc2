"""Finds commands and opens backends: by folder, and by entry point for third parties. Refuses to start on any doubt.

A module of `commands/` or `integrations/` that does not load is an error that names it, never a warning: a verb or a backend that
silently is not there would be missed at the worst moment.
"""

from __future__ import annotations

import difflib
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
from bot.config_model import BackendSection
from bot.errors import ConfigError, Problem, StartError
from integrations.ports import (
    PORTS,
    BackendModule,
    Catalog,
    CodeHost,
    Delivery,
    GoldenPaths,
    Infrastructure,
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


# ---------------------------------------------------------------- commands


def load_commands() -> dict[str, Command]:
    """Verb -> command, in the order of their names. Raises StartError naming what is broken."""
    found: dict[str, Command] = {}
    for origin, module in _modules(commands_package, COMMANDS_GROUP):
        command = getattr(module, "command", None)
        if not isinstance(command, Command):
            raise StartError(f"{origin} has no `command`.", fix=_FIX)
        if command.name in found:
            raise StartError(f"{origin} brings the verb {command.name} a second time.", fix=_FIX)
        found[command.name] = command
    return dict(sorted(found.items(), key=lambda item: _ORDER.get(item[0], len(_ORDER))))


_ORDER = {
    name: index
    for index, name in enumerate(
        (
            "create-service",
            "status",
            "promote",
            "rollback",
            "services",
            "templates",
            "requests",
            "approve",
            "deny",
            "cancel",
            "audit",
            "whoami",
            "help",
        )
    )
}
"""The order of help: what people do most stands first; verbs of third parties come last."""


def _modules(package: ModuleType, group: str) -> list[tuple[str, ModuleType]]:
    """What the folder holds and what entry points add, each with the name an error would use."""
    names = [
        f"{package.__name__}.{info.name}"
        for info in pkgutil.iter_modules(package.__path__)
        if not info.name.startswith("_") and info.name != "ports"
    ]
    loaded = [(name, _load(name, name)) for name in sorted(names)]
    return loaded + [
        (f"{entry.value} (entry point {entry.name})", _load(entry.value, entry.name))
        for entry in entry_points(group=group)
    ]


def _load(module: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise StartError(f"{name} cannot be loaded: {type(error).__name__}: {error}", fix=_FIX) from error


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
    for port in PORTS:
        section = config.integrations[port]
        module = available.get(section.use)
        if module is None or port != module.PORT:
            problems.append(_no_such_backend(config, port, section.use, available))
            continue
        try:
            chosen[port] = (module, module.Settings.model_validate(section.settings))
        except ValidationError as error:
            problems += _settings_problems(config, port, section, module, error)
    if problems:
        raise ConfigError(problems)
    return chosen


def backend_modules() -> dict[str, BackendModule]:
    """Name in platform.yml -> module. Modules that open nothing (shared parts) begin with an underscore."""
    found: dict[str, BackendModule] = {}
    for origin, module in _modules(integrations_package, BACKENDS_GROUP):
        missing = [name for name in ("PORT", "Settings", "open") if not hasattr(module, name)]
        if missing:
            raise StartError(f"{origin} lacks {', '.join(missing)}.", fix=_FIX)
        if module.PORT not in PORTS:
            raise StartError(
                f"{origin}: there is no port “{module.PORT}”.", fix=f"Ports: {', '.join(PORTS)}."
            )
        found[module.__name__.rpartition(".")[2]] = cast("BackendModule", module)
    return found


def _no_such_backend(config: Config, port: str, use: str, available: Mapping[str, BackendModule]) -> Problem:
    fitting = [name for name, module in available.items() if port == module.PORT]
    near = difflib.get_close_matches(use, fitting, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    where = config.document.place(("integrations", port, "use"))
    return Problem(config.document.file, where, f'"{use}"', hint + ", ".join(fitting))


def _settings_problems(
    config: Config, port: str, section: BackendSection, module: BackendModule, error: ValidationError
) -> list[Problem]:
    known = ", ".join(module.Settings.model_fields) or "no settings"
    problems = []
    for one in error.errors():
        where = config.document.place(("integrations", port, *one["loc"]))
        if one["type"] == "extra_forbidden":
            problems.append(
                Problem(config.document.file, where, "unknown key", f"{section.use} takes: {known}")
            )
        else:
            message = str(one["msg"]).removeprefix("Value error, ")
            problems.append(Problem(config.document.file, where, repr(one.get("input")), message))
    return problems
