"""What reports have to be about: the workloads of a service as they stand, their containers, and what they were started by. Pure.

Scanners name the ReplicaSet of a Deployment, policy engines the Deployment itself; both keep reports of what no longer runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from integrations._argocd_shapes import parse_time
from integrations._kubernetes import Object, Resource

DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", "Deployment")
ROLLOUTS: Final = Resource("argoproj.io", "v1alpha1", "rollouts", "Rollout")
REPLICA_SETS: Final = Resource("apps", "v1", "replicasets", "ReplicaSet")
WORKLOADS: Final[Mapping[tuple[str, str], Resource]] = {
    (each.group, each.kind): each
    for each in (
        DEPLOYMENTS,
        ROLLOUTS,
        Resource("apps", "v1", "statefulsets", "StatefulSet"),
        Resource("apps", "v1", "daemonsets", "DaemonSet"),
        Resource("batch", "v1", "cronjobs", "CronJob"),
    )
}
BY_REPLICA_SETS: Final = frozenset({DEPLOYMENTS.kind, ROLLOUTS.kind})
_REVISIONS: Final = ("deployment.kubernetes.io/revision", "rollout.argoproj.io/revision")


@dataclass(frozen=True)
class Reference:
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Container:
    """`owner` is what a scanner names: the ReplicaSet where there is one, else the workload."""

    owner: Reference
    name: str
    image: str

    def __str__(self) -> str:
        return f"container {self.name} of {self.owner}"


@dataclass(frozen=True)
class Workload:
    """`changed_at`: when its intent was written last. `starting`: nothing runs of its present template yet."""

    reference: Reference
    changed_at: datetime | None
    containers: tuple[Container, ...]
    starting: bool = False


def parse_workload(item: Object, replica_sets: Sequence[Object]) -> Workload:
    """Raises KeyError, TypeError, ValueError for anything that is no workload."""
    reference = _reference(item)
    template = _template(item)
    owner = reference
    if reference.kind in BY_REPLICA_SETS:
        current = _current(item, template, replica_sets)
        if current is None:
            return Workload(reference, _changed_at(item), (), starting=True)
        owner = Reference(
            REPLICA_SETS.kind, current["metadata"]["namespace"], str(current["metadata"]["name"])
        )
    containers = tuple(Container(owner, name, image) for name, image in _images(template))
    return Workload(reference, _changed_at(item), containers)


def _reference(item: Object) -> Reference:
    metadata = item["metadata"]
    return Reference(str(item["kind"]), str(metadata["namespace"]), str(metadata["name"]))


def _template(item: Object) -> Mapping[str, Any]:
    spec = item["spec"]
    return dict((spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec)["template"]["spec"])


def _images(template: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [*(template.get("initContainers") or []), *template["containers"]]
    return [(str(each["name"]), str(each["image"])) for each in found]


def _current(item: Object, template: Mapping[str, Any], replica_sets: Sequence[Object]) -> Object | None:
    """The newest of its own that runs the same images."""
    uid, wanted = item["metadata"]["uid"], _images(template)
    own = [
        each
        for each in replica_sets
        if any(owner.get("uid") == uid for owner in each["metadata"].get("ownerReferences") or [])
        and _images(_template(each)) == wanted
    ]
    return max(own, key=_age, default=None)


def _age(replica_set: Object) -> tuple[int, str]:
    annotations = replica_set["metadata"].get("annotations") or {}
    number = next((annotations[each] for each in _REVISIONS if each in annotations), "0")
    return int(number), str(replica_set["metadata"].get("creationTimestamp", ""))


def _changed_at(item: Object) -> datetime | None:
    """When somebody last wrote its `spec`: scaling and status are no changes of what runs."""
    times = [
        parse_time(each.get("time"))
        for each in item["metadata"].get("managedFields") or []
        if not each.get("subresource") and "f:spec" in (each.get("fieldsV1") or {})
    ]
    known = [each for each in times if each is not None]
    return max(known) if known else parse_time(item["metadata"].get("creationTimestamp"))
