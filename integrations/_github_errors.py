"""What GitHub's refusals mean. Pure.

GitHub says 403 for a missing permission and for both of its limits: headers and words decide, never the status alone.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

from bot.errors import BackendError, BackendErrorKind, TemporaryBackendError
from integrations._forge_refusals import Refusals
from integrations._http import Answer, retry_after_seconds

BACKEND: Final = "GitHub"
REFUSALS: Final = Refusals(BACKEND)
refuse, not_ready = REFUSALS.refuse, REFUSALS.not_ready
SECONDARY_LIMIT_SECONDS: Final = 60.0
"""What GitHub asks to wait at least where it names no time."""

_NOT_READY: Final = re.compile(
    r"repository is empty|empty repository|Object does not exist|Tree SHA does not exist", re.IGNORECASE
)
_TAKEN: Final = re.compile(r"already exists", re.IGNORECASE)
_RULES: Final = re.compile(r"rule violations|protected branch|is protected", re.IGNORECASE)
_FORBIDDEN: Final = re.compile(r"not accessible|forbidden|permission", re.IGNORECASE)
_LIMITED: Final = re.compile(r"rate limit|abuse detection", re.IGNORECASE)


def said(answer: Answer) -> str:
    """`{message, errors: [{message?, code?, field?}] | [string]}`, or nothing where a proxy answered for GitHub."""
    try:
        body = answer.json()
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    details = body.get("errors")
    parts = [body.get("message"), *(details if isinstance(details, list) else [])]
    return ": ".join(dict.fromkeys(text for part in parts if (text := _words(part))))


def _words(part: Any) -> str:
    if isinstance(part, dict):
        return str(part.get("message") or f"{part.get('field', '')} {part.get('code', '')}".strip())
    return str(part) if part else ""


def limit_seconds(answer: Answer, words: str, now: datetime) -> float | None:
    """How long a limit lasts; None where this is no limit."""
    after = retry_after_seconds(answer.headers, now)
    if after is not None:
        return after
    reset = answer.headers.get("x-ratelimit-reset", "")
    if answer.headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        return max(1.0, float(reset) - now.timestamp())
    if answer.status == 429 or _LIMITED.search(words):
        return SECONDARY_LIMIT_SECONDS
    return None


def translate(answer: Answer, now: datetime) -> BackendError:
    words = said(answer)
    if answer.status in {403, 429} and (seconds := limit_seconds(answer, words, now)) is not None:
        return TemporaryBackendError(
            f"GitHub limits how often it may be asked: {words or answer.status}",
            backend=BACKEND,
            kind=BackendErrorKind.RATE_LIMITED,
            retry_after_seconds=seconds,
        )
    if answer.status >= 500 or answer.status == 408:
        return TemporaryBackendError(
            f"GitHub answered {answer.status}. {words}".rstrip(". ") + ".",
            backend=BACKEND,
            retry_after_seconds=retry_after_seconds(answer.headers, now),
        )
    if answer.status in {404, 409, 422} and _NOT_READY.search(words):
        return not_ready(f"GitHub is not ready: {words}")
    kind, fix = _permanent(answer, words)
    return refuse(words or f"GitHub answered {answer.status}.", kind, fix=fix)


def _permanent(answer: Answer, words: str) -> tuple[BackendErrorKind, str | None]:
    if answer.status == 401:
        return (
            BackendErrorKind.DENIED,
            "Renew the App's private key or the token, and check the clock of this machine.",
        )
    if answer.status == 403:
        return BackendErrorKind.DENIED, _permission_fix(answer, words)
    if answer.status in {404, 410}:
        return BackendErrorKind.NOT_FOUND, None
    if answer.status in {409, 422} and _RULES.search(words):
        fix = "Let the App bypass the rule (organisation settings, Rulesets, Bypass list)."
        return BackendErrorKind.POLICY_DENIED, fix
    if answer.status == 422 and _TAKEN.search(words):
        return BackendErrorKind.ALREADY_EXISTS, None
    if answer.status == 409:
        return BackendErrorKind.CONFLICT, None
    return (BackendErrorKind.INVALID if answer.status in {400, 422} else BackendErrorKind.UNKNOWN), None


def not_moved(branch: str, reason: str | None) -> BackendError:
    """The branch still stands where it stood; `reason` is GraphQL's, None where GitHub claimed success."""
    if reason is None:
        return not_ready(f"GitHub said yes, but {branch} has not moved.")
    words = f"GitHub does not move {branch}: {reason}"
    if _RULES.search(reason):
        fix = "Let the App bypass the rules of this branch (Settings, Rules, Rulesets, Bypass list)."
        return refuse(words, BackendErrorKind.POLICY_DENIED, fix=fix)
    if _FORBIDDEN.search(reason):
        return refuse(
            words, BackendErrorKind.DENIED, fix="Give the App the repository permission Contents: write."
        )
    return TemporaryBackendError(words, backend=BACKEND, kind=BackendErrorKind.UNKNOWN)


def _permission_fix(answer: Answer, words: str) -> str:
    if "archived" in words:
        return "Unarchive the repository."
    if "Upgrade to" in words:
        return "The organisation's plan lacks this; turn `protect_release` off or upgrade the plan."
    if accepted := answer.headers.get("x-accepted-github-permissions", ""):
        return f"Give the App the permission {accepted.replace('=', ': ')} and accept it in the organisation."
    return "`python -m bot check` lists the permissions the App needs."
