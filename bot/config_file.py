"""platform.yml as data with the line of every key, so that an error can say where it stands. Pure but for reading the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bot.errors import ConfigError, Problem

Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """`data` is plain YAML data; `lines` maps a path in it to its line, counted from one."""

    file: str
    data: dict[str, Any]
    lines: dict[Location, int]

    def place(self, location: Location) -> str:
        """`teams.orders.leads[0] (line 12)`."""
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


def read(path: Path) -> Document:
    """Raises ConfigError: no such file, no YAML, a key twice, not a mapping."""
    name = path.name
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            [
                Problem(
                    str(path),
                    "the file",
                    error.strerror or "cannot be read",
                    "a readable file; see platform.yml",
                )
            ]
        ) from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigError(
            [Problem(name, f"line {line}", str(error.problem or "not YAML"), "YAML 1.1")]
        ) from error
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError([Problem(name, "the file", "no mapping", "keys such as teams:, environments:")])
    lines: dict[Location, int] = {}
    problems: list[Problem] = []
    _walk(node, (), lines, problems, name)
    if problems:
        raise ConfigError(problems)
    return Document(name, yaml.safe_load(text), lines)


def _walk(
    node: yaml.Node, location: Location, lines: dict[Location, int], problems: list[Problem], name: str
) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*location, str(key.value))
            if inner in lines:
                where = f"{words(inner)} (line {key.start_mark.line + 1})"
                problems.append(
                    Problem(name, where, f"a second time (first: line {lines[inner]})", "each key once")
                )
            lines[inner] = key.start_mark.line + 1
            _walk(value, inner, lines, problems, name)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[*location, index] = value.start_mark.line + 1
            _walk(value, (*location, index), lines, problems, name)
