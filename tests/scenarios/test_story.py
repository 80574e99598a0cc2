"""The main job, for real: create a service, see it, promote it, approve it, prove it."""

from __future__ import annotations

import httpx
import pytest
from stage import Stage

from playground.actor import shown_text

pytestmark = pytest.mark.timeout(180)


async def test_a_service_goes_from_a_command_to_production(real: Stage) -> None:
    alice, lena = real.person("alice"), real.person("lena")

    card = await real.create("orders")
    done = shown_text(real.now(card) or card)
    assert "is healthy in staging" in done
    assert "Owner: orders" in done

    await alice.command("#orders", "/platform status orders")
    status = await alice.wait_for_message("#orders", "Staging", timeout_seconds=20)
    assert status.ephemeral
    assert "healthy" in shown_text(status)
    assert "nothing runs here yet" in shown_text(status)

    await alice.command("#orders", "/platform promote orders")
    request = await real.card("lena", "#orders", "Promote orders to production")
    shown = shown_text(request)
    assert "waiting for approval" in shown
    assert "for the first time" in shown
    assert "needs" in shown

    await lena.click(request, "approve")
    await real.until_shown(request, "done")
    deployed = await real.card("lena", "#deploys", "orders → production")
    await real.until_shown(deployed, "deployed")
    assert not [one for one in real.playground.messages("#deploys") if one.thread_ts]

    await alice.command("#orders", "/platform audit --service orders")
    trail = await alice.wait_for_message("#orders", "audit events", timeout_seconds=20)
    assert "request.approved" in shown_text(trail)

    application = await real.bot.backends.delivery.get_application("orders", "production")
    assert application is not None
    async with httpx.AsyncClient() as browser:
        said = (await browser.get(application.url)).json()
    assert said["environment"] == "production"
    assert said["version"] == application.revision
