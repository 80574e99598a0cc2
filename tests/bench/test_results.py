"""Tables, JSON, comparison and the page: what becomes of numbers once they are measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import __main__ as entry
from bench import compare, report
from bench.results import Part, Results, from_json, reach_table, to_json, together

EARLIER = '{"machine": {"cores": 2}, "measures": [], "reached": []}'
"""What the bench wrote while one date stood for all parts."""


def results(cpu: float = 0.6, most: float = 500.0) -> Results:
    found = Results()
    for subject, factor in (("bolt-python", 1.0), ("bot-sqlite-promote", 2.0)):
        for quantity, value, better in (
            ("cpu", cpu, "lower"),
            ("cpu-loop", cpu, "lower"),
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


def row(number: str, what: str) -> Results:
    found = Results()
    found.add(what, "ms", [1.0])
    found.reach(number, what, 1.0, 2.0)
    return found


def ack(cpu: float = 0.6) -> dict[str, Part]:
    return {"ack": Part(results(cpu), {"cores": 2})}


def test_json_brings_back_what_was_written() -> None:
    parts = ack() | {"hour": Part(row("8", "memory"), {"cores": 4})}
    assert from_json(to_json(parts)) == parts


@pytest.mark.parametrize(
    ("text", "why"),
    [("[]", "not a result of the bench"), ("{}", "not a result of the bench"), (EARLIER, "an earlier bench")],
)
def test_other_json_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        from_json(text)


def test_a_part_that_is_measured_again_takes_its_old_rows_with_it() -> None:
    earlier = {
        "ack": Part(row("1", "old name"), {"when": "yesterday"}),
        "hour": Part(row("8", "memory"), {"when": "yesterday"}),
        "no part any more": Part(row("2", "gone"), {"when": "yesterday"}),
    }
    parts = entry.merged(earlier, {"ack": Part(row("1", "new name"), {"when": "today"})})

    assert [one.what for one in together(parts).reached] == ["new name", "memory"]
    assert {name: part.machine["when"] for name, part in parts.items()} == {
        "ack": "today",
        "hour": "yesterday",
    }


def test_rows_stand_in_the_order_of_the_list() -> None:
    parts = {"scale": Part(row("10", "two"), {}), "start": Part(row("8", "idle"), {})}
    assert [one.row for one in together(parts).reached] == ["8", "10"]


def test_a_file_of_an_earlier_bench_is_said_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "latest.json"
    file.write_text(EARLIER)

    with pytest.raises(SystemExit):
        entry.main(["--out", str(file), "ack"])

    assert "Remove it, or name another one with --out." in capsys.readouterr().err
    assert file.read_text() == EARLIER


def test_the_table_says_what_was_reached() -> None:
    lines = reach_table(results()).splitlines()
    assert "2.00 x" in lines[2]
    assert lines[2].rstrip(" |").endswith("no")
    assert "≥ 0.5 x" in lines[3]
    assert lines[3].rstrip(" |").endswith("yes")


def test_worse_is_more_time_or_fewer_per_second() -> None:
    found = compare.regressions(results(), results(cpu=0.9, most=250.0))
    assert {now.key.split("/")[2] for _, now, _ in found} == {
        "cpu",
        "cpu-loop",
        "cpu-full",
        "p50",
        "p99",
        "most",
    }
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
    before.write_text(to_json(ack()))
    after.write_text(to_json(ack(cpu=1.2)))

    assert compare.main([str(before), str(after)]) == 1
    assert "100 % worse" in capsys.readouterr().out
    assert compare.main([str(before), str(before)]) == 0


def test_an_earlier_file_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(EARLIER)
    after.write_text(to_json(ack()))

    with pytest.raises(SystemExit) as ended:
        compare.main([str(before), str(after)])

    assert ended.value.code == 2
    assert "before.json is no file to compare: a result of an earlier bench" in capsys.readouterr().err


def test_the_page_keeps_its_words_and_gets_the_numbers(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")

    report.write(ack(), tmp_path)
    report.write(ack(), tmp_path)

    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("Measured: cores 2.") == 1
    chart = (tmp_path / "images" / "performance.svg").read_text()
    assert chart.count("<rect") == 3
    assert ">bot-sqlite-promote</text>" in chart


def test_the_page_says_for_each_part_when_and_under_which_load_it_was_measured(tmp_path: Path) -> None:
    machine = {"cores": 2, "when": "2026-01-01 10:00 UTC", "load_before": 0.1}
    parts = {
        "ack": Part(results(), machine),
        "hour": Part(row("8", "memory"), {**machine, "when": "2026-01-02 11:00 UTC", "load_before": 1.5}),
    }
    lines = report.filled(f"{report.BEGIN}{report.END}", parts).splitlines()

    assert lines[1] == "Measured: cores 2."
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[3:7]]
    assert cells[0] == ["part", "rows", "when", "load before"]
    assert cells[2:] == [
        ["ack", "1, 4", "2026-01-01 10:00 UTC", "0.1"],
        ["hour", "8", "2026-01-02 11:00 UTC", "1.5"],
    ]


def test_a_page_without_a_place_for_numbers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "performance.md").write_text("words")

    with pytest.raises(ValueError, match="no place"):
        report.write(ack(), tmp_path)
