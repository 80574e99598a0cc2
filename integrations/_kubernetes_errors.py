"""What a refusal of a Kubernetes API server means, in the words of every backend. Pure.

Sources: the API conventions for `Status`; the texts were read from a real API server. A refusal by an admission webhook (Kyverno,
Gatekeeper, Crossplane's protection of things in use) may carry any code: it is recognised by how the API server begins it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from bot.errors import (
    BackendError,
    BackendErrorKind,
    PermanentBackendError,
    TemporaryBackendError,
    delay_seconds,
)
from integrations._http import Answer, retry_after_seconds
from integrations._kubernetes_cluster import BACKEND

_WEBHOOK_DENIES: Final = "admission webhook "
_TEMPORARY: Final = frozenset({408, 500, 502, 503, 504})
_PERMANENT: Final = {
    401: BackendErrorKind.DENIED,
    403: BackendErrorKind.DENIED,
    404: BackendErrorKind.NOT_FOUND,
    409: BackendErrorKind.CONFLICT,
}
_FIXES: Final = {
    BackendErrorKind.DENIED: "`python -m bot check` says which permission is missing.",
    BackendErrorKind.POLICY_DENIED: "Ask the platform team what the policy wants.",
}


class ExpiredError(TemporaryBackendError):
    """The cluster has forgotten where a list or a watch stood. It is begun anew by itself."""


def parse_status(content: bytes) -> dict[str, Any]:
    """A `Status`; empty for anything else, such as `404 page not found` for a kind that is not served."""
    try:
        body = json.loads(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) and body.get("kind") == "Status" else {}


def names_object(answer: Answer, name: str) -> bool:
    """Whether a 404 says that this object is not there, and not that its kind or its namespace is unknown."""
    details = parse_status(answer.content).get("details") or {}
    return answer.status == 404 and details.get("name") == name and details.get("kind") != "namespaces"


def refusal(answer: Answer, now: datetime) -> BackendError:
    status = parse_status(answer.content)
    message = str(status.get("message") or _without_status(answer))
    if answer.status == 410:
        return ExpiredError(message, backend=BACKEND)
    if answer.status == 429 or (answer.status in _TEMPORARY and _WEBHOOK_DENIES not in message):
        return _temporary(answer, status, message, now)
    conflicts = _manager_conflicts(status)
    if conflicts:
        return PermanentBackendError(
            f"Somebody else holds what the bot would set: {conflicts}",
            backend=BACKEND,
            kind=BackendErrorKind.CONFLICT,
            fix="Nothing was overwritten. Let the holder give the field up, or set it to what was asked for.",
        )
    if status.get("reason") == "Conflict" and _WEBHOOK_DENIES not in message:
        # Somebody was faster between our reading and our writing: the next try reads first.
        return TemporaryBackendError(message, backend=BACKEND, kind=BackendErrorKind.CONFLICT)
    kind = _kind(answer.status, status, message)
    return PermanentBackendError(message, backend=BACKEND, kind=kind, fix=_FIXES.get(kind))


def _without_status(answer: Answer) -> str:
    if answer.status == 404:
        return "The API server does not serve this kind of object."
    return f"The API server answered {answer.status} without saying why."


def _temporary(answer: Answer, status: Mapping[str, Any], message: str, now: datetime) -> BackendError:
    hint = (status.get("details") or {}).get("retryAfterSeconds")
    limited = answer.status == 429
    return TemporaryBackendError(
        message,
        backend=BACKEND,
        kind=BackendErrorKind.RATE_LIMITED if limited else BackendErrorKind.UNAVAILABLE,
        retry_after_seconds=retry_after_seconds(answer.headers, now) or delay_seconds(str(hint or "")),
    )


def _manager_conflicts(status: Mapping[str, Any]) -> str:
    """`.spec.size: conflict with "kubectl-edit"`, one for each field."""
    causes = (status.get("details") or {}).get("causes") or []
    return "; ".join(
        f"{cause.get('field', '?')}: {cause.get('message', '')}"
        for cause in causes
        if cause.get("reason") == "FieldManagerConflict"
    )


def _kind(code: int, status: Mapping[str, Any], message: str) -> BackendErrorKind:
    # RBAC says `User "x" cannot get resource "y"`; any other Forbidden is a quota, a policy or an admission plugin.
    by_admission = _WEBHOOK_DENIES in message or (code == 403 and status and " cannot " not in message)
    if by_admission:
        return BackendErrorKind.POLICY_DENIED
    if status.get("reason") == "AlreadyExists":
        return BackendErrorKind.ALREADY_EXISTS
    return _PERMANENT.get(code, BackendErrorKind.INVALID)
