"""Golden paths as the platform meets them: every folder that ships, rendered with the platform's own options."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import copier
import pytest
import yaml

from integrations._copier_worker import EXCLUDED

ROOT: Final = Path(__file__).parents[2] / "golden_paths"
ANSWERS: Final[Mapping[str, object]] = {
    "service_name": "orders",
    "team": "shop",
    "owner": "group:default/shop",
    "description": "Takes orders.",
    "database": "postgresql",
    "port": 8080,
    "repository_url": "https://github.com/Acme/orders",
}


@dataclass(frozen=True)
class GoldenPathFolder:
    folder: Path
    about: Mapping[str, Any] = field(hash=False)

    @property
    def name(self) -> str:
        return self.folder.name

    def render(self, target: Path, **answers: object) -> Path:
        copier.run_copy(
            str(self.folder),
            target,
            data={**ANSWERS, **answers},
            exclude=EXCLUDED,
            defaults=True,
            overwrite=True,
            quiet=True,
            skip_tasks=True,
            unsafe=False,
        )
        return target

    def command(self, key: str) -> list[str]:
        programs = {"python": sys.executable, "node": shutil.which("node"), "go": shutil.which("go")}
        return [word.format_map(programs) for word in self.about[key]]


def read_golden_path(folder: Path) -> GoldenPathFolder:
    return GoldenPathFolder(folder, yaml.safe_load((folder / "golden_path.yml").read_text(encoding="utf-8")))


def golden_paths() -> list[GoldenPathFolder]:
    return [read_golden_path(file.parent) for file in sorted(ROOT.glob("*/golden_path.yml"))]


@pytest.fixture
def golden_path_at() -> Callable[[Path], GoldenPathFolder]:
    return read_golden_path


@pytest.fixture(params=golden_paths(), ids=lambda each: each.name)
def golden_path(request: pytest.FixtureRequest) -> GoldenPathFolder:
    return request.param


@pytest.fixture(scope="session")
def every_golden_path() -> list[GoldenPathFolder]:
    return golden_paths()


@pytest.fixture(params=["postgresql", "redis", "none"])
def database(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def rendered() -> dict[str, Path]:
    return {}


@pytest.fixture
def render(
    golden_path: GoldenPathFolder, rendered: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """The created service. The same answers give the same folder, so tests only read it."""

    def once(**answers: object) -> Path:
        key = repr((golden_path.name, sorted(answers.items())))
        if key not in rendered:
            rendered[key] = golden_path.render(tmp_path_factory.mktemp(golden_path.name), **answers)
        return rendered[key]

    return once
