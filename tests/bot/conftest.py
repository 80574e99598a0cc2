"""What several tests of the bot's parts stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from card_office import CardOffice, open_card_office
from database import Clock


@pytest.fixture
async def office(tmp_path: Path, migrated_sqlite_file: Path, clock: Clock) -> AsyncIterator[CardOffice]:
    """The card pump and the Slack it writes to."""
    async with open_card_office(tmp_path, migrated_sqlite_file, clock) as opened:
        yield opened
