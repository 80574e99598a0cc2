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
from bench.results import Part, from_json, measure_table, reach_table, to_json, together

PARTS = ("ack", "growth", "status", "clicks", "saga", "start", "isolation", "scale")
LONG = ("hour",)
"""Run only when named."""
FILE, QUICK_FILE = Path("var/bench/latest.json"), Path("var/bench/quick.json")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS + LONG)}; or report")
    parser.add_argument(
        "--out", type=Path, help=f"where the JSON goes; else {FILE}, or {QUICK_FILE} if quick"
    )
    parser.add_argument("--kept", type=Path, default=Path("var/bench"), help="filled databases, npm packages")
    parser.add_argument("--quick", action="store_true", help="show that it works; the numbers mean nothing")
    options = parser.parse_args(arguments)
    file = options.out or (QUICK_FILE if options.quick else FILE)
    unknown = sorted(set(options.parts) - set(PARTS + LONG))
    if unknown and options.parts != ["report"]:
        parser.error(f"there is no part {', '.join(unknown)}; parts: {', '.join(PARTS + LONG)}; or report")
    try:
        parts = _measured(file)
    except ValueError as error:
        parser.error(f"{file} cannot be used: {error}. Remove it, or name another one with --out.")
    if not unknown:
        _run(options.parts or PARTS, options, file)
    elif parts:
        report.write(parts, Path("docs"))
    else:
        parser.error(f"nothing to report: there is no {file}, run `python -m bench` first")
    return 0


def _measured(file: Path) -> dict[str, Part]:
    return from_json(file.read_text(encoding="utf-8")) if file.exists() else {}


def _run(names: Sequence[str], options: argparse.Namespace, file: Path) -> None:
    """Each part is written down as soon as it is measured; the others keep what they last measured."""
    found: dict[str, Part] = {}
    with open_house(kept=options.kept.absolute(), quick=options.quick) as house:
        for name in names:
            conditions, begin = machine(), time.monotonic()
            results = importlib.import_module(f"bench.{name}").measure(house)
            found[name] = Part(results, conditions)
            seconds = time.monotonic() - begin
            sys.stdout.write(f"\n{name} ({seconds:.0f} s)\n{measure_table(results.measures)}\n")
            sys.stdout.flush()
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(to_json(merged(_measured(file), found)), encoding="utf-8")
    sys.stdout.write(f"\n{reach_table(together(found))}\n\nwritten to {file}\n")


def merged(earlier: Mapping[str, Part], found: Mapping[str, Part]) -> dict[str, Part]:
    """What was found now in the place of what the same parts found earlier; a part that is no more is left out."""
    known = {**earlier, **found}
    return {name: known[name] for name in PARTS + LONG if name in known}


def machine() -> Mapping[str, Any]:
    """Before a part begins: what it does itself is no load that disturbs it."""
    return {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }


if __name__ == "__main__":
    sys.exit(main())
