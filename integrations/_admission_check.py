"""What `python -m bot check` says of dry runs: is the cluster there, may the bot speak as the user it tries as, and may that
user try. Changes nothing and raises no BackendError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bot.errors import BackendError
from integrations._kubernetes import Access, Kubernetes, Resource
from integrations._rbac import check_reachable, check_rights, rbac_line
from integrations.ports import Finding

ROLE: Final = "ClusterRole platform-bot-dry-run"
"""As in deploy/kubernetes/rbac-admission.yaml."""
VERBS: Final = ("create", "patch")
"""Both are asked for by server-side apply of what is not there yet."""
_ACCOUNT: Final = "system:serviceaccount:"


async def check_all(
    bot: Kubernetes,
    trying: Kubernetes,
    *,
    impersonated: str | None,
    resources: Sequence[str],
    namespaces: Sequence[str],
) -> Sequence[Finding]:
    """`namespaces`: where rights of a namespace are asked for; none: everywhere."""
    findings = [await check_reachable(bot)]
    if impersonated and findings[0].ok:
        findings.append(await _impersonation(bot, impersonated))
    if not all(each.ok for each in findings):
        # Whatever else is asked as that user would be refused for the same reason.
        return findings
    for name in resources:
        plural, _, group = name.partition(".")
        resource = Resource(group, "v1", plural, plural)
        findings += await check_rights(trying, ROLE, resource, verbs=VERBS, namespaces=namespaces or (None,))
    return findings


async def _impersonation(bot: Kubernetes, impersonated: str) -> Finding:
    """A service account is asked for by its namespace and name, anybody else as a user."""
    subject = f"may speak as {impersonated}"
    kind, namespace, name = "users", "", impersonated
    if impersonated.startswith(_ACCOUNT):
        kind = "serviceaccounts"
        namespace, _, name = impersonated.removeprefix(_ACCOUNT).partition(":")
    resource = Resource("", "v1", kind, kind, namespaced=bool(namespace))
    try:
        if await bot.may(Access("impersonate", resource, namespace or None, name=name)):
            return Finding(subject, ok=True, detail="granted")
    except BackendError as error:
        return Finding(subject, ok=False, detail=error.message, fix=error.fix or "")
    role = f"Role platform-bot-dry-run in {namespace}" if namespace else "a ClusterRole"
    line = rbac_line(resource, ["impersonate"], names=[name])
    return Finding(subject, ok=False, detail="missing: impersonate", fix=f"Add to {role}: {line}")
