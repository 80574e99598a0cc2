"""What the app receives of what a person typed: encoded with should_escape, verbatim without, bent by phones."""

from __future__ import annotations

from typing import Any

import pytest

from playground.messages import Channel, escape_text
from playground.slash_text import Directory, encode, smart_punctuation
from playground.workspace import load_workspace

from .conftest import StartPlayground, make_manifest

DIRECTORY = Directory(
    load_workspace(None),
    {
        "orders": Channel(id="CORDERS001", name="orders", kind="public"),
        "orders-leads": Channel(id="CORDLEADS1", name="orders-leads", kind="private"),
    },
)


@pytest.mark.parametrize(
    ("typed", "received"),
    [
        ("status", "status"),
        ("@lena", "<@ULENA00001|lena>"),
        ("ask @lena.", "ask <@ULENA00001|lena>."),
        ("@LENA", "<@ULENA00001|lena>"),
        ("@nobody", "@nobody"),
        ("in #orders", "in <#CORDERS001|orders>"),
        ("in #orders-leads", "in <#CORDLEADS1|>"),
        ("#nowhere", "#nowhere"),
        ("@orders-leads", "<!subteam^SORDLEAD01|@orders-leads>"),
        ("@old-crew", "@old-crew"),
        ("@here now", "<!here> now"),
        ("https://example.com/a?b=1&c=2", "<https://example.com/a?b=1&amp;c=2>"),
        ("app.example.com", "<http://app.example.com|app.example.com>"),
        ("orders.dev/health", "<http://orders.dev/health|orders.dev/health>"),
        ("a@b.com", "<mailto:a@b.com|a@b.com>"),
        ("--db postgresql", "--db postgresql"),
        ("1 < 2 & 3 > 2", "1 &lt; 2 &amp; 3 &gt; 2"),
        ("<@ULENA00001>", "<@ULENA00001|lena>"),
        ("<@ULENA00001|whoever>", "<@ULENA00001|lena>"),
        ("<#CORDLEADS1|secret>", "<#CORDLEADS1|>"),
        ("<script>", "&lt;script&gt;"),
        ("`code` *bold* :tada:", "`code` *bold* :tada:"),
        ("v1.2.3 main.py", "v1.2.3 main.py"),
    ],
)
def test_a_command_with_should_escape(typed: str, received: str) -> None:
    assert encode(typed, DIRECTORY, labels=True) == received


def test_messages_carry_no_labels() -> None:
    assert encode("@lena and @orders", DIRECTORY, labels=False) == "<@ULENA00001> and <!subteam^SORDERS001>"


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ('--description "my service"', "—description “my service”"),
        ("don't", "don’t"),
        ("'x' and so on...", "‘x’ and so on…"),
    ],
)
def test_phones_bend_quotes_and_dashes(typed: str, sent: str) -> None:
    assert smart_punctuation(typed) == sent


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("a & b", "a &amp; b"),
        ("a &amp; b", "a &amp; b"),
        ("<!here> <!subteam^S1|@x> <!date^1^{date}|x>", "<!here> <!subteam^S1|@x> <!date^1^{date}|x>"),
        ("<mailto:a@b.c|a>", "<mailto:a@b.c|a>"),
        ("List<String>", "List&lt;String&gt;"),
    ],
)
def test_text_of_the_app_is_stored_with_entities(text: str, stored: str) -> None:
    assert escape_text(text) == stored


async def received(playground: Any, text: str, **options: Any) -> Any:
    await playground.actor("alice").command("#orders", text, **options)
    return playground.deliveries("slash_commands")[-1].payload["text"]


async def test_without_should_escape_text_arrives_as_typed(start_playground: StartPlayground) -> None:
    playground = await start_playground(make_manifest(should_escape=False))
    assert (
        await received(playground, "/platform approve @lena & co in #orders")
        == "approve @lena & co in #orders"
    )


async def test_with_should_escape_it_arrives_encoded(start_playground: StartPlayground) -> None:
    playground = await start_playground()
    assert await received(playground, "/platform whois @lena & co") == "whois <@ULENA00001|lena> &amp; co"
    assert await received(playground, "/platform") == ""
    assert await received(playground, "/platform\ncreate x\ny") == "create x\ny"


async def test_smart_punctuation_per_message_and_for_everybody(start_playground: StartPlayground) -> None:
    playground = await start_playground()
    assert await received(playground, "/platform x --db y", smart=True) == "x —db y"
    playground.world.smart_punctuation = True
    assert await received(playground, "/platform x --db y") == "x —db y"


async def test_commands_do_not_work_in_threads_and_unknown_ones_nowhere(
    start_playground: StartPlayground,
) -> None:
    playground = await start_playground()
    alice = playground.actor("alice")
    parent = (await alice.say("#orders", "parent")).message
    assert parent is not None
    in_thread = await alice.say("#orders", "/platform x", thread_ts=parent.ts)
    assert in_thread.notice == "/platform is not supported in threads. Sorry!"
    unknown = await alice.say("#orders", "/deploy x")
    assert (unknown.notice or "").startswith("/deploy is not a valid command.")
    assert playground.deliveries() == []
    assert len(alice.ephemerals("#orders")) == 2
    assert playground.actor("lena").ephemerals("#orders") == []
