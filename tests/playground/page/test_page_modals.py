"""Modals: filling in, errors beside the field, the stack, and the way out with the keyboard."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page

from tests.playground.conftest import Installed

from .conftest import OpenPage, button, deadline_passes, expect, modal, option, plain, section, text_field

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SUBMIT = {"submit": plain("Create")}


def opens(installed: Installed, view: dict[str, Any]) -> None:
    @installed.app.command("/platform")
    async def open_view(ack: Any, client: Any, command: Any) -> None:
        await ack()
        await client.views_open(trigger_id=command["trigger_id"], view=view)


async def open_modal(page: Page, title: str) -> Any:
    await page.locator("#composer").fill("/platform help")
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name=title)
    await expect(dialog).to_be_visible()
    return dialog


async def test_errors_stand_beside_their_field_and_go_when_it_changes(
    installed: Installed, open_page: OpenPage
) -> None:
    opens(
        installed,
        modal(
            "New service",
            [text_field("name", "Name"), text_field("why", "Why") | {"optional": True}],
            **SUBMIT,
        ),
    )
    submitted: list[dict[str, Any]] = []

    @installed.app.view("form")
    async def check(ack: Any, view: Any) -> None:
        submitted.append(view["state"]["values"])
        name = view["state"]["values"]["name"]["value"]["value"]
        await ack(
            response_action="errors", errors={"name": "Taken already."}
        ) if name == "orders" else await ack()

    page = await open_page(installed.playground)
    dialog = await open_modal(page, "New service")
    name = dialog.get_by_role("textbox", name="Name")
    await expect(name).to_be_focused()
    # What the client can see by itself never reaches the app.
    await page.keyboard.press("Enter")
    await expect(name).to_have_accessible_description("Please fill in this field.")
    assert submitted == []

    await name.fill("orders")
    await expect(dialog.locator(".has-error")).to_have_count(0)
    await dialog.get_by_role("button", name="Create").click()
    await expect(name).to_have_accessible_description("Taken already.")
    await expect(name).to_have_attribute("aria-invalid", "true")
    await expect(name).to_be_focused()
    await expect(name).to_have_value("orders")

    await name.fill("orders-api")
    await page.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()
    assert submitted[-1]["why"]["value"] == {"type": "plain_text_input", "value": None}
    await expect(page.locator("#composer")).to_be_focused()


async def test_every_kind_of_field_reaches_the_app(installed: Installed, open_page: OpenPage) -> None:
    def field(block_id: str, **element: Any) -> dict[str, Any]:
        return {
            "type": "input",
            "block_id": block_id,
            "optional": True,
            "label": plain(block_id.title()),
            "element": {"action_id": "value", **element},
        }

    few = [option("red"), option("blue")]
    blocks = [
        field("text", type="plain_text_input", multiline=True),
        field("number", type="number_input", is_decimal_allowed=False),
        field("mail", type="email_text_input"),
        field("address", type="url_text_input"),
        field("one", type="static_select", options=few, initial_option=few[0]),
        field("many", type="multi_static_select", options=few),
        field("people", type="multi_users_select"),
        field("talk", type="conversations_select"),
        field("service", type="external_select", min_query_length=1),
        field("boxes", type="checkboxes", options=few),
        field("radio", type="radio_buttons", options=few),
        field("day", type="datepicker"),
        field("clock", type="timepicker"),
    ]
    opens(installed, modal("Everything", blocks, **SUBMIT))
    submitted: list[dict[str, Any]] = []

    @installed.app.options("value")
    async def suggest(ack: Any, payload: Any) -> None:
        names = ["orders", "payments", "catalog"]
        await ack(options=[option(name) for name in names if payload["value"] in name])

    @installed.app.view("form")
    async def take(ack: Any, view: Any) -> None:
        submitted.append({block: state["value"] for block, state in view["state"]["values"].items()})
        await ack()

    page = await open_page(installed.playground)
    dialog = await open_modal(page, "Everything")
    await dialog.get_by_role("textbox", name="Text").fill("two\nlines")
    await dialog.get_by_role("textbox", name="Number").fill("7")
    await dialog.get_by_role("textbox", name="Mail").fill("alice@example.com")
    await dialog.get_by_role("textbox", name="Address").fill("https://example.com")
    for name, choice in [("One", "blue"), ("Many", "red"), ("People", "Lena Lindqvist"), ("Talk", "#orders")]:
        await dialog.get_by_role("combobox", name=name).click()
        await dialog.get_by_role("option", name=choice).first.click()
    service = dialog.get_by_role("combobox", name="Service")
    await service.click()
    await expect(dialog.get_by_role("status")).to_have_text("Type 1 or more characters to search.")
    await page.keyboard.type("pay")
    await expect(dialog.get_by_role("option")).to_have_text(["payments"])
    await page.keyboard.press("Enter")
    await dialog.get_by_role("checkbox", name="red").check()
    await dialog.get_by_role("radio", name="blue").check()
    await dialog.get_by_label("Day").fill("2026-03-01")
    await dialog.get_by_label("Clock").fill("14:30")
    await dialog.get_by_role("button", name="Create").click()
    await expect(dialog).to_be_hidden()
    state = submitted[0]
    assert state["text"]["value"] == "two\nlines"
    assert state["number"]["value"] == "7"
    assert state["mail"]["value"] == "alice@example.com"
    assert state["address"]["value"] == "https://example.com"
    assert state["one"]["selected_option"]["value"] == "blue"
    assert [chosen["value"] for chosen in state["many"]["selected_options"]] == ["red"]
    assert state["people"]["selected_users"] == ["ULENA00001"]
    assert state["talk"]["selected_conversation"] == "CORDERS001"
    assert state["service"]["selected_option"]["value"] == "payments"
    assert [chosen["value"] for chosen in state["boxes"]["selected_options"]] == ["red"]
    assert state["radio"]["selected_option"]["value"] == "blue"
    assert state["day"]["selected_date"] == "2026-03-01"
    assert state["clock"]["selected_time"] == "14:30"


async def test_escape_closes_the_top_view_only_and_what_was_typed_below_is_kept(
    installed: Installed, open_page: OpenPage
) -> None:
    more = {"type": "actions", "block_id": "more", "elements": [button("Choose a template", "push")]}
    opens(installed, modal("New service", [text_field("name", "Name"), more], **SUBMIT, notify_on_close=True))

    @installed.app.action("push")
    async def push(ack: Any, client: Any, body: Any) -> None:
        await ack()
        await client.views_push(
            trigger_id=body["trigger_id"], view=modal("Templates", [section("python-service")])
        )

    page = await open_page(installed.playground)
    first = await open_modal(page, "New service")
    await first.get_by_role("textbox", name="Name").fill("orders-api")
    await first.get_by_role("button", name="Choose a template").click()
    second = page.get_by_role("dialog", name="Templates")
    await expect(second).to_contain_text("python-service")
    await page.keyboard.press("Escape")
    await expect(second).to_be_hidden()
    await expect(first.get_by_role("textbox", name="Name")).to_have_value("orders-api")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await installed.playground.until(lambda: installed.playground.deliveries("view_closed"))
    assert installed.playground.actor("alice").views() == []


async def test_an_update_by_the_app_keeps_what_was_typed(installed: Installed, open_page: OpenPage) -> None:
    choose = {"type": "radio_buttons", "action_id": "value", "options": [option("redis"), option("none")]}
    kind = {
        "type": "input",
        "block_id": "db",
        "dispatch_action": True,
        "label": plain("Database"),
        "element": choose,
    }
    opens(installed, modal("New service", [text_field("name", "Name"), kind], **SUBMIT))

    @installed.app.action("value")
    async def grow(ack: Any, client: Any, body: Any) -> None:
        await ack()
        grown = modal("New service", [text_field("name", "Name"), kind, text_field("size", "Size")], **SUBMIT)
        await client.views_update(view_id=body["view"]["id"], hash=body["view"]["hash"], view=grown)

    page = await open_page(installed.playground)
    dialog = await open_modal(page, "New service")
    await dialog.get_by_role("textbox", name="Name").fill("orders-api")
    await dialog.get_by_role("radio", name="redis").check()
    await expect(dialog.get_by_role("textbox", name="Size")).to_be_visible()
    await expect(dialog.get_by_role("textbox", name="Name")).to_have_value("orders-api")
    await expect(dialog.get_by_role("radio", name="redis")).to_be_checked()


async def test_a_submission_that_nobody_answers_says_so_and_can_be_tried_again(
    installed: Installed, open_page: OpenPage
) -> None:
    opens(installed, modal("New service", [text_field("name", "Name", initial_value="orders")], **SUBMIT))

    @installed.app.view("form")
    async def take(ack: Any) -> None:
        await ack()

    installed.playground.disturb_delivery("view_submission", "drop")
    page = await open_page(installed.playground)
    dialog = await open_modal(page, "New service")
    create = dialog.get_by_role("button", name="Create")
    await create.click()
    await expect(create).to_have_attribute("aria-busy", "true")
    await deadline_passes(installed, "view_submission")
    await expect(dialog.locator(".modal-problem")).not_to_be_empty()
    await create.click()
    await expect(dialog).to_be_hidden()


async def test_the_focus_stays_inside_an_open_modal(installed: Installed, open_page: OpenPage) -> None:
    opens(installed, modal("New service", [text_field("name", "Name")], **SUBMIT))
    page = await open_page(installed.playground)
    dialog = await open_modal(page, "New service")
    reached = set()
    for _ in range(8):
        await page.keyboard.press("Tab")
        inside = (
            "document.activeElement === document.body || document.activeElement.closest('dialog') !== null"
        )
        assert await page.evaluate(inside)
        reached.add(
            await page.evaluate(
                "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
            )
        )
    assert {"Close", "Cancel", "Create"} <= reached
    await expect(dialog).to_be_visible()
