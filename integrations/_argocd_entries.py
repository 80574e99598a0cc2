"""`services/NAME/config.json` of a GitOps repository: one entry for each environment of a service, which an ApplicationSet turns into
one Application each. Pure.

An entry holds all that the template needs, so that the template decides nothing. Entries of other requests, and files that are not
the bot's, are never changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bot.errors import BackendErrorKind, PermanentBackendError
from integrations import _argocd_shapes as shapes

FILE: Final = "config.json"
Entry = Mapping[str, Any]


def path_of(folder: str, service: str) -> str:
    return f"{folder}/{service}/{FILE}"


def entry_of(intent: Mapping[str, Any]) -> dict[str, Any]:
    """The Application that shall be generated, as parameters of the template."""
    metadata, spec = intent["metadata"], intent["spec"]
    labels, policy = metadata["labels"], spec["syncPolicy"]
    return {
        "managedBy": shapes.MANAGED_BY,
        "requestId": metadata["annotations"][shapes.REQUEST_ANNOTATION],
        "service": labels[shapes.SERVICE_LABEL],
        "environment": labels[shapes.ENVIRONMENT_LABEL],
        "team": labels[shapes.TEAM_LABEL],
        "project": spec["project"],
        "repositoryURL": spec["source"]["repoURL"],
        "targetRevision": spec["source"]["targetRevision"],
        "path": spec["source"]["path"],
        "server": spec["destination"]["server"],
        "namespace": spec["destination"]["namespace"],
        "syncOptions": list(policy.get("syncOptions", ())),
        "automated": "automated" in policy,
        "prune": bool(policy.get("automated", {}).get("prune")),
    }


def parse(content: bytes | None, path: str) -> list[Entry]:
    """Raises PermanentBackendError(CONFLICT) for a file that is not the bot's: it is left as it is."""
    if content is None:
        return []
    try:
        entries = json.loads(content)
    except ValueError as error:
        raise _not_ours(path) from error
    if not isinstance(entries, list):
        raise _not_ours(path)
    for one in entries:
        if not isinstance(one, dict) or one.get("managedBy") != shapes.MANAGED_BY:
            raise _not_ours(path)
    return entries


def text_of(entries: Sequence[Entry]) -> bytes | None:
    """None: nothing is left, so the file goes."""
    if not entries:
        return None
    ordered = sorted(entries, key=lambda one: str(one["environment"]))
    return (json.dumps(ordered, indent=2, ensure_ascii=False) + "\n").encode()


def with_entry(entries: Sequence[Entry], wanted: Entry) -> list[Entry]:
    """The same list where nothing changes. Raises PermanentBackendError(ALREADY_EXISTS) where the entry is another request's.

    What the entry compares with stays as it was first written: from then on the Application is pinned by its deployments.
    """
    known = _find(entries, wanted["environment"])
    if known is None:
        return [*entries, wanted]
    if known.get("requestId") != wanted["requestId"]:
        raise PermanentBackendError(
            f"{wanted['service']} has an entry for {wanted['environment']} already, and not of this request.",
            backend=shapes.BACKEND,
            kind=BackendErrorKind.ALREADY_EXISTS,
            fix="Choose another name.",
        )
    kept = wanted if wanted["automated"] else {**wanted, "targetRevision": known.get("targetRevision")}
    return [kept if one is known else one for one in entries]


def without_entry(entries: Sequence[Entry], environment: str, request_id: str) -> list[Entry]:
    known = _find(entries, environment)
    ours = known is not None and known.get("requestId") == request_id
    return [one for one in entries if not (ours and one is known)]


def _find(entries: Sequence[Entry], environment: str) -> Entry | None:
    return next((one for one in entries if one.get("environment") == environment), None)


def _not_ours(path: str) -> PermanentBackendError:
    return PermanentBackendError(
        f"{path} in the GitOps repository was not written by the bot.",
        backend=shapes.BACKEND,
        kind=BackendErrorKind.CONFLICT,
        fix="Move it away, or choose another name.",
    )
