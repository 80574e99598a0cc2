"""A Web API call's arguments, whatever way they came: query, form or JSON, everything possibly a string.

Pure. Raises ApiError with the code and messages Slack would answer.
"""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]

PAGE_MAXIMUM = 1000


class ApiError(Exception):
    """Answered as ok:false with HTTP 200. `extra` joins the body."""

    def __init__(self, code: str, **extra: Any) -> None:
        super().__init__(code)
        self.code = code
        self.extra = extra


def invalid_arguments(*messages: str) -> ApiError:
    return ApiError("invalid_arguments", response_metadata={"messages": list(messages)})


class Arguments:
    def __init__(self, values: Json) -> None:
        self._values = values

    def text(self, key: str) -> str | None:
        value = self._values.get(key)
        if value is None or value == "":
            return None
        return value if isinstance(value, str) else str(value)

    def required(self, key: str) -> str:
        value = self.text(key)
        if value is None:
            raise invalid_arguments(f"[ERROR] missing required field: {key}")
        return value

    def flag(self, key: str, *, default: bool = False) -> bool:
        value = self._values.get(key)
        if value is None or value == "":
            return default
        return value not in (False, 0, "0", "false", "False")

    def integer(self, key: str, *, default: int) -> int:
        value = self._values.get(key)
        if value is None or value == "":
            return default
        try:
            return int(value)
        except (TypeError, ValueError):
            raise invalid_arguments(f"[ERROR] must be an integer [json-pointer:/{key}]") from None

    def json(self, key: str) -> Any:
        """A structure, or a string that holds one; None when absent. ValueError when the string is no JSON."""
        value = self._values.get(key)
        if value is None or value == "":
            return None
        return json.loads(value) if isinstance(value, str) else value

    def json_list(self, key: str) -> list[Any]:
        """Empty when absent or anything else than a list."""
        try:
            value = self.json(key)
        except ValueError:
            return []
        return value if isinstance(value, list) else []

    def names(self, key: str) -> list[str]:
        """A comma-separated list, or a JSON array."""
        value = self._values.get(key)
        if isinstance(value, list):
            return [str(item) for item in value]
        return [item.strip() for item in str(value).split(",") if item.strip()] if value else []


def paged(items: list[Any], arguments: Arguments, *, default_limit: int = 100) -> tuple[list[Any], str]:
    """One page and the cursor of the next, empty at the end. Cursors are opaque to callers."""
    limit = arguments.integer("limit", default=default_limit)
    if not 1 <= limit <= PAGE_MAXIMUM:
        raise ApiError("invalid_limit")
    start = _cursor_start(arguments.text("cursor"), len(items))
    following = start + limit
    cursor = f"next:{following}".encode().hex() if following < len(items) else ""
    return items[start:following], cursor


def _cursor_start(cursor: str | None, total: int) -> int:
    if cursor is None:
        return 0
    try:
        label, _, number = bytes.fromhex(cursor).decode().partition(":")
        start = int(number)
    except ValueError:
        raise ApiError("invalid_cursor") from None
    if label != "next" or not 0 <= start <= total:
        raise ApiError("invalid_cursor")
    return start
