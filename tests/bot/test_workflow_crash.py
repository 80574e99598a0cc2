"""Killed at any instant and started again, a run ends as if nothing had happened: world, rows, audit and all.

The default selection takes some points of every path. `CRASH_MATRIX=full` kills before every durable change, and a second
time after the restart (some seven minutes on two cores).
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
import toy_crash
from forking import Forker

SELECTED = {
    "success": ("4", "9", "13", "17", "11+3"),
    "undo": ("10", "19", "24", "20+3"),
    "retry": ("19", "17+4"),
    "take-back": ("28", "24+4"),
}
ON_POSTGRESQL = {"success": ("12", "20"), "undo": ("24",), "retry": ("26",), "take-back": ("30",)}
ENDS = {
    "success": ("succeeded", ["made repository", "made claim", "made deployment 1"]),
    "undo": (
        "undone",
        [
            *("made repository", "made claim", "made deployment 1"),
            *("made rollback 1", "removed claim", "removed repository"),
        ],
    ),
    "retry": ("succeeded", ["made repository", "made claim", "made deployment 1", "made deployment 2"]),
    "take-back": (
        "undone",
        [
            *("made repository", "made claim", "made deployment 1"),
            *("made rollback 2", "removed claim", "removed repository"),
        ],
    ),
}
FULL = os.environ.get("CRASH_MATRIX") == "full"
POINT_SECONDS = 60


def points_of(scenario: str, url: str) -> list[str]:
    if FULL:
        return [f"{change}+{change % 5 + 1}" if change % 3 == 0 else str(change) for change in range(1, 200)]
    return list((SELECTED if url.startswith("sqlite") else ON_POSTGRESQL)[scenario])


async def play(
    forker: Forker, url: str, folder: Path, scenario: str, points: list[str]
) -> list[dict[str, Any]]:
    """What a process of its own says of each point; forking there keeps this process's threads out of it."""
    forked = forker.start("toy_crash:play_all", url, str(folder), scenario, points, output=folder / "output")
    code = await asyncio.wait_for(forked.wait(), POINT_SECONDS * len(points))
    said = forked.output.read_text()
    assert code == 0, said
    played = [json.loads(line) for line in (folder / toy_crash.PLAYED).read_text().splitlines()]
    for one in played:
        assert one["last"] == 0, f"point {one['point']}: {said[-4000:]}"
    return played


def in_words(line: str) -> str:
    """`made deployment NAME.1.deploy` -> `made deployment 1`."""
    verb, kind, name = line.split(" ", 2)
    parts = name.split(".")
    return f"{verb} {kind} {parts[1]}" if len(parts) == 3 else f"{verb} {kind}"


@pytest.mark.crash
@pytest.mark.timeout(3600 if FULL else 400)
@pytest.mark.parametrize("scenario", SELECTED)
async def test_killed_anywhere_it_ends_as_if_nothing_had_happened(
    scenario: str, database_url: str, forker: Forker, tmp_path: Path
) -> None:
    points = points_of(scenario, database_url)
    undisturbed, *killed = await play(forker, database_url, tmp_path, scenario, ["0", *points])

    state, log = ENDS[scenario]
    assert undisturbed["found"]["state"] == state
    assert [in_words(line) for line in undisturbed["found"]["log"]] == log
    assert undisturbed["found"]["chain"] is None
    if FULL:
        assert killed.pop()["deaths"][0] == toy_crash.NEVER_REACHED
    else:
        assert len(killed) == len(points)
    for one in killed:
        assert one["deaths"][0] == -9, f"nobody was killed at point {one['point']}"
        assert one["found"] == undisturbed["found"], f"point {one['point']}"
