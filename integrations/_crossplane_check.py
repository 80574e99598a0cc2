"""What `python -m bot check` says of Crossplane: is it there, are its definitions usable, and which right is missing.

Changes nothing and raises no BackendError. Every right that `crossplane` uses is asked for by name, and one that is missing
is answered with the line to paste into the role.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from bot.errors import BackendError
from integrations._crossplane import GROUP, Offer, definitions, parse_offer
from integrations._kubernetes import Access, Kubernetes, Resource
from integrations.ports import Finding

READER: Final = "platform-bot-crossplane-reader"
WRITER: Final = "platform-bot-crossplane-writer"
"""Names of the ClusterRoles in deploy/kubernetes/rbac-crossplane.yaml."""
EVERYWHERE_VERBS: Final = ("list",)
NAMESPACE_VERBS: Final = ("get", "create", "patch", "delete")


def rbac_line(resource: Resource, verbs: Sequence[str]) -> str:
    """One rule of a role, as it stands in YAML."""
    group = resource.group or '""'
    return f"- {{apiGroups: [{group}], resources: [{resource.plural}], verbs: [{', '.join(verbs)}]}}"


async def check_all(
    kubernetes: Kubernetes, xrds: Mapping[str, str], *, namespaces: Sequence[str]
) -> Sequence[Finding]:
    """`xrds`: kind -> name of its definition. `namespaces`: where rights of a namespace are asked for; none: everywhere."""
    where = kubernetes.cluster.origin
    try:
        detail = f"{await kubernetes.version()} at {kubernetes.cluster.server} ({where})"
        if (state := kubernetes.breaker_state()) != "closed":
            detail = f"{detail}; circuit breaker {state}"
        reachable = Finding("Kubernetes", ok=True, detail=detail)
        versions = await kubernetes.served_versions(GROUP)
    except BackendError as error:
        fix = (
            error.fix or f"Check that {kubernetes.cluster.server} can be reached from here, as {where} says."
        )
        return [Finding("Kubernetes", ok=False, detail=error.message, fix=fix)]
    if not versions:
        missing = f"the API group {GROUP} is not served"
        return [reachable, Finding("Crossplane", ok=False, detail=missing, fix="Install Crossplane.")]
    findings = [reachable, Finding("Crossplane", ok=True, detail=f"API {', '.join(versions)}")]
    source = definitions(versions[0])
    findings += await _rights(kubernetes, READER, source, ("get",), (None,))
    offers: dict[Resource, Offer] = {}
    for kind, xrd in xrds.items():
        finding, offer = await _definition(kubernetes, source, kind=kind, xrd=xrd)
        findings.append(finding)
        if offer:
            offers[offer.resource] = offer
    for resource in offers:
        findings += await _rights(kubernetes, READER, resource, EVERYWHERE_VERBS, (None,))
        findings += await _rights(kubernetes, WRITER, resource, NAMESPACE_VERBS, namespaces or (None,))
    return findings


async def _definition(
    kubernetes: Kubernetes, source: Resource, *, kind: str, xrd: str
) -> tuple[Finding, Offer | None]:
    try:
        found = await kubernetes.get(source, xrd)
        if found is None:
            fix = f"Install {xrd}, or correct `kinds.{kind}.xrd`."
            return Finding(kind, ok=False, detail=f"there is no definition {xrd}", fix=fix), None
        offer = parse_offer(found)
    except BackendError as error:
        return Finding(kind, ok=False, detail=error.message, fix=error.fix or ""), None
    if offer.problem:
        return Finding(kind, ok=False, detail=offer.problem, fix=f"See `kubectl describe xrd {xrd}`."), offer
    return Finding(kind, ok=True, detail=f"{offer.resource} {offer.resource.version}, {offer.style}"), offer


async def _rights(
    kubernetes: Kubernetes,
    role: str,
    resource: Resource,
    verbs: Sequence[str],
    namespaces: Sequence[str | None],
) -> list[Finding]:
    """One finding for each place."""
    findings = []
    for namespace in namespaces:
        place = (
            f"in {namespace}" if namespace else "in all namespaces" if resource.namespaced else "cluster-wide"
        )
        subject = f"may {'/'.join(verbs)} {resource} {place}"
        asked = [Access(verb, resource, namespace) for verb in verbs]
        try:
            answers = await asyncio.gather(*(kubernetes.may(each) for each in asked))
        except BackendError as error:
            findings.append(Finding(subject, ok=False, detail=error.message, fix=error.fix or ""))
            continue
        lacking = [each.verb for each, allowed in zip(asked, answers, strict=True) if not allowed]
        fix = f"Add to ClusterRole {role}: {rbac_line(resource, lacking)}" if lacking else ""
        detail = f"missing: {', '.join(lacking)}" if lacking else "granted"
        findings.append(Finding(subject, ok=not lacking, detail=detail, fix=fix))
    return findings
