"""Images, times and owners in reports, in the shapes that Kubernetes and Trivy give them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from integrations import _report_vulnerabilities as vulnerabilities
from integrations._kubernetes import Object
from integrations._report_subjects import Container, Reference, parse_workload
from integrations._report_vulnerabilities import Image, is_about, parse_image
from integrations.ports import EvidenceVerdict

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DIGEST = "sha256:" + "1" * 64
OWNER = Reference("ReplicaSet", "orders-staging", "orders-1")


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("nginx", Image("nginx", "latest", "")),
        ("nginx:1.27", Image("nginx", "1.27", "")),
        ("localhost:5000/team/orders", Image("localhost:5000/team/orders", "latest", "")),
        ("localhost:5000/team/orders:1", Image("localhost:5000/team/orders", "1", "")),
        (f"ghcr.io/o/orders@{DIGEST}", Image("ghcr.io/o/orders", "", DIGEST)),
        (f"ghcr.io/o/orders:1@{DIGEST}", Image("ghcr.io/o/orders", "1", DIGEST)),
    ],
)
def test_an_image_has_a_path_a_tag_and_perhaps_a_digest(text: str, image: Image) -> None:
    assert parse_image(text) == image


@pytest.mark.parametrize(
    ("artifact", "image", "about"),
    [
        ({"repository": "library/nginx", "tag": "1.27"}, "nginx:1.27", True),
        ({"repository": "library/nginx", "tag": "1.27"}, "docker.io/library/nginx:1.27", True),
        ({"repository": "team/orders", "tag": "1"}, "r.example.com/team/orders:1", True),
        ({"repository": "orders", "tag": "1"}, "r.example.com/team-orders:1", False),
        ({"repository": "team/orders", "tag": "1"}, "r.example.com/team/orders:2", False),
        ({"repository": "team/orders", "tag": "1"}, f"r.example.com/team/orders:1@{DIGEST}", False),
        ({"repository": "else", "digest": DIGEST}, f"r.example.com/team/orders:1@{DIGEST}", True),
        ({}, "r.example.com/team/orders:1", False),
    ],
)
def test_a_report_is_about_an_image_by_digest_or_by_tag(
    artifact: dict[str, str], image: str, about: bool
) -> None:
    assert is_about({"report": {"artifact": artifact}}, image) is about


def report(*, age: timedelta, ttl: str = "", **metadata: object) -> Object:
    labels = {vulnerabilities.CONTAINER_LABEL: "service"}
    owners = [{"kind": OWNER.kind, "name": OWNER.name}]
    return {
        "metadata": {
            "namespace": OWNER.namespace,
            "labels": labels,
            "ownerReferences": owners,
            "annotations": {vulnerabilities.TTL_ANNOTATION: ttl} if ttl else {},
            **metadata,
        },
        "report": {
            "artifact": {"digest": DIGEST},
            "summary": {"criticalCount": 0, "highCount": 1},
            "updateTimestamp": (NOW - age).isoformat(),
            "vulnerabilities": [
                {
                    "vulnerabilityID": "CVE-2026-1",
                    "severity": "HIGH",
                    "resource": "zlib",
                    "installedVersion": "1",
                }
            ],
        },
    }


@pytest.mark.parametrize(
    ("age", "ttl", "verdict"),
    [
        (23, "", EvidenceVerdict.FINDINGS),
        (25, "", EvidenceVerdict.UNKNOWN),
        (2, "1h0m0s", EvidenceVerdict.UNKNOWN),
        (2, "3h30m0s", EvidenceVerdict.FINDINGS),
        (25, "48h0m0s", EvidenceVerdict.UNKNOWN),
        (2, "nonsense", EvidenceVerdict.FINDINGS),
    ],
)
def test_a_report_expires_by_its_own_time_or_by_ours(age: int, ttl: str, verdict: EvidenceVerdict) -> None:
    container = Container(OWNER, "service", f"r.example.com/orders@{DIGEST}")
    judged = vulnerabilities.judge(
        [container], [report(age=timedelta(hours=age), ttl=ttl)], now=NOW, max_age=timedelta(hours=24)
    )
    assert judged.verdict is verdict
    if verdict is EvidenceVerdict.FINDINGS:
        assert judged.lines == ("CVE-2026-1 (high): zlib 1, not fixed yet",)


def test_of_two_reports_on_one_container_the_newer_stands_and_another_namespace_is_none() -> None:
    container = Container(OWNER, "service", f"r.example.com/orders@{DIGEST}")
    old, new = report(age=timedelta(hours=9)), report(age=timedelta(hours=1))
    elsewhere = report(age=timedelta(), namespace="payments-staging")
    judged = vulnerabilities.judge([container], [old, new, elsewhere], now=NOW, max_age=timedelta(hours=24))
    assert judged.observed_at == NOW - timedelta(hours=1)


def test_the_pods_of_a_cron_job_and_what_starts_before_them_are_containers_too() -> None:
    pod = {
        "initContainers": [{"name": "wait", "image": "a:1"}],
        "containers": [{"name": "run", "image": "b:1"}],
    }
    item = {
        "kind": "CronJob",
        "metadata": {"namespace": "orders-staging", "name": "nightly", "uid": "u"},
        "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}},
    }
    workload = parse_workload(item, [])
    owner = Reference("CronJob", "orders-staging", "nightly")
    assert workload.containers == (Container(owner, "wait", "a:1"), Container(owner, "run", "b:1"))
    assert workload.changed_at is None


def test_a_change_of_its_spec_is_a_change_and_scaling_or_status_is_none() -> None:
    def wrote(at: str, what: str, **more: str) -> Object:
        return {"time": at, "fieldsV1": {what: {}}, **more}

    item = {
        "kind": "StatefulSet",
        "metadata": {
            "namespace": "n",
            "name": "orders",
            "uid": "u",
            "creationTimestamp": "2026-03-01T00:00:00Z",
            "managedFields": [
                wrote("2026-03-02T09:00:00Z", "f:spec"),
                wrote("2026-03-02T10:00:00Z", "f:spec", subresource="scale"),
                wrote("2026-03-02T11:00:00Z", "f:status"),
            ],
        },
        "spec": {"template": {"spec": {"containers": []}}},
    }
    assert parse_workload(item, []).changed_at == NOW
