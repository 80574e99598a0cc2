"""PromQL with places for names: `$service`, `$environment`, `$revision` and `$window`. Pure; parses no more than it must.

A name is put into a label value only, escaped for the quotes it stands in, and for the regular expression where the matcher
is one (`=~`, `!~`). A template that would put a name anywhere else is refused when the settings are read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

NAMES: Final = ("service", "environment", "revision")
WINDOW: Final = "window"
_PLACE: Final = re.compile(r"\$(\w+)|\$\{(\w+)\}")
_STRING: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|`[^`]*`')
_REGEX_MATCHER: Final = re.compile(r"[=!]~\s*$")


class TemplateError(ValueError):
    """What is wrong with a template, as whoever wrote it can act on it."""


@dataclass(frozen=True)
class _Piece:
    """`text` as it is, or, where `name` is set, the place of a name."""

    text: str = ""
    name: str = ""
    in_regex: bool = False


@dataclass(frozen=True)
class Template:
    """A query with places. `render` puts names in; a `revision` that is None matches every one."""

    pieces: tuple[_Piece, ...]

    def render(self, *, service: str, environment: str, revision: str | None, window_seconds: int) -> str:
        values = {"service": service, "environment": environment, WINDOW: f"{window_seconds}s"}
        rendered = []
        for piece in self.pieces:
            if not piece.name:
                rendered.append(piece.text)
            elif piece.name == WINDOW:
                rendered.append(values[WINDOW])
            elif piece.name == "revision" and revision is None:
                rendered.append(".*")
            else:
                rendered.append(_escaped(values.get(piece.name, revision or ""), in_regex=piece.in_regex))
        return "".join(rendered)


def parse(template: str) -> Template:
    """Raises TemplateError."""
    pieces: list[_Piece] = []
    position = 0
    for string in _STRING.finditer(template):
        between = template[position : string.start()]
        pieces += _outside(between)
        pieces += _inside(string.group(), in_regex=bool(_REGEX_MATCHER.search(between)))
        position = string.end()
    pieces += _outside(template[position:])
    return Template(tuple(pieces))


def _outside(text: str) -> list[_Piece]:
    if '"' in text or "'" in text or "`" in text:
        raise TemplateError("a query whose quotes are closed")
    for place in _PLACE.finditer(text):
        if _name(place) != WINDOW:
            raise TemplateError(
                f'{place.group()} as a label\'s value in double quotes, such as {{a="$service"}}'
            )
    return _split(text, in_regex=False)


def _inside(string: str, *, in_regex: bool) -> list[_Piece]:
    for place in _PLACE.finditer(string):
        name = _name(place)
        if name not in NAMES:
            continue
        if string[0] != '"':
            raise TemplateError(f"{place.group()} in double quotes: others cannot be escaped safely")
        if name == "revision" and not in_regex:
            raise TemplateError('$revision behind =~, such as {version=~"$revision"}: it may match every one')
    return _split(string, in_regex=in_regex)


def _split(text: str, *, in_regex: bool) -> list[_Piece]:
    """Known places apart from everything else; any other `$` is the query's own (the end in a regular expression)."""
    pieces, position = [], 0
    for place in _PLACE.finditer(text):
        if _name(place) not in (*NAMES, WINDOW):
            continue
        pieces += [_Piece(text[position : place.start()]), _Piece(name=_name(place), in_regex=in_regex)]
        position = place.end()
    return [*pieces, _Piece(text[position:])]


def _name(place: re.Match[str]) -> str:
    return place[1] or place[2]


def _escaped(value: str, *, in_regex: bool) -> str:
    value = re.escape(value) if in_regex else value
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
