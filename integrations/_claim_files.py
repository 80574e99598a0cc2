"""What every local claim has: a mark that says whose it is, a name that is safe everywhere, a file with its secret.

The file is the only place where a connection secret is kept. It is written before the secret takes effect, so that a kill in
between is repaired by setting the same secret again.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.errors import BackendErrorKind, PermanentBackendError
from integrations._files import disk_errors, write_atomically
from integrations.ports import Claim, ClaimSpec, Phase

BACKEND: Final = "local infrastructure"
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_IDENTIFIER_LIMIT: Final = 63


class Mark(BaseModel):
    """Stands beside what was created, as annotations do in a cluster."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    managed_by: Literal["platform-bot"] = Field(default="platform-bot", alias="managed-by")
    request_id: str = Field(alias="request-id")
    claim: str
    kind: str
    service: str
    environment: str
    team: str
    size: str

    def is_of(self, spec: ClaimSpec, request_id: str) -> bool:
        return (self.claim, self.environment, self.request_id) == (spec.name, spec.environment, request_id)


def new_mark(spec: ClaimSpec, *, request_id: str) -> Mark:
    return Mark(
        request_id=request_id,
        claim=spec.name,
        kind=spec.kind,
        service=spec.service,
        environment=spec.environment,
        team=spec.team,
        size=spec.size,
    )


def parse_mark(text: str | None) -> Mark | None:
    """None for a comment that is not ours."""
    try:
        return Mark.model_validate_json(text or "")
    except ValidationError:
        return None


def claim_key(name: str, environment: str) -> str:
    """One name for both, without saying the environment twice. Raises PermanentBackendError(INVALID).

    Two different pairs can give one key; the mark tells them apart.
    """
    for text in (name, environment):
        if not _LABEL.fullmatch(text):
            raise PermanentBackendError(
                "The name of a claim and its environment are DNS labels.",
                backend=BACKEND,
                kind=BackendErrorKind.INVALID,
                fix="Use lower-case letters, digits and dashes.",
            )
    return name if name.endswith(f"-{environment}") else f"{name}-{environment}"


def parse_identifier(key: str) -> str:
    """A name for a database and a role: no quoting needed, at most 63 characters, cut ones told apart by a hash."""
    name = key.replace("-", "_")
    if not name[0].isalpha():
        name = f"d_{name}"
    if len(name) <= _IDENTIFIER_LIMIT:
        return name
    return f"{name[: _IDENTIFIER_LIMIT - 9]}_{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def as_claim(mark: Mark, *, phase: Phase, secret: Path, external_id: str, message: str = "") -> Claim:
    return Claim(
        name=mark.claim,
        kind=mark.kind,
        service=mark.service,
        environment=mark.environment,
        phase=phase,
        message=message,
        secret=str(secret),
        request_id=mark.request_id,
        external_id=external_id,
    )


def already_exists(what: str) -> PermanentBackendError:
    return PermanentBackendError(
        f"{what} exists already and is not of this request.",
        backend=BACKEND,
        kind=BackendErrorKind.ALREADY_EXISTS,
        fix="Choose another name.",
    )


class SecretFiles:
    """`<state folder>/secrets/<claim>/<VARIABLE>`, readable by the bot's own user only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, key: str, variable: str) -> Path:
        return self._folder / key / variable

    def read(self, path: Path) -> str | None:
        try:
            return path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None

    def write(self, path: Path, content: str) -> None:
        with disk_errors(path.name):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(mode=0o700, exist_ok=True)
        write_atomically(path, f"{content}\n", mode=0o600)

    def remove(self, key: str) -> None:
        shutil.rmtree(self._folder / key, ignore_errors=True)
