"""What the backends share: how long an answer takes, a count of what they were asked, and names that follow from names."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from integrations.ports import Finding

THE_DAY = datetime(2026, 1, 1, tzinfo=UTC)


class Settings(BaseModel):
    """`answer_after_seconds`: how slow the backend is. 0 answers at once; 3600 is one that is away."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    answer_after_seconds: float = Field(default=0.0, ge=0, description="a number of seconds")
    counted_in: str = Field(default="", description="a file that gets a line for every question")


class Answering:
    """A backend that says what follows from the question."""

    def __init__(self, settings: Settings) -> None:
        self._seconds = settings.answer_after_seconds
        self._counted_in = settings.counted_in

    async def asked(self) -> None:
        if self._counted_in:
            _note(Path(self._counted_in), type(self).__name__)
        if self._seconds:
            await asyncio.sleep(self._seconds)

    async def check(self) -> Sequence[Finding]:
        return [Finding(type(self).__name__, ok=True, detail="made up")]


def _note(counted_in: Path, name: str) -> None:
    with counted_in.open("a", encoding="utf-8") as lines:
        lines.write(f"{name}\n")


def count(counted_in: Path) -> Counter[str]:
    """How often each backend was asked."""
    return Counter(counted_in.read_text(encoding="utf-8").split()) if counted_in.exists() else Counter()


def revision(*parts: str) -> str:
    """Looks like a commit's hash, and is the same for the same parts."""
    return hashlib.sha1("\x1f".join(parts).encode(), usedforsecurity=False).hexdigest()
