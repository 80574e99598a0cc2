"""Logs: one event a line, and nothing in it that opens a door."""

from __future__ import annotations

import json
import logging
import string
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.errors import foreign_text, redact

# Put together here, so that no scanner takes a sample for a secret.
SHAPES = {
    "bot token": "xox" + "b-1111111111-2222222222-abcDEF123",
    "user token": "xox" + "p-1-2-3-abc",
    "app token": "xapp" + "-1-A000-123-abcdef",
    "refresh token": "xox" + "e-1-abcdef",
    "rotated token": "xox" + "e.xox" + "b-1-abc.def",
    "github classic": "ghp" + "_" + "a1B2" * 9,
    "github server": "ghs" + "_" + "a1B2" * 9,
    "github fine-grained": "github" + "_pat_" + "a1B2" * 9,
    "gitlab": "glpat" + "-abcdEFGH1234",
    "grafana": "glsa" + "_a1B2c3D4e5F6",
    "vault": "hvs" + ".CAESIabc-def_123",
    "json web token": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxIn0.c2lnbmF0dXJl",
    "response url": "https://hooks.slack.com/commands/T000/123/abc",
    "socket ticket": "wss://wss-primary.slack.com/link/?ticket=abc-123&app_id=1",
    "database password": "postgresql://bot:s3cr%40t@db.example.com/bot",
    "authorization header": "Authorization: Bearer abc.def-123",
    "basic header": "authorization: Basic dXNlcjpwYXNz",
    "password field": "password=hunter2",
    "signing secret field": "signing_secret: 8f742231b10e8888abcd99yyyzzz85a5",
}
DOORS = {
    "bot token": "abcDEF123",
    "user token": "1-2-3-abc",
    "app token": "abcdef",
    "refresh token": "1-abcdef",
    "rotated token": "abc.def",
    "github classic": "a1B2",
    "github server": "a1B2",
    "github fine-grained": "a1B2",
    "gitlab": "abcdEFGH1234",
    "grafana": "a1B2c3",
    "vault": "CAESI",
    "json web token": "c2lnbmF0dXJl",
    "response url": "T000/123",
    "socket ticket": "abc-123",
    "database password": "s3cr%40t",
    "authorization header": "abc.def-123",
    "basic header": "dXNlcjpwYXNz",
    "password field": "hunter2",
    "signing secret field": "8f742231",
}
around = st.text(string.ascii_letters + " .,:;!?()[]", max_size=12)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_secret_is_removed(shape: str) -> None:
    clean = redact(f"before {SHAPES[shape]} after")
    assert foreign_text(f"before {SHAPES[shape]} after") == clean, "what a backend said is cleaned alike"
    assert DOORS[shape] not in clean
    assert "[removed]" in clean
    assert clean.startswith("before ")
    assert clean.endswith(" after")


@pytest.mark.parametrize("shape", SHAPES)
@given(before=around, after=around)
def test_wherever_it_stands(shape: str, before: str, after: str) -> None:
    clean = redact(f"{before} {SHAPES[shape]} {after}")
    assert DOORS[shape] not in clean


@given(st.text())
def test_removing_twice_removes_no_more(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@given(st.text(string.ascii_lowercase + " ", max_size=60))
def test_ordinary_words_stay(text: str) -> None:
    assume(not any(word in text for word in ("xox", "xapp", "ghp", "ey")))
    assert redact(text) == text


PROGRAM = """
import logging, sys, structlog
from bot import logs

logs.configure("info")
secret = sys.argv[1]
structlog.get_logger("bot.test").info("said", text=secret, nested={"deep": [secret]}, number=1)
logging.getLogger("some.library").warning("foreign %s", secret)
logging.getLogger("slack_sdk.web").info("payload %s", secret)
try:
    raise ValueError(secret)
except ValueError as error:
    structlog.get_logger("bot.test").error("failed", exc_info=error)
"""


@pytest.fixture(scope="module")
def written() -> list[dict[str, Any]]:
    """What a process of its own writes: logging is configured once per process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, SHAPES["bot token"]],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "abcDEF123" not in done.stderr
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_every_event_is_one_line_of_json_with_time_and_level(written: list[dict[str, Any]]) -> None:
    assert [one["event"] for one in written] == ["said", "foreign [removed]", "failed"]
    assert [one["level"] for one in written] == ["info", "warning", "error"]
    assert all(one["timestamp"].endswith("Z") for one in written)
    assert written[0]["number"] == 1


def test_secrets_are_removed_from_values_however_deep_and_from_tracebacks(
    written: list[dict[str, Any]],
) -> None:
    assert written[0]["text"] == "[removed]"
    assert written[0]["nested"] == {"deep": ["[removed]"]}
    assert "ValueError: [removed]" in written[2]["exception"]


def test_importing_configures_nothing() -> None:
    before = list(logging.getLogger().handlers)
    __import__("bot.logs")
    assert logging.getLogger().handlers == before
