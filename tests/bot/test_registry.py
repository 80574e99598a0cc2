"""Commands and backends are found by folder and by entry point; a broken one stops the start and is named."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import people_made as made
import pytest
import yaml

from bot import config, registry
from bot.errors import ConfigError, Problem, StartError
from integrations.ports import OPTIONAL_PORTS, PORTS, EntityStore, Surroundings

COMMAND = """
from bot.command import Args, Command, Reply, Scope

async def scope(args, actor, platform, knowledge):
    return Scope(permission="look")

async def answer(context, args):
    return Reply("pong")

command = Command(name="{name}", summary="Ping", example="/platform {name}", args=Args, scope=scope, answer=answer)
"""
BACKEND = """
from contextlib import asynccontextmanager
from pydantic import BaseModel

PORT = "{port}"

class Settings(BaseModel):
    pass

@asynccontextmanager
async def open(settings, surroundings):
    yield object()
"""
NOT_ASKED: Any = None
"""An EntityStore nobody asks anything: preparing opens nothing."""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """A package of these modules, importable while the test runs."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def make(**modules: str) -> ModuleType:
        folder = tmp_path / "sample_package"
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return importlib.import_module("sample_package")

    yield make
    for name in set(sys.modules) - before:
        if name.startswith(("sample_", "plugin_")):
            del sys.modules[name]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs a module with an entry point, as pip would."""

    def install(group: str, name: str, text: str) -> None:
        (tmp_path / f"plugin_{name}.py").write_text(text)
        information = tmp_path / f"plugin_{name}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugin-{name}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(f"[{group}]\n{name} = plugin_{name}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        importlib.invalidate_caches()

    return install


def with_settings(tmp_path: Path, port: str, **settings: Any) -> config.Config:
    data = yaml.safe_load(made.EXAMPLE.read_text(encoding="utf-8"))
    data["integrations"][port] |= settings
    file = tmp_path / "platform.yml"
    file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return config.load(file, {})


def problems_of(loaded: config.Config) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        registry.prepare(loaded)
    return list(caught.value.problems)


# ---------------------------------------------------------------- commands


def test_every_file_in_commands_is_a_verb() -> None:
    files = [one.stem for one in (made.ROOT / "commands").glob("*.py") if not one.stem.startswith("_")]
    assert sorted(name.replace("-", "_") for name in registry.load_commands()) == sorted(files)


def test_a_new_verb_is_one_file(package: Callable[..., ModuleType]) -> None:
    found = registry.load_commands(package(ping=COMMAND.format(name="ping"), _shared="raise ValueError"))
    assert list(found) == ["ping"]


def test_an_installed_package_brings_a_verb(
    package: Callable[..., ModuleType], plugin: Callable[..., None]
) -> None:
    plugin(registry.COMMANDS_GROUP, "pong", COMMAND.format(name="pong"))
    found = registry.load_commands(package(ping=COMMAND.format(name="ping")))
    assert set(found) == {"ping", "pong"}


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        (
            {"ping": "import nothing_of_that_name"},
            "sample_package.ping cannot be loaded: ModuleNotFoundError",
        ),
        ({"ping": "def broken(:"}, "sample_package.ping cannot be loaded: SyntaxError"),
        ({"ping": "x = 1"}, "sample_package.ping has no `command`."),
        ({"ping": "command = 'ping'"}, "sample_package.ping has no `command`."),
        (
            {"one": COMMAND.format(name="ping"), "two": COMMAND.format(name="ping")},
            "sample_package.two brings the verb ping a second time; sample_package.one has it already.",
        ),
    ],
)
def test_a_broken_verb_stops_the_start_and_is_named(
    package: Callable[..., ModuleType], modules: dict[str, str], words: str
) -> None:
    with pytest.raises(StartError) as caught:
        registry.load_commands(package(**modules))
    assert words in caught.value.sentence
    assert "Repair or remove it" in caught.value.sentence


def test_a_broken_plugin_is_named_with_its_entry_point(
    package: Callable[..., ModuleType], plugin: Callable[..., None]
) -> None:
    plugin(registry.COMMANDS_GROUP, "pong", "raise RuntimeError('no licence')")
    with pytest.raises(StartError, match=r"plugin_pong \(entry point pong\) cannot be loaded: .*no licence"):
        registry.load_commands(package())


# ---------------------------------------------------------------- backends


def test_every_port_has_a_backend_that_ships() -> None:
    shipped = {module.PORT for module in registry.backend_modules().values()}
    assert set(PORTS) <= shipped <= {*PORTS, *OPTIONAL_PORTS}


def test_an_installed_package_brings_a_backend_under_its_entry_points_name(
    package: Callable[..., ModuleType], plugin: Callable[..., None]
) -> None:
    plugin(registry.BACKENDS_GROUP, "gitlab", BACKEND.format(port="code_host"))
    assert registry.backend_modules(package())["gitlab"].PORT == "code_host"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("PORT = 'catalog'", "sample_package.mine lacks Settings, open."),
        (BACKEND.format(port="weather"), "sample_package.mine: there is no port “weather”."),
        ("raise OSError('disk')", "sample_package.mine cannot be loaded: OSError: disk"),
    ],
)
def test_a_broken_backend_stops_the_start_and_is_named(
    package: Callable[..., ModuleType], text: str, words: str
) -> None:
    with pytest.raises(StartError) as caught:
        registry.backend_modules(package(mine=text))
    assert words in caught.value.sentence


def test_a_plugin_may_not_take_the_name_of_another_backend(
    package: Callable[..., ModuleType], plugin: Callable[..., None]
) -> None:
    plugin(registry.BACKENDS_GROUP, "mine", BACKEND.format(port="catalog"))
    with pytest.raises(StartError, match="brings the backend mine a second time"):
        registry.backend_modules(package(mine=BACKEND.format(port="catalog")))


def test_the_example_chooses_backends_that_are_there(tmp_path: Path) -> None:
    assert set(registry.prepare(config.load(made.EXAMPLE, {}))) == set(PORTS)


@pytest.mark.parametrize(
    ("settings", "path", "value", "accepted"),
    [
        ({"use": "local_proceses"}, "use", '"local_proceses"', "did you mean local_processes?"),
        ({"use": "local_git"}, "use", '"local_git"', "local_processes"),
        (
            {"poll_interval_second": 1},
            "poll_interval_second",
            "unknown key",
            "did you mean poll_interval_seconds?",
        ),
        ({"poll_interval_seconds": "often"}, "poll_interval_seconds", '"often"', "number"),
        ({"poll_interval_seconds": 0}, "poll_interval_seconds", "0", "greater than 0"),
    ],
)
def test_a_backends_settings_are_judged_like_the_rest_of_the_file(
    tmp_path: Path, settings: dict[str, Any], path: str, value: str, accepted: str
) -> None:
    (one,) = problems_of(with_settings(tmp_path, "delivery", **settings))
    assert one.file == "platform.yml"
    assert one.path.startswith(f"integrations.delivery.{path} (line ")
    assert one.value == value
    assert accepted in one.accepted


def test_settings_of_all_backends_are_judged_at_once(tmp_path: Path) -> None:
    data = yaml.safe_load(made.EXAMPLE.read_text(encoding="utf-8"))
    for section in data["integrations"].values():
        section["colour"] = "blue"
    file = tmp_path / "platform.yml"
    file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    assert len(problems_of(config.load(file, {}))) == len(PORTS)


CLUSTER_KIND: dict[str, Any] = {"postgresql": {"xrd": "xdatabases.example.com"}}


@pytest.mark.parametrize(
    ("sections", "value", "way_out"),
    [
        ({"delivery": {"use": "argocd"}}, "argocd together with local_git", "github or gitea as code_host"),
        (
            {"infrastructure": {"use": "crossplane", "kinds": CLUSTER_KIND}},
            "local_processes together with crossplane",
            "local_postgres as infrastructure",
        ),
    ],
)
def test_backends_that_cannot_work_together_are_refused_with_the_way_out(
    tmp_path: Path, sections: dict[str, Any], value: str, way_out: str
) -> None:
    data = yaml.safe_load(made.EXAMPLE.read_text(encoding="utf-8"))
    data["integrations"] |= sections
    file = tmp_path / "platform.yml"
    file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    (one,) = problems_of(config.load(file, {}))
    assert one.path.startswith("integrations.delivery.use (line ")
    assert one.value == value
    assert way_out in one.accepted


async def test_a_wrong_setting_opens_no_backend(tmp_path: Path) -> None:
    loaded = with_settings(tmp_path, "delivery", colour="blue")
    entities: EntityStore = NOT_ASKED
    surroundings = Surroundings(
        state_folder=tmp_path / "state", base_folder=tmp_path, entities=entities, secrets={}
    )
    with pytest.raises(ConfigError):
        async with registry.open_backends(loaded, surroundings):
            pytest.fail("opened")
    assert not (tmp_path / "state").exists()
