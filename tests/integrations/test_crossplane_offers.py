"""What can be had by Crossplane, said before anybody approves, and what `check` says of rights and definitions."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import cast

import pytest
import yaml
from claiming import KINDS, RBAC, Place, settings, working_bot
from composing import GROUP, XRDS, condition, definition
from kube import Server, api_status

from bot.errors import BackendErrorKind, PermanentBackendError, StartError
from integrations import crossplane
from integrations._kubernetes import Kubernetes, Object, Resource
from integrations.crossplane import Crossplane
from integrations.ports import EntityStore, Phase, Preview, Surroundings


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


# ---------------------------------------------------------------- what admission would say
async def test_a_claim_that_would_be_admitted_has_an_empty_preview_and_asking_changes_nothing(
    place: Place,
) -> None:
    for spec in (place.spec(), place.spec("orders-staging-cache", "redis")):
        assert await place.bot.preview(spec, request_id="r1") == Preview()
    assert await place.gone()
    assert place.wire.writes() == []


async def test_a_claim_of_this_request_that_is_there_already_is_previewed_as_it_will_be_written(
    place: Place,
) -> None:
    await place.bot.ensure_claim(place.spec(), request_id="r1")
    assert await place.bot.preview(place.spec(size="large"), request_id="r1") == Preview()
    assert (await place.live())["spec"]["size"] == "small"
    (taken,) = (await place.bot.preview(place.spec(size="large"), request_id="r2")).denials
    assert "conflict" in taken


async def test_a_namespace_that_is_not_there_is_named_before_anybody_approves(place: Place) -> None:
    (denial,) = (
        await place.bot.preview(replace(place.spec(), environment="nowhere"), request_id="r1")
    ).denials
    assert denial == "DatabaseClaim orders-staging-db: there is no namespace test-nowhere"


async def test_parameters_that_the_definition_does_not_take_are_named_before_anybody_approves(
    place: Place,
) -> None:
    wrong = {"postgresql": {**KINDS["postgresql"], "parameters": {"engine": "oracle"}}}
    bot = Crossplane(settings(kinds=wrong), place.kubernetes)
    (denial,) = (await bot.preview(place.spec(), request_id="r1")).denials
    assert "spec.engine" in denial


async def test_an_admission_policy_speaks_before_anybody_approves(place: Place) -> None:
    says = 'admission webhook "validate.kyverno.svc-fail" denied the request: require-cost-center: label is missing'
    place.wire.instead = lambda asked: (
        api_status(400, "BadRequest", says) if "dryRun" in asked.url.params else None
    )
    (denial,) = (await place.bot.preview(place.spec(), request_id="r1")).denials
    assert "require-cost-center: label is missing" in denial


async def test_a_definition_that_is_gone_denies_and_a_server_that_is_away_is_unknown(place: Place) -> None:
    kinds = {"postgresql": {**KINDS["postgresql"], "xrd": f"xnothing.{GROUP}"}}
    gone = await Crossplane(settings(kinds=kinds), place.kubernetes).preview(place.spec(), request_id="r1")
    assert f"xnothing.{GROUP}" in gone.denials[0]
    place.wire.instead = lambda _: api_status(503, "ServiceUnavailable", "etcd is away")
    away = await place.bot.preview(place.spec(), request_id="r1")
    assert away == Preview(unknown=("Kubernetes could not be asked: etcd is away",))


async def test_a_right_that_the_bot_lacks_denies_because_the_claim_would_fail_the_same_way(
    place: Place,
) -> None:
    says = 'databaseclaims.platform.company.com "x" is forbidden: User "b" cannot patch resource "databaseclaims"'
    place.wire.instead = lambda asked: (
        api_status(403, "Forbidden", says) if "dryRun" in asked.url.params else None
    )
    (denial,) = (await place.bot.preview(place.spec(), request_id="r1")).denials
    assert "cannot patch" in denial


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


def test_a_secret_rule_knows_the_name_of_the_claim_only() -> None:
    kinds = {"redis": {**KINDS["redis"], "connection_secret": "{team}-secret"}}
    with pytest.raises(ValueError, match="accepted placeholders: name"):
        settings(kinds=kinds)


async def test_the_backend_opens_from_platform_yml_with_a_kubeconfig_beside_it(
    place: Place, server: Server
) -> None:
    folder = server.kubeconfig.parent
    around = Surroundings(folder, folder, entities=cast("EntityStore", object()), secrets={})
    configured = settings(kubeconfig="kubeconfig.admin", context="local")
    async with crossplane.open(configured, around) as opened:
        assert [each for each in await opened.check() if not each.ok] == []
    with pytest.raises(StartError, match="nowhere"):
        async with crossplane.open(settings(kubeconfig="nowhere"), around):
            pass
