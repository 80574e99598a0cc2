"""Manifests shown to a real API server's admission, with the rights of deploy/kubernetes/rbac-admission.yaml and no others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from admitting import Admitting, Says, admitting
from kube import ROOT, Admin, FaultyWire, Server, api_status, haste

from bot.errors import StartError
from integrations import kubernetes_admission
from integrations._kubernetes import Kubernetes, Object, Resource
from integrations.kubernetes_admission import KubernetesAdmission, Settings, connect
from integrations.ports import EntityStore, Preview, Surroundings

RBAC = ROOT / "deploy" / "kubernetes" / "rbac-admission.yaml"
TRIES_AS = "system:serviceaccount:platform-bot:platform-bot-dry-run"
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")

KYVERNO = """

resource Deployment/orders/orders was blocked due to the following policies

disallow-latest-tag:
  autogen-require-image-tag: 'validation error: An image tag is required. rule autogen-require-image-tag
    failed at path /spec/template/spec/containers/0/image/'
require-labels:
  check-team: 'validation error: The label `team` is required.'
"""
GATEKEEPER = (
    '[must-have-owner] you must provide labels: {"owner"}\n[no-root] container <service> runs as root'
)


def deployment(image: str = "registry.example.com/orders:1", **changes: Any) -> Object:
    labels = {"app.kubernetes.io/name": "orders"}
    pod = {"containers": [{"name": "service", "image": image}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "orders", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
        **changes,
    }


def service(**metadata: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "orders", **metadata},
        "spec": {
            "ports": [{"port": 80, "protocol": "TCP"}],
            "selector": {"app.kubernetes.io/name": "orders"},
        },
    }


@dataclass
class Place:
    """The namespace of one service, and the bot as it tries things there."""

    admin: Admin
    namespace: str
    wire: FaultyWire
    bot: KubernetesAdmission

    async def preview(self, *manifests: Object) -> Preview:
        team, environment = self.namespace.split("-", 1)
        return await self.bot.preview(manifests, service="orders", team=team, environment=environment)

    async def live(self) -> Object | None:
        return await self.admin.kubernetes.get(DEPLOYMENTS, "orders", namespace=self.namespace)


@asynccontextmanager
async def trying(
    server: Server, token: str, **settings: Any
) -> AsyncIterator[tuple[KubernetesAdmission, FaultyWire]]:
    cluster = server.cluster_with(token)
    wire = FaultyWire(cluster)
    async with connect(
        Settings.model_validate(settings), cluster, transport=wire, timing=haste()
    ) as admission:
        yield admission, wire


@pytest.fixture
async def place(server: Server, admin: Admin, namespace: str) -> AsyncIterator[Place]:
    await admin.grant(RBAC)
    token = await admin.token_of("platform-bot", "platform-bot")
    async with trying(server, token) as (bot, wire):
        yield Place(admin, namespace, wire, bot)


@pytest.fixture
async def policies(place: Place, tmp_path: Path) -> AsyncIterator[Admitting]:
    async with admitting(place.admin, place.namespace, tmp_path) as hook:
        yield hook


# ---------------------------------------------------------------- what policies say


async def test_what_is_admitted_has_an_empty_preview_and_nothing_is_stored(
    place: Place, policies: Admitting
) -> None:
    assert await place.preview(deployment(), service()) == Preview()
    assert await place.live() is None
    assert place.wire.writes() == []
    assert [(each["kind"]["kind"], each["dryRun"]) for each in policies.reviewed] == [
        ("Deployment", True),
        ("Service", True),
    ]
    assert {each["userInfo"]["username"] for each in policies.reviewed} == {TRIES_AS}


async def test_a_denial_comes_policy_by_policy_in_its_own_words(place: Place, policies: Admitting) -> None:
    policies.judge = lambda item: Says(denies=KYVERNO) if item["kind"] == "Deployment" else Says()
    preview = await place.preview(service(), deployment())
    assert preview == Preview(
        denials=(
            (
                "Deployment orders: disallow-latest-tag/autogen-require-image-tag: validation error: An image tag is "
                "required. rule autogen-require-image-tag failed at path /spec/template/spec/containers/0/image/"
            ),
            "Deployment orders: require-labels/check-team: validation error: The label `team` is required.",
        )
    )
    assert await place.preview(service(), deployment()) == preview, "the same objects, the same lines"


async def test_each_object_is_shown_so_that_all_denials_come_at_once(
    place: Place, policies: Admitting
) -> None:
    policies.judge = lambda item: Says(denies=f"[no-{item['kind'].lower()}] not here", code=403)
    assert (await place.preview(deployment(), service())).denials == (
        "Deployment orders: no-deployment: not here",
        "Service orders: no-service: not here",
    )


async def test_warnings_of_policies_that_only_audit_let_it_pass(place: Place, policies: Admitting) -> None:
    policies.judge = lambda _: Says(
        warnings=('policy "require-probes": a probe is missing', "second, with a comma")
    )
    assert await place.preview(service()) == Preview(
        warnings=(
            'Service orders: policy "require-probes": a probe is missing',
            "Service orders: second, with a comma",
        )
    )


async def test_a_webhook_that_does_not_answer_is_unknown_and_no_denial(place: Place, tmp_path: Path) -> None:
    async with admitting(place.admin, place.namespace, tmp_path) as hook:
        hook.judge = lambda _: (_ for _ in ()).throw(RuntimeError("the policy engine is broken"))
        preview = await place.preview(service())
    assert (preview.denials, preview.warnings) == ((), ())
    assert "webhook" in preview.unknown[0]
    assert "validate.kyverno.svc-fail" in preview.unknown[0]


async def test_a_webhook_that_cannot_try_without_doing_is_unknown(place: Place) -> None:
    says = 'admission webhook "mutate.legacy.example.com" does not support dry run'
    place.wire.instead = lambda asked: (
        api_status(400, "BadRequest", says) if "dryRun" in asked.url.params else None
    )
    assert await place.preview(service()) == Preview(unknown=(f"Service orders: {says}",))


async def test_the_server_s_own_validation_denies_too(place: Place) -> None:
    wrong = deployment()
    wrong["spec"]["template"]["metadata"]["labels"] = {"app.kubernetes.io/name": "else"}
    preview = await place.preview(wrong)
    assert preview.unknown == ()
    (denial,) = preview.denials
    assert "`selector` does not match template `labels`" in denial


async def test_what_server_side_apply_cannot_read_is_tried_as_argo_cd_applies_by_default(
    place: Place, policies: Admitting
) -> None:
    """Servers before 1.21 want the protocol of a port there, though its default is well known."""
    policies.judge = lambda _: Says(denies="[no-services] not here", code=403)
    untyped = service()
    untyped["spec"]["prots"] = []
    for _ in ("new", "there already"):
        preview = await place.preview(untyped)
        assert preview.denials == ("Service orders: no-services: not here",)
        assert "failed to create typed patch object" in preview.warnings[0]
        metadata = {"name": "orders", "namespace": place.namespace}
        policies.judge = lambda _: Says()
        await place.admin.apply({**service(), "metadata": metadata})
        policies.judge = lambda _: Says(denies="[no-services] not here", code=403)


async def test_a_quota_of_the_namespace_denies(place: Place) -> None:
    says = (
        'pods "orders" is forbidden: exceeded quota: team, requested: pods=1, used: pods=9, limited: pods=9'
    )
    place.wire.instead = lambda asked: (
        api_status(403, "Forbidden", says) if "dryRun" in asked.url.params else None
    )
    (denial,) = (await place.preview(service())).denials
    assert "exceeded quota: team" in denial


async def test_secrets_in_what_a_policy_says_are_removed_and_long_words_cut(
    place: Place, policies: Admitting
) -> None:
    policies.judge = lambda _: Says(denies="password=hunter2 " + "x" * 500)
    (denial,) = (await place.preview(service())).denials
    assert "hunter2" not in denial
    assert len(denial) == 256


# ---------------------------------------------------------------- how Argo CD would bring it


async def test_a_field_that_argo_cd_holds_otherwise_is_shown_to_policies_all_the_same(
    place: Place, policies: Admitting
) -> None:
    """Its client-side apply is another operation to the server, and so a conflict with ours."""
    body = {**deployment(), "metadata": {**deployment()["metadata"], "namespace": place.namespace}}
    path = f"/apis/apps/v1/namespaces/{place.namespace}/deployments"
    await place.admin.call("POST", path, body, fieldManager="argocd-controller")
    policies.reviewed.clear()
    policies.judge = lambda item: Says(denies="[no-latest] the tag is latest", code=403)
    preview = await place.preview(deployment("registry.example.com/orders:latest"))
    assert preview == Preview(denials=("Deployment orders: no-latest: the tag is latest",))
    (seen,) = policies.reviewed
    assert seen["object"]["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":latest")
    live = await place.live()
    assert live is not None
    assert live["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":1")
    forced = [each for each in place.wire.seen if each.url.params.get("force")]
    assert forced == [], "nothing is ever forced"


async def test_hooks_and_what_is_replaced_are_tried_as_new_objects(place: Place, policies: Admitting) -> None:
    def job(image: str, **annotations: str) -> Object:
        pod = {"containers": [{"name": "m", "image": image}], "restartPolicy": "Never"}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "migrate", "annotations": annotations},
            "spec": {"template": {"spec": pod}},
        }

    await place.admin.apply({**job("a:1"), "metadata": {"name": "migrate", "namespace": place.namespace}})
    hook = {"argocd.argoproj.io/hook": "PreSync"}
    replaced = {"argocd.argoproj.io/sync-options": "Prune=false, Replace=true"}
    generated = job("a:2")
    generated["metadata"] = {"generateName": "migrate-"}
    assert await place.preview(job("a:2", **hook), job("a:2", **replaced), generated) == Preview()
    (immutable,) = (await place.preview(job("a:2"))).denials
    assert immutable == "Job migrate: spec.template: Invalid value: field is immutable"
    policies.judge = lambda _: Says(denies="[no-jobs] not today", code=403)
    assert (await place.preview(job("a:2", **hook))).denials == ("Job migrate: no-jobs: not today",)


async def test_what_only_a_server_writes_is_left_out(place: Place) -> None:
    exported = service(managedFields=[], resourceVersion="7", uid="u", creationTimestamp=None)
    assert await place.preview({**exported, "status": {"loadBalancer": {}}}) == Preview()


async def test_a_manifest_goes_to_the_namespace_it_names(place: Place, policies: Admitting) -> None:
    elsewhere = await place.bot.preview(
        [service(namespace=place.namespace)], service="orders", team="no", environment="where"
    )
    assert elsewhere == Preview()
    assert policies.reviewed[0]["namespace"] == place.namespace


# ---------------------------------------------------------------- what nobody was asked about


async def test_a_namespace_that_is_not_there_is_unknown(place: Place) -> None:
    preview = await place.bot.preview([service()], service="orders", team="no", environment="where")
    assert preview == Preview(unknown=("Service orders: there is no namespace no-where",))


async def test_a_name_that_is_none_of_a_namespace_is_unknown(place: Place) -> None:
    preview = await place.bot.preview([service()], service="orders", team="t" * 60, environment="where")
    assert "is not the name of a namespace" in preview.unknown[0]


async def test_a_kind_that_the_cluster_does_not_serve_is_unknown(place: Place) -> None:
    monitor = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": {"name": "orders"},
    }
    incomplete = {"apiVersion": "v1", "metadata": {"name": "orders"}}
    assert await place.preview(monitor, incomplete) == Preview(
        unknown=(
            "ServiceMonitor orders: the cluster does not serve ServiceMonitor of monitoring.coreos.com/v1",
            "An object without apiVersion, kind and name cannot be tried.",
        )
    )


async def test_a_right_that_is_missing_is_unknown_and_no_denial(place: Place) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "orders"},
        "rules": [],
    }
    preview = await place.preview(role)
    assert preview.denials == ()
    assert "cannot patch resource" in preview.unknown[0]
    assert preview.unknown[0].endswith("`python -m bot check` names the missing right")


async def test_secrets_are_not_tried_and_the_card_says_so(place: Place) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "orders"}, "stringData": {"a": "b"}}
    assert await place.preview(secret) == Preview(
        warnings=("Secret orders: no policy was asked, because Secret is not tried here",)
    )
    assert place.wire.seen == []


async def test_a_server_that_is_away_is_unknown_and_not_asked_for_every_object(place: Place) -> None:
    place.wire.instead = lambda _: api_status(503, "ServiceUnavailable", "etcd is away")
    preview = await place.preview(service(), deployment(), service(name="second"))
    assert preview == Preview(unknown=("Kubernetes: etcd is away 3 of 3 objects were not shown to it.",))
    assert len(place.wire.seen) <= 4
    place.wire.instead = lambda _: None
    assert await place.preview(service()) == Preview()


# ---------------------------------------------------------------- rights


async def test_check_is_content_with_exactly_the_shipped_role(place: Place) -> None:
    findings = await place.bot.check()
    assert [each for each in findings if not each.ok] == []
    subjects = {each.subject for each in findings}
    assert {
        "Kubernetes",
        f"may speak as {TRIES_AS}",
        "may create/patch deployments.apps in all namespaces",
    } <= subjects
    granted = next(
        each
        for each in yaml.safe_load_all(RBAC.read_text())
        if (each["kind"], each["metadata"]["name"]) == ("ClusterRole", "platform-bot-dry-run")
    )
    asked = {each.removeprefix("may create/patch ").split(" in ")[0] for each in subjects if "create" in each}
    assert asked == {
        f"{plural}.{rule['apiGroups'][0]}".rstrip(".")
        for rule in granted["rules"]
        for plural in rule["resources"]
    }, "the shipped role, the settings' default and what is asked for are one list"


async def test_the_bot_itself_may_write_no_workload(place: Place, server: Server) -> None:
    token = await place.admin.token_of("platform-bot", "platform-bot")
    async with trying(server, token, impersonate=None) as (bot, _):
        findings = await bot.check()
        team, environment = place.namespace.split("-", 1)
        preview = await bot.preview([deployment()], service="orders", team=team, environment=environment)
    assert {each.ok for each in findings if "deployments" in each.subject} == {False}
    assert "cannot patch resource" in preview.unknown[0]


async def test_without_the_right_to_speak_as_another_check_names_the_line(
    place: Place, server: Server, stranger: Kubernetes
) -> None:
    token = await stranger.cluster.tokens.token(renew=False)
    async with trying(server, str(token)) as (bot, _):
        findings = await bot.check()
        team, environment = place.namespace.split("-", 1)
        preview = await bot.preview([service()], service="orders", team=team, environment=environment)
    assert [each.fix for each in findings if not each.ok] == [
        (
            'Add to Role platform-bot-dry-run in platform-bot: - {apiGroups: [""], resources: [serviceaccounts], '
            "resourceNames: [platform-bot-dry-run], verbs: [impersonate]}"
        )
    ]
    assert "cannot impersonate resource" in preview.unknown[0]


async def test_another_user_is_asked_for_as_a_user(place: Place, server: Server) -> None:
    token = await place.admin.token_of("platform-bot", "platform-bot")
    async with trying(server, token, impersonate="ci@example.com") as (bot, _):
        (missing,) = [each for each in await bot.check() if not each.ok]
    assert "resources: [users], resourceNames: [ci@example.com], verbs: [impersonate]" in missing.fix


async def test_check_says_that_the_server_is_away(place: Place) -> None:
    place.wire.instead = lambda _: api_status(503, "ServiceUnavailable", "etcd is away")
    (finding,) = await place.bot.check()
    assert not finding.ok
    assert "etcd is away" in finding.detail
    assert "failures in a row" in place.bot.breaker_state() or place.bot.breaker_state() == "closed"


def test_the_policy_that_ships_beside_the_role_is_about_the_user_of_the_role() -> None:
    policy, binding = yaml.safe_load_all((RBAC.parent / "admission-dry-run-only.yaml").read_text())
    assert TRIES_AS in json.dumps(policy["spec"]["matchConditions"])
    assert Settings().impersonate == TRIES_AS
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


async def test_a_kubeconfig_that_is_not_there_is_said_at_the_start(tmp_path: Path) -> None:
    surroundings = Surroundings(tmp_path, tmp_path, cast("EntityStore", None), {})
    with pytest.raises(StartError, match="kubeconfig"):
        async with kubernetes_admission.open(Settings(kubeconfig="nowhere"), surroundings):
            raise AssertionError("it opened")
