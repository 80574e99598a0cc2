"""What Backstage's refusals mean, and what a person can do about them. Pure, but for handing out the token.

Backstage has one error body, `{"error": {"name", "message"}}`; a refusal without it came from something in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from bot.errors import BackendError, BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations._backstage_shapes import BACKEND
from integrations._http import Answer, retry_after_seconds

_READ_ONLY: Final = "readonly mode"
_OVERLOADED: Final = frozenset({408, 429})


class Dialect:
    """`integrations._http.Dialect` of Backstage: a static token, errors in one shape."""

    def __init__(self, token: str, token_variable: str) -> None:
        self.backend = BACKEND
        self._token = token
        self._token_variable = token_variable

    async def credentials(self, *, renew: bool) -> Mapping[str, str]:
        """There is nothing to renew: a token that is refused stays refused."""
        del renew
        return {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}

    def refusal(self, answer: Answer, now: datetime) -> BackendError:
        return refusal(answer, now, token_variable=self._token_variable)


def error_of(answer: Answer) -> tuple[str, str]:
    """Name and message of Backstage's error body; two empty texts where the answer is not Backstage's."""
    try:
        error = answer.json()["error"]
        return str(error["name"]), str(error.get("message", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", ""


def refuse(
    message: str, kind: BackendErrorKind = BackendErrorKind.INVALID, *, fix: str | None = None
) -> PermanentBackendError:
    return PermanentBackendError(message, backend=BACKEND, kind=kind, fix=fix)


def not_ready(message: str, *, retry_after: float | None = None, fix: str | None = None) -> BackendError:
    return TemporaryBackendError(
        message,
        backend=BACKEND,
        kind=BackendErrorKind.NOT_READY,
        retry_after_seconds=retry_after,
        fix=fix,
    )


def refusal(answer: Answer, now: datetime, *, token_variable: str) -> BackendError:
    """What a status of 300 or more means."""
    name, message = error_of(answer)
    said = message or f"status {answer.status}"
    if answer.status >= 500 or answer.status in _OVERLOADED:
        limited = answer.status == 429
        return TemporaryBackendError(
            f"Backstage cannot answer now: {said}",
            backend=BACKEND,
            kind=BackendErrorKind.RATE_LIMITED if limited else BackendErrorKind.UNAVAILABLE,
            retry_after_seconds=retry_after_seconds(answer.headers, now),
        )
    if answer.status == 401:
        return refuse(
            f"Backstage does not know the token: {said}",
            BackendErrorKind.DENIED,
            fix=f"Compare {token_variable} with backend.auth.externalAccess in Backstage's app-config.",
        )
    if answer.status == 403:
        return refuse(f"Backstage refuses: {said}", BackendErrorKind.DENIED, fix=_fix_of_denial(message))
    if not name:
        # An ingress in the middle of a deployment, a wrong base_url, a login page: not the catalog's answer.
        return TemporaryBackendError(
            f"Backstage's catalog is not at base_url: something else answers there with status {answer.status}.",
            backend=BACKEND,
            kind=BackendErrorKind.UNKNOWN,
            fix="If this stays, check base_url.",
        )
    kinds: Mapping[int, BackendErrorKind] = {
        400: BackendErrorKind.INVALID,
        404: BackendErrorKind.NOT_FOUND,
        409: BackendErrorKind.CONFLICT,
    }
    return refuse(f"Backstage refuses: {said}", kinds.get(answer.status, BackendErrorKind.UNKNOWN))


def _fix_of_denial(message: str) -> str:
    if _READ_ONLY in message:
        return "Set catalog.readonly to false in Backstage's app-config."
    return "Complete the token's accessRestrictions; `python -m bot check` names the missing permission."


def explain_dry_run(answer: Answer, target: str) -> BackendError:
    """Why the catalog would not take the file, as somebody can act on it. The texts are those of Backstage's processors."""
    _, message = error_of(answer)
    known: Any = next((entry for entry in _DRY_RUN_TEXTS if entry[0] in message), None)
    if known is None:
        return refuse(
            f"Backstage does not accept {target}: {message}",
            fix="Correct catalog-info.yaml in the repository, then retry from here.",
        )
    _, error, fix = known
    if error is TemporaryBackendError:
        return not_ready(f"Backstage cannot read {target} yet: {message}", fix=fix)
    return refuse(f"Backstage does not take {target}: {message}", BackendErrorKind.DENIED, fix=fix)


_DRY_RUN_TEXTS: Final[tuple[tuple[str, type[BackendError], str], ...]] = (
    (
        "backend.reading.allow",
        PermanentBackendError,
        "Add an integration for the code host to Backstage's app-config.",
    ),
    (
        "not of an allowed kind",
        PermanentBackendError,
        "Allow Component under catalog.rules in Backstage's app-config.",
    ),
    (
        "must be of an allowed type",
        PermanentBackendError,
        "Allow locations of the type url in Backstage.",
    ),
    (
        # The first commit may be seconds old; a repository that its integration may not see looks the same.
        "NotFoundError",
        TemporaryBackendError,
        "If this stays, Backstage's integration may not read the repository.",
    ),
)


def hidden_locations() -> BackendError:
    """Backstage answers with an empty list, not with 403, where this permission is missing."""
    return refuse(
        "Backstage does not show the bot the registered locations.",
        BackendErrorKind.DENIED,
        fix="Add catalog.location.read to the token's accessRestrictions.",
    )
