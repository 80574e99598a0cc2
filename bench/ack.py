"""Rows 1 to 3: what an acknowledged command costs and how long it takes, beside the peers, on a database with a million events.

A mutating command is `promote`, typed for a service that exists, while the backends do not answer: what is measured is the way
to "recorded, with its audit event, on disk, and acknowledged", and that no backend can hold it up. A reading one is `requests`.
"""

from __future__ import annotations

import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import bot, load, seed
from bench.databases import Kind
from bench.house import House
from bench.processes import Server, cpu_seconds, free_port, python, serving
from bench.results import Results

PEERS = Path(__file__).parent / "peers"
AWAY = dict.fromkeys(bot.PORTS, 3600.0)
RATE = 200.0
TOGETHER = 32
BEGINNING = 10
"""Requests of a round that are not counted: while it is quiet the bot lets a command wait for its plan, up to a second, and a
round begins in quiet."""
MORE_COMMANDS = 40
NOOP = "bolt-python"


@dataclass(frozen=True)
class Subject:
    """A running server, and what is typed into it; every text is another one, so that nothing is a repetition."""

    name: str
    server: Server
    text: Callable[[int], str]
    database: int | None = None
    """The process id of the database server, where there is one."""


def measure(house: House) -> Results:
    with ExitStack() as stack:
        subjects = [*_peers(house, stack), *_bots(house, stack)]
        return summary(load.run(_rounds(house, subjects)))


# ---------------------------------------------------------------- who is measured


def _peers(house: House, stack: ExitStack) -> Iterator[Subject]:
    commands = {
        "bare-aiohttp": python(PEERS / "bare.py", "{port}"),
        NOOP: python(PEERS / "bolt_noop.py", "{port}"),
        "bolt-python-polling": python(PEERS / "bolt_noop.py", "{port}", "--poll"),
        "bolt-python-40-listeners": python(
            PEERS / "bolt_noop.py", "{port}", "--listeners", str(MORE_COMMANDS)
        ),
    }
    environment = {}
    if modules := _javascript(house.kept / "js"):
        commands["bolt-js-http"] = ["node", PEERS / "bolt_noop.cjs", "{port}", "http"]
        commands["bolt-js-express"] = ["node", PEERS / "bolt_noop.cjs", "{port}", "express"]
        environment = {"NODE_PATH": str(modules)}
    for name, command in commands.items():
        port = free_port()
        server = serving(
            name,
            [str(part).replace("{port}", str(port)) for part in command],
            port=port,
            core=house.cores.served,
            environment=environment,
            folder=house.folder,
        )
        yield Subject(name, stack.enter_context(server), lambda index: f"promote {seed.service_name(index)}")


def _javascript(folder: Path) -> Path | None:
    """@slack/bolt, installed where git does not look; None where there is no node, and the peer is left out."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (PEERS / "package.json").read_text(encoding="utf-8")
    stamp = folder / "package.json"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        (folder / "wanted.json").write_text(wanted, encoding="utf-8")
        shutil.copyfile(folder / "wanted.json", stamp)
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--silent"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
    return folder / "node_modules"


def _bots(house: House, stack: ExitStack) -> Iterator[Subject]:
    kinds: list[Kind] = ["sqlite", "postgresql"]
    for kind in kinds:
        server = _bot(house, stack, f"bot-{kind}", kind)
        database = (
            house.databases.server.process.pid if kind == "postgresql" and house.databases.server else None
        )
        yield Subject(
            f"bot-{kind}-promote", server, lambda index: f"promote {seed.service_name(index)}", database
        )
        yield Subject(f"bot-{kind}-requests", server, lambda _: "requests", database)
    more = _bot(house, stack, "bot-more-commands", "sqlite", _more_commands(house.folder / "more"))
    yield Subject("bot-40-more-commands", more, lambda index: f"promote {seed.service_name(index)}")


def _bot(house: House, stack: ExitStack, name: str, kind: Kind, more_path: str = "") -> Server:
    setting = bot.Setting(
        house.databases.make(kind, house.large), answers=AWAY, name=name, more_path=more_path
    )
    return stack.enter_context(
        bot.running(setting, house.slack, core=house.cores.served, folder=house.folder)
    )


def _more_commands(folder: Path) -> str:
    """Forty verbs of a third party, found by their entry points."""
    info = folder / "bench_more_commands-0.dist-info"
    info.mkdir(parents=True)
    names = [f"bench_verb_{index:02d}" for index in range(MORE_COMMANDS)]
    for name in names:
        source = (PEERS / "verb.py").read_text(encoding="utf-8").replace("bench-verb", name.replace("_", "-"))
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-more-commands\nVersion: 0\n")
    entries = "\n".join(f"{name} = {name}" for name in names)
    (info / "entry_points.txt").write_text(f"[platform_bot.commands]\n{entries}\n")
    return str(folder)


# ---------------------------------------------------------------- measuring


Samples = dict[tuple[str, str], list[float]]


async def _rounds(house: House, subjects: list[Subject]) -> Samples:
    """A B C A B C …: what the machine does meanwhile meets everybody alike."""
    samples: Samples = defaultdict(list)
    typed = {one.name: 0 for one in subjects}
    for round_number in range(house.rounds + 1):
        for subject in subjects:
            found = await _one_round(house, subject, typed)
            if round_number:  # The first round warms up.
                for quantity, value in found.items():
                    samples[subject.name, quantity].append(value)
    return samples


async def _one_round(house: House, subject: Subject, typed: dict[str, int]) -> dict[str, float]:
    generator = load.Generator(subject.server.port)
    caller = house.slack.caller()

    def requests(count: int) -> list[bytes]:
        first = typed[subject.name]
        typed[subject.name] += count
        return bot.commands(caller, [subject.text(index) for index in range(first, first + count)])

    try:
        begin, beside = subject.server.cpu_seconds(), _database_seconds(subject)
        looped = subject.server.loop_seconds()
        sent = requests(house.requests + BEGINNING)
        paced = await generator.at_rate(sent, RATE, uncounted=BEGINNING)
        middle = subject.server.cpu_seconds()
        found = {
            "cpu": 1000 * (middle - begin) / len(sent),
            "cpu-loop": 1000 * (subject.server.loop_seconds() - looped) / len(sent),
            "database-cpu": 1000 * (_database_seconds(subject) - beside) / len(sent),
            "p50": paced.milliseconds(50),
            "p99": paced.milliseconds(99),
            "late": paced.late_milliseconds(99),
        }
        crowd = requests(house.requests)
        middle = subject.server.cpu_seconds()
        full = await generator.saturate(crowd, together=TOGETHER)
        found["cpu-full"] = 1000 * (subject.server.cpu_seconds() - middle) / len(crowd)
        found["most"] = full.per_second
    finally:
        generator.close()
    if paced.refused or full.refused:
        raise RuntimeError(f"{subject.name} refused {paced.refused + full.refused} requests")
    return found


def _database_seconds(subject: Subject) -> float:
    return cpu_seconds(subject.database) if subject.database else 0.0


# ---------------------------------------------------------------- what it means


def summary(samples: Samples) -> Results:
    results = Results()
    units = {
        "cpu": "ms of CPU per command at 200/s",
        "cpu-loop": "ms of CPU per command at 200/s, of it on the event loop",
        "database-cpu": "ms of CPU per command in the database server",
        "cpu-full": "ms of CPU per command, saturated",
        "most": "commands/s at most",
        "p50": "ms at 200/s",
        "p99": "ms at 200/s",
        "late": "ms the generator itself was late, p99",
    }
    for (subject, quantity), values in samples.items():
        key, unit = f"ack/{subject}/{quantity}", units[quantity]
        results.add(key, unit, values, better="higher" if quantity == "most" else "lower")
    for kind in ("sqlite", "postgresql"):
        _reach(results, kind)
    many, few = "ack/bot-40-more-commands/cpu", "ack/bot-sqlite-promote/cpu"
    results.reach("3", "CPU per command with 40 more commands", results.ratio(many, few), 1.05)
    return results


def _reach(results: Results, kind: str) -> None:
    ours, noop = f"ack/bot-{kind}-promote", f"ack/{NOOP}"
    peers = {one.key for one in results.measures}
    for quantity, how in (("cpu", "at 200/s"), ("cpu-full", "saturated")):
        ratio = results.ratio(f"{ours}/{quantity}", f"{noop}/{quantity}")
        results.reach("1", f"CPU per recorded command, {kind}, {how}, to no-op Bolt Python", ratio, 1.5)
        for peer, name in (
            ("bolt-js-express", "Bolt JS on Express"),
            ("bolt-js-http", "Bolt JS, HTTPReceiver"),
        ):
            if f"ack/{peer}/{quantity}" in peers:
                ratio = results.ratio(f"{ours}/{quantity}", f"ack/{peer}/{quantity}")
                results.reach("1", f"CPU per recorded command, {kind}, {how}, to {name}", ratio, 1.0)
    for quantity in ("p50", "p99"):
        ratio = results.ratio(f"{ours}/{quantity}", f"{noop}/{quantity}")
        results.reach(
            "2", f"{quantity} of acknowledgements at 200/s, {kind}, to no-op Bolt Python", ratio, 3.0
        )
