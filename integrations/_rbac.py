"""Rights in a cluster, asked for by name, and each that is missing answered with the line to paste. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bot.errors import BackendError
from integrations._kubernetes import Access, Kubernetes, Resource
from integrations.ports import Finding


def rbac_line(resource: Resource, verbs: Sequence[str], *, names: Sequence[str] = ()) -> str:
    """One rule of a role, as it stands in YAML."""
    group = resource.group or '""'
    named = f", resourceNames: [{', '.join(names)}]" if names else ""
    return f"- {{apiGroups: [{group}], resources: [{resource.plural}]{named}, verbs: [{', '.join(verbs)}]}}"


async def check_rights(
    kubernetes: Kubernetes,
    role: str,
    resource: Resource,
    *,
    verbs: Sequence[str],
    namespaces: Sequence[str | None],
) -> list[Finding]:
    """One finding for each place; `None` among `namespaces` is everywhere."""
    return [await _check_rights(kubernetes, role, resource, verbs, namespace) for namespace in namespaces]


async def _check_rights(
    kubernetes: Kubernetes, role: str, resource: Resource, verbs: Sequence[str], namespace: str | None
) -> Finding:
    place = f"in {namespace}" if namespace else "in all namespaces" if resource.namespaced else "cluster-wide"
    subject = f"may {'/'.join(verbs)} {resource} {place}"
    try:
        answers = await asyncio.gather(*(kubernetes.may(Access(verb, resource, namespace)) for verb in verbs))
    except BackendError as error:
        return Finding(subject, ok=False, detail=error.message, fix=error.fix or "")
    lacking = [verb for verb, allowed in zip(verbs, answers, strict=True) if not allowed]
    fix = f"Add to {role}: {rbac_line(resource, lacking)}" if lacking else ""
    detail = f"missing: {', '.join(lacking)}" if lacking else "granted"
    return Finding(subject, ok=not lacking, detail=detail, fix=fix)


async def check_reachable(kubernetes: Kubernetes) -> Finding:
    """Is there a server, which, and what its breaker says."""
    where = kubernetes.cluster.origin
    try:
        detail = f"{await kubernetes.version()} at {kubernetes.cluster.server} ({where})"
    except BackendError as error:
        fix = (
            error.fix or f"Check that {kubernetes.cluster.server} can be reached from here, as {where} says."
        )
        return Finding("Kubernetes", ok=False, detail=error.message, fix=fix)
    if (state := kubernetes.breaker_state()) != "closed":
        detail = f"{detail}; circuit breaker {state}"
    return Finding("Kubernetes", ok=True, detail=detail)
