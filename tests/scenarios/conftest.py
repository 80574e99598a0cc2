"""One stage for each test, over Socket Mode and over signed HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stage import Stage, stage


@pytest.fixture(params=["socket", "http"])
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    """The house reached over either delivery: for the tests that are about the way in."""
    async with stage(tmp_path, delivery=request.param) as opened:
        yield opened


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as opened:
        yield opened
