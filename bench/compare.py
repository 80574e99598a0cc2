"""`python -m bench.compare BEFORE.json AFTER.json`: what got worse. Ends with 1 where something did.

Two runs on one machine are compared by their medians; a change counts when it is larger than what the rounds of one run differ by.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.results import Measure, Results, from_json, table, together

TOLERANCE = 0.15
"""A machine that does nothing else differs by less from run to run."""


def change(before: Measure, after: Measure) -> float:
    """How much worse, as a part of what it was: 0.2 is a fifth more time, or a fifth fewer per second."""
    if before.median == 0 or after.median == 0:
        return 0.0
    ratio = after.median / before.median
    return ratio - 1 if after.better == "lower" else 1 / ratio - 1


def noise(measure: Measure) -> float:
    """How far the rounds lie apart, as a part of their median."""
    if len(measure.values) < 2 or measure.median == 0:
        return 0.0
    return (max(measure.values) - min(measure.values)) / 2 / measure.median


def regressions(before: Results, after: Results) -> list[tuple[Measure, Measure, float]]:
    """Worst first."""
    earlier = {one.key: one for one in before.measures}
    found = []
    for now in after.measures:
        then = earlier.get(now.key)
        if then is None:
            continue
        worse = change(then, now)
        if worse > max(TOLERANCE, noise(then), noise(now)):
            found.append((then, now, worse))
    return sorted(found, key=lambda one: -one[2])


def _read(file: Path) -> Results:
    try:
        return together(from_json(file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{file} is no file to compare: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args(arguments)
    try:
        found = regressions(*map(_read, (options.before, options.after)))
    except ValueError as error:
        parser.error(str(error))
    if not found:
        sys.stdout.write("Nothing got worse.\n")
        return 0
    rows = [
        (now.key, f"{then.median:.3g}", f"{now.median:.3g}", now.unit, f"{100 * worse:.0f} % worse")
        for then, now, worse in found
    ]
    sys.stdout.write(table(("what", "before", "after", "unit", ""), rows) + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
