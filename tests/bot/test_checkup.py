"""`python -m bot check`: one line for everything that was tried, and the way out of what does not work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from people_made import EXAMPLE, ROOT

from bot import checkup, manifest, registry
from bot.domain import JSON
from bot.migrating import migrate
from integrations._breaker import Breaker
from integrations.ports import Finding
from playground.server import Playground


@dataclass
class Stage:
    folder: Path
    slack: Playground
    environ: dict[str, str]

    async def check(self, edit: Callable[[Any], object] | None = None) -> tuple[int, str]:
        """Exit code and output, for platform.yml with changes."""
        data = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
        data["integrations"]["golden_paths"]["folder"] = str(ROOT / "golden_paths")
        if edit is not None:
            edit(data)
        file = self.folder / "platform.yml"
        file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
        written: list[str] = []
        code = await checkup.run(file, self.environ, written.append)
        return code, "".join(written)


def app_manifest(*, without: str = "") -> JSON:
    built = manifest.build(registry.load_commands(), url="")
    scopes = built["oauth_config"]["scopes"]["bot"]
    built["oauth_config"]["scopes"]["bot"] = [one for one in scopes if one != without]
    return built


@pytest.fixture
async def open_stage(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def opened(*, without: str = "", migrated: bool = True) -> Stage:
            slack = await stack.enter_async_context(Playground(app_manifest(without=without)))
            url = f"sqlite:///{tmp_path}/platform.db"
            if migrated:
                migrate(url)
            environ = {
                "SLACK_API_URL": slack.api_url,
                "SLACK_BOT_TOKEN": slack.bot_token,
                "SLACK_APP_TOKEN": slack.app_token,
                "SLACK_SIGNING_SECRET": slack.signing_secret,
                "DATABASE_URL": url,
                "PLATFORM_STATE": str(tmp_path / "var"),
            }
            return Stage(tmp_path, slack, environ)

        yield opened


def failures(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("FAIL")]


async def test_a_platform_that_works_says_so_for_every_part(open_stage: Callable[..., Any]) -> None:
    code, output = await (await open_stage()).check()
    assert (code, failures(output)) == (0, [])
    assert output.endswith("Everything works.\n")
    for part in ("configuration", "database", "code_host", "golden_paths", "infrastructure", "delivery"):
        assert f"ok    {part}" in output
    for subject in ("bot token", "workspace", "scopes", "app token", "channel #orders", "people"):
        assert subject in output


async def test_no_secret_is_printed(open_stage: Callable[..., Any]) -> None:
    stage = await open_stage()
    _, output = await stage.check()
    for name in ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET"):
        assert stage.environ[name] not in output


async def test_every_mistake_in_the_file_is_a_line(open_stage: Callable[..., Any]) -> None:
    def edit(data: Any) -> None:
        data["teams"]["orders"]["channel"] = "#orders"
        data["environments"][1]["approval"]["from"] = "leads"

    code, output = await (await open_stage()).check(edit)
    assert code == 1
    assert len(failures(output)) == 2
    assert "teams.orders.channel (line " in output
    assert "-> accepted: the id of a Slack channel" in output
    assert output.endswith("2 of 2 checks failed.\n")


async def test_a_database_without_tables_hides_nothing_else(open_stage: Callable[..., Any]) -> None:
    code, output = await (await open_stage(migrated=False)).check()
    assert code == 1
    database, *others = failures(output)
    assert "database" in database
    assert all("catalog" in one for one in others)
    for part in ("code_host", "delivery", "channel #orders"):
        assert part in output


async def test_a_backend_that_is_away_is_a_line_and_its_breaker_another(
    open_stage: Callable[..., Any],
) -> None:
    def edit(data: Any) -> None:
        data["integrations"]["signals"] = {"use": "prometheus", "base_url": "http://127.0.0.1:1"}

    code, output = await (await open_stage()).check(edit)
    assert code == 1
    (line,) = failures(output)
    assert "signals (prometheus)" in line
    assert "Prometheus cannot be reached" in line
    assert "-> Check base_url and the network." in output
    assert any("breaker" in one and "closed, 3 failures in a row" in one for one in output.splitlines())


class Tired:
    def __init__(self, failures: int) -> None:
        self._breaker = Breaker("GitHub", pause_seconds=30)
        for _ in range(failures):
            self._breaker.failed(0.0)

    def breaker_state(self) -> str:
        return self._breaker.describe(2.0)


@pytest.mark.parametrize(
    ("failures", "ok", "detail"),
    [
        (0, True, "closed"),
        (2, True, "closed, 2 failures in a row"),
        (5, False, "open for 28 s more after 5 failures in a row"),
    ],
)
def test_a_breaker_that_is_open_is_a_failure(failures: int, ok: bool, detail: str) -> None:
    (finding,) = checkup.breaker_findings(Tired(failures), [])
    assert (finding.subject, finding.ok, finding.detail) == ("breaker", ok, detail)


def test_a_breaker_is_told_once_and_not_at_all_where_there_is_none() -> None:
    assert checkup.breaker_findings(Tired(5), [Finding("breaker", ok=True, detail="closed")]) == []
    assert checkup.breaker_findings(object(), []) == []


async def test_a_missing_scope_is_named_with_the_way_out(open_stage: Callable[..., Any]) -> None:
    code, output = await (await open_stage(without="users:read.email")).check()
    assert code == 1
    assert "missing: users:read.email" in output
    assert "install the app again" in output


async def test_another_workspace_is_noticed(open_stage: Callable[..., Any]) -> None:
    def edit(data: Any) -> None:
        data["slack"]["team_id"] = "TOTHER0001"

    code, output = await (await open_stage()).check(edit)
    assert code == 1
    assert "platform.yml says slack.team_id: TOTHER0001" in output


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        ("CRANDOM001", "the bot is not in it"),
        ("CSECURITY1", "channel_not_found"),
        ("CNOWHERE01", "channel_not_found"),
        ("COLDORD001", "archived"),
    ],
)
async def test_a_channel_the_bot_cannot_post_in_is_named(
    open_stage: Callable[..., Any], channel: str, words: str
) -> None:
    def edit(data: Any) -> None:
        data["teams"]["orders"]["channel"] = channel

    code, output = await (await open_stage()).check(edit)
    assert code == 1
    (line,) = failures(output)
    assert words in line


async def test_a_channel_that_others_read_is_mentioned(open_stage: Callable[..., Any]) -> None:
    def edit(data: Any) -> None:
        data["teams"]["orders"]["channel"] = "CPARTNERS1"

    code, output = await (await open_stage()).check(edit)
    assert code == 0
    assert "people of another company read it" in output


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("UNOBODY999", "user_not_found"),
        ("nobody@example.com", "users_not_found"),
        ("@old-crew", "no such user group, or it is disabled"),
        ("@nobody", "no such user group"),
        ("UDAN000001", "deactivated"),
    ],
)
async def test_an_entry_that_names_nobody_is_named_with_its_place(
    open_stage: Callable[..., Any], entry: str, words: str
) -> None:
    def edit(data: Any) -> None:
        data["teams"]["payments"]["members"]["developer"] = [entry]

    code, output = await (await open_stage()).check(edit)
    assert code == 1
    (line,) = failures(output)
    assert f"teams.payments.members.developer: {entry}" in line
    assert words in line


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SLACK_BOT_TOKEN": "xoxb-wrong"}, "Slack says invalid_auth"),
        ({"SLACK_APP_TOKEN": "xapp-wrong"}, "Slack says invalid_auth"),
        ({"SLACK_BOT_TOKEN": ""}, "not set"),
        ({"SLACK_API_URL": "http://127.0.0.1:1/api/"}, "ClientConnectorError"),
    ],
)
async def test_what_slack_refuses_is_said_in_its_words(
    open_stage: Callable[..., Any], changes: dict[str, str], words: str
) -> None:
    stage = await open_stage()
    stage.environ |= changes
    code, output = await stage.check()
    assert code == 1
    assert words in "\n".join(failures(output))


async def test_without_an_app_token_http_mode_works(open_stage: Callable[..., Any]) -> None:
    stage = await open_stage()
    del stage.environ["SLACK_APP_TOKEN"]
    code, output = await stage.check()
    assert code == 0
    assert "not set: HTTP mode only" in output


async def test_an_answer_that_is_none_of_slacks_is_told_as_such(open_stage: Callable[..., Any]) -> None:
    stage = await open_stage()
    stage.slack.fail_call("auth.test", "html_502", times=3)
    code, output = await stage.check()
    assert code == 1
    assert "the answer was none of Slack's" in output


def test_the_table_is_aligned_and_ends_with_the_sum() -> None:
    rows = [
        checkup.Row("database", Finding("schema", ok=True, detail="up to date")),
        checkup.Row("slack", Finding("app token", ok=False, detail="refused", fix="Make a new one.")),
    ]
    assert checkup.table(rows) == (
        "ok    database  schema     up to date\n"
        "FAIL  slack     app token  refused\n"
        "                -> Make a new one.\n"
        "1 of 2 checks failed.\n"
    )
