"""People at the page: headless Chromium against a real playground with a real Bolt app behind it.

One Chromium serves all tests of a process, so they and their fixtures share one event loop: each module here says
`asyncio(loop_scope="session")`. A test has windows of its own, with nothing in them of another's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from browsing import ARGUMENTS, chromium_path
from playwright.async_api import Browser, ConsoleMessage, Page, ViewportSize, async_playwright
from playwright.async_api import expect as expect

from playground.server import Playground
from tests.playground.conftest import Install, Installed, make_manifest

USAGE = "create-service NAME | status [SERVICE] | promote SERVICE | help"

WIDE = ViewportSize(width=1280, height=800)
NARROW = ViewportSize(width=380, height=720)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = chromium_path()
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def cleanup() -> AsyncIterator[AsyncExitStack]:
    """As for the other tests of the playground, in the loop of the browser."""
    async with AsyncExitStack() as stack:
        yield stack


@dataclass
class Complaints:
    """What no page may do in any test; `expected` names console errors that the test causes itself."""

    expected: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def watch(self, page: Page, origin: str) -> None:
        page.on("pageerror", lambda error: self.seen.append(f"uncaught: {error}"))
        page.on("console", self._hear)
        page.on("dialog", lambda dialog: self.seen.append(f"dialog: {dialog.message}"))
        page.on("request", lambda asked: self._check(asked.url, origin))

    def _hear(self, line: ConsoleMessage) -> None:
        if line.type == "error":
            self.seen.append(f"console: {line.text}")

    def _check(self, url: str, origin: str) -> None:
        if not url.startswith((origin, origin.replace("http", "ws", 1))):
            self.seen.append(f"asked another host: {url}")

    def unexpected(self) -> list[str]:
        return [text for text in self.seen if not any(part in text for part in self.expected)]


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    watched = Complaints()
    yield watched
    assert watched.unexpected() == []


OpenPage = Callable[..., Awaitable[Page]]


@pytest.fixture
def open_page(browser: Browser, complaints: Complaints, cleanup: AsyncExitStack) -> OpenPage:
    """A window of somebody's own, in a channel (by name), with the page ready; closed before its playground stops."""

    async def open_page(
        playground: Playground, person: str = "alice", channel: str = "#orders", **context: Any
    ) -> Page:
        window = await browser.new_context(**{"viewport": WIDE, "reduced_motion": "reduce", **context})
        cleanup.push_async_callback(window.close)
        page = await window.new_page()
        page.set_default_timeout(10_000)
        complaints.watch(page, playground.base_url)
        actor = playground.actor(person)
        place = playground.world.app_channel(actor.id) if channel == "app" else playground.channel(channel)
        await page.goto(f"{playground.base_url}?as={actor.id}#{place.id}")
        await expect(page.locator("#sidebar [aria-current=page]")).to_be_attached()
        return page

    return open_page


@pytest_asyncio.fixture(loop_scope="session")
async def installed(install_over_socket: Install) -> Installed:
    """The playground with an app whose one command knows four verbs."""
    manifest = make_manifest()
    manifest["features"]["slash_commands"][0]["usage_hint"] = USAGE
    return await install_over_socket(manifest)


@pytest.fixture
def playground(installed: Installed) -> Playground:
    return installed.playground


def plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text}


def section(text: str, block_id: str = "text", **more: Any) -> dict[str, Any]:
    return {"type": "section", "block_id": block_id, "text": mrkdwn(text), **more}


def button(label: str, action_id: str, **more: Any) -> dict[str, Any]:
    return {"type": "button", "action_id": action_id, "text": plain(label), **more}


def option(text: str) -> dict[str, Any]:
    return {"text": plain(text), "value": text}


def text_field(block_id: str, label: str, **element: Any) -> dict[str, Any]:
    typed = {"type": "plain_text_input", "action_id": "value", **element}
    return {"type": "input", "block_id": block_id, "label": plain(label), "element": typed}


def modal(title: str, blocks: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"type": "modal", "callback_id": "form", "title": plain(title), "blocks": blocks, **more}


async def deadline_passes(installed: Installed, payload_type: str) -> None:
    """The three seconds that the app has are over, without anybody waiting for them."""
    await installed.playground.until(lambda: installed.playground.deliveries(payload_type))
    installed.playground.clock.advance(4)
