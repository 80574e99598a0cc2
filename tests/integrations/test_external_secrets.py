"""ExternalSecrets against a real API server, with the rights of deploy/kubernetes/rbac-external-secrets.yaml and no others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from kube import Admin, Server, haste
from pydantic import ValidationError
from syncing import NAME, Place, settings, settled, until, working_place

from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations import _external_secrets_shapes as shapes
from integrations._external_secrets_shapes import EXTERNAL_SECRETS
from integrations._kubernetes import Kubernetes, open_kubernetes
from integrations.external_secrets import ExternalSecrets
from integrations.ports import Inventory, Phase, SecretSpec

KEY, OTHER = "STRIPE_API_KEY", "MAIL_PASSWORD"


@pytest.fixture
async def synced_place(server: Server, admin: Admin, namespace: str) -> AsyncIterator[Place]:
    async with working_place(server, admin, namespace) as place:
        yield place


# ---------------------------------------------------------------- the life of an ExternalSecret


async def test_keys_are_named_with_where_they_lie_and_the_operator_syncs_them(synced_place: Place) -> None:
    place = synced_place
    first = await place.bot.ensure_secret(place.spec(KEY, OTHER), request_id="r1")
    ready = await place.until(Phase.READY, KEY, OTHER)
    assert first.phase is not Phase.READY
    assert (ready.secret, ready.keys, ready.request_id) == (NAME, (KEY, OTHER), "r1")
    assert ready.refreshed_at is not None
    live = await place.live()
    assert live["apiVersion"] == "external-secrets.io/v1"
    assert live["spec"]["data"][0] == {
        "secretKey": KEY,
        "remoteRef": {"key": f"test/orders/{place.environment}/{KEY}", "property": "value"},
    }
    assert live["spec"]["secretStoreRef"] == {"kind": "SecretStore", "name": "vault"}
    assert live["spec"]["target"] == {"name": NAME, "creationPolicy": "Owner", "deletionPolicy": "Retain"}
    assert live["spec"]["refreshInterval"] == "900s"
    assert live["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "platform-bot"
    assert live["metadata"]["annotations"]["platform-bot/request-id"] == "r1"
    assert place.operator.secrets == {NAME: (KEY, OTHER)}


async def test_asking_again_writes_nothing_more(synced_place: Place) -> None:
    place = synced_place
    await place.until(Phase.READY, KEY)
    place.wire.seen.clear()
    await place.bot.ensure_secret(place.spec(KEY), request_id="r1")
    assert place.wire.writes() == []


async def test_a_key_of_another_request_is_added_and_what_was_synced_stays(synced_place: Place) -> None:
    place = synced_place
    await place.until(Phase.READY, KEY)
    await place.add(KEY, OTHER, request_id="r2")
    ready = await place.until(Phase.READY, OTHER, request_id="r2")
    assert (ready.keys, ready.request_id) == ((KEY, OTHER), "r1")


async def test_what_was_synced_before_the_last_change_is_not_ready(synced_place: Place) -> None:
    place = synced_place
    await place.until(Phase.READY, KEY)
    await place.operator.stop()
    stale = await place.bot.ensure_secret(place.spec(OTHER), request_id="r2")
    assert stale.phase is Phase.RUNNING
    assert "before the last change" in stale.message
    place.operator.works = True
    await place.until(Phase.READY, OTHER, request_id="r2")


async def test_what_the_operator_says_is_passed_on_and_it_tries_again(synced_place: Place) -> None:
    place = synced_place
    place.operator.missing = {KEY}
    failed = await place.until(Phase.FAILED, KEY)
    assert "SecretSyncedError" in failed.message
    assert f"key: test/orders/{place.environment}/{KEY}" in failed.message
    place.operator.missing = set()
    assert (await place.until(Phase.READY, KEY)).message == ""


async def test_it_is_found_by_service_and_environment_in_whichever_namespace(synced_place: Place) -> None:
    place = synced_place
    await place.until(Phase.READY, KEY)
    found = await place.bot.get_secret("orders", place.environment)
    assert found is not None
    assert (found.keys, found.phase, found.environment) == ((KEY,), Phase.READY, place.environment)
    assert await place.bot.get_secret("orders", "elsewhere") is None
    assert await place.bot.get_secret("payments", place.environment) is None


async def test_it_is_listed_for_each_request_that_added_keys(synced_place: Place) -> None:
    place = synced_place
    await place.add(KEY, request_id="r1")
    await place.add(KEY, OTHER, request_id="r2")
    assert isinstance(place.bot, Inventory)
    here = [one for one in await place.bot.list_marked() if one.environment == place.environment]
    assert [(one.kind, one.name, one.request_id) for one in here] == [
        ("secret", NAME, "r1"),
        ("secret", NAME, "r2"),
    ]
    assert {one.place for one in here} == {f"{place.namespace}/{NAME}"}


# ---------------------------------------------------------------- undo


async def test_undo_takes_away_the_keys_of_this_request_only(synced_place: Place) -> None:
    place = synced_place
    await place.add(KEY, request_id="r1")
    await place.add(KEY, OTHER, request_id="r2")
    for _ in range(2):
        await place.undo(KEY, OTHER, request_id="r2")
    left = await place.until(Phase.READY, KEY)
    assert left.keys == (KEY,)


async def test_undo_of_the_request_that_came_first_leaves_the_keys_of_the_second(synced_place: Place) -> None:
    place = synced_place
    await place.add(KEY, request_id="r1")
    await place.add(OTHER, request_id="r2")
    await place.undo(KEY, request_id="r1")
    assert shapes.keys_of(await place.live()) == (OTHER,)
    await place.undo(OTHER, request_id="r2")
    assert await place.gone()


async def test_undo_removes_the_whole_object_where_nothing_is_left(synced_place: Place) -> None:
    place = synced_place
    await place.until(Phase.READY, KEY)
    for _ in range(2):
        await place.undo(KEY, request_id="r1")
    assert await place.gone()


async def test_undo_of_a_stranger_removes_nothing(synced_place: Place) -> None:
    place = synced_place
    await place.until(Phase.READY, KEY)
    await place.undo(KEY, request_id="r9")
    assert shapes.keys_of(await place.live()) == (KEY,)


# ---------------------------------------------------------------- other people's objects


def foreign(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            "secretStoreRef": {"name": "theirs"},
            "data": [{"secretKey": "THEIRS", "remoteRef": {"key": "x"}}],
        },
    }


async def test_a_name_taken_by_somebody_else_is_refused_and_left_alone(synced_place: Place) -> None:
    place = synced_place
    await place.admin.apply(foreign(place.namespace))
    with pytest.raises(PermanentBackendError, match="is not the bot's") as refused:
        await place.bot.ensure_secret(place.spec(KEY), request_id="r1")
    assert refused.value.kind is BackendErrorKind.ALREADY_EXISTS
    await place.bot.remove_keys(place.spec(KEY), request_id="r1")
    assert shapes.keys_of(await place.live()) == ("THEIRS",)
    assert await place.bot.get_secret("orders", place.environment) is None


async def test_keys_that_somebody_took_over_are_shown_with_their_holder_and_not_overwritten(
    synced_place: Place,
) -> None:
    place = synced_place
    await place.operator.stop()
    await place.bot.ensure_secret(place.spec(KEY), request_id="r1")
    await place.admin.apply(foreign(place.namespace), manager="kubectl-edit")
    with pytest.raises(PermanentBackendError, match="kubectl-edit") as conflict:
        await place.bot.ensure_secret(place.spec(OTHER), request_id="r2")
    assert conflict.value.kind is BackendErrorKind.CONFLICT
    assert shapes.keys_of(await place.live()) == ("THEIRS",)


async def test_requests_at_the_same_instant_lose_no_key(synced_place: Place) -> None:
    place = synced_place
    await place.bot.ensure_secret(place.spec(KEY), request_id="r1")
    names = [f"KEY_{number}" for number in range(6)]

    async def add(bot: ExternalSecrets, name: str) -> None:
        await settled(lambda: bot.ensure_secret(place.spec(name), request_id=f"r-{name[-1]}"))

    two_replicas = [place.bot, ExternalSecrets(settings(), place.kubernetes)]
    await asyncio.gather(*(add(two_replicas[number % 2], name) for number, name in enumerate(names)))
    assert set(shapes.keys_of(await place.live())) == {KEY, *names}


async def test_one_that_is_being_deleted_is_waited_for(synced_place: Place) -> None:
    place = synced_place
    await place.until(Phase.READY, KEY)
    await place.admin.patch(
        EXTERNAL_SECRETS, NAME, {"metadata": {"finalizers": ["test/keeps"]}}, namespace=place.namespace
    )
    with pytest.raises(TemporaryBackendError, match="test/keeps"):
        await place.bot.remove_keys(place.spec(KEY), request_id="r1")
    await place.operator.stop()
    with pytest.raises(TemporaryBackendError, match="still being deleted"):
        await place.bot.ensure_secret(place.spec(KEY), request_id="r1")
    await place.admin.patch(
        EXTERNAL_SECRETS, NAME, {"metadata": {"finalizers": None}}, namespace=place.namespace
    )
    await place.undo(KEY, request_id="r1")
    assert await place.gone()


# ---------------------------------------------------------------- lost answers, and a server that is away


async def test_lost_answers_make_one_object_with_each_key_once(synced_place: Place) -> None:
    place = synced_place
    await place.operator.stop()
    for key, request_id in ((KEY, "r1"), (OTHER, "r2")):
        place.wire.lose = lambda asked: asked.method == "PATCH"
        with pytest.raises(TemporaryBackendError):
            await place.bot.ensure_secret(place.spec(key), request_id=request_id)
        await place.recover()
        await place.bot.ensure_secret(place.spec(key), request_id=request_id)
    live = await place.live()
    assert shapes.keys_of(live) == (KEY, OTHER)
    assert shapes.added_by(live) == {KEY: "r1", OTHER: "r2"}


async def test_lost_answers_of_an_undo_end_in_nothing_there(synced_place: Place) -> None:
    place = synced_place
    await place.until(Phase.READY, KEY)
    place.wire.lose = lambda asked: asked.method == "DELETE"
    with pytest.raises(TemporaryBackendError):
        await place.bot.remove_keys(place.spec(KEY), request_id="r1")
    await place.recover()
    await place.undo(KEY, request_id="r1")
    assert await place.gone()


async def test_a_lost_answer_of_taking_a_key_away_ends_without_the_key(synced_place: Place) -> None:
    place = synced_place
    await place.operator.stop()
    await place.bot.ensure_secret(place.spec(KEY), request_id="r1")
    await place.bot.ensure_secret(place.spec(OTHER), request_id="r2")
    place.wire.lose = lambda asked: asked.method == "PATCH"
    with pytest.raises(TemporaryBackendError):
        await place.bot.remove_keys(place.spec(OTHER), request_id="r2")
    await place.recover()
    await place.bot.remove_keys(place.spec(OTHER), request_id="r2")
    assert shapes.keys_of(await place.live()) == (KEY,)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500, content=b"<html>Bad gateway</html>"),
        httpx.Response(503, content=b""),
        httpx.Response(200, content=b"<html>Sign in</html>"),
    ],
    ids=["500", "503", "garbage"],
)
async def test_a_broken_server_is_a_temporary_failure_of_every_call(
    synced_place: Place, answer: httpx.Response
) -> None:
    place = synced_place
    place.wire.instead = lambda _: answer
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: place.bot.ensure_secret(place.spec(KEY), request_id="r1"),
        lambda: place.bot.get_secret("orders", place.environment),
        lambda: place.bot.remove_keys(place.spec(KEY), request_id="r1"),
    ]
    for call in calls:
        with pytest.raises(TemporaryBackendError):
            await call()
    assert [each.ok for each in await place.bot.check()] == [False]


async def test_a_server_that_says_yes_and_did_nothing_is_not_believed(synced_place: Place) -> None:
    place = synced_place
    await place.operator.stop()
    await place.bot.ensure_secret(place.spec(KEY), request_id="r1")
    before = httpx.Response(200, json=await place.live())
    place.wire.instead = lambda asked: before if asked.method == "PATCH" else None
    with pytest.raises(TemporaryBackendError, match="said yes"):
        await place.bot.ensure_secret(place.spec(OTHER), request_id="r2")


# ---------------------------------------------------------------- the API's version


@pytest.mark.parametrize(
    ("served", "words"),
    [(["v1beta1"], "in v1beta1 only; the bot needs v1"), ([], "does not serve external-secrets.io")],
)
async def test_an_operator_that_is_too_old_or_missing_is_named(
    synced_place: Place, served: list[str], words: str
) -> None:
    place = synced_place
    versions = [{"groupVersion": f"external-secrets.io/{one}", "version": one} for one in served]
    group = {"kind": "APIGroup", "versions": versions, "preferredVersion": versions[0] if versions else {}}
    told = httpx.Response(200, json=group) if served else httpx.Response(404, text="404 page not found")
    place.wire.instead = lambda asked: told if asked.url.path == "/apis/external-secrets.io" else None
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: place.bot.ensure_secret(place.spec(KEY), request_id="r1"),
        lambda: place.bot.get_secret("orders", place.environment),
    ]
    for call in calls:
        with pytest.raises(PermanentBackendError, match=words):
            await call()
    *_, finding = await place.bot.check()
    assert not finding.ok
    assert "0.17 or later" in finding.fix


# ---------------------------------------------------------------- rights


async def test_with_the_rights_of_the_file_nothing_is_missing_and_secrets_are_out_of_reach(
    synced_place: Place,
) -> None:
    findings = await synced_place.bot.check()
    assert [each for each in findings if not each.ok] == []
    assert "cannot read Secrets in all namespaces" in [each.subject for each in findings]
    with pytest.raises(PermanentBackendError) as denied:
        await synced_place.kubernetes.list(shapes.SECRETS)
    assert denied.value.kind is BackendErrorKind.DENIED


async def test_without_rights_each_missing_line_is_named(stranger: Kubernetes) -> None:
    findings = await ExternalSecrets(settings(check_namespaces=["orders-staging"]), stranger).check()
    fixes = [each.fix for each in findings if not each.ok]
    role, rule = "Add to ClusterRole platform-bot-external-secrets", "apiGroups: [external-secrets.io]"
    assert fixes == [
        f"{role}-reader: - {{{rule}, resources: [externalsecrets], verbs: [list]}}",
        f"{role}-writer: - {{{rule}, resources: [externalsecrets], verbs: [get, create, patch, delete]}}",
    ]


async def test_a_bot_that_may_read_secrets_is_a_failure(kubernetes: Kubernetes) -> None:
    """The admin may."""
    findings = await ExternalSecrets(settings(), kubernetes).check()
    (failed,) = [each for each in findings if not each.ok]
    assert failed.detail == "may get, list, watch Secrets; it must not"


async def test_a_cluster_store_that_does_not_work_is_named_with_its_reason(
    synced_place: Place,
) -> None:
    place = synced_place
    name = f"store-{place.environment}"
    bot = ExternalSecrets(settings(store_kind="ClusterSecretStore", store=name), place.kubernetes)
    missing = (await bot.check())[-1]
    assert (missing.subject, missing.detail) == (f"ClusterSecretStore {name}", "there is none")
    await place.admin.apply(
        {
            "apiVersion": "external-secrets.io/v1",
            "kind": "ClusterSecretStore",
            "metadata": {"name": name},
            "spec": {"provider": {"fake": {"data": []}}},
        }
    )
    for status, ok in (("False", False), ("True", True)):
        condition = {"type": "Ready", "status": status, "reason": "ValidationFailed" if not ok else "Valid"}
        await place.admin.set_status(shapes.CLUSTER_STORES, name, {"conditions": [condition]})
        finding = (await bot.check())[-1]
        assert (finding.ok, finding.detail) == (ok, condition["reason"])


async def test_a_server_that_is_away_is_one_line_of_check(server: Server) -> None:
    nobody_there = replace(server.cluster("bot"), server="https://127.0.0.1:1")
    async with open_kubernetes(nobody_there, timing=haste()) as kubernetes:
        findings = await ExternalSecrets(settings(), kubernetes).check()
    assert [(each.subject, each.ok) for each in findings] == [("Kubernetes", False)]


# ---------------------------------------------------------------- shapes, without a server

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def seen(
    status: str = "True",
    reason: str = "SecretSynced",
    *,
    synced: str = "3-abc",
    refreshed: datetime | None = NOW,
    **metadata: Any,
) -> dict[str, Any]:
    return {
        "metadata": {"name": NAME, "generation": 3, **metadata},
        "spec": {"refreshInterval": "900s"},
        "status": {
            "conditions": [{"type": "Ready", "status": status, "reason": reason, "message": "why"}],
            "syncedResourceVersion": synced,
            **({"refreshTime": refreshed.isoformat()} if refreshed else {}),
        },
    }


@pytest.mark.parametrize(
    ("live", "phase"),
    [
        (seen(), Phase.READY),
        (seen(synced="2-abc"), Phase.RUNNING),
        (seen(synced="33-abc"), Phase.RUNNING),
        (seen(synced=""), Phase.RUNNING),
        (seen("False", "SecretSyncedError"), Phase.FAILED),
        (seen("Unknown", ""), Phase.UNKNOWN),
        (seen("True", "SecretDeleted"), Phase.UNKNOWN),
        (seen("True", "SomethingNew"), Phase.UNKNOWN),
        (seen(deletionTimestamp="2026-03-02T09:00:00Z"), Phase.RUNNING),
        (seen(refreshed=NOW - timedelta(seconds=3 * 900 + 299)), Phase.READY),
        (seen(refreshed=NOW - timedelta(seconds=3 * 900 + 301)), Phase.UNKNOWN),
        (seen(refreshed=None), Phase.READY),
        ({**seen(), "status": {}}, Phase.PENDING),
    ],
)
def test_ready_is_synced_of_this_generation_and_looked_after(live: dict[str, Any], phase: Phase) -> None:
    assert shapes.readiness(live, now=NOW)[0] is phase


@pytest.mark.parametrize("spoilt", ["", "[]", "null", "{", "7"])
def test_a_spoilt_annotation_gives_no_request_a_key(spoilt: str) -> None:
    live = {"metadata": {"annotations": {shapes.KEYS: spoilt}}}
    assert shapes.added_by(live) == {}


@pytest.mark.parametrize(
    "hostile",
    [
        SecretSpec("orders/../x", "staging", "orders", ()),
        SecretSpec("orders", "staging", "", ()),
        SecretSpec("orders", "staging", "orders", ("hunter2",)),
    ],
)
async def test_a_name_that_is_no_name_reaches_no_path(kubernetes: Kubernetes, hostile: SecretSpec) -> None:
    bot = ExternalSecrets(settings(), kubernetes)
    for call in (bot.ensure_secret, bot.remove_keys):
        with pytest.raises(PermanentBackendError) as refused:
            await call(hostile, request_id="r1")
        assert "hunter2" not in refused.value.sentence


@pytest.mark.parametrize(
    "wrong",
    [
        {"namespace": "{namespace}"},
        {"store": "Vault"},
        {"remote_key": "{team}/{service}/{environment}"},
        {"remote_key": "{service}/{key}"},
        {"remote_key": "{service}/{environment}/{key}/{secret}"},
        {"refresh_seconds": 0},
    ],
)
def test_settings_by_which_keys_would_be_mixed_up_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**wrong)


async def test_the_store_and_the_place_of_keys_follow_the_settings(synced_place: Place) -> None:
    place = synced_place
    more = {
        "namespace": "test-{environment}",
        "store_kind": "ClusterSecretStore",
        "store": "{service}-{environment}",
        "remote_key": "apps/{environment}/{service}/{key}",
        "remote_property": "",
    }
    bot = ExternalSecrets(settings(**more), place.kubernetes)
    await until(
        lambda: bot.ensure_secret(place.spec(KEY), request_id="r1"), lambda one: one.phase is Phase.READY
    )
    spec = (await place.live())["spec"]
    assert spec["secretStoreRef"] == {"kind": "ClusterSecretStore", "name": f"orders-{place.environment}"}
    assert spec["data"][0]["remoteRef"] == {"key": f"apps/{place.environment}/orders/{KEY}"}
