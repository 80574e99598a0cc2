"""Claims by Crossplane, against a real API server with the rights of deploy/kubernetes/rbac-crossplane.yaml and no others."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
import yaml
from composing import (
    CACHES,
    CLAIMS,
    GROUP,
    XRDS,
    Composer,
    composing,
    condition,
    definition,
    install,
)
from kube import ROOT, Admin, FaultyWire, Server, api_status, haste

from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from integrations._crossplane import REQUEST_ID
from integrations._kubernetes import Kubernetes, Object, Resource, open_kubernetes
from integrations.crossplane import Crossplane, Settings
from integrations.ports import Claim, ClaimSpec, Phase

RBAC = ROOT / "deploy" / "kubernetes" / "rbac-crossplane.yaml"
KINDS: dict[str, Any] = {
    "postgresql": {
        "xrd": f"xdatabases.{GROUP}",
        "parameters": {"engine": "postgresql", "version": "16"},
        "sizes": {"small": {"size": "small"}, "large": {"size": "large"}},
    },
    "redis": {
        "xrd": f"caches.{GROUP}",
        "parameters": {"engine": "redis"},
        "connection_secret_status": "secret.name",
        "deletion": "delete",
    },
}


@dataclass
class Place:
    """One namespace of one team, the bot as it works there, and the hand behind its back."""

    admin: Admin
    composer: Composer
    namespace: str
    wire: FaultyWire
    kubernetes: Kubernetes
    bot: Crossplane

    def spec(
        self, name: str = "orders-staging-db", kind: str = "postgresql", size: str = "small"
    ) -> ClaimSpec:
        service = name.rsplit("-", 2)[0]
        return ClaimSpec(
            name, kind=kind, service=service, environment=self.environment, team="test", size=size
        )

    @property
    def environment(self) -> str:
        return self.namespace.removeprefix("test-")

    async def live(self, resource: Resource = CLAIMS, name: str = "orders-staging-db") -> Object:
        found = await self.admin.kubernetes.get(resource, name, namespace=self.namespace)
        assert found is not None
        return found

    async def gone(self, resource: Resource = CLAIMS, name: str = "orders-staging-db") -> bool:
        return await self.admin.kubernetes.get(resource, name, namespace=self.namespace) is None

    async def recover(self) -> None:
        """No faults any more, and enough time gone by for the breaker to try again."""
        self.wire.lose, self.wire.instead = (lambda _: False), (lambda _: None)
        await self.kubernetes.timing.sleep(60)

    async def until(self, spec: ClaimSpec, phase: Phase, *, request_id: str = "r1") -> Claim:
        return await until(
            lambda: self.bot.ensure_claim(spec, request_id=request_id), lambda claim: claim.phase is phase
        )


async def until(ask: Callable[[], Awaitable[Claim]], enough: Callable[[Claim], bool]) -> Claim:
    async with asyncio.timeout(20):
        while not enough(claim := await ask()):
            await asyncio.sleep(0.02)
    return claim


def settings(**more: Any) -> Settings:
    return Settings.model_validate({"kinds": KINDS, "deletion_wait_seconds": 60, **more})


@asynccontextmanager
async def working_bot(
    server: Server, token: str, configured: Settings
) -> AsyncIterator[tuple[Crossplane, FaultyWire, Kubernetes]]:
    cluster = server.cluster_with(token)
    wire = FaultyWire(cluster)
    async with open_kubernetes(cluster, transport=wire, timing=haste()) as kubernetes:
        yield Crossplane(configured, kubernetes), wire, kubernetes


@pytest.fixture
async def place(server: Server, admin: Admin, namespace: str) -> AsyncIterator[Place]:
    await install(admin)
    await admin.grant(RBAC)
    token = await admin.token_of("platform-bot", "platform-bot")
    async with (
        composing(admin, namespace) as composer,
        working_bot(server, token, settings()) as (bot, wire, kubernetes),
    ):
        yield Place(admin, composer, namespace, wire, kubernetes, bot)


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
    found = await place.bot.get_claim("orders-staging-db", environment=place.environment)
    assert found is not None
    assert found.request_id is None


async def test_a_name_taken_by_another_request_is_refused(place: Place) -> None:
    await place.bot.ensure_claim(place.spec(), request_id="r1")
    with pytest.raises(PermanentBackendError, match="request r1") as refused:
        await place.bot.ensure_claim(place.spec(), request_id="r2")
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


# ---------------------------------------------------------------- lost answers, and a server that is away


async def test_lost_answers_of_the_creation_make_one_claim(place: Place) -> None:
    place.wire.lose = lambda asked: asked.method == "PATCH"
    with pytest.raises(TemporaryBackendError):
        await place.bot.ensure_claim(place.spec(), request_id="r1")
    created = (await place.live())["metadata"]["uid"]
    await place.recover()
    claim = await place.bot.ensure_claim(place.spec(), request_id="r1")
    assert claim.request_id == "r1"
    assert (await place.live())["metadata"]["uid"] == created


async def test_a_lost_answer_of_the_mark_does_not_lose_the_mark(place: Place) -> None:
    merging = "application/merge-patch+json"
    place.wire.lose = lambda asked: asked.headers.get("content-type") == merging
    with pytest.raises(TemporaryBackendError):
        await place.until(place.spec(), Phase.READY)
    assert (await place.live())["metadata"]["annotations"]["platform-bot/was-ready"] == "true"
    await place.recover()
    assert (await place.bot.ensure_claim(place.spec(), request_id="r1")).phase is Phase.READY


async def test_lost_answers_of_the_deletion_end_in_nothing_there(place: Place) -> None:
    place.composer.makes_ready = False
    await place.until(place.spec(), Phase.RUNNING)
    place.wire.lose = lambda asked: asked.method == "DELETE"
    for _ in range(3):
        try:
            await place.bot.remove_claim("orders-staging-db", environment=place.environment, request_id="r1")
            break
        except TemporaryBackendError:
            await place.kubernetes.timing.sleep(60)
    assert await place.gone()


async def test_a_server_that_says_yes_and_did_nothing_is_not_believed(place: Place) -> None:
    def nothing_done(asked: httpx.Request) -> httpx.Response | None:
        return httpx.Response(201, content=asked.content) if asked.method == "PATCH" else None

    place.wire.instead = nothing_done
    with pytest.raises(TemporaryBackendError):
        await place.bot.ensure_claim(place.spec(), request_id="r1")
    await place.recover()
    await place.until(place.spec(), Phase.READY)


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
    place: Place, answer: httpx.Response
) -> None:
    place.wire.instead = lambda _: answer
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: place.bot.refusal(place.spec()),
        lambda: place.bot.ensure_claim(place.spec(), request_id="r1"),
        lambda: place.bot.get_claim("orders-staging-db", environment=place.environment),
        lambda: place.bot.list_claims("orders"),
        lambda: place.bot.remove_claim("orders-staging-db", environment=place.environment, request_id="r1"),
    ]
    for call in calls:
        with pytest.raises(TemporaryBackendError):
            await call()
    findings = await place.bot.check()
    assert [each.ok for each in findings] == [False]


async def test_a_server_that_is_away_is_a_temporary_failure_and_one_line_of_check(server: Server) -> None:
    nobody_there = replace(server.cluster("bot"), server="https://127.0.0.1:1")
    async with open_kubernetes(nobody_there, timing=haste()) as kubernetes:
        bot = Crossplane(settings(), kubernetes)
        with pytest.raises(TemporaryBackendError):
            await bot.list_claims("orders")
        findings = await bot.check()
    assert [(each.subject, each.ok) for each in findings] == [("Kubernetes", False)]
    assert "127.0.0.1:1" in findings[0].fix


# ---------------------------------------------------------------- what can be had


async def test_what_can_be_had_is_not_refused_and_asking_changes_nothing(place: Place) -> None:
    assert await place.bot.refusal(place.spec()) is None
    assert await place.gone()
    assert place.wire.writes() == []


@pytest.mark.parametrize(
    ("kind", "size", "says"),
    [
        ("mongodb", "small", "Choose postgresql, redis"),
        ("postgresql", "huge", "Choose large, small"),
    ],
)
async def test_what_is_not_offered_is_refused_with_the_choices(
    place: Place, kind: str, size: str, says: str
) -> None:
    refusal = await place.bot.refusal(place.spec(kind=kind, size=size))
    assert refusal is not None
    assert says in refusal
    with pytest.raises(PermanentBackendError, match="cannot be had"):
        await place.bot.ensure_claim(place.spec(kind=kind, size=size), request_id="r1")


async def test_a_namespace_that_is_not_there_is_named_before_anybody_approves(place: Place) -> None:
    refusal = await place.bot.refusal(replace(place.spec(), environment="nowhere"))
    assert refusal is not None
    assert "test-nowhere" in refusal


async def test_parameters_that_the_definition_does_not_take_are_named_before_anybody_approves(
    place: Place,
) -> None:
    wrong = {"postgresql": {**KINDS["postgresql"], "parameters": {"engine": "oracle"}}}
    refusal = await Crossplane(settings(kinds=wrong), place.kubernetes).refusal(place.spec())
    assert refusal is not None
    assert "spec.engine" in refusal


async def test_an_admission_policy_speaks_before_anybody_approves(place: Place) -> None:
    says = 'admission webhook "validate.kyverno.svc-fail" denied the request: require-cost-center: label is missing'
    place.wire.instead = lambda asked: (
        api_status(400, "BadRequest", says) if "dryRun" in asked.url.params else None
    )
    refusal = await place.bot.refusal(place.spec())
    assert refusal is not None
    assert "require-cost-center" in refusal


async def test_a_definition_that_is_not_there_or_not_usable_is_a_refusal(place: Place) -> None:
    def with_xrd(name: str) -> Crossplane:
        kinds = {"postgresql": {**KINDS["postgresql"], "xrd": name}}
        return Crossplane(settings(kinds=kinds), place.kubernetes)

    missing = await with_xrd(f"xnothing.{GROUP}").refusal(place.spec())
    assert missing is not None
    assert f"xnothing.{GROUP}" in missing
    plural = f"xbuckets{uuid.uuid4().hex[:6]}"
    claims = {"kind": "BucketClaim", "plural": "bucketclaims"}
    xrd = definition(plural, "XBucket", scope="LegacyCluster", claimNames=claims)
    await place.admin.apply(xrd)
    not_looked_at = await with_xrd(f"{plural}.{GROUP}").refusal(place.spec())
    assert not_looked_at is not None
    assert "not Established" in not_looked_at
    established = [condition("Established", "True", "WatchingCompositeResource")]
    await place.admin.set_status(XRDS, f"{plural}.{GROUP}", {"conditions": established})
    not_offered = await with_xrd(f"{plural}.{GROUP}").refusal(place.spec())
    assert not_offered is not None
    assert "not Offered" in not_offered


# ---------------------------------------------------------------- check


async def test_check_is_content_with_exactly_the_shipped_role(place: Place) -> None:
    findings = await place.bot.check()
    assert [each for each in findings if not each.ok] == []
    assert {each.subject for each in findings} >= {
        "Kubernetes",
        "Crossplane",
        "postgresql",
        "redis",
        f"may get/create/patch/delete databaseclaims.{GROUP} in all namespaces",
    }


async def test_every_right_of_the_shipped_role_is_needed(place: Place, server: Server) -> None:
    """Taken away one by one: check names exactly that one."""
    role = "platform-bot-crossplane-writer"
    before = next(each for each in yaml.safe_load_all(RBAC.read_text()) if each["metadata"]["name"] == role)
    account = await place.admin.make_namespace(f"bots-{uuid.uuid4().hex[:8]}")
    subject = {"kind": "ServiceAccount", "name": "bot", "namespace": account}
    await place.admin.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bot", "namespace": account}}
    )
    reader = "platform-bot-crossplane-reader"
    await place.admin.apply(_binding("ClusterRoleBinding", account, role=reader, subject=subject))
    token = await place.admin.token_of(account, "bot")
    async with working_bot(server, token, settings(check_namespaces=[place.namespace])) as (bot, _, _):
        for verb in ("get", "create", "patch", "delete"):
            rest = [each for each in before["rules"][0]["verbs"] if each != verb]
            narrow = {
                **before,
                "metadata": {"name": account},
                "rules": [{**before["rules"][0], "verbs": rest}],
            }
            await place.admin.apply(narrow)
            binding = _binding("RoleBinding", account, role=account, subject=subject)
            binding["metadata"]["namespace"] = place.namespace
            await place.admin.apply(binding)
            line = f"- {{apiGroups: [{GROUP}], resources: [databaseclaims], verbs: [{verb}]}}"
            await _check_says(bot, line)


def _binding(kind: str, name: str, *, role: str, subject: Object) -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }


async def _check_says(bot: Crossplane, line: str) -> None:
    """The authorizer learns of a changed role by a watch of its own."""
    async with asyncio.timeout(15):
        while True:
            wrong = [
                each.fix for each in await bot.check() if not each.ok and "databaseclaims" in each.subject
            ]
            if wrong == [f"Add to ClusterRole platform-bot-crossplane-writer: {line}"]:
                return
            await asyncio.sleep(0.05)


async def test_check_names_the_first_missing_line_to_a_bot_without_rights(
    place: Place, stranger: Kubernetes
) -> None:
    findings = await Crossplane(settings(), stranger).check()
    wrong = {each.subject: each.fix for each in findings if not each.ok}
    subject = "may get compositeresourcedefinitions.apiextensions.crossplane.io cluster-wide"
    assert wrong[subject] == (
        "Add to ClusterRole platform-bot-crossplane-reader: - {apiGroups: [apiextensions.crossplane.io], "
        "resources: [compositeresourcedefinitions], verbs: [get]}"
    )
    assert "postgresql" in wrong


async def test_the_bot_cannot_read_the_secret_that_it_names(place: Place) -> None:
    claim = await place.until(place.spec(), Phase.READY)
    secrets = Resource("", "v1", "secrets", "Secret")
    with pytest.raises(PermanentBackendError) as denied:
        await place.kubernetes.get(secrets, claim.secret, namespace=place.namespace)
    assert denied.value.kind is BackendErrorKind.DENIED


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize("rule", ["{person}-x", "{team}-{0}"])
def test_a_namespace_rule_with_an_unknown_placeholder_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match="accepted placeholders: environment, service, team"):
        settings(namespace=rule)
