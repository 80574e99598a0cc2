"""Reports on a service, read from a real API server with the rights of deploy/kubernetes/rbac-reports.yaml and no others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from kube import ROOT, Admin, FaultyWire, Server, api_status, haste

from bot.errors import StartError
from integrations import kubernetes_reports
from integrations._kubernetes import Kubernetes, Object, open_kubernetes
from integrations.kubernetes_reports import KubernetesReports, Settings
from integrations.ports import EntityStore, EvidenceKind, EvidenceReport, EvidenceVerdict, Surroundings

RBAC = ROOT / "deploy" / "kubernetes" / "rbac-reports.yaml"
LIVE, OTHER = "a" * 40, "b" * 40
DIGEST = "sha256:" + "1" * 64
IMAGE = f"registry.example.com/orders@{DIGEST}"
UNKNOWN = EvidenceVerdict.UNKNOWN


def pod(*images: str) -> Object:
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    return {"metadata": {"labels": {"app": "orders"}}, "spec": {"containers": containers}}


@dataclass
class Place:
    """One service in one environment, and the hands that play Argo CD, its controllers, Trivy and Kyverno."""

    admin: Admin
    namespace: str
    wire: FaultyWire
    kubernetes: Kubernetes
    bot: KubernetesReports
    resources: list[dict[str, str]] = field(default_factory=list)

    @property
    def environment(self) -> str:
        return self.namespace.removeprefix("test-")

    async def reports(self, revision: str | None = LIVE) -> tuple[EvidenceReport, EvidenceReport]:
        policies, vulnerabilities = await self.bot.reports(
            "orders", self.environment, team="test", revision=revision
        )
        assert (policies.kind, vulnerabilities.kind) == tuple(EvidenceKind)
        return policies, vulnerabilities

    async def policies(self) -> EvidenceReport:
        return (await self.reports())[0]

    async def vulnerabilities(self) -> EvidenceReport:
        return (await self.reports())[1]

    async def apply(self, version: str, kind: str, name: str, **content: Any) -> Object:
        metadata = {"name": name, "namespace": self.namespace, **content.pop("metadata", {})}
        return await self.admin.apply({"apiVersion": version, "kind": kind, "metadata": metadata, **content})

    async def argo_says(self, *, revision: str = LIVE, **status: Any) -> None:
        labels = {
            "platform-bot/service": "orders",
            "platform-bot/environment": self.environment,
            "app.kubernetes.io/managed-by": "platform-bot",
        }
        name = f"orders-{self.environment}"
        at = "2026-03-02T09:00:00Z"
        await self.admin.apply(
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Application",
                "metadata": {"name": name, "namespace": "argocd", "labels": labels},
                "spec": {
                    "project": "orders",
                    "destination": {},
                    "source": {"repoURL": "https://git.example.com/o"},
                },
                "status": {
                    "history": [{"id": 1, "revision": revision, "deployedAt": at}],
                    "resources": self.resources,
                    **status,
                },
            }
        )

    async def runs(self, *images: str, kind: str = "Deployment", name: str = "orders") -> None:
        """Argo CD has brought it, and where there is a controller for it, that has begun."""
        spec: Object = {"selector": {"matchLabels": {"app": "orders"}}, "template": pod(*images)}
        if kind == "StatefulSet":
            spec["serviceName"] = "orders"
        made = await self.apply("apps/v1", kind, name, spec=spec)
        if kind == "Deployment":
            await self.started(made, *images)
        self.resources = [each for each in self.resources if each["name"] != name]
        self.resources.append(
            {"group": "apps", "version": "v1", "kind": kind, "namespace": self.namespace, "name": name}
        )
        await self.argo_says()

    async def started(self, deployment: Object, *images: str, number: int = 1) -> str:
        owner = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": deployment["metadata"]["name"],
            "uid": deployment["metadata"]["uid"],
        }
        name = f"{deployment['metadata']['name']}-{number}"
        metadata = {
            "labels": {"app": "orders"},
            "ownerReferences": [owner],
            "annotations": {"deployment.kubernetes.io/revision": str(number)},
        }
        spec = {"selector": {"matchLabels": {"app": "orders"}}, "template": pod(*images)}
        await self.apply("apps/v1", "ReplicaSet", name, metadata=metadata, spec=spec)
        return name

    async def scanned(
        self,
        *found: tuple[str, str],
        digest: str = DIGEST,
        container: str = "c0",
        owner: tuple[str, str] = ("ReplicaSet", "orders-1"),
        age: timedelta = timedelta(minutes=5),
        **artifact: str,
    ) -> None:
        """`found`: what and how bad, such as `("CVE-2026-1", "CRITICAL")`."""
        severities = [severity for _, severity in found]
        names = ("critical", "high", "medium", "low", "unknown")
        labels = {
            "trivy-operator.resource.kind": owner[0],
            "trivy-operator.resource.name": owner[1],
            "trivy-operator.container.name": container,
        }
        report = {
            "artifact": {"repository": "orders", "digest": digest, **artifact},
            "os": {},
            "registry": {"server": "registry.example.com"},
            "scanner": {"name": "Trivy", "vendor": "Aqua Security", "version": "0.60"},
            "summary": {f"{name}Count": severities.count(name.upper()) for name in names},
            "updateTimestamp": _written(age),
            "vulnerabilities": [_vulnerability(each, severity) for each, severity in found],
        }
        await self.apply(
            "aquasecurity.github.io/v1alpha1",
            "VulnerabilityReport",
            f"{owner[1]}-{container}",
            metadata={
                "labels": labels,
                "annotations": {"trivy-operator.aquasecurity.github.io/report-ttl": "24h0m0s"},
            },
            report=report,
        )

    async def reported(
        self,
        *results: tuple[str, str],
        group: str = "wgpolicyk8s.io/v1alpha2",
        about: tuple[str, str] = ("Deployment", "orders"),
        age: timedelta = timedelta(),
        scoped: bool = True,
    ) -> None:
        """`results`: policy and how it went, such as `("require-labels", "fail")`."""
        kind = "PolicyReport" if group.startswith("wg") else "Report"
        named = {"kind": about[0], "name": about[1], "namespace": self.namespace}
        told = [
            {
                "policy": policy,
                "rule": "check",
                "result": result,
                "severity": "high",
                "message": f"{policy} says {result}",
                "timestamp": {"seconds": int((datetime.now(tz=UTC) - age).timestamp()), "nanos": 0},
                **({} if scoped else {"resources": [named]}),
            }
            for policy, result in results
        ]
        scope = {"scope": named} if scoped else {}
        await self.apply(group, kind, f"of-{about[0].lower()}-{about[1]}", results=told, **scope)


def _written(age: timedelta) -> str:
    return (datetime.now(tz=UTC) - age).strftime("%Y-%m-%dT%H:%M:%SZ")


def _vulnerability(name: str, severity: str) -> Object:
    return {
        "vulnerabilityID": name,
        "severity": severity,
        "resource": "openssl",
        "installedVersion": "3.0.1",
        "fixedVersion": "3.0.2",
        "title": "bad",
        "publishedDate": "2026-01-01T00:00:00Z",
        "lastModifiedDate": "2026-01-01T00:00:00Z",
        "score": 9.8,
    }


@pytest.fixture
async def place(server: Server, admin: Admin, namespace: str) -> AsyncIterator[Place]:
    await admin.grant(RBAC)
    cluster = server.cluster_with(await admin.token_of("platform-bot", "platform-bot"))
    wire = FaultyWire(cluster)
    async with open_kubernetes(cluster, transport=wire, timing=haste()) as kubernetes:
        yield Place(admin, namespace, wire, kubernetes, KubernetesReports(Settings(), kubernetes))


# ---------------------------------------------------------------- vulnerabilities


async def test_findings_in_the_image_that_runs_are_counted_and_the_worst_named(place: Place) -> None:
    await place.runs(IMAGE)
    await place.scanned(("CVE-2026-3", "LOW"), ("CVE-2026-2", "HIGH"), ("CVE-2026-1", "CRITICAL"))
    report = await place.vulnerabilities()
    assert report.verdict is EvidenceVerdict.FINDINGS
    assert report.message == "1 critical, 1 high, 1 low in 1 image"
    assert report.counts == {"critical": 1, "high": 1, "medium": 0, "low": 1, "unknown": 0}
    assert report.subjects == (DIGEST,)
    assert report.lines == (
        "CVE-2026-1 (critical): openssl 3.0.1, fixed in 3.0.2",
        "CVE-2026-2 (high): openssl 3.0.1, fixed in 3.0.2",
        "CVE-2026-3 (low): openssl 3.0.1, fixed in 3.0.2",
    )
    assert report.observed_at is not None


async def test_an_image_without_findings_is_clean(place: Place) -> None:
    await place.runs(IMAGE)
    await place.scanned()
    report = await place.vulnerabilities()
    assert (report.verdict, report.message) == (EvidenceVerdict.CLEAN, "no known vulnerability in 1 image")


async def test_a_missing_report_is_unknown_also_beside_a_clean_one(place: Place) -> None:
    second = "registry.example.com/proxy@sha256:" + "2" * 64
    await place.runs(IMAGE, second)
    assert (await place.vulnerabilities()).message == (
        "no report on container c0 of ReplicaSet orders-1; no report on container c1 of ReplicaSet orders-1"
    )
    await place.scanned()
    report = await place.vulnerabilities()
    assert (report.verdict, report.counts) == (UNKNOWN, {})
    assert report.message == "no report on container c1 of ReplicaSet orders-1"
    await place.scanned(("CVE-2026-1", "HIGH"), container="c1", digest="sha256:" + "2" * 64)
    assert (await place.vulnerabilities()).message == "1 high in 2 images"


async def test_a_report_about_another_image_does_not_count(place: Place) -> None:
    await place.runs(IMAGE)
    await place.scanned(digest="sha256:" + "9" * 64)
    report = await place.vulnerabilities()
    assert report.verdict is UNKNOWN
    assert "is about another image than registry.example.com/orders@sha256:111" in report.message


async def test_an_image_by_tag_is_known_by_the_replica_set_that_was_scanned(place: Place) -> None:
    await place.runs("registry.example.com/team/orders:1.2")
    await place.scanned(repository="team/orders", tag="1.2")
    assert (await place.vulnerabilities()).verdict is EvidenceVerdict.CLEAN
    await place.scanned(repository="team/orders", tag="1.1")
    assert (await place.vulnerabilities()).verdict is UNKNOWN


async def test_the_report_on_the_replica_set_before_does_not_count(place: Place) -> None:
    await place.runs("registry.example.com/orders:1")
    await place.scanned(repository="orders", tag="1")
    spec = {"selector": {"matchLabels": {"app": "orders"}}, "template": pod("registry.example.com/orders:2")}
    changed = await place.apply("apps/v1", "Deployment", "orders", spec=spec)
    report = await place.vulnerabilities()
    assert (report.verdict, report.message) == (
        UNKNOWN,
        "Nothing runs yet of what Deployment orders asks for now.",
    )
    await place.started(changed, "registry.example.com/orders:2", number=2)
    assert (await place.vulnerabilities()).message == "no report on container c0 of ReplicaSet orders-2"


async def test_an_expired_report_is_unknown(place: Place) -> None:
    await place.runs(IMAGE)
    await place.scanned(age=timedelta(hours=25))
    report = await place.vulnerabilities()
    assert (report.verdict, report.message) == (
        UNKNOWN,
        "the report on container c0 of ReplicaSet orders-1 has expired",
    )


async def test_a_workload_without_replica_sets_is_named_itself_and_one_image_counts_once(
    place: Place,
) -> None:
    await place.runs(IMAGE, kind="StatefulSet")
    await place.runs(IMAGE, name="worker")
    await place.scanned(("CVE-2026-1", "HIGH"), owner=("StatefulSet", "orders"))
    await place.scanned(("CVE-2026-1", "HIGH"), owner=("ReplicaSet", "worker-1"))
    assert (await place.vulnerabilities()).message == "1 high in 1 image"


async def test_a_long_list_is_read_to_its_end(place: Place) -> None:
    await place.runs(IMAGE)
    await place.scanned(("CVE-2026-1", "HIGH"))
    place.wire.alter = lambda asked: _in_small_pages(asked)
    await place.reported(("a", "pass"))
    await place.reported(("b", "pass"), about=("Service", "one"))
    await place.reported(("c", "pass"), about=("Service", "two"))
    policies, vulnerabilities = await place.reports()
    assert (policies.verdict, vulnerabilities.message) == (EvidenceVerdict.CLEAN, "1 high in 1 image")
    assert any("continue" in each.url.params for each in place.wire.seen)


def _in_small_pages(asked: Any) -> Any:
    if "limit" in asked.url.params:
        asked.url = asked.url.copy_set_param("limit", "1")
    return asked


# ---------------------------------------------------------------- policies


@pytest.mark.parametrize("group", ["wgpolicyk8s.io/v1alpha2", "openreports.io/v1alpha1"])
@pytest.mark.parametrize("scoped", [True, False])
async def test_policy_results_of_either_group_are_counted(place: Place, group: str, scoped: bool) -> None:
    await place.runs(IMAGE)
    results = (("require-labels", "fail"), ("no-root", "pass"), ("probes", "warn"), ("broken", "error"))
    await place.reported(*results, group=group, scoped=scoped)
    report = await place.policies()
    assert report.verdict is EvidenceVerdict.FINDINGS
    assert report.counts == {"fail": 1, "error": 1, "warn": 1}
    assert report.message == "1 fail, 1 error, 1 warn of 4 results"
    assert report.lines == (
        "require-labels/check on Deployment orders: require-labels says fail",
        "broken/check on Deployment orders: broken says error",
        "probes/check on Deployment orders: probes says warn",
    )


async def test_the_same_result_in_both_groups_counts_once_and_the_newer_word_stands(place: Place) -> None:
    await place.runs(IMAGE)
    await place.reported(("require-labels", "fail"), ("no-root", "fail"))
    await place.reported(("require-labels", "pass"), ("no-root", "fail"), group="openreports.io/v1alpha1",
                         age=timedelta(seconds=-2))  # fmt: skip
    report = await place.policies()
    assert report.counts == {"fail": 1, "error": 0, "warn": 0}
    assert report.message == "1 fail of 2 results"


async def test_results_on_what_is_not_the_service_s_do_not_count(place: Place) -> None:
    await place.runs(IMAGE)
    await place.reported(("require-labels", "fail"), about=("Deployment", "payments"))
    assert (await place.policies()).message == "no report on Deployment orders"
    await place.reported(("require-labels", "pass"))
    assert (await place.policies()).verdict is EvidenceVerdict.CLEAN


async def test_results_from_before_the_last_change_are_outdated(place: Place) -> None:
    await place.runs(IMAGE)
    await place.reported(("require-labels", "pass"), age=timedelta(minutes=10))
    report = await place.policies()
    assert (report.verdict, report.message) == (UNKNOWN, "the report on Deployment orders is outdated")


# ---------------------------------------------------------------- what nothing is known of


async def test_another_revision_than_the_one_that_runs_is_unknown(place: Place) -> None:
    await place.runs(IMAGE)
    await place.scanned()
    await place.reported(("require-labels", "pass"))
    for report in await place.reports(revision=OTHER):
        assert (report.verdict, report.message) == (
            UNKNOWN,
            f"{place.environment} runs aaaaaaa, so its reports are about other images than those of bbbbbbb.",
        )
    assert {each.verdict for each in await place.reports(revision=None)} == {EvidenceVerdict.CLEAN}


async def test_an_application_that_is_not_there_not_ours_or_on_the_move_is_unknown(place: Place) -> None:
    assert (await place.policies()).message == f"Argo CD knows no application orders-{place.environment}."
    await place.runs(IMAGE)
    moving = {
        "operation": {"sync": {"revision": OTHER}},
        "phase": "Running",
        "startedAt": "2026-03-02T09:00:00Z",
    }
    await place.argo_says(operationState=moving)
    assert (await place.policies()).message == f"A deployment to {place.environment} is under way."
    await place.argo_says(history=[])
    assert (await place.policies()).message == f"Nothing was ever deployed to {place.environment}."
    foreign = await place.bot.reports("payments", place.environment, team="test")
    assert {each.verdict for each in foreign} == {UNKNOWN}


async def test_a_service_without_workloads_is_unknown(place: Place) -> None:
    await place.argo_says()
    assert [each.verdict for each in await place.reports()] == [UNKNOWN, UNKNOWN]


async def test_a_group_that_is_not_installed_is_unknown_and_hides_no_other(place: Place) -> None:
    await place.runs(IMAGE)
    await place.scanned()
    gone = api_status(404, "NotFound", "404 page not found")
    place.wire.instead = lambda asked: (
        gone if asked.url.path in {"/apis/wgpolicyk8s.io", "/apis/openreports.io"} else None
    )
    policies, vulnerabilities = await place.reports()
    assert (policies.verdict, policies.message) == (UNKNOWN, "The cluster serves no PolicyReports.")
    assert vulnerabilities.verdict is EvidenceVerdict.CLEAN
    place.wire.instead = lambda asked: gone if asked.url.path == "/apis/aquasecurity.github.io" else None
    assert (await place.vulnerabilities()).message == "The cluster serves no VulnerabilityReports."


async def test_a_right_that_is_missing_is_unknown_and_says_so(place: Place) -> None:
    await place.runs(IMAGE)
    says = 'reports is forbidden: User "b" cannot list resource "vulnerabilityreports"'
    place.wire.instead = lambda asked: (
        api_status(403, "Forbidden", says) if asked.url.path.endswith("vulnerabilityreports") else None
    )
    report = await place.vulnerabilities()
    assert report.verdict is UNKNOWN
    assert "cannot list" in report.message


async def test_a_server_that_is_away_and_garbage_are_unknown(place: Place) -> None:
    await place.runs(IMAGE)
    await place.scanned()
    place.wire.instead = lambda asked: (
        api_status(503, "ServiceUnavailable", "etcd is away") if "applications" in asked.url.path else None
    )
    for report in await place.reports():
        assert (report.verdict, report.message) == (UNKNOWN, "Kubernetes could not be asked: etcd is away")
    await place.kubernetes.timing.sleep(60)
    place.wire.instead = lambda _: None
    await place.apply(
        "wgpolicyk8s.io/v1alpha2",
        "PolicyReport",
        "strange",
        results=[{"policy": "p", "resources": [{"kind": "K"}]}],
    )
    assert (await place.policies()).message == (
        "Kubernetes could not be asked: Kubernetes answered with something that cannot be read: policy reports (KeyError)"
    )


# ---------------------------------------------------------------- rights


async def test_check_is_content_with_exactly_the_shipped_roles(place: Place) -> None:
    findings = await place.bot.check()
    assert [each for each in findings if not each.ok] == []
    assert {each.subject for each in findings} >= {
        "may get applications.argoproj.io in argocd",
        "may list vulnerabilityreports.aquasecurity.github.io in all namespaces",
        "may list policyreports.wgpolicyk8s.io in all namespaces",
        "may list reports.openreports.io in all namespaces",
        "may list replicasets.apps in all namespaces",
        "may get deployments.apps in all namespaces",
    }
    assert place.wire.writes() == []


async def test_check_names_each_missing_right_and_what_is_not_installed(place: Place, server: Server) -> None:
    cluster = server.cluster("bot")
    wire = FaultyWire(cluster)
    wire.instead = lambda asked: (
        api_status(404, "NotFound", "x") if asked.url.path == "/apis/aquasecurity.github.io" else None
    )
    async with open_kubernetes(cluster, transport=wire, timing=haste()) as kubernetes:
        fixes = [each.fix for each in await KubernetesReports(Settings(), kubernetes).check() if not each.ok]
    assert "Install Trivy Operator, or set no limit on vulnerabilities." in fixes
    assert (
        "Add to Role platform-bot-reports: - {apiGroups: [argoproj.io], resources: [applications], verbs: [get]}"
        in fixes
    )
    assert (
        "Add to ClusterRole platform-bot-reports: - {apiGroups: [apps], resources: [replicasets], verbs: [list]}"
        in fixes
    )


async def test_check_says_that_the_server_is_away(place: Place) -> None:
    place.wire.instead = lambda _: api_status(503, "ServiceUnavailable", "etcd is away")
    (finding,) = await place.bot.check()
    assert (finding.ok, finding.detail) == (False, "etcd is away")
    assert "failures in a row" in place.bot.breaker_state()


async def test_a_kubeconfig_that_is_not_there_is_said_at_the_start(tmp_path: Path) -> None:
    surroundings = Surroundings(tmp_path, tmp_path, cast("EntityStore", None), {})
    with pytest.raises(StartError, match="kubeconfig"):
        async with kubernetes_reports.open(Settings(kubeconfig="nowhere"), surroundings):
            raise AssertionError("it opened")
