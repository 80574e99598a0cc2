"""docs/performance.md's numbers and its chart, from what the bench's parts found. The words around them are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from bench.results import Part, Results, limits, reach_table, table, together

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
PAGE, CHART = "performance.md", "images/performance.svg"
_BAR, _GAP, _LEFT, _WIDTH = 18, 10, 260, 420


def write(parts: Mapping[str, Part], docs: Path) -> None:
    """Raises ValueError where the page lacks the place for the numbers."""
    page = docs / PAGE
    page.write_text(filled(page.read_text(encoding="utf-8"), parts), encoding="utf-8")
    (docs / CHART).write_text(chart(together(parts)), encoding="utf-8")


def filled(text: str, parts: Mapping[str, Part]) -> str:
    """The page with the numbers between its two marks replaced."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place for the numbers: {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{_measured(parts)}\n{END}{after}"


def _measured(parts: Mapping[str, Part]) -> str:
    results = together(parts)
    return "\n\n".join(
        [
            *_conditions(parts),
            "### Against what was to be reached",
            reach_table(results),
            *filter(None, [limits(results)]),
            "### Side by side",
            _peers(results),
        ]
    )


def _conditions(parts: Mapping[str, Part]) -> Iterator[str]:
    """What was the same for all parts as a sentence, what was not as a table."""
    names = list(dict.fromkeys(name for part in parts.values() for name in part.machine))
    found = {name: [str(part.machine.get(name, "")) for part in parts.values()] for name in names}
    same = [name for name, values in found.items() if len(set(values)) == 1]
    differing = [name for name in names if name not in same]
    if same:
        yield f"Measured: {', '.join(f'{_words(name)} {found[name][0]}' for name in same)}."
    if differing:
        rows = [
            (name, _rows(part), *(found[what][index] for what in differing))
            for index, (name, part) in enumerate(parts.items())
        ]
        yield table(("part", "rows", *map(_words, differing)), rows)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _rows(part: Part) -> str:
    return ", ".join(dict.fromkeys(one.row for one in part.results.reached))


def _peers(results: Results) -> str:
    quantities = ("cpu", "cpu-loop", "cpu-full", "most", "p50", "p99")
    found = {one.key: one.median for one in results.measures if one.key.startswith("ack/")}
    subjects = dict.fromkeys(key.split("/")[1] for key in found)
    rows = [
        (subject, *(f"{found[f'ack/{subject}/{quantity}']:.3g}" for quantity in quantities))
        for subject in subjects
    ]
    head = ("server", "CPU ms, 200/s", "of it on the loop", "CPU ms, saturated", "most/s", "p50 ms", "p99 ms")
    return table(head, rows)


# ---------------------------------------------------------------- the chart


def chart(results: Results) -> str:
    """CPU per command for every server, as bars; one file, no script, readable on light and on dark."""
    bars = [
        (one.key.split("/")[1], one.median)
        for one in results.measures
        if one.key.startswith("ack/") and one.key.endswith("/cpu")
    ]
    return svg("CPU per acknowledged command at 200/s, in milliseconds", bars)


def svg(title: str, bars: Sequence[tuple[str, float]]) -> str:
    """Horizontal bars, longest where the number is largest."""
    most = max((value for _, value in bars), default=1.0)
    height = 44 + len(bars) * (_BAR + _GAP)
    box = f"0 0 {_LEFT + _WIDTH + 70} {height}"
    name = escape(title)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img" aria-label="{name}" font-family="sans-serif" font-size="13">',
        f'<rect width="100%" height="100%" fill="#ffffff"/><text x="10" y="24" font-weight="bold">{name}</text>',
    ]
    for index, (subject, value) in enumerate(bars):
        top = 40 + index * (_BAR + _GAP)
        colour = "#1d70b8" if subject.startswith("bot-") else "#8a8f98"
        length = max(1, round(_WIDTH * value / most))
        lines += [
            f'<text x="{_LEFT - 8}" y="{top + 14}" text-anchor="end">{escape(subject)}</text>',
            f'<rect x="{_LEFT}" y="{top}" width="{length}" height="{_BAR}" fill="{colour}"/>',
            f'<text x="{_LEFT + length + 6}" y="{top + 14}">{value:.2f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
