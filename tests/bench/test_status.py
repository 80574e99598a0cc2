"""The part `status` asks backends that say when and how often they were asked."""

from __future__ import annotations

from pathlib import Path

from bench import status
from bench.house import open_house


def test_people_who_ask_at_once_ask_the_backends_once(tmp_path: Path) -> None:
    with open_house(kept=tmp_path, quick=True, postgresql=False) as house:
        results = status.measure(house)

    assert results.median("status/questions, alone") == 8  # 3 for each of 2 environments, 2 for the service.
    assert results.median("status/questions, together") == 8
    assert results.median("status/alone") >= 1000 * status.SLOWEST
    assert {one.row for one in results.reached} == {"5"}
