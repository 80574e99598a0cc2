"""The one exception tree: every class has a sentence for a person, and the sentence names the way out.

PlatformError
├── UsageError              what was typed cannot be understood
├── NotAuthorizedError      this person may not
├── PolicyDeniedError       a rule says no, now
├── NotFoundError           no such service, request, …
├── ConflictError           somebody or something was faster
├── ConfigError             platform.yml or the environment is wrong
├── StartError              the machine cannot start here
│   └── InUseError          another process has it
└── BackendError            a foreign system failed
    ├── TemporaryBackendError   worth another try, after a delay
    └── PermanentBackendError   trying again changes nothing

The docstring of a class is its sentence where the raiser gives none. Nothing here performs I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

FOREIGN_TEXT_LIMIT = 256
"""Characters of a foreign error message that are kept; bodies may hold anything, so the rest is dropped."""

LONGEST_RETRY_SECONDS = 3600.0
"""Whoever wants to be left alone for longer, or says a number that is no span of time, is asked again after so long."""

_SECRET = re.compile(
    r"(?:xox[abeprs]-|xoxe\.|xapp-|gh[pousr]_|github_pat_|glpat-|glsa_|hvs\.|\beyJ)[\w.-]+"
    r"|hooks\.slack\.com/[\w/]+"
    r"|ticket=[\w-]+"
    r"|(?i:\w*(?:authorization|password|token|secret)[\"']?\s*[=:]\s*(?:bearer\s+|basic\s+)?)[^\s,;&}]+"
    r"|(?<=://)[^/@\s:]+:[^/@\s]+(?=@)"
)


def redact(text: str) -> str:
    """The text without what looks like a secret: for everything that was not written here and will be kept or shown."""
    return _SECRET.sub("[removed]", text)


def foreign_text(text: str) -> str:
    """Cut foreign text to `FOREIGN_TEXT_LIMIT` characters on one line and remove what looks like a secret."""
    clean = redact(" ".join(text.split()))
    return clean if len(clean) <= FOREIGN_TEXT_LIMIT else clean[: FOREIGN_TEXT_LIMIT - 1] + "…"


def delay_seconds(said: str) -> float | None:
    """`Retry-After` as digits (RFC 9110, 10.2.3), at most `LONGEST_RETRY_SECONDS`; None where it is anything else."""
    digits = said.strip()
    return min(float(digits), LONGEST_RETRY_SECONDS) if digits.isdecimal() else None


class PlatformError(Exception):
    """Something went wrong. Ask the platform team, and give them the reference."""

    def __init__(self, message: str | None = None, *, fix: str | None = None) -> None:
        self.message = message or " ".join((type(self).__doc__ or "").split())
        self.fix = fix
        super().__init__(self.message)

    @property
    def sentence(self) -> str:
        """What a person reads: what happened, then the way out."""
        return f"{self.message} {self.fix}" if self.fix else self.message


class UsageError(PlatformError):
    """That command was not understood. Type `/platform help` for what can be asked."""

    def __init__(
        self,
        message: str | None = None,
        *,
        fix: str | None = None,
        fields: Mapping[str, str] | None = None,
        given: Mapping[str, str] | None = None,
    ) -> None:
        """`fields` maps argument names to what is wrong with them; `given` keeps what was typed, for the form."""
        super().__init__(message, fix=fix)
        self.fields = dict(fields or {})
        self.given = dict(given or {})


class NotAuthorizedError(PlatformError):
    """You may not do this. Ask your team lead or the platform team."""

    def __init__(self, message: str | None = None, *, rule: str, who: str, fix: str | None = None) -> None:
        """`rule` is the id of the rule that refused; `who` names who could do it or grant it."""
        super().__init__(message, fix=fix or f"Ask {who}.")
        self.rule = rule
        self.who = who


class PolicyDeniedError(PlatformError):
    """A rule of the platform refuses this. The rule says what would have to change."""

    def __init__(self, message: str | None = None, *, rule: str, fix: str | None = None) -> None:
        super().__init__(message, fix=fix)
        self.rule = rule


class NotFoundError(PlatformError):
    """There is nothing of that name. `/platform services` and `/platform requests` list what exists."""


class ConflictError(PlatformError):
    """Somebody was faster. Look at the card for what is true now."""


class StartError(PlatformError):
    """The bot cannot start here. `python -m bot check` says what is missing."""


class InUseError(StartError):
    """Another process uses this. Stop it first, or give this one a place of its own."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in the configuration: where it stands, what stands there, and what is accepted."""

    file: str
    path: str
    value: str
    accepted: str

    def __str__(self) -> str:
        return f"{self.file}: {self.path}: {self.value}; accepted: {self.accepted}"


class ConfigError(PlatformError):
    """The configuration is not valid. `python -m bot check` lists every problem at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(
            f"{count} problem{'' if count == 1 else 's'} in the configuration:\n"
            + "\n".join(f"  {problem}" for problem in self.problems),
        )


class BackendErrorKind(StrEnum):
    """What a backend's refusal means, in the words that hold for every backend."""

    ALREADY_EXISTS = "already_exists"
    CONFLICT = "conflict"
    NOT_FOUND = "not_found"
    DENIED = "denied"
    POLICY_DENIED = "policy_denied"
    RATE_LIMITED = "rate_limited"
    NOT_READY = "not_ready"
    INVALID = "invalid"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"


class BackendError(PlatformError):
    """A backend failed. `python -m bot check` shows which, and why."""

    temporary: ClassVar[bool]

    def __init__(self, message: str, *, backend: str, kind: BackendErrorKind, fix: str | None = None) -> None:
        """`backend` is the name a person knows it by; `message` may be foreign and is cleaned here."""
        super().__init__(foreign_text(message), fix=fix)
        self.backend = backend
        self.kind = kind


class TemporaryBackendError(BackendError):
    """A backend is away. The bot tries again by itself; nothing needs to be typed twice."""

    temporary = True

    def __init__(
        self,
        message: str,
        *,
        backend: str,
        kind: BackendErrorKind = BackendErrorKind.UNAVAILABLE,
        retry_after_seconds: float | None = None,
        fix: str | None = None,
    ) -> None:
        """`retry_after_seconds` may be foreign, too, and is cut to `LONGEST_RETRY_SECONDS`."""
        super().__init__(message, backend=backend, kind=kind, fix=fix)
        self.retry_after_seconds = (
            None if retry_after_seconds is None else min(max(0.0, retry_after_seconds), LONGEST_RETRY_SECONDS)
        )


class PermanentBackendError(BackendError):
    """A backend refused. Trying the same again changes nothing; change the request or ask the platform team."""

    temporary = False
