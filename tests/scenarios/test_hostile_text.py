"""Text that people and backends send stays text, wherever it is shown; and secrets are nowhere."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from memory_world import permanent
from stage import OpenStage, Stage

from bot import logs
from playground.actor import shown_text, view_text

HOSTILE = "<!channel> <@ULENA00001> <https://evil.example|click> `x` & more"
CREATE = "/platform create-service orders --team orders --template python-service"
_DANGER = re.compile(r"<!(?:channel|here|everyone)|<!subteam|<https?://evil|<@ULENA00001>")


def harmless(text: str) -> None:
    assert not _DANGER.search(text), text
    assert "&lt;!channel&gt;" in text, text


async def _described(house: Stage) -> None:
    """A service whose description is hostile, through the form, where nothing is encoded by Slack."""
    alice = house.person("alice")
    await alice.command("#orders", CREATE)
    card = await house.card("alice", "#orders", "Create service orders")
    await alice.click(card, "Cancel")
    await house.until_shown(card, "cancelled")
    await alice.command("#orders", "/platform create-service")
    await alice.wait_for_view()
    values = {"name": "orders", "team": "orders", "template": "python-service", "description": HOSTILE}
    assert (await alice.submit(values)).ok


async def test_a_description_is_text_in_every_list(house: Stage) -> None:
    await _described(house)
    card = await house.card("alice", "#orders", "waiting for you to confirm")
    await house.person("alice").click(card, "Create")
    await house.until_shown(card, "done")
    assert not _DANGER.search(house.says(card))
    harmless(await house.types("alice", "/platform status orders"))
    harmless(await house.types("alice", "/platform services orders"))


async def test_commits_are_text_on_the_card(house: Stage) -> None:
    await house.create("orders")
    house.world.push(
        "orders", f"Fix {HOSTILE}", author="Mallory <!channel>\n*Gates*", files=("a`<!channel>`.py",)
    )
    card = await house.promote("orders")
    said = house.says(card)
    harmless(said)
    assert len(re.findall(r"(?m)^\*Gates\*", said)) == 1


async def test_reasons_are_text_on_the_card_in_the_message_and_in_the_trail(house: Stage) -> None:
    await house.create("orders")
    card = await house.promote("orders")
    lena = house.person("lena")
    await lena.click(card, "Deny…")
    await lena.wait_for_view()
    await lena.submit({"reason": f"{HOSTILE}\n:white_check_mark: approved"})
    await house.until_shown(card, "denied")
    said = house.says(card).replace("<@ULENA00001> denied", "")
    harmless(said)
    notice = shown_text(await house.card("alice", "app", "denied")).replace("<@ULENA00001> denied", "")
    harmless(notice)
    trail = await house.types("alice", "/platform audit --service orders")
    harmless(trail.replace("<@ULENA00001> ·", ""))


async def test_what_a_backend_says_is_text_on_the_card_and_in_deploys(house: Stage) -> None:
    await house.create("orders")
    card = await house.promote("orders")
    house.world.fail("delivery.deploy", permanent(f"no quota {HOSTILE}"))
    await house.person("lena").click(card, "Approve")
    await house.until_shown(card, "undone")
    harmless(house.says(card).replace("<@ULENA00001> approved", ""))
    failure = await house.card("lena", "#deploys", "failed")
    harmless(house.says(failure))
    notice = await house.card("alice", "app", "failed and was undone")
    harmless(house.says(notice))


@pytest.mark.parametrize(
    "typed",
    [
        "/platform <!channel>",
        "/platform help <!channel>",
        "/platform status <!channel>",
        "/platform promote <!channel>",
        "/platform approve <!channel>",
        "/platform services <!channel>",
        "/platform requests --before <!channel>",
        "/platform promote orders --<!channel>",
        "/platform whoami <!channel>",
    ],
)
async def test_what_is_typed_is_text_in_the_answer(both: Stage, typed: str) -> None:
    said = await both.types("alice", typed)
    assert not _DANGER.search(said)


async def test_what_is_typed_is_text_in_the_form_it_opens(both: Stage) -> None:
    alice = both.person("alice")
    await alice.command("#orders", CREATE.replace(" orders", " <!channel>", 1))
    view = await alice.wait_for_view("Create a service")
    problem = view.blocks[0]["elements"][0]["text"]
    harmless(problem)
    assert "<!channel>" in str(view.blocks), "the field holds what was typed"
    assert view_text(view)


# ---------------------------------------------------------------- secrets


@pytest.fixture
def log_lines(capfd: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """Everything logged, as `serve` would log it, at the most talkative level."""
    handlers, level = logging.getLogger().handlers, logging.getLogger().level
    logs.configure("DEBUG")
    yield capfd
    logging.getLogger().handlers = handlers
    logging.getLogger().setLevel(level)


def _rows(file: Path) -> str:
    with closing(sqlite3.connect(file)) as database:
        return "\n".join(database.iterdump())


async def test_no_secret_is_in_a_log_a_card_a_row_or_a_commit(
    open_stage: OpenStage, log_lines: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async with open_stage(real=True) as house:
        await house.create("orders", db="postgresql")
        await house.types("alice", "/platform status orders")
        card = await house.promote("orders")
        await house.person("lena").click(card, "Approve")
        await house.until_shown(card, "done")
        shown = "\n".join(
            shown_text(message)
            for channel in ("#orders", "#deploys")
            for message in house.playground.messages(channel)
        )
        secrets = {
            house.playground.bot_token,
            house.playground.app_token,
            house.playground.signing_secret,
        }
        given = _passwords(tmp_path / "var")
        secrets |= {password for passwords in given.values() for password in passwords}
    assert len(secrets) >= 5
    out, err = log_lines.readouterr()
    places = {"logs": out + err, "messages": shown, "rows": _rows(tmp_path / "var" / "platform.db")}
    for file in (tmp_path / "var").rglob("*"):
        if file.is_file() and file not in given:
            places[str(file)] = file.read_bytes().decode(errors="replace")
    for place, text in places.items():
        for secret in secrets:
            assert secret not in text, f"a secret is in {place}"


def _passwords(state: Path) -> dict[Path, set[str]]:
    """The passwords of databases, by the files that hand them to the services."""
    found: dict[Path, set[str]] = {}
    for file in (state / "secrets").rglob("*"):
        if file.is_file():
            assert file.stat().st_mode & 0o077 == 0, "only its owner reads it"
            text = file.read_text(errors="replace")
            if passwords := set(re.findall(r"://[^:/@\s]+:([^@\s]+)@", text)):
                found[file] = passwords
    return found
