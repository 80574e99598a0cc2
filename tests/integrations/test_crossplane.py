"""Claims by Crossplane, against a real API server with the rights of deploy/kubernetes/rbac-crossplane.yaml and no others."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from claiming import KINDS, Place, settings, until
from composing import CACHES, CLAIMS, GROUP
from kube import api_status

from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations._crossplane import REQUEST_ID
from integrations.crossplane import Crossplane
from integrations.ports import Claim, Inventory, Phase


# ---------------------------------------------------------------- the life of a claim
async def test_a_claim_becomes_ready_and_names_its_connection_secret(place: Place) -> None:
    first = await place.bot.ensure_claim(place.spec(), request_id="r1")
    ready = await place.until(place.spec(), Phase.READY)
    assert (first.phase, first.secret) == (Phase.PENDING, "")
    assert ready.secret == "orders-staging-db-connection"
    assert ready.external_id == f"databaseclaims.{GROUP}/{place.namespace}/orders-staging-db"
    live = await place.live()
    assert live["spec"]["engine"] == "postgresql"
    assert live["spec"]["size"] == "small"
    assert live["spec"]["compositeDeletePolicy"] == "Foreground"
    assert live["metadata"]["annotations"][REQUEST_ID] == "r1"
    assert live["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "platform-bot"


async def test_a_namespaced_composite_resource_becomes_ready_and_its_status_names_the_secret(
    place: Place,
) -> None:
    spec = place.spec("orders-staging-cache", "redis")
    ready = await place.until(spec, Phase.READY)
    assert ready.secret == "orders-staging-cache-credentials"
    live = await place.live(CACHES, "orders-staging-cache")
    assert live["spec"] == {"engine": "redis"}
    assert live["apiVersion"] == f"{GROUP}/v1"


async def test_a_size_chooses_its_parameters(place: Place) -> None:
    await place.bot.ensure_claim(place.spec(size="large"), request_id="r1")
    assert (await place.live())["spec"]["size"] == "large"


async def test_asking_again_writes_nothing_more(place: Place) -> None:
    await place.until(place.spec(), Phase.READY)
    before = await place.live()
    place.wire.seen.clear()
    again = await place.bot.ensure_claim(place.spec(), request_id="r1")
    assert again.phase is Phase.READY
    assert place.wire.writes() == []
    assert (await place.live())["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_what_crossplane_says_is_passed_on_while_it_is_not_ready(place: Place) -> None:
    place.composer.failing = "cannot create DBInstance: InsufficientDBInstanceCapacity in eu-central-1"
    claim = await until(
        lambda: place.bot.ensure_claim(place.spec(), request_id="r1"),
        lambda claim: "Insufficient" in claim.message,
    )
    assert claim.phase is Phase.RUNNING
    place.composer.failing = ""
    await place.until(place.spec(), Phase.READY)


async def test_a_claim_that_never_gets_ready_stays_running_and_says_what_it_waits_for(place: Place) -> None:
    place.composer.makes_ready = False
    claim = await place.until(place.spec(), Phase.RUNNING)
    assert "waiting for composite resource" in claim.message
    assert claim.secret == ""


async def test_ready_without_a_published_secret_is_not_ready(place: Place) -> None:
    place.composer.publishes = False
    for spec in (place.spec(), place.spec("orders-staging-cache", "redis")):
        claim = await until(
            lambda spec=spec: place.bot.ensure_claim(spec, request_id="r1"),  # type: ignore[misc]
            lambda claim: "secret" in claim.message,
        )
        assert (claim.phase, claim.secret) == (Phase.RUNNING, "")


async def test_claims_are_found_by_name_and_by_service_whichever_style(place: Place) -> None:
    await place.until(place.spec(), Phase.READY)
    await place.until(place.spec("orders-staging-cache", "redis"), Phase.READY)
    await place.bot.ensure_claim(place.spec("payments-staging-db"), request_id="r2")
    found = await place.bot.get_claim("orders-staging-db", environment=place.environment)
    assert found is not None
    assert (found.kind, found.phase, found.request_id) == ("postgresql", Phase.READY, "r1")
    here = [each for each in await place.bot.list_claims("orders") if each.environment == place.environment]
    assert sorted((each.kind, each.phase) for each in here) == [
        ("postgresql", Phase.READY),
        ("redis", Phase.READY),
    ]
    assert await place.bot.get_claim("orders-staging-db", environment="elsewhere") is None
    assert await place.bot.get_claim("nothing-staging-db", environment=place.environment) is None


async def test_what_carries_our_mark_is_listed_with_its_place(place: Place) -> None:
    await place.bot.ensure_claim(place.spec(), request_id="r1")
    await place.bot.ensure_claim(place.spec("orders-staging-cache", "redis"), request_id="r2")
    theirs = {
        "apiVersion": CLAIMS.api_version,
        "kind": CLAIMS.kind,
        "metadata": {"name": "theirs", "namespace": place.namespace},
        "spec": {"engine": "mysql", "size": "large"},
    }
    await place.admin.apply(theirs)
    assert isinstance(place.bot, Inventory)
    listed = [one for one in await place.bot.list_marked() if one.environment == place.environment]
    assert sorted((one.kind, one.name, one.request_id, one.place) for one in listed) == [
        ("claim", "orders-staging-cache", "r2", f"{place.namespace}/orders-staging-cache"),
        ("claim", "orders-staging-db", "r1", f"{place.namespace}/orders-staging-db"),
    ]


# ---------------------------------------------------------------- other people's objects
async def test_a_name_taken_by_somebody_else_is_refused_and_left_alone(place: Place) -> None:
    theirs = {
        "apiVersion": CLAIMS.api_version,
        "kind": CLAIMS.kind,
        "metadata": {"name": "orders-staging-db", "namespace": place.namespace},
        "spec": {"engine": "mysql", "size": "large"},
    }
    await place.admin.apply(theirs)
    with pytest.raises(PermanentBackendError) as refused:
        await place.bot.ensure_claim(place.spec(), request_id="r1")
    assert refused.value.kind is BackendErrorKind.ALREADY_EXISTS
    await place.bot.remove_claim("orders-staging-db", environment=place.environment, request_id="r1")
    assert (await place.live())["spec"]["engine"] == "mysql"
    assert await place.bot.get_claim("orders-staging-db", environment=place.environment) is None
    refusal = await place.bot.refusal(place.spec())
    assert refusal is not None
    assert "belongs to somebody else" in refusal


async def test_a_name_taken_by_another_request_is_refused(place: Place) -> None:
    await place.bot.ensure_claim(place.spec(), request_id="r1")
    with pytest.raises(PermanentBackendError, match="request r1") as refused:
        await place.bot.ensure_claim(place.spec(), request_id="r2")
    assert await place.bot.refusal(place.spec()) is None
    assert refused.value.kind is BackendErrorKind.ALREADY_EXISTS


async def test_of_two_requests_at_the_same_instant_one_gets_the_name(place: Place) -> None:
    outcomes = await asyncio.gather(
        *(place.bot.ensure_claim(place.spec(), request_id=each) for each in ("r1", "r2", "r3")),
        return_exceptions=True,
    )
    won = [each for each in outcomes if isinstance(each, Claim)]
    lost = [each for each in outcomes if isinstance(each, PermanentBackendError)]
    assert (len(won), len(lost)) == (1, 2)
    assert (await place.live())["metadata"]["annotations"][REQUEST_ID] == won[0].request_id


async def test_a_field_that_somebody_took_over_is_shown_with_its_holder_and_not_overwritten(
    place: Place,
) -> None:
    await place.bot.ensure_claim(place.spec(), request_id="r1")
    edited = {
        "apiVersion": CLAIMS.api_version,
        "kind": CLAIMS.kind,
        "metadata": {"name": "orders-staging-db", "namespace": place.namespace},
        "spec": {"size": "large"},
    }
    await place.admin.apply(edited, manager="kubectl-edit")
    with pytest.raises(PermanentBackendError) as conflict:
        await place.bot.ensure_claim(place.spec(), request_id="r1")
    assert conflict.value.kind is BackendErrorKind.CONFLICT
    assert ".spec.size" in conflict.value.message
    assert "kubectl-edit" in conflict.value.message
    assert (await place.live())["spec"]["size"] == "large"


# ---------------------------------------------------------------- deletion
async def test_undo_removes_a_claim_that_never_was_ready(place: Place) -> None:
    place.composer.makes_ready = False
    await place.until(place.spec(), Phase.RUNNING)
    await place.bot.remove_claim("orders-staging-db", environment=place.environment, request_id="r1")
    assert await place.gone()
    await place.bot.remove_claim("orders-staging-db", environment=place.environment, request_id="r1")


async def test_undo_asks_a_person_before_what_was_ready_goes(place: Place) -> None:
    await place.until(place.spec(), Phase.READY)
    with pytest.raises(PermanentBackendError) as asks:
        await place.bot.remove_claim("orders-staging-db", environment=place.environment, request_id="r1")
    assert asks.value.kind is BackendErrorKind.DENIED
    line = f"kubectl delete databaseclaims.{GROUP} orders-staging-db --namespace {place.namespace}"
    assert line in asks.value.sentence
    assert "deletionTimestamp" not in (await place.live())["metadata"]


async def test_a_database_that_broke_after_it_was_ready_still_holds_data(place: Place) -> None:
    place.composer.publishes = False
    spec = replace(place.spec(), kind="postgresql")
    bot = Crossplane(
        settings(kinds={"postgresql": {**KINDS["postgresql"], "connection_secret": None}}), place.kubernetes
    )
    await until(lambda: bot.ensure_claim(spec, request_id="r1"), lambda claim: claim.phase is Phase.READY)
    place.composer.failing = "the storage is gone"
    broken = await until(
        lambda: bot.ensure_claim(spec, request_id="r1"), lambda claim: claim.phase is not Phase.READY
    )
    assert "storage" in broken.message
    with pytest.raises(PermanentBackendError, match="may hold data"):
        await bot.remove_claim(spec.name, environment=place.environment, request_id="r1")


async def test_settings_may_allow_deletion_of_what_was_ready(place: Place) -> None:
    spec = place.spec("orders-staging-cache", "redis")
    await place.until(spec, Phase.READY)
    await place.bot.remove_claim(spec.name, environment=place.environment, request_id="r1")
    assert await place.gone(CACHES, spec.name)


async def test_undo_of_another_request_removes_nothing(place: Place) -> None:
    await place.bot.ensure_claim(place.spec(), request_id="r1")
    await place.bot.remove_claim("orders-staging-db", environment=place.environment, request_id="r2")
    assert "deletionTimestamp" not in (await place.live())["metadata"]


async def test_a_stuck_deletion_names_its_holder_and_is_finished_by_asking_again(place: Place) -> None:
    place.composer.makes_ready = place.composer.lets_go = False
    await place.until(place.spec(), Phase.RUNNING)
    with pytest.raises(TemporaryBackendError, match=r"finalizer\.apiextensions\.crossplane\.io") as stuck:
        await place.bot.remove_claim("orders-staging-db", environment=place.environment, request_id="r1")
    assert stuck.value.kind is BackendErrorKind.NOT_READY
    with pytest.raises(TemporaryBackendError, match="still being deleted"):
        await place.bot.ensure_claim(place.spec(), request_id="r1")
    place.composer.lets_go = True
    await place.bot.remove_claim("orders-staging-db", environment=place.environment, request_id="r1")
    assert await place.gone()


async def test_what_is_in_use_is_not_removed_and_the_reason_is_told(place: Place) -> None:
    place.composer.makes_ready = False
    await place.until(place.spec(), Phase.RUNNING)
    says = (
        'admission webhook "nousages.protection.crossplane.io" denied the request: This resource is in-use by 1 '
        'usage(s), including the *v1beta1.Usage "keep" by resource Deployment/orders.'
    )
    place.wire.instead = lambda asked: api_status(409, "Conflict", says) if asked.method == "DELETE" else None
    with pytest.raises(PermanentBackendError, match="in-use by 1") as protected:
        await place.bot.remove_claim("orders-staging-db", environment=place.environment, request_id="r1")
    assert protected.value.kind is BackendErrorKind.POLICY_DENIED


async def test_what_changed_since_it_was_looked_at_is_not_deleted(place: Place) -> None:
    """It became ready in between: the deletion is bound to what was read, and the next try sees the data."""
    place.composer.makes_ready = False
    await place.until(place.spec(), Phase.RUNNING)

    async def meanwhile() -> None:
        place.composer.makes_ready = True
        async with asyncio.timeout(10):
            while not (await place.live()).get("status", {}).get("connectionDetails"):
                await asyncio.sleep(0.02)

    read = await place.live()
    await meanwhile()
    with pytest.raises(TemporaryBackendError) as changed:
        await place.kubernetes.delete(CLAIMS, read)
    assert changed.value.kind is BackendErrorKind.CONFLICT
    with pytest.raises(PermanentBackendError, match="may hold data"):
        await place.bot.remove_claim("orders-staging-db", environment=place.environment, request_id="r1")
