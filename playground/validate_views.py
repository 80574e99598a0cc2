"""The validator for modals and Home tabs: lengths, surfaces, input needs submit, total size.

Pure. https://docs.slack.dev/reference/views. Problems point below /view, as Slack's do.
"""

from __future__ import annotations

import json
from typing import Any

from playground.validate_blocks import check_blocks
from playground.validate_text import (
    Json,
    Problem,
    Problems,
    check_boolean,
    check_choice,
    check_keys,
    check_string,
    check_text,
    is_object,
)

MAX_VIEW_BYTES = 250_000
TITLE_CHARACTERS = 24
PRIVATE_METADATA_CHARACTERS = 3000
NAME_CHARACTERS = 255


def view_too_large(view: Any) -> bool:
    return len(json.dumps(view, ensure_ascii=False).encode()) > MAX_VIEW_BYTES


def check_modal(view: Any) -> list[Problem]:
    problems = Problems()
    if not is_object(view, "/view", problems):
        return problems
    optional = (
        "close",
        "submit",
        "private_metadata",
        "callback_id",
        "clear_on_close",
        "notify_on_close",
        "external_id",
        "submit_disabled",
    )
    check_keys(view, "/view", problems, required=("type", "title", "blocks"), optional=optional)
    check_choice(view, "type", "/view", problems, choices=("modal",))
    for key in ("title", "submit", "close"):
        check_text(view.get(key), f"/view/{key}", problems, maximum=TITLE_CHARACTERS, plain_only=True)
    check_boolean(view, "clear_on_close", "/view", problems)
    check_boolean(view, "notify_on_close", "/view", problems)
    _check_shared(view, problems)
    if "blocks" in view:
        check_blocks(view["blocks"], "/view/blocks", problems, surface="modal")
    if _has_input(view) and not view.get("submit"):
        problems.add("/view", "missing required field: submit (a view with input blocks needs it)")
    return problems


def check_home(view: Any) -> list[Problem]:
    problems = Problems()
    if not is_object(view, "/view", problems):
        return problems
    optional = ("private_metadata", "callback_id", "external_id")
    check_keys(view, "/view", problems, required=("type", "blocks"), optional=optional)
    check_choice(view, "type", "/view", problems, choices=("home",))
    _check_shared(view, problems)
    if "blocks" in view:
        check_blocks(view["blocks"], "/view/blocks", problems, surface="home", minimum=1)
    return problems


def _check_shared(view: Json, problems: Problems) -> None:
    metadata = view.get("private_metadata")
    check_string(metadata, "/view/private_metadata", problems, maximum=PRIVATE_METADATA_CHARACTERS)
    for key in ("callback_id", "external_id"):
        check_string(view.get(key), f"/view/{key}", problems, maximum=NAME_CHARACTERS)


def _has_input(view: Json) -> bool:
    blocks = view.get("blocks")
    return isinstance(blocks, list) and any(isinstance(b, dict) and b.get("type") == "input" for b in blocks)
