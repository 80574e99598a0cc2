"""One stage for each test: over Socket Mode, over both deliveries, or with the real local backends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from kube import admin, kubeconfig, server
from stage import OpenStage, Stage, stage

__all__ = ["admin", "kubeconfig", "server"]


@pytest.fixture
def open_stage(tmp_path: Path, migrated_sqlite_file: Path) -> OpenStage:
    """For tests that want another platform.yml: `async with open_stage(changes={…}) as house`."""
    return partial(stage, tmp_path, template=migrated_sqlite_file)


@pytest.fixture
async def house(open_stage: OpenStage) -> AsyncIterator[Stage]:
    """The house over Socket Mode."""
    async with open_stage() as opened:
        yield opened


@pytest.fixture(params=["socket", "http"])
async def both(request: pytest.FixtureRequest, open_stage: OpenStage) -> AsyncIterator[Stage]:
    """The house reached over either delivery: for the tests that are about the way in."""
    async with open_stage(delivery=request.param) as opened:
        yield opened


@pytest.fixture(params=["socket", "http"])
async def real(request: pytest.FixtureRequest, open_stage: OpenStage) -> AsyncIterator[Stage]:
    """As `both`, with repositories, processes and databases that are really there."""
    async with open_stage(delivery=request.param, real=True) as opened:
        yield opened
