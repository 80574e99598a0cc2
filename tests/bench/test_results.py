"""Tables, JSON, comparison and the page: what becomes of numbers once they are measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import compare, report
from bench.results import Results, from_json, reach_table, to_json


def results(cpu: float = 0.6, most: float = 500.0) -> Results:
    found = Results()
    for subject, factor in (("bolt-python", 1.0), ("bot-sqlite-promote", 2.0)):
        for quantity, value, better in (
            ("cpu", cpu, "lower"),
            ("cpu-full", cpu, "lower"),
            ("p50", cpu, "lower"),
            ("p99", cpu, "lower"),
            ("most", most, "higher"),
        ):
            values = [value * factor, value * factor * 1.01]
            found.add(f"ack/{subject}/{quantity}", "ms", values, better=better)
    found.reach("1", "CPU per recorded command", 2.0, 1.5)
    found.reach("4", "audit verify", 0.7, 0.5, better="higher")
    return found


def test_json_brings_back_what_was_written() -> None:
    found, machine = from_json(to_json(results(), {"cores": 2}))
    assert (found, machine) == (results(), {"cores": 2})


def test_other_json_is_refused() -> None:
    with pytest.raises(ValueError, match="not a result of the bench"):
        from_json('{"measures": []}')


def test_the_table_says_what_was_reached() -> None:
    lines = reach_table(results()).splitlines()
    assert "2.00 x" in lines[2]
    assert lines[2].rstrip(" |").endswith("no")
    assert "≥ 0.5 x" in lines[3]
    assert lines[3].rstrip(" |").endswith("yes")


def test_worse_is_more_time_or_fewer_per_second() -> None:
    found = compare.regressions(results(), results(cpu=0.9, most=250.0))
    assert {now.key.split("/")[2] for _, now, _ in found} == {"cpu", "cpu-full", "p50", "p99", "most"}
    assert found[0][2] == pytest.approx(1.0)
    assert compare.regressions(results(), results(cpu=0.3, most=900.0)) == []


def test_what_is_within_the_rounds_is_no_regression() -> None:
    before, after = Results(), Results()
    before.add("x", "ms", [1.0, 2.0, 3.0])
    after.add("x", "ms", [2.0, 2.6, 3.2])
    assert compare.regressions(before, after) == []


def test_comparing_files_ends_with_1_where_something_got_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(to_json(results(), {}))
    after.write_text(to_json(results(cpu=1.2), {}))

    assert compare.main([str(before), str(after)]) == 1
    assert "100 % worse" in capsys.readouterr().out
    assert compare.main([str(before), str(before)]) == 0


def test_the_page_keeps_its_words_and_gets_the_numbers(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    source, page = tmp_path / "latest.json", tmp_path / "performance.md"
    source.write_text(to_json(results(), {"cores": 2}))
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")

    report.write(source, tmp_path)
    report.write(source, tmp_path)

    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("cores 2") == 1
    chart = (tmp_path / "images" / "performance.svg").read_text()
    assert chart.count("<rect") == 3
    assert ">bot-sqlite-promote</text>" in chart


def test_a_page_without_a_place_for_numbers_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "latest.json"
    source.write_text(to_json(results(), {}))
    (tmp_path / "performance.md").write_text("words")

    with pytest.raises(ValueError, match="no place"):
        report.write(source, tmp_path)
