"""The bench reaches the real bot: a command is acknowledged and on record, with the bench's backends and Slack."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from database import Clock

from bench import bot, load, seed
from bench.processes import Cores
from bot.migrating import migrate
from bot.store import Store


async def test_a_command_of_the_bench_is_recorded_by_the_bot_as_it_ships(
    tmp_path: Path, clock: Clock
) -> None:
    file, cores = tmp_path / "bench.db", Cores.of_this_machine()
    migrate(f"sqlite:///{file}")
    seed.fill(file, seed.TINY)
    setting = bot.Setting(f"sqlite:///{file}")
    text = f"promote {seed.service_name(1)}"
    with ExitStack() as stack:
        slack = stack.enter_context(bot.fake_slack(cores, tmp_path))
        server = stack.enter_context(bot.running(setting, slack, core=cores.served, folder=tmp_path))
        before = server.cpu_seconds()
        generator = load.Generator(server.port)
        result = await generator.at_once(bot.commands(slack.caller(), [text]))
        generator.close()
        assert result.refused == 0
        assert server.cpu_seconds() > before
        assert server.resident_mib() > 1

    async with Store.open(f"sqlite:///{file}", clock=clock) as store:
        events = await store.list_audit(actor=slack.caller().user_id, service=seed.service_name(1))
        assert events[-1].event == "request.opened"
