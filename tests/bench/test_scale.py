"""The part `scale`: both processes take commands, and what limits them is said."""

from __future__ import annotations

from pathlib import Path

from bench import scale
from bench.house import open_house
from bench.results import limits


def test_two_processes_on_one_database_are_measured_beside_one(tmp_path: Path) -> None:
    with open_house(kept=tmp_path, quick=True) as house:
        results = scale.measure(house)

    for who in ("one", "two"):
        assert results.median(f"scale/{who}/most") > 0
        assert results.median(f"scale/{who}/bot") > 0
    assert {one.row for one in results.reached} == {"10"}


def test_a_second_process_that_brings_nothing_is_explained() -> None:
    samples = {
        (who, quantity): [value]
        for who, most in (("one", 500.0), ("two", 600.0))
        for quantity, value in (("most", most), ("bot", 1.0), ("database", 1.0), ("generator", 0.5))
    }
    results = scale.summary(samples)

    assert results.median("scale/two cores could take") == 800
    assert "800/s is the most there can be" in limits(results)
