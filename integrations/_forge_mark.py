"""How a repository on a forge says which request made it, and where it goes when that is undone. Pure."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

MANAGED_TOPIC: Final = "platform-managed"
DESCRIPTION_LIMIT: Final = 350
"""Characters of a description: GitHub refuses more, and control characters too; Gitea takes 2048."""

_MARK: Final = re.compile(r"\[platform-bot:([A-Za-z0-9][A-Za-z0-9._:-]{0,127})\]$")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def marked_description(description: str, request_id: str) -> str:
    """The mark is part of the description because that is set by the very call that creates: never there without it."""
    mark = f"[platform-bot:{request_id}]"
    text = _CONTROL.sub(" ", description.encode("utf-8", "ignore").decode()).strip()
    return f"{text[: DESCRIPTION_LIMIT - len(mark) - 1]} {mark}".strip()


def marked_request(description: str | None) -> str | None:
    """The request whose mark the description ends in."""
    found = _MARK.search((description or "").rstrip())
    return found[1] if found else None


def undone_names(name: str, request_id: str) -> tuple[str, ...]:
    """Where an archived repository goes, so that its name is free again. The same request finds it again."""
    first = f"{name}-undone-{sha256(request_id.encode()).hexdigest()[:8]}"
    return (first, f"{first}-2", f"{first}-3")


def is_undone(name: str, request_id: str | None) -> bool:
    """Whether something of this name and mark was set aside by an undo."""
    return request_id is not None and name in undone_names(name.rpartition("-undone-")[0], request_id)


def move_tag(ref: str, request_id: str, revision: str) -> str:
    """The tag that is set in one transaction with a release: a forge's reflog cannot carry a request id, this can."""
    request = request_id.replace(":", "-").replace("..", "-").rstrip(".")
    return f"platform/{ref}/{request}-{revision[:12]}"
