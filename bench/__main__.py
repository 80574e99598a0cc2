"""`python -m bench`: every part, a table, a JSON file. `python -m bench ack growth`: those parts. `report`: the page from the JSON."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import report
from bench.house import open_house
from bench.results import Results, from_json, measure_table, reach_table, to_json

PARTS = ("ack", "growth", "status", "clicks", "saga", "start", "isolation", "scale")
LONG = ("hour",)
"""Run only when named."""
DEFAULT_FILE = Path("var/bench/latest.json")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS + LONG)}; or report")
    parser.add_argument("--out", type=Path, default=DEFAULT_FILE, help="where the JSON goes")
    parser.add_argument("--kept", type=Path, default=Path("var/bench"), help="filled databases, npm packages")
    parser.add_argument("--quick", action="store_true", help="show that it works; the numbers mean nothing")
    options = parser.parse_args(arguments)
    if options.parts == ["report"]:
        report.write(options.out, Path("docs"))
        return 0
    unknown = sorted(set(options.parts) - set(PARTS + LONG))
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; parts: {', '.join(PARTS + LONG)}; or report")
    return _run(options.parts or PARTS, options)


def _run(parts: Sequence[str], options: argparse.Namespace) -> int:
    results = Results()
    with open_house(kept=options.kept.absolute(), quick=options.quick) as house:
        for name in parts:
            begin = time.monotonic()
            found = importlib.import_module(f"bench.{name}").measure(house)
            results.take(found)
            sys.stdout.write(
                f"\n{name} ({time.monotonic() - begin:.0f} s)\n{measure_table(found.measures)}\n"
            )
            sys.stdout.flush()
    kept = _merged(options.out, results, parts)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(to_json(kept, machine()), encoding="utf-8")
    sys.stdout.write(f"\n{reach_table(results)}\n\nwritten to {options.out}\n")
    return 0


def _merged(file: Path, found: Results, parts: Sequence[str]) -> Results:
    """Parts that were not run now keep what they last measured."""
    if not file.exists():
        return found
    earlier, _ = from_json(file.read_text(encoding="utf-8"))
    again = {(one.row, one.what) for one in found.reached}
    return Results(
        [one for one in earlier.measures if one.key.partition("/")[0] not in parts] + found.measures,
        sorted(
            [one for one in earlier.reached if (one.row, one.what) not in again] + found.reached,
            key=lambda one: int(one.row),
        ),
    )


def machine() -> Mapping[str, Any]:
    return {
        "when": time.strftime("%Y-%m-%d"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
    }


if __name__ == "__main__":
    sys.exit(main())
