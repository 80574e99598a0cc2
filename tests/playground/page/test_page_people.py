"""Acting as different people: what each of them sees, in one window and in several."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.playground.conftest import Installed

from .conftest import OpenPage, button, expect, section

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

LENA_IN_ORDERS = re.compile(r"\?as=ULENA00001#CORDERS001$")


async def test_another_person_is_chosen_and_the_channel_stays(
    installed: Installed, open_page: OpenPage
) -> None:
    await installed.playground.actor("lena").say("#orders", "hello")
    page = await open_page(installed.playground)
    await page.get_by_role("button", name="acting as Alice Adams").click()
    menu = page.get_by_role("menu", name="Act as")
    await expect(menu.get_by_role("menuitemradio", checked=True)).to_contain_text("Alice Adams")
    await expect(menu).to_contain_text("Team lead of orders")
    closed = menu.get_by_role("menuitemradio").filter(has_text="Dan Dufour")
    await expect(closed).to_have_attribute("aria-disabled", "true")
    await expect(closed).to_contain_text("This account is closed")
    await menu.get_by_role("menuitemradio").filter(has_text="Lena Lindqvist").click()

    await expect(page.get_by_role("button", name="acting as Lena Lindqvist")).to_be_visible()
    await expect(page).to_have_url(LENA_IN_ORDERS)
    await page.locator("#composer").fill("from Lena")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("article").filter(has_text="from Lena")).to_be_visible()
    assert installed.playground.messages("#orders")[-1].user == "ULENA00001"
    await page.go_back()
    await expect(page.get_by_role("button", name="acting as Alice Adams")).to_be_visible()


async def test_the_switcher_is_used_with_the_keyboard(installed: Installed, open_page: OpenPage) -> None:
    page = await open_page(installed.playground)
    await page.get_by_role("button", name="acting as").focus()
    await page.keyboard.press("Enter")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="acting as Alice")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="acting as Omar Osman")).to_be_focused()


async def test_a_guest_sees_only_the_channels_of_guests(installed: Installed, open_page: OpenPage) -> None:
    page = await open_page(installed.playground, "grace")
    places = page.get_by_role("navigation", name="Channels and messages")
    await expect(places.get_by_role("link")).to_have_text(["orders", "Platform"])
    await expect(page.get_by_role("button", name="acting as Grace Green guest")).to_be_visible()


async def test_who_cannot_see_the_channel_lands_in_one_of_their_own(
    installed: Installed, open_page: OpenPage
) -> None:
    page = await open_page(installed.playground, "alice", "#security-incidents")
    await page.get_by_role("button", name="acting as").click()
    await page.get_by_role("menuitemradio").filter(has_text="Lena Lindqvist").click()
    await expect(page.get_by_role("heading", name="orders", exact=True)).to_be_visible()
    await expect(page).to_have_url(LENA_IN_ORDERS)


async def test_two_windows_act_as_two_people_and_see_each_other_at_once(
    installed: Installed, open_page: OpenPage
) -> None:
    actions = {"type": "actions", "block_id": "act", "elements": [button("Approve", "approve")]}
    await installed.client.chat_postMessage(
        channel="CORDERS001", text="plan", blocks=[section("Waiting"), actions]
    )

    @installed.app.action("approve")
    async def approve(ack: Any, client: Any, body: Any) -> None:
        await ack()
        done = [section(f"Approved by <@{body['user']['id']}>")]
        await client.chat_update(
            channel=body["channel"]["id"], ts=body["message"]["ts"], text="done", blocks=done
        )

    alice = await open_page(installed.playground, "alice")
    lena = await open_page(installed.playground, "lena")
    await lena.get_by_role("button", name="Approve").click()
    for page in (alice, lena):
        await expect(page.get_by_role("article")).to_contain_text("Approved by @Lena Lindqvist")
        await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    await expect(lena.locator(".mention-self")).to_have_count(1)
    await expect(alice.locator(".mention-self")).to_have_count(0)


async def test_the_app_has_a_home_for_each_person_and_a_conversation(
    installed: Installed, open_page: OpenPage
) -> None:
    pressed: list[str] = []

    @installed.app.event("app_home_opened")
    async def publish(event: Any, client: Any) -> None:
        start = {"type": "actions", "block_id": "start", "elements": [button("New service", "new")]}
        view = {"type": "home", "blocks": [section(f"Hello <@{event['user']}>"), start]}
        await client.views_publish(user_id=event["user"], view=view)

    @installed.app.action("new")
    async def new(ack: Any, client: Any, body: Any) -> None:
        pressed.append(body["view"]["type"])
        await ack()
        await client.chat_postMessage(channel=body["user"]["id"], text="let us begin")

    page = await open_page(installed.playground, "alice", "app")
    await expect(page.get_by_role("tab", name="Home")).to_have_attribute("aria-selected", "true")
    home = page.get_by_role("tabpanel", name="Home")
    await expect(home).to_contain_text("Hello @Alice Adams")
    await home.get_by_role("button", name="New service").click()
    await page.get_by_role("tab", name="Home").focus()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("tab", name="Messages")).to_be_focused()
    await expect(page.get_by_role("article").filter(has_text="let us begin")).to_be_visible()
    assert pressed == ["home"]
    await expect(page).to_have_url(re.compile("/messages$"))
