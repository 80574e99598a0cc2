"""The log of messages: live, in place, marked for what they are, and never more than text when somebody hostile writes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Page

from tests.playground.conftest import Installed, eventually

from .conftest import OpenPage, button, expect, section

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

HOSTILE = [
    "<img src=x onerror=document.title='stolen'>",
    "<script>document.title='stolen'</script>",
    "<javascript:alert(1)|press me>",
    "*<b onmouseover=alert(1)>*",
    "`<svg onload=alert(1)>`",
    '<https://example.com/"onclick="alert(1)|safe label>',
]


def article(page: Page, text: str) -> Any:
    return page.get_by_role("article").filter(has_text=text)


async def test_hostile_text_stays_text_wherever_it_stands(installed: Installed, open_page: OpenPage) -> None:
    page = await open_page(installed.playground)
    blocks = [
        section("\n".join(HOSTILE)),
        {"type": "header", "block_id": "h", "text": {"type": "plain_text", "text": HOSTILE[0]}},
        {"type": "markdown", "block_id": "m", "text": f"{HOSTILE[0]} [x](javascript:alert(1))"},
        {
            "type": "rich_text",
            "block_id": "r",
            "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": HOSTILE[1]}]}],
        },
        {
            "type": "actions",
            "block_id": "a",
            "elements": [button("<i>x</i>", "x", accessibility_label=HOSTILE[0])],
        },
    ]
    await installed.client.chat_postMessage(channel="CORDERS001", text="attack", blocks=blocks)
    for text in HOSTILE:
        await installed.playground.actor("lena").say("#orders", text)

    await expect(page.locator(".message").filter(has_text="safe label").last).to_be_visible()
    await expect(page).to_have_title("#orders · Acme playground")
    log = page.get_by_role("log", name="Messages")
    await expect(log.locator("img, script, b, i, iframe")).to_have_count(0)
    await expect(log.locator("svg[onload]")).to_have_count(0)
    addresses = await log.locator("a").evaluate_all("links => links.map(link => link.protocol)")
    assert set(addresses) <= {"http:", "https:"}
    await expect(log).to_contain_text("<script>document.title='stolen'</script>")


async def test_an_edit_changes_one_message_in_place_and_leaves_the_reader_alone(
    installed: Installed, open_page: OpenPage
) -> None:
    client, playground = installed.client, installed.playground
    actions = {"type": "actions", "block_id": "act", "elements": [button("Approve", "approve")]}
    posted = await client.chat_postMessage(
        channel="CORDERS001", text="plan", blocks=[section("Waiting"), actions]
    )
    for number in range(30):
        await playground.actor("lena").say("#orders", f"line {number}")
    page = await open_page(playground)
    await page.get_by_role("button", name="Approve").focus()
    other = await article(page, "line 29").element_handle()
    before = await page.get_by_role("button", name="Approve").bounding_box()

    await client.chat_update(
        channel="CORDERS001", ts=posted["ts"], text="plan", blocks=[section("Still waiting"), actions]
    )
    await expect(page.get_by_text("Still waiting")).to_be_visible()
    await expect(page.get_by_role("button", name="Approve")).to_be_focused()
    assert await page.get_by_role("button", name="Approve").bounding_box() == before
    assert await other.evaluate("element => element.isConnected"), "other messages were drawn again"


async def test_who_reads_above_is_told_of_new_messages_and_not_moved(
    installed: Installed, open_page: OpenPage
) -> None:
    lena = installed.playground.actor("lena")
    for number in range(40):
        await lena.say("#orders", f"line {number}")
    page = await open_page(installed.playground)
    await expect(article(page, "line 39")).to_be_in_viewport()
    scroller = page.get_by_role("region", name="Messages, scrollable")
    await scroller.evaluate("element => element.scrollTo(0, 0)")
    await expect(article(page, "line 39")).not_to_be_in_viewport()

    await lena.say("#orders", "the newest")
    pill = page.get_by_role("button", name="1 new message")
    await expect(pill).to_be_visible()
    assert await scroller.evaluate("element => element.scrollTop") == 0
    await pill.click()
    await expect(article(page, "the newest")).to_be_in_viewport()
    await expect(pill).to_be_hidden()
    # At the bottom the log follows by itself.
    await lena.say("#orders", "one more")
    await expect(article(page, "one more")).to_be_in_viewport()


async def test_older_messages_come_when_asked_for(installed: Installed, open_page: OpenPage) -> None:
    for number in range(60):
        await installed.playground.actor("lena").say("#orders", f"line {number:02}")
    page = await open_page(installed.playground)
    await expect(article(page, "line 59")).to_be_visible()
    await expect(article(page, "line 05")).to_have_count(0)
    await page.get_by_role("button", name="Show earlier messages").click()
    await expect(article(page, "line 05")).to_have_count(1)
    await expect(page.get_by_role("button", name="Show earlier messages")).to_be_hidden()


async def test_what_is_unread_is_marked_until_it_is_read(installed: Installed, open_page: OpenPage) -> None:
    page = await open_page(installed.playground)
    await installed.playground.actor("lena").say("#platform", "hello @alice")
    await installed.playground.actor("lena").say("#platform", "are you there")
    place = page.get_by_role("link", name="platform 1 unread")
    await expect(place).to_be_visible()
    await expect(page).to_have_title("(2) #orders · Acme playground")
    await place.click()
    await expect(article(page, "are you there")).to_be_visible()
    await expect(page).to_have_title("#platform · Acme playground")
    await expect(page.locator(".is-unread")).to_have_count(0)
    await eventually(lambda: installed.playground.shown_channel("#platform", "alice")["unread"] == 0)


async def test_a_thread_is_opened_answered_and_closed(installed: Installed, open_page: OpenPage) -> None:
    await installed.playground.actor("lena").say("#orders", "shall we?")
    page = await open_page(installed.playground)
    await article(page, "shall we?").hover()
    await page.get_by_role("button", name="Reply in thread").click()
    reply = page.get_by_role("combobox", name="Reply in the thread")
    await expect(reply).to_be_focused()
    await page.keyboard.type("yes")
    await page.keyboard.press("Enter")

    thread = page.get_by_role("complementary", name="Thread")
    await expect(thread.get_by_role("article").filter(has_text="yes")).to_be_visible()
    parent = page.get_by_role("main").get_by_role("article").filter(has_text="shall we?")
    await expect(parent.get_by_role("button", name="1 reply")).to_be_visible()
    await installed.playground.actor("lena").say(
        "#orders", "good", thread_ts=installed.playground.messages("#orders")[0].ts
    )
    await expect(thread.get_by_role("article").filter(has_text="good")).to_be_visible()
    await expect(page.get_by_role("main").get_by_role("article")).to_have_count(1)

    await page.keyboard.press("Escape")
    await expect(thread).to_be_hidden()
    await parent.get_by_role("button", name="2 replies").click()
    await expect(page).to_have_url(re.compile(r"#CORDERS001/[\d.]+$"))
    await page.reload()
    await expect(thread.get_by_role("article").filter(has_text="good")).to_be_visible()


async def test_a_private_answer_is_replaced_and_removed_live(
    installed: Installed, open_page: OpenPage
) -> None:
    @installed.app.command("/platform")
    async def answer(ack: Any) -> None:
        choices = {
            "type": "actions",
            "block_id": "b",
            "elements": [button("Show", "show"), button("Forget", "forget")],
        }
        await ack(text="choose", blocks=[section("Choose"), choices])

    @installed.app.action("show")
    async def show(ack: Any, respond: Any) -> None:
        await ack()
        forget = {"type": "actions", "block_id": "b", "elements": [button("Forget", "forget")]}
        await respond(replace_original=True, text="shown", blocks=[section("Shown"), forget])

    @installed.app.action("forget")
    async def forget(ack: Any, respond: Any) -> None:
        await ack()
        await respond(delete_original=True)

    page = await open_page(installed.playground)
    await page.locator("#composer").fill("/platform help")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Show").click()
    private = page.get_by_role("article").filter(has_text="Only visible to you")
    await expect(private).to_have_count(1)
    await expect(private).to_contain_text("Shown")
    await page.get_by_role("button", name="Forget").click()
    await expect(private).to_have_count(0)


async def test_a_permalink_leads_to_its_message(installed: Installed, open_page: OpenPage) -> None:
    posted = await installed.client.chat_postMessage(channel="CORDERS001", text="look here")
    for number in range(40):
        await installed.playground.actor("lena").say("#orders", f"line {number}")
    link = await installed.client.chat_getPermalink(channel="CORDERS001", message_ts=posted["ts"])
    await installed.playground.actor("lena").say("#platform", f"see {link['permalink']}")
    page = await open_page(installed.playground, channel="#platform")
    await page.get_by_role("link", name=link["permalink"]).click()
    await expect(article(page, "look here")).to_be_in_viewport()
    await expect(article(page, "look here")).to_be_focused()
