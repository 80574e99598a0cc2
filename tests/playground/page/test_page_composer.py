"""What somebody types into the message box, with the keyboard alone."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page

from tests.playground.conftest import Installed

from .conftest import OpenPage, expect

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


def answer_commands(installed: Installed) -> None:
    @installed.app.command("/platform")
    async def answer(ack: Any, command: Any) -> None:
        await ack(f"You said {command['text']}")


def box(page: Page) -> Any:
    return page.get_by_role("combobox", name="Message #orders")


async def test_a_slash_offers_the_command_and_then_its_verbs(
    installed: Installed, open_page: OpenPage
) -> None:
    page = await open_page(installed.playground)
    await box(page).focus()
    await page.keyboard.type("/pl")
    offered = page.get_by_role("option")
    await expect(offered).to_have_count(1)
    await expect(offered).to_contain_text("The platform")
    await expect(offered).to_contain_text("create-service NAME")

    await page.keyboard.press("Tab")
    await expect(box(page)).to_have_value("/platform ")
    await expect(offered).to_have_text(["create-serviceNAME", "status[SERVICE]", "promoteSERVICE", "help"])

    await page.keyboard.type("pro")
    await expect(offered).to_have_text(["promoteSERVICE"])
    await page.keyboard.press("Enter")
    await expect(box(page)).to_have_value("/platform promote ")
    await expect(offered).to_have_count(0)


async def test_escape_closes_the_offers_and_keeps_what_was_typed(
    installed: Installed, open_page: OpenPage
) -> None:
    page = await open_page(installed.playground)
    await box(page).focus()
    await page.keyboard.type("/platform s")
    await expect(page.get_by_role("option")).to_have_text(["status[SERVICE]"])
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("option")).to_have_count(0)
    await expect(box(page)).to_have_value("/platform s")
    await expect(box(page)).to_be_focused()


async def test_a_sent_command_reaches_the_app_and_its_answer_is_only_for_the_sender(
    installed: Installed, open_page: OpenPage
) -> None:
    answer_commands(installed)
    alice = await open_page(installed.playground, "alice")
    lena = await open_page(installed.playground, "lena")
    await box(alice).focus()
    await alice.keyboard.type("/platform status")
    await alice.keyboard.press("Enter")

    answer = alice.get_by_role("article").filter(has_text="You said status")
    await expect(answer).to_contain_text("Only visible to you")
    await expect(box(alice)).to_have_value("")
    # Something that Lena does get, so that the absence of the answer is not merely early.
    await installed.playground.actor("alice").say("#orders", "marker")
    await expect(lena.get_by_text("marker")).to_be_visible()
    await expect(lena.get_by_text("You said")).to_have_count(0)


async def test_a_command_that_nobody_registered_is_answered_by_the_workspace(
    installed: Installed, open_page: OpenPage
) -> None:
    page = await open_page(installed.playground)
    await box(page).fill("/nonsense now")
    await page.keyboard.press("Enter")
    notice = page.get_by_role("article").filter(has_text="/nonsense is not a valid command")
    await expect(notice).to_contain_text("Only visible to you")
    await expect(notice).to_contain_text("system")


async def test_shift_enter_makes_a_line_and_up_brings_back_what_was_sent(
    installed: Installed, open_page: OpenPage
) -> None:
    page = await open_page(installed.playground)
    await box(page).focus()
    await page.keyboard.type("first")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("second")
    await page.keyboard.press("Enter")
    sent = page.get_by_role("article").filter(has_text="first")
    await expect(sent).to_contain_text("second")
    assert [m.text for m in installed.playground.messages("#orders")] == ["first\nsecond"]

    await page.keyboard.type("third")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("article").filter(has_text="third")).to_be_visible()
    await page.keyboard.press("ArrowUp")
    await expect(box(page)).to_have_value("third")
    await page.keyboard.press("ArrowUp")
    await expect(box(page)).to_have_value("first\nsecond")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await expect(box(page)).to_have_value("")


async def test_a_name_is_completed_and_sent_as_a_mention(installed: Installed, open_page: OpenPage) -> None:
    page = await open_page(installed.playground)
    await box(page).focus()
    await page.keyboard.type("ask @len")
    await expect(page.get_by_role("option")).to_contain_text("Lena Lindqvist")
    await page.keyboard.press("Enter")
    await page.keyboard.type("please")
    await page.keyboard.press("Enter")
    await expect(page.locator(".mention", has_text="@Lena Lindqvist")).to_be_visible()
    assert installed.playground.messages("#orders")[-1].text == "ask <@ULENA00001> please"


async def test_a_channel_suggests_three_things_to_try(installed: Installed, open_page: OpenPage) -> None:
    page = await open_page(installed.playground, channel="#deploys")
    tries = page.locator(".try")
    await expect(tries).to_have_text(["/platform create-service", "/platform status", "/platform promote"])
    await tries.nth(1).click()
    composer = page.get_by_role("combobox", name="Message #deploys")
    await expect(composer).to_have_value("/platform status ")
    await expect(composer).to_be_focused()


async def test_who_is_not_a_member_reads_and_cannot_write(installed: Installed, open_page: OpenPage) -> None:
    await installed.playground.actor("paul").say("#payments", "only for reading")
    page = await open_page(installed.playground, "alice", "#payments")
    await expect(page.get_by_text("only for reading")).to_be_visible()
    await expect(page.locator("#composer")).to_be_disabled()
    await expect(page.locator("#composer")).to_have_attribute(
        "placeholder", "You are not a member of #payments: you can read here, not write"
    )
