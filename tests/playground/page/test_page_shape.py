"""The page as a whole: narrow windows, the keyboard, an outage, and what it may load."""

from __future__ import annotations

import pytest

from playground.server import Playground
from tests.playground.conftest import Installed, make_manifest

from .conftest import NARROW, Complaints, OpenPage, button, expect, modal, plain, section, text_field

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

OVERFLOW = "document.documentElement.scrollWidth - innerWidth"


async def test_a_narrow_window_has_a_drawer_and_nothing_sticks_out(
    installed: Installed, open_page: OpenPage
) -> None:
    long = "a-very-long-word-" * 12
    table = [[{"type": "raw_text", "text": f"column {n} with words"} for n in range(6)]] * 3
    card = [
        {"type": "header", "block_id": "h", "text": plain("Promote orders to production")},
        section(f"`{long}` {long}"),
        {"type": "table", "block_id": "t", "rows": table},
        {
            "type": "actions",
            "block_id": "a",
            "elements": [button(f"Button number {n}", f"b{n}") for n in range(4)],
        },
    ]
    posted = await installed.client.chat_postMessage(channel="CORDERS001", text="card", blocks=card)
    await installed.playground.actor("lena").say("#orders", "in the thread", thread_ts=posted["ts"])
    page = await open_page(installed.playground, viewport=NARROW)
    await expect(page.get_by_role("heading", name="Promote orders")).to_be_attached()
    assert await page.evaluate(OVERFLOW) <= 0

    places = page.get_by_role("navigation", name="Channels and messages")
    await expect(places).to_be_hidden()
    await page.get_by_role("button", name="Channels and people").click()
    await expect(places.get_by_role("link", name="orders", exact=True)).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(places).to_be_hidden()
    await page.get_by_role("button", name="1 reply").click()
    thread = page.get_by_role("complementary", name="Thread")
    await expect(thread.get_by_text("in the thread")).to_be_visible()
    box = await thread.bounding_box()
    assert box is not None
    assert (box["x"], box["width"]) == (0, NARROW["width"])
    assert await page.evaluate(OVERFLOW) <= 0
    await thread.get_by_role("button", name="Close the thread").click()

    await page.get_by_role("button", name="Channels and people").click()
    await places.get_by_role("link", name="deploys").click()
    await expect(page.get_by_role("heading", name="deploys", exact=True)).to_be_visible()
    await expect(places).to_be_hidden()


async def test_a_modal_fills_a_narrow_window(installed: Installed, open_page: OpenPage) -> None:
    page = await open_page(installed.playground, viewport=NARROW)

    @installed.app.command("/platform")
    async def open_view(ack, client, command) -> None:
        await ack()
        await client.views_open(
            trigger_id=command["trigger_id"],
            view=modal(
                "New service", [text_field(f"f{n}", f"Field {n}") for n in range(12)], submit=plain("Create")
            ),
        )

    await page.locator("#composer").fill("/platform help")
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="New service")
    await expect(dialog).to_be_visible()
    box = await dialog.bounding_box()
    assert box == {"x": 0, "y": 0, **NARROW}
    await expect(dialog.get_by_role("button", name="Create")).to_be_in_viewport()
    await expect(dialog.get_by_role("button", name="Close")).to_be_in_viewport()


async def test_an_outage_is_named_and_ends_by_itself(
    open_page: OpenPage, complaints: Complaints, tmp_path
) -> None:
    complaints.expected += ["ERR_CONNECTION_REFUSED", "WebSocket connection to"]
    state = tmp_path / "state.json"
    playground = Playground(make_manifest(), state_file=state)
    await playground.start()
    port = int(playground.base_url.rstrip("/").rsplit(":", 1)[1])
    page = await open_page(playground)
    await playground.stop()
    banner = page.get_by_role("status").filter(has_text="The playground is not running")
    await expect(banner).to_have_text("The playground is not running. Start it with make run.")

    again = Playground(make_manifest(), state_file=state, port=port)
    await again.start()
    try:
        await again.actor("lena").say("#orders", "said meanwhile")
        await expect(page.get_by_text("said meanwhile")).to_be_visible()
        await expect(banner).to_have_count(0)
        await again.actor("lena").say("#orders", "and live again")
        await expect(page.get_by_text("and live again")).to_be_visible()
    finally:
        await again.stop()


async def test_an_app_that_is_not_connected_is_named(open_page: OpenPage, start_playground) -> None:
    page = await open_page(await start_playground())
    await expect(page.get_by_text("Platform is not connected")).to_be_visible()


async def test_tab_goes_through_the_page_in_reading_order(installed: Installed, open_page: OpenPage) -> None:
    await installed.playground.actor("lena").say("#orders", "hello")
    page = await open_page(installed.playground)
    await page.evaluate("document.activeElement.blur()")
    seen = []
    for _ in range(40):
        await page.keyboard.press("Tab")
        seen.append(
            await page.evaluate(
                "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
            )
        )
        if seen[-1] == "Message #orders":
            break
    order = [
        "Skip to the message box",
        "orders",
        "Messages, scrollable",
        "Reply in thread",
        "Message #orders",
    ]
    positions = [seen.index(label) for label in order]
    assert positions == sorted(positions)


async def test_the_page_names_its_parts_and_asks_nobody_else(
    installed: Installed, open_page: OpenPage
) -> None:
    page = await open_page(installed.playground)
    for role, name in [
        ("complementary", "Workspace"),
        ("navigation", "Channels and messages"),
        ("main", "Conversation"),
        ("log", "Messages"),
    ]:
        await expect(page.get_by_role(role, name=name)).to_have_count(1)
    policy = page.locator("meta[http-equiv=Content-Security-Policy]")
    await expect(policy).to_have_attribute(
        "content", "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'"
    )
