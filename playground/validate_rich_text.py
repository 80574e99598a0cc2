"""rich_text and table blocks: the two whose content nests.

Pure. https://docs.slack.dev/reference/block-kit/blocks/rich-text-block and …/table-block.
"""

from __future__ import annotations

from typing import Any

from playground.validate_text import (
    Json,
    Problems,
    check_boolean,
    check_choice,
    check_integer,
    check_keys,
    check_list,
    check_string,
    is_object,
)

MAX_TABLE_ROWS = 100
MAX_TABLE_COLUMNS = 20
MAX_TABLE_CHARACTERS = 10_000

_STYLES = ("bold", "italic", "strike", "code", "underline", "highlight", "client_highlight", "unlink")
# inline element -> (required, optional)
_INLINE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "text": (("text",), ("style",)),
    "link": (("url",), ("text", "style", "unsafe")),
    "user": (("user_id",), ("style",)),
    "usergroup": (("usergroup_id",), ("style",)),
    "channel": (("channel_id",), ("style",)),
    "emoji": (("name",), ("unicode", "style", "skin_tone", "url")),
    "broadcast": (("range",), ("style",)),
    "color": (("value",), ()),
    "date": (("timestamp", "format"), ("url", "fallback", "style")),
    "team": (("team_id",), ("style",)),
}
_GROUPS: dict[str, tuple[str, ...]] = {
    "rich_text_section": (),
    "rich_text_list": ("style", "indent", "offset", "border"),
    "rich_text_quote": ("border",),
    "rich_text_preformatted": ("border", "language"),
}


def check_rich_text(block: Json, pointer: str, problems: Problems) -> None:
    check_keys(block, pointer, problems, required=("elements",), optional=("block_id",))
    at = f"{pointer}/elements"
    for index, element in enumerate(check_list(block.get("elements"), at, problems, maximum=1000, minimum=0)):
        _check_group(element, f"{at}/{index}", problems, accepted=set(_GROUPS))


def _check_group(element: Any, pointer: str, problems: Problems, *, accepted: set[str]) -> None:
    if not is_object(element, pointer, problems):
        return
    kind = element.get("type")
    if kind not in accepted:
        problems.add(f"{pointer}/type", f"unsupported type: {kind}")
        return
    check_keys(element, pointer, problems, required=("elements",), optional=_GROUPS[kind])
    at = f"{pointer}/elements"
    items = check_list(element.get("elements"), at, problems, maximum=1000, minimum=0)
    if kind == "rich_text_list":
        if "style" not in element:
            problems.add(pointer, "missing required field: style")
        check_choice(element, "style", pointer, problems, choices=("bullet", "ordered"))
        check_integer(element, "indent", pointer, problems, minimum=0, maximum=8)
        for index, item in enumerate(items):
            _check_group(item, f"{at}/{index}", problems, accepted={"rich_text_section"})
    else:
        for index, item in enumerate(items):
            _check_inline(item, f"{at}/{index}", problems)


def _check_inline(element: Any, pointer: str, problems: Problems) -> None:
    if not is_object(element, pointer, problems):
        return
    kind = element.get("type")
    if kind not in _INLINE:
        problems.add(f"{pointer}/type", f"unsupported type: {kind}")
        return
    required, optional = _INLINE[kind]
    check_keys(element, pointer, problems, required=required, optional=optional)
    if kind == "text":
        check_string(element.get("text"), f"{pointer}/text", problems, maximum=40_000, minimum=1)
    if kind == "broadcast":
        check_choice(element, "range", pointer, problems, choices=("here", "channel", "everyone"))
    style = element.get("style")
    if style is not None and is_object(style, f"{pointer}/style", problems):
        for key in style:
            if key not in _STYLES:
                problems.add(f"{pointer}/style", f"invalid additional property: {key}")
            check_boolean(style, key, f"{pointer}/style", problems)


def check_table(block: Json, pointer: str, problems: Problems) -> None:
    check_keys(block, pointer, problems, required=("rows",), optional=("block_id", "column_settings"))
    at = f"{pointer}/rows"
    rows = check_list(block.get("rows"), at, problems, maximum=MAX_TABLE_ROWS)
    widths: set[int] = set()
    characters = 0
    for index, row in enumerate(rows):
        cells = check_list(row, f"{at}/{index}", problems, maximum=MAX_TABLE_COLUMNS)
        widths.add(len(cells))
        for column, cell in enumerate(cells):
            characters += _check_cell(cell, f"{at}/{index}/{column}", problems)
    if len(widths) > 1:
        problems.add(at, "every row must have the same number of cells")
    if characters > MAX_TABLE_CHARACTERS:
        problems.add(at, f"must be less than {MAX_TABLE_CHARACTERS + 1} characters in total")
    _check_columns(block, pointer, problems)


def _check_cell(cell: Any, pointer: str, problems: Problems) -> int:
    """The characters the cell holds."""
    if not is_object(cell, pointer, problems):
        return 0
    if cell.get("type") == "raw_text":
        check_keys(cell, pointer, problems, required=("text",), optional=())
        check_string(cell.get("text"), f"{pointer}/text", problems, maximum=MAX_TABLE_CHARACTERS, minimum=1)
        return len(str(cell.get("text") or ""))
    if cell.get("type") == "rich_text":
        check_rich_text(cell, pointer, problems)
        return _inline_characters(cell)
    problems.add(f"{pointer}/type", f"unsupported type: {cell.get('type')}")
    return 0


def _inline_characters(element: Any) -> int:
    if not isinstance(element, dict):
        return 0
    own = len(element["text"]) if isinstance(element.get("text"), str) else 0
    nested = element.get("elements")
    return own + (sum(_inline_characters(item) for item in nested) if isinstance(nested, list) else 0)


def _check_columns(block: Json, pointer: str, problems: Problems) -> None:
    if "column_settings" not in block:
        return
    at = f"{pointer}/column_settings"
    settings = check_list(block["column_settings"], at, problems, maximum=MAX_TABLE_COLUMNS, minimum=0)
    for index, setting in enumerate(settings):
        # Slack lets a null skip a column.
        if setting is None or not is_object(setting, f"{at}/{index}", problems):
            continue
        check_keys(setting, f"{at}/{index}", problems, required=(), optional=("align", "is_wrapped"))
        check_choice(setting, "align", f"{at}/{index}", problems, choices=("left", "center", "right"))
        check_boolean(setting, "is_wrapped", f"{at}/{index}", problems)
