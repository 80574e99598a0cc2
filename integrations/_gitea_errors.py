"""What the refusals of Gitea and Forgejo mean. Pure.

Both answer `{message, url}`; a proxy before them answers what it likes. A token that lacks a scope is told so by name.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations._forge_refusals import Refusals
from integrations._http import Answer, retry_after_seconds

BACKEND: Final = "Gitea"
REFUSALS: Final = Refusals(BACKEND)
LIMIT_SECONDS: Final = 30.0
"""Gitea itself limits nothing; a proxy that does and names no time is left alone for so long."""

_EMPTY: Final = re.compile(r"repository is empty|empty repository", re.IGNORECASE)
_TAKEN: Final = re.compile(r"already exist|same name|already taken", re.IGNORECASE)
_PROTECTED: Final = re.compile(
    r"protected branch|is protected|protected tag|not allowed to push", re.IGNORECASE
)
_FORBIDDEN: Final = re.compile(r"permission denied|not allowed|forbidden", re.IGNORECASE)
_SCOPES: Final = re.compile(r"required scope\(s\)\W*(?:required=)?\[?([a-z: ]+)")
_ARCHIVED: Final = re.compile(r"archived", re.IGNORECASE)


def refuse(
    message: str, kind: BackendErrorKind = BackendErrorKind.INVALID, *, fix: str | None = None
) -> PermanentBackendError:
    return REFUSALS.refuse(message, kind, fix=fix)


def said(answer: Answer) -> str:
    """The API's message; git's endpoint refuses in plain text; a proxy's page says nothing."""
    if answer.headers.get("content-type", "").startswith("text/plain"):
        return answer.content[:500].decode("utf-8", "replace").strip()
    try:
        body: Any = answer.json()
    except ValueError:
        return ""
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else ""


def missing_scope(words: str) -> str | None:
    """`write:repository` of "token does not have at least one of required scope(s): [write:repository]"."""
    found = _SCOPES.search(words)
    return found[1].strip() if found else None


def translate(answer: Answer, now: datetime) -> BackendError:
    words = said(answer)
    wait = retry_after_seconds(answer.headers, now)
    if answer.status == 429:
        return TemporaryBackendError(
            f"Gitea limits how often it may be asked. {words}".strip(),
            backend=BACKEND,
            kind=BackendErrorKind.RATE_LIMITED,
            retry_after_seconds=LIMIT_SECONDS if wait is None else wait,
        )
    if answer.status >= 500 or answer.status == 408:
        return TemporaryBackendError(
            f"Gitea answered {answer.status}. {words}".rstrip(". ") + ".",
            backend=BACKEND,
            retry_after_seconds=wait,
        )
    if answer.status in {404, 409} and _EMPTY.search(words):
        # Gitea notices a first push in a queue, a moment after it said yes.
        return REFUSALS.not_ready(f"Gitea is not ready: {words}")
    kind, fix = _permanent(answer.status, words)
    return refuse(words or f"Gitea answered {answer.status}.", kind, fix=fix)


def _permanent(status: int, words: str) -> tuple[BackendErrorKind, str | None]:
    if status == 401:
        return (
            BackendErrorKind.DENIED,
            "Make a new token for the bot's account and put it into its environment.",
        )
    if status in {403, 409, 422} and _TAKEN.search(words):
        # A second rule for one branch is refused with 403, a second repository with 409, a rename onto one with 422.
        return BackendErrorKind.ALREADY_EXISTS, None
    if status == 423 or (status == 403 and _ARCHIVED.search(words)):
        return BackendErrorKind.DENIED, "Unarchive the repository."
    if status == 403:
        return BackendErrorKind.DENIED, _permission_fix(words)
    if status == 413:
        fix = "Let the proxy before Gitea take larger requests (nginx: `client_max_body_size`)."
        return BackendErrorKind.INVALID, fix
    if status in {404, 405, 410}:
        return BackendErrorKind.NOT_FOUND, None
    if status == 409:
        return BackendErrorKind.CONFLICT, None
    return (BackendErrorKind.INVALID if status in {400, 422} else BackendErrorKind.UNKNOWN), None


def _permission_fix(words: str) -> str:
    if (scope := missing_scope(words)) is not None:
        return f"Make a token with the scope {scope} for the bot's account."
    if "HTTP protocol" in words:
        return "Let Gitea take pushes over HTTP (app.ini, `[repository] DISABLE_HTTP_GIT = false`)."
    if "team" in words:
        return (
            "Let repository administrators change the access of teams (organisation settings), or make the "
            "bot's account an owner of the organisation."
        )
    return "`python -m bot check` lists what the bot's account needs."


def not_moved(branch: str, reason: str | None) -> BackendError:
    """The branch still stands where it stood; `reason` is git's, None where Gitea claimed success."""
    if reason is None:
        return REFUSALS.not_ready(f"Gitea said yes, but {branch} has not moved.")
    words = f"Gitea does not move {branch}: {reason}"
    if _PROTECTED.search(reason):
        fix = "Let the bot's account push to this branch (repository settings, Branches, Whitelisted users)."
        return refuse(words, BackendErrorKind.POLICY_DENIED, fix=fix)
    if _FORBIDDEN.search(reason):
        return refuse(words, BackendErrorKind.DENIED, fix="Give the bot's account write access to the code.")
    return TemporaryBackendError(words, backend=BACKEND, kind=BackendErrorKind.UNKNOWN)
