"""What the five backends share: how long an answer takes, and names that follow from names."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from integrations.ports import Finding

THE_DAY = datetime(2026, 1, 1, tzinfo=UTC)


class Settings(BaseModel):
    """`answer_after_seconds`: how slow the backend is. 0 answers at once; 3600 is one that is away."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    answer_after_seconds: float = Field(default=0.0, ge=0, description="a number of seconds")


class Answering:
    """A backend that says what follows from the question."""

    def __init__(self, settings: Settings) -> None:
        self._seconds = settings.answer_after_seconds

    async def asked(self) -> None:
        if self._seconds:
            await asyncio.sleep(self._seconds)

    async def check(self) -> Sequence[Finding]:
        return [Finding(type(self).__name__, ok=True, detail="made up")]


def revision(*parts: str) -> str:
    """Looks like a commit's hash, and is the same for the same parts."""
    return hashlib.sha1("\x1f".join(parts).encode(), usedforsecurity=False).hexdigest()
