"""What all backends in memory share: one fault for each method, and a list of what really changed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations.ports import Finding

MOMENT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def sha(*parts: object) -> str:
    return hashlib.sha1("\x1f".join(map(str, parts)).encode()).hexdigest()


class Fake:
    """What all fakes share: one fault for each method, and a list of what really changed."""

    name = "backend"

    def __init__(self) -> None:
        self.faults: dict[str, Exception] = {}
        self.lost_answers: set[str] = set()
        self.effects: list[str] = []

    async def check(self) -> Sequence[Finding]:
        return [Finding(self.name, ok=True, detail="in memory")]

    def asked(self, method: str) -> None:
        if error := self.faults.pop(method, None):
            raise error

    def did(self, method: str, what: str) -> None:
        self.effects.append(f"{method} {what}")
        if method in self.lost_answers:
            self.lost_answers.discard(method)
            raise TemporaryBackendError("the connection was closed", backend=self.name)

    def refuse(self, kind: BackendErrorKind, message: str) -> PermanentBackendError:
        return PermanentBackendError(message, backend=self.name, kind=kind)
