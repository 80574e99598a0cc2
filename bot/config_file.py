"""platform.yml as data with the line of every key, so that an error can say where it stands. Pure but for reading the file.

Refuses what YAML readers let pass: a key written twice, of which the second would silently win. Knows nothing of what the
values mean.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bot.errors import ConfigError, Problem, foreign_text

Location = tuple[str | int, ...]
VALUE_LIMIT = 80


@dataclass(frozen=True)
class Document:
    """`data` is plain YAML data; `lines` maps a path in it to its line, counted from one."""

    file: str
    data: dict[str, Any]
    lines: dict[Location, int]
    problems: tuple[Problem, ...] = ()
    """What is wrong with the text itself, though it can be read."""

    def place(self, location: Location) -> str:
        """`teams.orders.leads[0] (line 12)`; the line of the nearest place around it where it is not in the file."""
        line = next(
            (
                self.lines[location[:size]]
                for size in range(len(location), 0, -1)
                if location[:size] in self.lines
            ),
            None,
        )
        return words(location) + (f" (line {line})" if line else "")


def words(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text or "the file"


def shown(value: object) -> str:
    """A value as the file has it, short, on one line, and without what looks like a secret that strayed into it."""
    text = foreign_text(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= VALUE_LIMIT else text[: VALUE_LIMIT - 1] + "…"


def nearest(name: str, known: Iterable[str]) -> str:
    """What is accepted instead of an unknown name, the nearest first."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    listed = ", ".join(names) or "nothing here"
    return f"did you mean {near[0]}? {listed}" if near else listed


def read(path: Path) -> Document:
    """Raises ConfigError: no such file, no YAML, not a mapping."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        accepted = "a readable file; --config names another"
        raise ConfigError([Problem(str(path), "the file", reason or "cannot be read", accepted)]) from error
    return parse(text, file=path.name)


def parse(text: str, *, file: str) -> Document:
    """Raises ConfigError where the text is no YAML mapping."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError([Problem(file, "the file", "no mapping", "keys such as teams:, environments:")])
        walk = _Walk(file)
        walk.node(node, ())
        return Document(file, yaml.safe_load(text), walk.lines, tuple(walk.problems))
    except (yaml.YAMLError, ValueError) as error:
        # ValueError: YAML recognises dates by their shape, and 2026-99-99 has nothing but the shape.
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "the file"
        what = foreign_text(str(getattr(error, "problem", None) or error))
        raise ConfigError([Problem(file, where, what, "YAML 1.1")]) from error
    except RecursionError as error:
        what = "an alias contains itself, or the nesting is too deep"
        raise ConfigError([Problem(file, "the file", what, "YAML that ends")]) from error


@dataclass
class _Walk:
    """Notes the line of everything, and keys that stand twice in one mapping."""

    file: str
    lines: dict[Location, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def node(self, node: yaml.Node, location: Location) -> None:
        if isinstance(node, yaml.MappingNode):
            self._mapping(node, location)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self.lines[*location, index] = value.start_mark.line + 1
                self.node(value, (*location, index))

    def _mapping(self, node: yaml.MappingNode, location: Location) -> None:
        first: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            inner = (*location, name)
            if name in first:
                where = f"{words(inner)} (line {line})"
                said = f"a second time (first: line {first[name]})"
                self.problems.append(Problem(self.file, where, said, "each key once"))
            first.setdefault(name, line)
            self.lines[inner] = line
            self.node(value, inner)
