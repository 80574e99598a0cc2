"""What was measured, as values: medians, ratios, what was to be reached; to JSON and back, and as tables. Pure."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Measure:
    """One quantity of one subject, a value for each round."""

    key: str
    unit: str
    values: tuple[float, ...]
    better: Literal["lower", "higher"] = "lower"

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True)
class Reach:
    """A row of the issue's list: a ratio that holds on any machine, and how far it may go."""

    row: str
    what: str
    ratio: float
    limit: float
    better: Literal["lower", "higher"] = "lower"
    why: str = ""
    """What limits it, where it is out of reach."""

    @property
    def holds(self) -> bool:
        return self.ratio <= self.limit if self.better == "lower" else self.ratio >= self.limit


@dataclass
class Results:
    """What one run found."""

    measures: list[Measure] = field(default_factory=list)
    reached: list[Reach] = field(default_factory=list)

    def add(
        self,
        key: str,
        unit: str,
        values: Iterable[float],
        *,
        better: Literal["lower", "higher"] = "lower",
    ) -> Measure:
        measure = Measure(key, unit, tuple(values), better)
        self.measures.append(measure)
        return measure

    def reach(
        self,
        row: str,
        what: str,
        ratio: float,
        limit: float,
        *,
        better: Literal["lower", "higher"] = "lower",
        why: str = "",
    ) -> None:
        self.reached.append(Reach(row, what, ratio, limit, better, why))

    def median(self, key: str) -> float:
        return next(one.median for one in self.measures if one.key == key)

    def ratio(self, key: str, other: str) -> float:
        return self.median(key) / self.median(other)

    def take(self, other: Results) -> None:
        self.measures += other.measures
        self.reached += other.reached


@dataclass(frozen=True)
class Part:
    """What one part of the bench found, and when, where and under which load: parts are measured at different hours."""

    results: Results
    machine: Mapping[str, Any]


def together(parts: Mapping[str, Part]) -> Results:
    """What all of them found, in the order of the list's rows."""
    every = Results()
    for part in parts.values():
        every.take(part.results)
    every.reached.sort(key=lambda one: int(one.row))
    return every


# ---------------------------------------------------------------- JSON


def to_json(parts: Mapping[str, Part]) -> str:
    content = {
        name: {
            "machine": dict(part.machine),
            "measures": [asdict(one) for one in part.results.measures],
            "reached": [asdict(one) for one in part.results.reached],
        }
        for name, part in parts.items()
    }
    return json.dumps({"parts": content}, indent=1, ensure_ascii=False) + "\n"


def from_json(text: str) -> dict[str, Part]:
    """Raises ValueError where the text is no result of the bench, or one of an earlier bench."""
    content = json.loads(text)
    if not isinstance(content, dict) or not {"parts", "measures"} & content.keys():
        raise ValueError("not a result of the bench")
    if "parts" not in content:
        raise ValueError("a result of an earlier bench, which does not say when each part was measured")
    return {name: _part(one) for name, one in content["parts"].items()}


def _part(content: Mapping[str, Any]) -> Part:
    measures = [Measure(**{**one, "values": tuple(one["values"])}) for one in content["measures"]]
    return Part(Results(measures, [Reach(**one) for one in content["reached"]]), content["machine"])


# ---------------------------------------------------------------- tables


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown that is also readable in a terminal."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(head))]
    shown = [
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    ]
    rule = " | ".join("-" * width for width in widths)
    return "\n".join(f"| {line} |" for line in [shown[0], rule, *shown[1:]])


def reach_table(results: Results) -> str:
    rows = [
        (
            one.row,
            one.what,
            f"{one.ratio:.2f} x",
            f"{'≤' if one.better == 'lower' else '≥'} {one.limit:g} x",
            "yes" if one.holds else "no",
        )
        for one in results.reached
    ]
    return table(("row", "what", "measured", "reach", "reached"), rows)


def limits(results: Results) -> str:
    """A line for each row out of reach whose part says what limits it."""
    return "\n".join(
        f"- Row {one.row}, {one.what}: {one.why}." for one in results.reached if one.why and not one.holds
    )


def measure_table(measures: Iterable[Measure]) -> str:
    rows = [(one.key, _number(one.median), one.unit, " ".join(map(_number, one.values))) for one in measures]
    return table(("what", "median", "unit", "rounds"), rows)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
