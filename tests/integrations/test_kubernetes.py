"""The Kubernetes client against a real API server, and against what a wire and a busy server do to it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from kube import (
    MAPS,
    NAMESPACES,
    Admin,
    Server,
    api_status,
    config_map,
    haste,
    on_a_wire,
    with_params,
)

from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations._kubernetes import (
    LIMITS,
    Access,
    Kubernetes,
    Object,
    Resource,
    Selection,
    open_kubernetes,
)
from integrations._kubernetes_cluster import FileToken

NOWHERE = Resource("nothing.example.org", "v1", "things", "Thing")


# ---------------------------------------------------------------- reading and writing


async def test_what_is_not_there_is_none_and_what_is_not_served_is_an_error(
    kubernetes: Kubernetes, namespace: str
) -> None:
    assert await kubernetes.get(MAPS, "nothing", namespace=namespace) is None
    for ask in (kubernetes.get(NOWHERE, "x", namespace=namespace), kubernetes.list(NOWHERE)):
        with pytest.raises(
            PermanentBackendError, match=r"does not serve things\.nothing\.example\.org"
        ) as unknown:
            await ask
        assert unknown.value.kind is BackendErrorKind.NOT_FOUND


async def test_applying_twice_is_applying_once_and_takes_back_what_is_no_longer_said(
    kubernetes: Kubernetes, namespace: str
) -> None:
    first = await kubernetes.apply(MAPS, config_map(namespace, a="1", b="2"), field_manager="bot")
    second = await kubernetes.apply(MAPS, config_map(namespace, a="1", b="2"), field_manager="bot")
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    third = await kubernetes.apply(MAPS, config_map(namespace, a="1"), field_manager="bot")
    assert third["data"] == {"a": "1"}


async def test_what_somebody_else_holds_stays_theirs_and_they_are_named(
    kubernetes: Kubernetes, namespace: str
) -> None:
    await kubernetes.apply(MAPS, config_map(namespace, a="1"), field_manager="argocd-controller")
    with pytest.raises(PermanentBackendError) as conflict:
        await kubernetes.apply(MAPS, config_map(namespace, a="2"), field_manager="bot")
    assert conflict.value.kind is BackendErrorKind.CONFLICT
    assert "argocd-controller" in conflict.value.message
    assert ".data.a" in conflict.value.message
    found = await kubernetes.get(MAPS, "one", namespace=namespace)
    assert found is not None
    assert found["data"] == {"a": "1"}


async def test_a_dry_run_validates_and_changes_nothing(kubernetes: Kubernetes, namespace: str) -> None:
    await kubernetes.apply(MAPS, config_map(namespace, a="1"), field_manager="bot", dry_run=True)
    assert await kubernetes.get(MAPS, "one", namespace=namespace) is None
    wrong: Object = {**config_map(namespace), "data": {"not a key!": "x"}}
    with pytest.raises(PermanentBackendError) as invalid:
        await kubernetes.apply(MAPS, wrong, field_manager="bot", dry_run=True)
    assert invalid.value.kind is BackendErrorKind.INVALID


async def test_merging_adds_to_what_is_there_and_never_creates(
    kubernetes: Kubernetes, namespace: str
) -> None:
    async def merge(**metadata: Any) -> Object:
        patch = {"metadata": {"annotations": {"note": "1"}, **metadata}}
        return await kubernetes.merge(MAPS, "one", patch, namespace=namespace, field_manager="bot")

    with pytest.raises(PermanentBackendError) as missing:
        await merge()
    assert missing.value.kind is BackendErrorKind.NOT_FOUND
    await kubernetes.apply(MAPS, config_map(namespace, a="1"), field_manager="bot")
    with pytest.raises(PermanentBackendError, match="immutable"):
        await merge(uid="of another object")
    merged = await merge()
    assert (merged["data"], merged["metadata"]["annotations"]) == ({"a": "1"}, {"note": "1"})


async def test_a_list_is_whole_over_many_pages_and_after_they_expired(server: Server, namespace: str) -> None:
    async with on_a_wire(server) as (kubernetes, wire):
        for number in range(5):
            await kubernetes.apply(MAPS, config_map(namespace, f"map-{number}"), field_manager="bot")
        wire.alter = lambda asked: with_params(asked, limit="2") if "limit" in asked.url.params else asked
        wire.seen.clear()
        selection = Selection(namespace=namespace, labels={"test": "yes"})
        assert len((await kubernetes.list(selection=selection, resource=MAPS)).items) == 5
        assert len(wire.seen) == 3
        expired = api_status(410, "Expired", "The provided continue parameter is too old")
        wire.instead = lambda asked: expired if "continue" in asked.url.params else None
        assert len((await kubernetes.list(MAPS, selection)).items) == 5
        assert len((await kubernetes.list(MAPS, replace(selection, name="map-3"))).items) == 1


# ---------------------------------------------------------------- deleting


async def test_a_namesake_made_meanwhile_is_not_deleted(admin: Admin, namespace: str) -> None:
    kubernetes = admin.kubernetes
    first = await kubernetes.apply(MAPS, config_map(namespace), field_manager="bot")
    await admin.call("DELETE", MAPS.path(namespace=namespace, name="one"))
    second = await kubernetes.apply(MAPS, config_map(namespace), field_manager="somebody")
    with pytest.raises(TemporaryBackendError) as changed:
        await kubernetes.delete(MAPS, first)
    assert changed.value.kind is BackendErrorKind.CONFLICT
    await kubernetes.wait_gone(MAPS, first, timeout_seconds=0)
    found = await kubernetes.get(MAPS, "one", namespace=namespace)
    assert found is not None
    assert found["metadata"]["uid"] == second["metadata"]["uid"]


async def test_a_change_since_it_was_read_stops_a_deletion_unless_no_change_counts(
    kubernetes: Kubernetes, namespace: str
) -> None:
    read = await kubernetes.apply(MAPS, config_map(namespace), field_manager="bot")
    await kubernetes.apply(MAPS, config_map(namespace, a="1"), field_manager="bot")
    with pytest.raises(TemporaryBackendError):
        await kubernetes.delete(MAPS, read)
    await kubernetes.delete(MAPS, read, even_if_changed=True)
    found = await kubernetes.get(MAPS, "one", namespace=namespace)
    assert found is not None
    assert "deletionTimestamp" in found["metadata"]


async def test_a_deletion_waits_for_dependents_and_says_who_holds_it(admin: Admin, namespace: str) -> None:
    made = await admin.kubernetes.apply(MAPS, config_map(namespace), field_manager="bot")
    await admin.kubernetes.delete(MAPS, made)
    with pytest.raises(TemporaryBackendError, match="held by foregroundDeletion") as waiting:
        await admin.kubernetes.wait_gone(MAPS, made, timeout_seconds=2)
    assert waiting.value.kind is BackendErrorKind.NOT_READY
    await admin.patch(MAPS, "one", {"metadata": {"finalizers": None}}, namespace=namespace)
    await admin.kubernetes.wait_gone(MAPS, made, timeout_seconds=2)
    await admin.kubernetes.delete(MAPS, made)


# ---------------------------------------------------------------- what is there, and what we may


async def test_what_is_served_is_discovered(kubernetes: Kubernetes) -> None:
    assert (await kubernetes.served_versions("apiextensions.crossplane.io"))[0] == "v2"
    assert await kubernetes.served_versions("nothing.example.org") == ()
    found = await kubernetes.find_resource("argoproj.io", "v1alpha1", "Application")
    assert found == Resource("argoproj.io", "v1alpha1", "applications", "Application")
    assert await kubernetes.find_resource("argoproj.io", "v1alpha1", "Nothing") is None
    assert await kubernetes.find_resource("nothing.example.org", "v1", "Thing") is None


async def test_a_right_is_asked_about_without_using_it(kubernetes: Kubernetes, stranger: Kubernetes) -> None:
    access = Access("delete", MAPS, "default", name="one")
    assert await kubernetes.may(access)
    assert not await stranger.may(access)
    with pytest.raises(PermanentBackendError, match="cannot get resource") as denied:
        await stranger.get(MAPS, "one", namespace="default")
    assert denied.value.kind is BackendErrorKind.DENIED


async def test_a_name_that_is_a_path_leads_nowhere_else(kubernetes: Kubernetes, namespace: str) -> None:
    with pytest.raises(PermanentBackendError):
        await kubernetes.get(MAPS, f"../../../namespaces/{namespace}", namespace=namespace)


# ---------------------------------------------------------------- a busy or broken server


async def test_a_server_that_asks_for_patience_gets_it(server: Server, namespace: str) -> None:
    async with on_a_wire(server) as (kubernetes, wire):
        busy = [
            httpx.Response(429, headers={"Retry-After": "7"}, content=b"slow down"),
            api_status(429, "TooManyRequests", "too many requests", retryAfterSeconds=3),
        ]
        wire.instead = lambda _: busy.pop() if busy else None
        before = kubernetes.timing.monotonic()
        assert await kubernetes.get(MAPS, "nothing", namespace=namespace) is None
        assert kubernetes.timing.monotonic() - before >= 10


async def test_a_server_that_stays_busy_is_told_with_its_own_delay(server: Server) -> None:
    async with on_a_wire(server) as (kubernetes, wire):
        wire.instead = lambda _: httpx.Response(429, headers={"Retry-After": "90"})
        with pytest.raises(TemporaryBackendError) as busy:
            await kubernetes.version()
    assert (busy.value.kind, busy.value.retry_after_seconds) == (BackendErrorKind.RATE_LIMITED, 90)


async def test_no_more_calls_are_under_way_than_agreed(server: Server) -> None:
    cluster = server.cluster("admin")

    class Counting(httpx.AsyncHTTPTransport):
        now = most = 0

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.now += 1
            self.most = max(self.most, self.now)
            try:
                response = await super().handle_async_request(request)
                await response.aread()
            finally:
                self.now -= 1
            return response

    wire = Counting(verify=cluster.tls)
    async with open_kubernetes(cluster, transport=wire, timing=haste()) as kubernetes:
        await asyncio.gather(*(kubernetes.version() for _ in range(4 * LIMITS.concurrency)))
    assert 1 < wire.most <= LIMITS.concurrency == 10


@pytest.mark.parametrize(
    "content",
    [b"[]", b"{}", b'{"metadata": null}', b'{"metadata": {"name": "other", "uid": "1"}}', b"<html>"],
)
async def test_a_yes_of_another_shape_is_garbage_and_worth_another_try(
    server: Server, content: bytes
) -> None:
    async with on_a_wire(server) as (kubernetes, wire):
        wire.instead = lambda _: httpx.Response(200, content=content)
        for ask in (
            kubernetes.get(MAPS, "one", namespace="default"),
            kubernetes.list(MAPS),
            kubernetes.served_versions("apps"),
            kubernetes.find_resource("apps", "v1", "Deployment"),
        ):
            with pytest.raises(TemporaryBackendError, match="cannot be read"):
                await ask


# ---------------------------------------------------------------- tokens


async def test_a_token_that_was_replaced_on_disk_is_read_again_when_it_is_refused(
    server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("expired-token\n")
    cluster = replace(server.cluster("admin"), tokens=FileToken(file))
    async with open_kubernetes(cluster, timing=haste()) as kubernetes:
        with pytest.raises(PermanentBackendError) as refused:
            await kubernetes.list(NAMESPACES)
        assert refused.value.kind is BackendErrorKind.DENIED
        file.write_text("admin-token\n")
        assert (await kubernetes.list(NAMESPACES)).items
        async with kubernetes.stream(NAMESPACES.path(), {"watch": "true", "timeoutSeconds": "1"}) as events:
            assert (await anext(aiter(events)))["type"] == "ADDED"
