"""The part `saga`: steps and runs go through the engine and the bot as they ship, to their end."""

from __future__ import annotations

from pathlib import Path

from bench import beside, saga
from bench.house import open_house


def test_steps_are_measured_beside_inserts_and_acknowledgements_beside_runs(tmp_path: Path) -> None:
    with open_house(kept=tmp_path, quick=True) as house:
        results = saga.measure(house)

    found = {one.key: one.median for one in results.measures}
    for kind in saga.KINDS:
        assert found[f"saga/{kind}/step"] > 0
        assert found[f"saga/{kind}/insert"] > 0
    for crowd in (beside.TWENTY, beside.MANY):
        assert found[f"saga/{crowd}/beside/p99"] > 0
    assert {one.row for one in results.reached} == {"2", "7"}
