"""The manifests of a created service: what a cluster would get, and what a security reviewer looks for."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

Render = Callable[..., Path]
CONTAINER_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def base(folder: Path) -> dict[str, Any]:
    """Kind -> object, of what the base's kustomization lists; every listed file exists and none is forgotten."""
    k8s = folder / "k8s" / "base"
    listed = yaml.safe_load((k8s / "kustomization.yaml").read_text())["resources"]
    assert sorted([*listed, "kustomization.yaml"]) == sorted(path.name for path in k8s.iterdir())
    objects = [yaml.safe_load((k8s / name).read_text()) for name in listed]
    return {each["kind"]: each for each in objects}


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return only


def variables(deployment: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(deployment)["env"]}


def kustomize() -> Sequence[str] | None:
    if shutil.which("kustomize"):
        return ("kustomize", "build")
    return ("kubectl", "kustomize") if shutil.which("kubectl") else None


def overlay(folder: Path, environment: str) -> dict[str, Any]:
    command = kustomize()
    if command is None:
        pytest.skip("neither kustomize nor kubectl is installed")
    built = subprocess.run(
        [*command, str(folder / "k8s" / "overlays" / environment)], check=True, capture_output=True, text=True
    )
    return {each["kind"]: each for each in yaml.safe_load_all(built.stdout)}


def test_pod_has_no_rights_it_does_not_need(render: Render, database: str) -> None:
    pod = base(render(database=database))["Deployment"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in pod["containers"]:
        assert each["securityContext"] == CONTAINER_SECURITY
        assert set(each["resources"]) == {"requests", "limits"}
        for amounts in each["resources"].values():
            assert set(amounts) == {"cpu", "memory"}
    assert not any("hostPath" in volume for volume in pod["volumes"])


def test_probes_ask_where_the_service_answers(golden_path: Any, render: Render) -> None:
    objects = base(render(port=9000))
    only = container(objects["Deployment"])
    assert only["livenessProbe"]["httpGet"] == {"path": golden_path.about["health_path"], "port": "http"}
    assert only["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert only["ports"] == [{"name": "http", "containerPort": 9000}]
    assert variables(objects["Deployment"])["PORT"] == "9000"
    assert objects["Service"]["spec"]["ports"][0]["targetPort"] == "http"


def test_service_and_deployment_find_the_same_pods(render: Render) -> None:
    objects = base(render())
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        objects["Service"]["spec"]["selector"],
        objects["Deployment"]["spec"]["selector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()


def test_every_object_says_whose_it_is(render: Render, database: str) -> None:
    for kind, each in base(render(database=database)).items():
        assert each["metadata"]["labels"]["app.kubernetes.io/name"] == "orders", kind
        assert each["metadata"]["labels"]["app.kubernetes.io/part-of"] == "shop", kind
        assert each["metadata"]["annotations"]["platform.company.com/owner"] == "group:default/shop", kind


def test_there_is_time_to_stop(render: Render) -> None:
    deployment = base(render())["Deployment"]
    grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace >= int(variables(deployment)["SHUTDOWN_DELAY_SECONDS"]) + 5


def test_the_database_url_reaches_the_pod_as_a_file_and_never_as_a_variable(render: Render) -> None:
    objects = base(render(database="postgresql"))
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    (volume,) = [each for each in pod["volumes"] if each["name"] == "database"]
    (mount,) = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "database"]
    assert mount["readOnly"] is True
    assert "optional" not in volume["secret"], "a service that needs its database waits for it"
    assert variables(objects["Deployment"])["DATABASE_URL_FILE"] == f"{mount['mountPath']}/url"
    assert not any("valueFrom" in each for each in pod["containers"][0]["env"])


def test_secrets_of_the_team_are_files_too_and_none_is_fine(render: Render) -> None:
    pod = base(render())["Deployment"]["spec"]["template"]["spec"]
    (volume,) = [each for each in pod["volumes"] if each["name"] == "secrets"]
    (mount,) = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "secrets"]
    assert volume["secret"] == {"secretName": "orders-secrets", "defaultMode": 0o440, "optional": True}
    assert mount == {"name": "secrets", "mountPath": "/run/secrets/service", "readOnly": True}


def test_no_manifest_claims_what_only_an_approved_plan_may(render: Render, database: str) -> None:
    assert set(base(render(database=database))) == {"ServiceAccount", "Deployment", "Service"}


def test_without_a_database_nothing_of_one_is_there(render: Render) -> None:
    folder = render(database="none")
    for path in (folder / "k8s").rglob("*.yaml"):
        assert "database" not in path.read_text().lower(), path


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_an_environment_is_the_base_with_its_own_size_and_secret(
    render: Render, database: str, environment: str
) -> None:
    folder = render(database=database)
    objects = overlay(folder, environment)
    extra = {"PodDisruptionBudget"} if environment == "production" else set()
    assert set(objects) == set(base(folder)) | extra
    deployment = objects["Deployment"]
    assert variables(deployment)["ENVIRONMENT"] == environment
    assert variables(deployment)["HOST"] == "0.0.0.0"
    assert container(deployment)["image"] == "ghcr.io/acme/orders:unreleased"
    assert container(deployment)["securityContext"] == CONTAINER_SECURITY
    assert deployment["spec"]["replicas"] == (3 if environment == "production" else 1)
    secrets = [
        each["secret"]["secretName"]
        for each in deployment["spec"]["template"]["spec"]["volumes"]
        if each["name"] == "database"
    ]
    # The name that the claim of the plan gives its connection secret.
    assert secrets == ([] if database == "none" else [f"orders-{environment}-db-connection"])


def test_a_drain_never_takes_the_last_pod_of_production(render: Render) -> None:
    objects = overlay(render(), "production")
    budget = objects["PodDisruptionBudget"]["spec"]
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    assert 1 <= budget["minAvailable"] < objects["Deployment"]["spec"]["replicas"]


def test_a_hostile_description_survives_kustomize(render: Render) -> None:
    typed = "a \"b\" 'c': # {{ 7*7 }}\n- d \u2028 é 😀"
    annotations = overlay(render(description=typed), "staging")["Deployment"]["metadata"]["annotations"]
    assert annotations["platform.company.com/description"] == typed
