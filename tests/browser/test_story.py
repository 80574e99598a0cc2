"""The stranger's first ten minutes: what `make run` starts, played by hand in a real browser, with pictures to look at.

Pictures are kept in the folder that PICTURES names; without it they go with the test's own folder.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from browsing import ARGUMENTS, chromium_path
from own_ports import free_port
from playwright.async_api import Locator, Page, ViewportSize, async_playwright, expect
from stage import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
PATIENCE_MS = 60_000
ALICE, LENA = "UALICE0001", "ULENA00001"
ORDERS, DEPLOYS = "CORDERS001", "CDEPLOYS01"


@dataclass
class Window:
    """A browser window in the playground, acting as somebody."""

    page: Page
    address: str
    pictures: Path

    async def visit(self, person: str, channel: str) -> None:
        await self.page.goto(f"{self.address}?as={person}#{channel}")
        # The box is there before the page knows which channel it is for.
        await expect(self.page.get_by_label("Message #")).to_be_visible()

    async def type(self, line: str) -> None:
        await self.page.locator("#composer").fill(line)
        await self.page.keyboard.press("Escape")
        await self.page.keyboard.press("Enter")

    def message(self, containing: str) -> Locator:
        return self.page.get_by_role("article").filter(has_text=containing).last

    def card(self, title: str) -> Locator:
        return self.page.get_by_role("article").filter(has_text=title).filter(has_text="asked by").last

    async def picture(self, name: str) -> None:
        await self.page.screenshot(path=self.pictures / f"{name}.png")


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    """`make run` without the set-up: the same program, in a folder and on a port of its own."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "playground.try_out", "--port", str(port), "--folder", str(tmp_path / "var")),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = await asyncio.wait_for(process.stdout.readline(), 60)
    assert b"Platform is running" in said
    yield f"http://127.0.0.1:{port}/"
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 30) == 0


@pytest.fixture
async def window(address: str, tmp_path: Path) -> AsyncIterator[Window]:
    path = chromium_path()
    pictures = Path(os.environ.get("PICTURES", tmp_path / "pictures"))
    pictures.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        opened = await browser.new_context(
            viewport=ViewportSize(width=1280, height=900), reduced_motion="reduce"
        )
        page = await opened.new_page()
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield Window(page, address, pictures)
        await browser.close()


async def test_a_stranger_lives_the_whole_story(window: Window) -> None:
    await window.visit(ALICE, ORDERS)
    await window.type(
        "/platform create-service orders --team orders --template python-service --db postgresql"
    )
    card = window.card("Create service orders")
    await expect(card.get_by_role("button", name="Create")).to_be_visible()
    await window.picture("1-plan")

    await card.get_by_role("button", name="Create").click()
    await expect(card).to_contain_text("running")
    await window.picture("2-running")
    await expect(card).to_contain_text("is healthy in staging")
    await expect(card).to_contain_text("Owner: orders")
    await window.picture("3-created")

    await window.type("/platform status orders")
    await expect(window.message("nothing runs here yet")).to_contain_text("healthy")
    await window.picture("4-status")

    await window.type("/platform promote orders")
    request = window.card("Promote orders to production")
    await expect(request).to_contain_text("waiting for approval")

    await window.visit(LENA, ORDERS)
    request = window.card("Promote orders to production")
    await expect(request.get_by_role("button", name="Approve")).to_be_visible()
    await window.picture("5-approval")
    await request.screenshot(path=window.pictures / "approval-card.png")
    await request.get_by_role("button", name="Approve").click()
    await expect(request).to_contain_text("is healthy in production")
    await window.picture("6-promoted")

    await window.visit(LENA, DEPLOYS)
    await expect(window.message("orders → production")).to_contain_text("deployed")
    await window.picture("7-deploys")

    await window.visit(ALICE, ORDERS)
    await window.type("/platform audit --service orders")
    await expect(window.message("request.approved")).to_be_visible()
    await window.picture("8-audit")
    await window.type("/platform")
    await expect(window.message("what you can do")).to_be_visible()
    await window.picture("9-help")
    await window.type("/platform create-service")
    await expect(window.page.get_by_role("dialog")).to_be_visible()
    await window.picture("10-form")
