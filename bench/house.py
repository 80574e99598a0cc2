"""What every part is given: cores, databases, a Slack, and how much to measure."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import bot, processes, seed
from bench.databases import Databases, open_databases


@dataclass(frozen=True)
class House:
    """`quick` measures so little that its numbers mean nothing: it shows that everything works."""

    cores: processes.Cores
    databases: Databases
    slack: bot.Slack
    folder: Path
    kept: Path
    quick: bool = False

    @property
    def rounds(self) -> int:
        return 1 if self.quick else 3

    @property
    def requests(self) -> int:
        """For each subject and round, twice."""
        return 10 if self.quick else 400

    @property
    def large(self) -> seed.Size:
        return seed.TINY if self.quick else seed.LARGE

    @property
    def waiting(self) -> seed.Size:
        return seed.TINY if self.quick else seed.WAITING

    @property
    def small(self) -> seed.Size:
        return seed.TINY if self.quick else seed.SMALL


@contextmanager
def open_house(*, kept: Path, quick: bool = False, postgresql: bool = True) -> Iterator[House]:
    """Everything but the server under measurement runs on the loading core, this process too."""
    cores, before = processes.Cores.of_this_machine(), os.sched_getaffinity(0)
    processes.pin(cores.loading)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            open_databases(kept=kept, postgresql=postgresql) as databases,
            bot.fake_slack(cores, Path(folder)) as slack,
        ):
            yield House(cores, databases, slack, Path(folder), kept, quick)
    finally:
        os.sched_setaffinity(0, before)
