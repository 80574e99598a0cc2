"""What the bench keeps from run to run, and what it throws away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bench import kept, seed
from bench.databases import open_databases


def test_a_filled_file_is_made_once(tmp_path: Path) -> None:
    for _ in range(2):
        with open_databases(kept=tmp_path, postgresql=False) as databases:
            databases.make("sqlite", seed.TINY)
            made = (tmp_path / kept.file_name(seed.TINY)).stat()
            databases.make("sqlite", seed.TINY)
        assert [file.name for file in tmp_path.iterdir()] == [kept.file_name(seed.TINY)]
        assert (tmp_path / kept.file_name(seed.TINY)).stat().st_mtime_ns == made.st_mtime_ns


def test_another_seed_has_another_name() -> None:
    def with_a_reason(size: seed.Size) -> Iterator[seed.Row]:
        return ({**row, "reason": "why"} for row in seed.approvals(size))

    names = [
        kept.file_name(seed.TINY),
        kept.file_name(replace(seed.TINY, services=99)),
        kept.file_name(seed.TINY, seed.ROWS | {"approvals": with_a_reason}),
    ]

    assert len(set(names)) == 3
    assert kept.file_name(seed.TINY) == names[0]


def test_what_no_present_version_uses_is_removed(tmp_path: Path) -> None:
    present = {kept.file_name(size) for size in seed.SIZES}
    used = present | {f"{kept.file_name(seed.TINY)}-wal", "latest.json"}
    unused = {"large-0001.db", "large-0001.db-wal", "tiny-0001.unfinished", "tiny-0001.unfinished.lock"}
    for name in used | unused:
        (tmp_path / name).touch()

    with kept.run_folder(tmp_path) as folder:
        assert {file.name for file in tmp_path.iterdir()} == used | {folder.name}


def test_a_killed_run_is_cleared_away_and_a_running_one_is_not(tmp_path: Path) -> None:
    killed = tmp_path / "run-killed"
    killed.mkdir()
    (killed / "bench-1.db").touch()

    with kept.run_folder(tmp_path) as first, kept.run_folder(tmp_path) as second:
        assert {one.name for one in tmp_path.iterdir()} == {first.name, second.name}
    assert list(tmp_path.iterdir()) == []
