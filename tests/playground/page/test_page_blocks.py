"""Block Kit in a message: everything is shown, everything can be used, and the app gets what Slack would send."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Page

from tests.playground.conftest import Installed

from .conftest import OpenPage, button, deadline_passes, expect, mrkdwn, option, plain, section

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def post(installed: Installed, *blocks: dict[str, Any]) -> str:
    posted = await installed.client.chat_postMessage(channel="CORDERS001", text="card", blocks=list(blocks))
    return str(posted["ts"])


def actions(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"type": "actions", "block_id": "act", "elements": list(elements)}


def record(installed: Installed, *action_ids: str) -> list[dict[str, Any]]:
    """What the app receives for these action ids, acknowledged at once."""
    received: list[dict[str, Any]] = []

    async def listen(ack: Any, body: dict[str, Any]) -> None:
        received.append(body)
        await ack()

    for action_id in action_ids:
        installed.app.action(action_id)(listen)
    return received


async def settled(page: Page, received: list[dict[str, Any]], count: int) -> dict[str, Any]:
    async with asyncio.timeout(5):
        while len(received) < count:
            await page.evaluate("() => new Promise(requestAnimationFrame)")
    await expect(page.locator(".is-busy")).to_have_count(0)
    return received[-1]


async def test_every_kind_of_block_is_shown(installed: Installed, open_page: OpenPage) -> None:
    cells = [
        [{"type": "raw_text", "text": text} for text in row]
        for row in (["Where", "Version"], ["staging", "4f2a91c"])
    ]
    rich = {
        "type": "rich_text",
        "block_id": "rich",
        "elements": [
            {
                "type": "rich_text_section",
                "elements": [
                    {"type": "text", "text": "strong", "style": {"bold": True}},
                    {"type": "user", "user_id": "ULENA00001"},
                ],
            },
            {
                "type": "rich_text_list",
                "style": "ordered",
                "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "one"}]}],
            },
            {"type": "rich_text_quote", "elements": [{"type": "text", "text": "quoted"}]},
            {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "a  b"}]},
        ],
    }
    await post(
        installed,
        {"type": "header", "block_id": "head", "text": plain("Promote orders")},
        section(
            ":white_check_mark: *done* by <@UALICE0001> in <#CDEPLOYS01> <!date^1767366000^{date_num}|then>",
            "sec",
        ),
        {
            "type": "section",
            "block_id": "fields",
            "fields": [mrkdwn("*Service*\norders"), mrkdwn("*Version*\n`4f2a91c`")],
        },
        {"type": "context", "block_id": "ctx", "elements": [mrkdwn("request _42_")]},
        {"type": "divider", "block_id": "div"},
        {
            "type": "image",
            "block_id": "img",
            "image_url": "https://images.example/graph.png",
            "alt_text": "Latency",
        },
        rich,
        {"type": "table", "block_id": "table", "rows": cells},
        {"type": "markdown", "block_id": "md", "text": "## Notes\n\n- **first**\n- second\n\n```\ncode\n```"},
    )
    page = await open_page(installed.playground)
    card = page.get_by_role("article")
    await expect(card.get_by_role("heading", name="Promote orders")).to_be_visible()
    await expect(card.locator("[data-block=sec]")).to_contain_text(
        "done by @Alice Adams in #deploys 02/01/2026"
    )
    await expect(card.get_by_role("img", name="white check mark")).to_be_visible()
    await expect(card.locator("[data-block=fields] code")).to_have_text("4f2a91c")
    await expect(card.locator("[data-block=ctx] em")).to_have_text("42")
    await expect(card.get_by_role("separator")).to_have_count(1)
    await expect(card.get_by_role("link", name="Latency")).to_have_attribute(
        "href", "https://images.example/graph.png"
    )
    await expect(card.locator("[data-block=rich] strong")).to_have_text("strong")
    await expect(card.locator("[data-block=rich] ol li")).to_have_text("one")
    await expect(card.locator("[data-block=rich] blockquote")).to_have_text("quoted")
    await expect(card.locator("[data-block=rich] pre")).to_have_text("a  b", use_inner_text=False)
    await expect(card.get_by_role("columnheader")).to_have_text(["Where", "Version"])
    await expect(card.get_by_role("cell", name="4f2a91c")).to_be_visible()
    await expect(card.locator("[data-block=md] li strong")).to_have_text("first")
    await expect(card.locator("[data-block=md] pre")).to_have_text("code")


async def test_a_button_sends_its_value_once_however_often_it_is_pressed(
    installed: Installed, open_page: OpenPage
) -> None:
    received = record(installed, "approve")
    await post(
        installed, section("Plan"), actions(button("Approve", "approve", value="request-42", style="primary"))
    )
    page = await open_page(installed.playground)
    await page.get_by_role("button", name="Approve").dblclick()
    body = await settled(page, received, 1)
    assert len(received) == 1
    assert body["user"]["id"] == "UALICE0001"
    assert body["actions"][0]["action_id"] == "approve"
    assert body["actions"][0]["block_id"] == "act"
    assert body["actions"][0]["value"] == "request-42"


async def test_a_question_before_the_action_can_be_declined(
    installed: Installed, open_page: OpenPage
) -> None:
    received = record(installed, "delete")
    question = {
        "title": plain("Delete?"),
        "text": mrkdwn("All of *orders*."),
        "confirm": plain("Delete it"),
        "deny": plain("Keep it"),
        "style": "danger",
    }
    await post(installed, actions(button("Delete", "delete", style="danger", confirm=question)))
    page = await open_page(installed.playground)
    asked = page.get_by_role("dialog", name="Delete?")
    for leave in ("Keep it", "Escape"):
        await page.get_by_role("button", name="Delete", exact=True).click()
        await expect(asked).to_contain_text("All of orders.")
        if leave == "Escape":
            await page.keyboard.press("Escape")
        else:
            await asked.get_by_role("button", name=leave).click()
        await expect(asked).to_be_hidden()
        await expect(page.get_by_role("button", name="Delete", exact=True)).to_be_focused()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await asked.get_by_role("button", name="Delete it").click()
    await settled(page, received, 1)
    assert len(received) == 1


async def test_a_failed_action_says_so_beside_the_button(installed: Installed, open_page: OpenPage) -> None:
    await post(installed, actions(button("Approve", "approve")))
    record(installed, "approve")
    installed.playground.disturb_delivery("block_actions", "drop")
    page = await open_page(installed.playground)
    await page.get_by_role("button", name="Approve").click()
    block = page.locator("[data-block=act]")
    await expect(page.get_by_role("button", name="Approve")).to_have_attribute("aria-busy", "true")
    await deadline_passes(installed, "block_actions")
    await expect(block.get_by_role("alert")).not_to_be_empty()
    # The next try clears the old warning.
    await page.get_by_role("button", name="Approve").click()
    await expect(block.get_by_role("alert")).to_have_count(0)


async def test_menus_in_a_message_send_what_was_chosen(installed: Installed, open_page: OpenPage) -> None:
    received = record(installed, "where", "who", "more", "day", "boxes")
    choose = {
        "type": "static_select",
        "action_id": "where",
        "placeholder": plain("Environment"),
        "options": [option("staging"), option("production")],
    }
    await post(
        installed,
        section("Deploy", "pick", accessory=choose),
        actions(
            {"type": "users_select", "action_id": "who", "placeholder": plain("Somebody")},
            {"type": "overflow", "action_id": "more", "options": [option("Details"), option("Forget")]},
            {"type": "datepicker", "action_id": "day"},
            {"type": "checkboxes", "action_id": "boxes", "options": [option("one"), option("two")]},
        ),
    )
    page = await open_page(installed.playground)
    where = page.get_by_role("combobox", name="Deploy")
    await where.focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.type("prod")
    await page.keyboard.press("Enter")
    body = await settled(page, received, 1)
    assert body["actions"][0]["selected_option"]["value"] == "production"
    await expect(where).to_have_value("production")

    await page.get_by_role("combobox", name="Somebody").click()
    await page.get_by_role("option", name="Lena Lindqvist").click()
    body = await settled(page, received, 2)
    assert body["actions"][0]["selected_user"] == "ULENA00001"
    assert body["state"]["values"]["pick"]["where"]["selected_option"]["value"] == "production"

    await page.get_by_role("button", name="More actions").click()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    body = await settled(page, received, 3)
    assert body["actions"][0]["selected_option"]["value"] == "Forget"

    await page.locator("[data-action=day]").fill("2026-03-01")
    body = await settled(page, received, 4)
    assert body["actions"][0]["selected_date"] == "2026-03-01"

    await page.get_by_role("checkbox", name="two").check()
    body = await settled(page, received, 5)
    assert [chosen["value"] for chosen in body["actions"][0]["selected_options"]] == ["two"]


async def test_a_link_button_opens_a_window_and_tells_the_app(
    installed: Installed, open_page: OpenPage
) -> None:
    received = record(installed, "open")
    target = f"{installed.playground.base_url}static/icon.svg"
    await post(installed, actions(button("Open", "open", url=target)))
    page = await open_page(installed.playground)
    async with page.expect_popup() as opened:
        await page.get_by_role("link", name="Open").click()
    window = await opened.value
    await expect(window).to_have_url(target)
    assert await window.evaluate("window.opener") is None
    await settled(page, received, 1)
