"""A watch leaves nothing out: over ended watches, forgotten positions, and servers that are away or talk nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import httpx
import pytest
from kube import (
    MAPS,
    Admin,
    Server,
    api_status,
    config_map,
    on_a_wire,
    with_params,
)

from bot.errors import BackendErrorKind, PermanentBackendError
from integrations._kubernetes import (
    Kubernetes,
    Selection,
)
from integrations._kubernetes_watch import Change, ChangeKind, watch


class Listener:
    """Collects changes until what is waited for has been heard."""

    def __init__(self, changes: AsyncIterator[Change]) -> None:
        self._changes = changes
        self.heard: list[tuple[str, str]] = []

    async def until(self, enough: Callable[[list[tuple[str, str]]], bool]) -> list[tuple[str, str]]:
        async with asyncio.timeout(20):
            while not enough(self.heard):
                change = await anext(self._changes)
                self.heard.append((change.kind.value, change.object["metadata"]["name"]))
        return self.heard


@asynccontextmanager
async def listening(kubernetes: Kubernetes, namespace: str, *, seconds: int = 300) -> AsyncIterator[Listener]:
    selection = Selection(namespace=namespace, labels={"test": "yes"})
    changes = watch(kubernetes, MAPS, selection, server_timeout_seconds=seconds)
    async with aclosing(changes):  # type: ignore[type-var]
        yield Listener(changes)


async def test_a_watch_tells_what_is_there_and_then_every_change(
    kubernetes: Kubernetes, namespace: str
) -> None:
    await kubernetes.apply(MAPS, config_map(namespace, "before"), field_manager="bot")
    async with listening(kubernetes, namespace) as listener:
        await listener.until(lambda heard: len(heard) == 1)
        await kubernetes.apply(MAPS, config_map(namespace, "after"), field_manager="bot")
        await kubernetes.apply(MAPS, config_map(namespace, "after", a="1"), field_manager="bot")
        found = await kubernetes.get(MAPS, "before", namespace=namespace)
        assert found is not None
        await kubernetes.delete(MAPS, found)
        heard = await listener.until(lambda heard: len(heard) == 4)
    assert heard == [
        ("ADDED", "before"),
        ("ADDED", "after"),
        ("MODIFIED", "after"),
        ("MODIFIED", "before"),
    ]


async def test_a_watch_goes_on_where_the_server_ended_it(server: Server, namespace: str) -> None:
    async with on_a_wire(server) as (kubernetes, wire):
        await kubernetes.apply(MAPS, config_map(namespace, "one"), field_manager="bot")
        async with listening(kubernetes, namespace, seconds=1) as listener:
            waiting = asyncio.create_task(listener.until(lambda heard: len(heard) == 2))
            async with asyncio.timeout(10):
                while len([each for each in wire.seen if "watch" in each.url.params]) < 2:
                    await asyncio.sleep(0.01)
            await kubernetes.apply(MAPS, config_map(namespace, "two"), field_manager="bot")
            assert await waiting == [("ADDED", "one"), ("ADDED", "two")]


async def test_what_happened_while_the_server_forgot_where_we_stood_is_told(
    server: Server, admin: Admin, namespace: str
) -> None:
    """It forgets every position that was asked for before, as after a compaction; the 410 is the real server's."""
    async with on_a_wire(server) as (kubernetes, wire):
        for name in ("stays", "goes"):
            await kubernetes.apply(MAPS, config_map(namespace, name), field_manager="bot")
        refused: list[str] = []

        def refuse(asked: httpx.Request) -> httpx.Response | None:
            if "watch" not in asked.url.params:
                return None
            refused.append(asked.url.params["resourceVersion"])
            return api_status(503, "ServiceUnavailable", "restarting")

        def forget(asked: httpx.Request) -> httpx.Request:
            forgotten = asked.url.params.get("resourceVersion") in refused
            return with_params(asked, resourceVersion="1") if forgotten else asked

        async with listening(kubernetes, namespace, seconds=1) as listener:
            await listener.until(lambda heard: len(heard) == 2)
            wire.instead = refuse
            waiting = asyncio.create_task(listener.until(lambda heard: len(heard) >= 4))
            async with asyncio.timeout(10):
                while not refused:
                    await asyncio.sleep(0.01)
            await admin.call("DELETE", MAPS.path(namespace=namespace, name="goes"))
            await kubernetes.apply(MAPS, config_map(namespace, "comes"), field_manager="bot")
            wire.alter, wire.instead = forget, lambda _: None
            heard = await waiting
    assert sorted(heard[2:]) == [("ADDED", "comes"), ("DELETED", "goes")]


async def test_a_watch_without_the_right_to_it_ends_with_a_refusal(
    stranger: Kubernetes, namespace: str
) -> None:
    with pytest.raises(PermanentBackendError) as denied:
        async with listening(stranger, namespace) as listener:
            await listener.until(bool)
    assert denied.value.kind is BackendErrorKind.DENIED


async def test_a_server_that_ends_every_watch_at_once_is_not_stormed(server: Server, namespace: str) -> None:
    async with on_a_wire(server) as (kubernetes, wire):
        wire.instead = lambda asked: httpx.Response(200, content=b"") if "watch" in asked.url.params else None
        before = kubernetes.timing.monotonic()
        async with listening(kubernetes, namespace) as listener:
            task = asyncio.create_task(listener.until(bool))
            async with asyncio.timeout(10):
                while len([each for each in wire.seen if "watch" in each.url.params]) < 6:
                    await asyncio.sleep(0.01)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert kubernetes.timing.monotonic() - before > 10


async def test_half_an_event_is_not_an_event(server: Server, namespace: str) -> None:
    async with on_a_wire(server) as (kubernetes, wire):
        added = {"type": "ADDED", "object": {**config_map(namespace, "ghost")}}
        broken = [json.dumps(added).encode(), b'{"type": "ADD', b"[]\n"]
        wire.instead = lambda asked: (
            httpx.Response(200, content=broken.pop()) if "watch" in asked.url.params and broken else None
        )
        async with listening(kubernetes, namespace) as listener:
            waiting = asyncio.create_task(listener.until(bool))
            async with asyncio.timeout(10):
                while broken:
                    await asyncio.sleep(0.01)
            await kubernetes.apply(MAPS, config_map(namespace, "real"), field_manager="bot")
            assert await waiting == [(ChangeKind.ADDED.value, "real")]
