"""What `python -m bot check` says of External Secrets: is it there, does its store work, which right is missing or too much.

Changes nothing and raises no BackendError. A bot that could read Secrets is a failure like one that could not name keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from bot.errors import BackendError
from integrations._external_secrets_shapes import (
    BACKEND,
    CLUSTER_STORES,
    EXTERNAL_SECRETS,
    GROUP,
    SECRETS,
    VERSION,
)
from integrations._kubernetes import Access, Kubernetes, Object, Resource
from integrations.ports import Finding

READER: Final = "platform-bot-external-secrets-reader"
WRITER: Final = "platform-bot-external-secrets-writer"
"""Names of the ClusterRoles in deploy/kubernetes/rbac-external-secrets.yaml."""
NAMESPACE_VERBS: Final = ("get", "create", "patch", "delete")
READING: Final = ("get", "list", "watch")


async def check_all(
    kubernetes: Kubernetes, *, namespaces: Sequence[str], cluster_store: str
) -> Sequence[Finding]:
    """`namespaces`: where rights of a namespace are asked for; none: everywhere. `cluster_store`: to look at; may be empty."""
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
    if VERSION not in versions:
        served = f"serves {', '.join(versions)} only" if versions else "is not installed"
        fix = "Install or upgrade the External Secrets Operator (0.17 or later)."
        return [reachable, Finding(BACKEND, ok=False, detail=f"{GROUP} {served}", fix=fix)]
    places: Sequence[str | None] = namespaces or (None,)
    findings = [reachable, Finding(BACKEND, ok=True, detail=f"API {', '.join(versions)}")]
    findings.append(await _right(kubernetes, READER, EXTERNAL_SECRETS, ("list",), None))
    findings += [await _right(kubernetes, WRITER, EXTERNAL_SECRETS, NAMESPACE_VERBS, one) for one in places]
    findings += [await _no_secrets(kubernetes, one) for one in dict.fromkeys((None, *places))]
    if cluster_store:
        findings.append(await _store(kubernetes, cluster_store))
    return findings


async def _right(
    kubernetes: Kubernetes, role: str, resource: Resource, verbs: Sequence[str], namespace: str | None
) -> Finding:
    subject = f"may {'/'.join(verbs)} {resource} {_place(namespace)}"
    try:
        held = await _held(kubernetes, resource, verbs, namespace)
    except BackendError as error:
        return Finding(subject, ok=False, detail=error.message, fix=error.fix or "")
    lacking = [verb for verb in verbs if verb not in held]
    if not lacking:
        return Finding(subject, ok=True, detail="granted")
    line = (
        f"- {{apiGroups: [{resource.group}], resources: [{resource.plural}], verbs: [{', '.join(lacking)}]}}"
    )
    return Finding(
        subject, ok=False, detail=f"missing: {', '.join(lacking)}", fix=f"Add to ClusterRole {role}: {line}"
    )


async def _no_secrets(kubernetes: Kubernetes, namespace: str | None) -> Finding:
    subject = f"cannot read Secrets {_place(namespace)}"
    try:
        held = await _held(kubernetes, SECRETS, READING, namespace)
    except BackendError as error:
        return Finding(subject, ok=False, detail=error.message, fix=error.fix or "")
    if not held:
        return Finding(subject, ok=True, detail="denied, rightly")
    return Finding(
        subject,
        ok=False,
        detail=f"may {', '.join(held)} Secrets; it must not",
        fix="Take `secrets` out of every role that is bound to the bot; `kubectl auth can-i --list` names what it holds.",
    )


async def _held(
    kubernetes: Kubernetes, resource: Resource, verbs: Sequence[str], namespace: str | None
) -> list[str]:
    answers = await asyncio.gather(*(kubernetes.may(Access(verb, resource, namespace)) for verb in verbs))
    return [verb for verb, allowed in zip(verbs, answers, strict=True) if allowed]


def _place(namespace: str | None) -> str:
    return f"in {namespace}" if namespace else "in all namespaces"


async def _store(kubernetes: Kubernetes, name: str) -> Finding:
    subject = f"ClusterSecretStore {name}"
    try:
        found = await kubernetes.get(CLUSTER_STORES, name)
    except BackendError as error:
        line = f"- {{apiGroups: [{GROUP}], resources: [{CLUSTER_STORES.plural}], verbs: [get]}}"
        return Finding(subject, ok=False, detail=error.message, fix=f"Add to ClusterRole {READER}: {line}")
    if found is None:
        return Finding(subject, ok=False, detail="there is none", fix="Create it, or correct `store`.")
    conditions: list[Object] = (found.get("status") or {}).get("conditions") or []
    ready: Object = next((each for each in conditions if each.get("type") == "Ready"), {})
    if ready.get("status") == "True":
        return Finding(subject, ok=True, detail=str(ready.get("reason", "ready")))
    detail = (
        ": ".join(str(ready[key]) for key in ("reason", "message") if ready.get(key)) or "not validated yet"
    )
    return Finding(subject, ok=False, detail=detail, fix=f"See `kubectl describe clustersecretstore {name}`.")
