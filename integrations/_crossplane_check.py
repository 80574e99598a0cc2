"""What `python -m bot check` says of Crossplane: is it there, are its definitions usable, and which right is missing.

Changes nothing and raises no BackendError. Every right that `crossplane` uses is asked for by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bot.errors import BackendError
from integrations._crossplane import GROUP, Offer, definitions, parse_offer
from integrations._kubernetes import Kubernetes, Resource
from integrations._rbac import check_reachable, check_rights
from integrations.ports import Finding

READER: Final = "ClusterRole platform-bot-crossplane-reader"
WRITER: Final = "ClusterRole platform-bot-crossplane-writer"
"""As in deploy/kubernetes/rbac-crossplane.yaml."""
EVERYWHERE_VERBS: Final = ("list",)
NAMESPACE_VERBS: Final = ("get", "create", "patch", "delete")


async def check_all(
    kubernetes: Kubernetes, xrds: Mapping[str, str], *, namespaces: Sequence[str]
) -> Sequence[Finding]:
    """`xrds`: kind -> name of its definition. `namespaces`: where rights of a namespace are asked for; none: everywhere."""
    reachable = await check_reachable(kubernetes)
    if not reachable.ok:
        return [reachable]
    try:
        versions = await kubernetes.served_versions(GROUP)
    except BackendError as error:
        return [Finding("Kubernetes", ok=False, detail=error.message, fix=error.fix or "")]
    if not versions:
        missing = f"the API group {GROUP} is not served"
        return [reachable, Finding("Crossplane", ok=False, detail=missing, fix="Install Crossplane.")]
    findings = [reachable, Finding("Crossplane", ok=True, detail=f"API {', '.join(versions)}")]
    source = definitions(versions[0])
    findings += await check_rights(kubernetes, READER, source, verbs=("get",), namespaces=(None,))
    offers: dict[Resource, Offer] = {}
    for kind, xrd in xrds.items():
        finding, offer = await _definition(kubernetes, source, kind=kind, xrd=xrd)
        findings.append(finding)
        if offer:
            offers[offer.resource] = offer
    everywhere: Sequence[None] = (None,)
    for resource in offers:
        findings += await check_rights(
            kubernetes, READER, resource, verbs=EVERYWHERE_VERBS, namespaces=everywhere
        )
        findings += await check_rights(
            kubernetes, WRITER, resource, verbs=NAMESPACE_VERBS, namespaces=namespaces or everywhere
        )
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
