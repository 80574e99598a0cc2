"""The command line: every verb, its exit code, and one line for what goes wrong instead of a traceback."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import yaml
from damaging import damage_sqlite
from database import Clock
from requests_made import awaiting

from bot.__main__ import main
from bot.migrating import migrate
from bot.store import Store

ROOT = Path(__file__).parents[2]
EXAMPLE = str(ROOT / "platform.yml")
SECRETS = ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Every verb configures the logs of its process, and this process has other tests."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    processors = structlog.get_config()["processors"]
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.configure(processors=processors)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of a first start: a place for state, no secrets."""
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "bot.db"
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{file}")
    monkeypatch.setenv("PLATFORM_STATE", str(tmp_path))
    return file


def test_the_manifest_is_printed_for_either_delivery(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manifest"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["settings"]["socket_mode_enabled"] is True
    assert main(["manifest", "--url", "https://x.example/slack/events"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["settings"]["socket_mode_enabled"] is False


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["type"] == "object"


def test_a_configuration_that_is_not_there_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(tmp_path / "none.yml"), "migrate"]) == 2
    said = capsys.readouterr().err
    assert "none.yml" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("mode", ["socket", "http"])
def test_without_secrets_nothing_is_served_and_each_is_named(
    database: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    assert main(["--config", EXAMPLE, "serve", "--mode", mode]) == 2
    said = capsys.readouterr().err
    assert "SLACK_BOT_TOKEN" in said
    assert ("SLACK_APP_TOKEN" in said) is (mode == "socket")
    assert not database.exists(), "refused before anything was begun"


def test_a_database_of_another_release_is_named_with_the_way_out(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", EXAMPLE, "audit", "verify"]) == 2
    assert "migrate" in capsys.readouterr().err


def test_migrating_makes_the_schema_and_twice_changes_nothing(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", EXAMPLE, "migrate"]) == 0
    assert main(["--config", EXAMPLE, "migrate"]) == 0
    assert main(["--config", EXAMPLE, "audit", "verify"]) == 0
    assert capsys.readouterr().out.startswith("0 events, unbroken; head ")


async def two_events(file: Path) -> None:
    async with Store.open(f"sqlite:///{file}", clock=Clock()) as store:
        await awaiting(store)


def test_an_export_is_verified_offline_and_a_changed_one_is_caught(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate(f"sqlite:///{database}")
    asyncio.run(two_events(database))
    assert main(["--config", EXAMPLE, "audit", "export"]) == 0
    exported = capsys.readouterr().out
    assert len(exported.splitlines()) == 2
    file = tmp_path / "trail.jsonl"
    file.write_text(exported)
    assert main(["--config", "not-needed.yml", "audit", "verify", "--file", str(file)]) == 0
    assert capsys.readouterr().out.startswith("2 events, unbroken; head ")
    file.write_text(exported.replace("UALICE", "UMALLORY", 1))
    assert main(["audit", "verify", "--file", str(file)]) == 1
    assert "The chain is broken at event 1" in capsys.readouterr().out
    assert main(["--config", EXAMPLE, "audit", "export", "--after", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == exported.splitlines()[1:]


def test_a_damaged_database_is_a_finding_and_no_traceback(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate(f"sqlite:///{database}")
    damaged = asyncio.run(damage_sqlite(f"sqlite:///{database}", Clock()))

    assert main(["--config", EXAMPLE, "audit", "verify"]) == 1
    said = capsys.readouterr().out
    assert said.startswith(
        f"The chain is broken at event {damaged.first}: it cannot be read, the database is damaged"
    )
    assert main(["--config", EXAMPLE, "audit", "export"]) == 2
    assert capsys.readouterr().err.startswith(
        "The bot's database is damaged: database disk image is malformed."
    )


def test_a_verb_is_needed_and_an_unknown_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["dance"], ["audit"]):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 2
    assert "dance" in capsys.readouterr().err


def test_check_says_what_is_missing_and_fails(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    migrate(f"sqlite:///{database}")
    assert main(["--config", EXAMPLE, "check"]) == 1
    said = capsys.readouterr().out
    assert "SLACK_BOT_TOKEN" in said
    assert "checks failed." in said.splitlines()[-1]
