"""A second start continues where the first stopped, and a killed process loses nothing it answered."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import yaml
from slack_sdk.web.async_client import AsyncWebClient

from playground.server import Playground

from .conftest import make_manifest, web_client

ROOT = Path(__file__).parents[2]


async def test_messages_homes_and_reads_are_there_after_a_restart(tmp_path: Path) -> None:
    state_file = tmp_path / "state.sqlite"
    async with Playground(make_manifest(), state_file=state_file) as first:
        client = web_client(first)
        posted = await client.chat_postMessage(channel="CORDERS001", text="one")
        await client.chat_postMessage(channel="CORDERS001", text="reply", thread_ts=posted["ts"])
        gone = await client.chat_postMessage(channel="CORDERS001", text="gone")
        await client.chat_delete(channel="CORDERS001", ts=gone["ts"])
        direct = await client.chat_postMessage(channel="UALICE0001", text="direct")
        home = await client.views_publish(
            user_id="UALICE0001", view={"type": "home", "blocks": [{"type": "divider"}]}
        )
        await client.conversations_join(channel="CRANDOM001")
        await first.actor("lena").say("#orders", "seen")
        trigger = first.issue_trigger("alice")
    async with Playground(make_manifest(), state_file=state_file) as second:
        client = web_client(second)
        assert [m.text for m in second.messages("#orders")] == ["one", "reply", "seen"]
        replies = await client.conversations_replies(channel="CORDERS001", ts=posted["ts"])
        assert [m["text"] for m in replies["messages"]] == ["one", "reply"]
        assert (await client.chat_update(channel=direct["channel"], ts=direct["ts"], text="changed"))["ok"]
        assert [m.text for m in second.actor("alice").sees("app")] == ["changed"]
        again = await client.views_publish(
            user_id="UALICE0001",
            view={"type": "home", "blocks": [{"type": "divider"}]},
            hash=home["view"]["hash"],
        )
        assert again["view"]["id"] == home["view"]["id"]
        assert (await client.chat_postMessage(channel="CRANDOM001", text="still a member"))["ok"]
        assert second.shown_channel("#orders", "lena")["unread"] == 0
        assert second.issue_trigger("alice") != trigger


async def test_ephemerals_are_gone_after_a_restart(tmp_path: Path) -> None:
    state_file = tmp_path / "state.sqlite"
    async with Playground(make_manifest(), state_file=state_file) as first:
        await web_client(first).chat_postEphemeral(channel="CORDERS001", user="UALICE0001", text="psst")
    async with Playground(make_manifest(), state_file=state_file) as second:
        assert second.actor("alice").sees("#orders") == []


async def test_timestamps_rise_over_a_restart_even_when_the_clock_went_back(tmp_path: Path) -> None:
    state_file = tmp_path / "state.sqlite"
    async with Playground(make_manifest(), state_file=state_file) as first:
        first.clock.advance(3600)
        early = await web_client(first).chat_postMessage(channel="CORDERS001", text="one")
    async with Playground(make_manifest(), state_file=state_file) as second:
        late = await web_client(second).chat_postMessage(channel="CORDERS001", text="two")
        assert late["ts"] > early["ts"]
        assert [m.text for m in second.messages("#orders")] == ["one", "two"]


async def start_process(
    manifest: Path, state_file: Path
) -> tuple[asyncio.subprocess.Process, dict[str, str]]:
    arguments = ["--manifest", str(manifest), "--state-file", str(state_file), "--port", "0"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "playground", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode().strip() for _ in range(5)]
    assert lines[0].startswith("Open http://127.0.0.1:")
    return process, dict(line.split("=", 1) for line in lines[1:])


def process_client(told: dict[str, str]) -> AsyncWebClient:
    return AsyncWebClient(token=told["SLACK_BOT_TOKEN"], base_url=told["SLACK_API_URL"], retry_handlers=[])


async def test_what_was_answered_survives_kill_9(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.yml"
    manifest.write_text(yaml.safe_dump(make_manifest()), encoding="utf-8")
    state_file = tmp_path / "state.sqlite"
    process, told = await start_process(manifest, state_file)
    client = process_client(told)
    stamps = [(await client.chat_postMessage(channel="CORDERS001", text=f"{n}"))["ts"] for n in range(20)]
    process.send_signal(signal.SIGKILL)
    await process.wait()
    process, told = await start_process(manifest, state_file)
    try:
        client = process_client(told)
        for ts in stamps:
            assert (await client.chat_update(channel="CORDERS001", ts=ts, text="changed"))["ok"]
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_a_port_in_use_is_one_clear_sentence(playground: Playground, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.yml"
    manifest.write_text(yaml.safe_dump(make_manifest()), encoding="utf-8")
    port = playground.base_url.rstrip("/").rpartition(":")[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "playground", "--manifest", str(manifest), "--port", port,
        cwd=ROOT, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().startswith("The playground cannot start: ")
    assert "Traceback" not in errors.decode()


async def test_a_file_that_is_no_manifest(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.yml"
    manifest.write_text("- nothing\n", encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "playground", "--manifest", str(manifest), "--port", "0",
        cwd=ROOT, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert "not a Slack app manifest" in errors.decode()
