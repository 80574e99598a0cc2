"""What a cluster answers to a write that is only tried: admitted, denied and by which policies, or not asked at all. Mostly pure.

Kyverno, Gatekeeper and validating admission policies each say it in their own shape; their names and words are passed on as they
are, one line for each policy. "Nobody could be asked" is told apart from "denied": a webhook that does not answer, one that
cannot try without doing, a right that the bot lacks.

Sources: k8s.io/apiserver admission/plugin/webhook (the sentences around a webhook's own), Kyverno and Gatekeeper as published.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import httpx
import yaml

from bot.errors import foreign_text
from integrations._http import Answer, Call
from integrations._kubernetes import Kubernetes, Object, Resource
from integrations._kubernetes_errors import parse_status
from integrations.ports import Preview

APPLY: Final = "application/apply-patch+yaml"

_DENIED: Final = re.compile(
    r'admission webhook "(?P<webhook>[^"]+)" denied the request(?:: ?(?P<text>.*)| without explanation)',
    re.DOTALL,
)
_POLICY: Final = re.compile(
    r"ValidatingAdmissionPolicy '(?P<policy>[^']+)' with binding '[^']+' denied request: (?P<text>.*)",
    re.DOTALL,
)
_NOT_TRIED: Final = re.compile(r'admission webhook "[^"]+" does not support dry run')
_NOT_ANSWERED: Final = re.compile(r'fail(?:ed|ing)? (?:to call|calling) webhook "')
_LACKS_RIGHT: Final = re.compile(r'User "[^"]*" cannot \S+ resource "')
_UNTYPED: Final = re.compile(r"failed to create typed patch object")
_DUMP: Final = re.compile(r"Invalid value: [^\s\"{]*\{.*\}: ", re.DOTALL)
_KYVERNO: Final = re.compile(
    r"(?:blocked )?due to the following policies:?\s*\n|for resource violations?:?\s*\n"
)
_GATEKEEPER: Final = re.compile(r"(?m)^\[(?P<constraint>[a-z0-9][a-z0-9.-]*)\] ")
_WARNING: Final = re.compile(r'(?P<code>\d{3}) \S+ "(?P<text>(?:[^"\\]|\\.)*)"')
_KUBERNETES_WARNS: Final = "299"
"""The only code of the API server's own warnings; others are of proxies and caches."""


class Outcome(StrEnum):
    ADMITTED = "admitted"
    DENIED = "denied"
    LACKS_RIGHT = "lacks_right"
    """Who asks may not: this is no word of any policy."""
    NO_NAMESPACE = "no_namespace"
    ABSENT = "absent"
    """There is nothing of this name to change."""
    EXISTS = "exists"
    """Every policy let its creation pass, and there is one of this name."""
    CONFLICT = "conflict"
    """Somebody else holds a field. Said before any policy is asked."""
    UNTYPED = "untyped"
    """Server-side apply cannot read it: a field that does not exist, or a list whose keys are left to defaults, which other
    ways of writing take. Said before any policy is asked."""
    NOT_ASKED = "not_asked"


@dataclass(frozen=True)
class Verdict:
    """`lines` say why it was not admitted; `warnings` come with any outcome."""

    outcome: Outcome
    lines: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


# ---------------------------------------------------------------- trying


async def preview_claim(
    kubernetes: Kubernetes, resource: Resource, intent: Object, *, field_manager: str
) -> Preview:
    """Of an object that the bot itself will write in the same way: what would stop the write then is a denial now.

    Raises BackendError.
    """
    subject = describe(intent)
    verdict = read(await kubernetes.dry_run(apply_call(resource, intent, field_manager=field_manager)))
    warnings = about(subject, verdict.warnings)
    if verdict.outcome is Outcome.ADMITTED:
        return Preview(warnings=warnings)
    if verdict.outcome is Outcome.NOT_ASKED:
        return Preview(warnings=warnings, unknown=about(subject, verdict.lines))
    return Preview(warnings=warnings, denials=about(subject, verdict.lines))


def apply_call(resource: Resource, intent: Object, *, field_manager: str) -> Call:
    metadata = intent["metadata"]
    return Call(
        "PATCH",
        resource.path(namespace=metadata.get("namespace"), name=metadata["name"]),
        params={"fieldManager": field_manager},
        body=intent,
        headers={"Content-Type": APPLY},
    )


def describe(manifest: Mapping[str, Any]) -> str:
    """`Deployment orders`."""
    metadata = manifest.get("metadata") or {}
    return f"{manifest.get('kind')} {metadata.get('name') or metadata.get('generateName')}"


def about(subject: str, lines: tuple[str, ...]) -> tuple[str, ...]:
    """Each cut to what is kept of foreign text, without what looks like a secret."""
    return tuple(foreign_text(f"{subject}: {line}") for line in lines)


# ---------------------------------------------------------------- reading


def read(answer: Answer) -> Verdict:
    warnings = parse_warnings(answer.headers)
    if answer.status < 300:
        return Verdict(Outcome.ADMITTED, warnings=warnings)
    outcome, lines = _refused(answer)
    return Verdict(outcome, lines, warnings)


def _refused(answer: Answer) -> tuple[Outcome, tuple[str, ...]]:
    status = parse_status(answer.content)
    message, details = str(status.get("message") or ""), status.get("details") or {}
    if _NOT_TRIED.search(message) or _NOT_ANSWERED.search(message):
        return Outcome.NOT_ASKED, (message,)
    if denials := parse_denial(message):
        return Outcome.DENIED, denials
    if answer.status == 404 and details.get("kind") == "namespaces":
        return Outcome.NO_NAMESPACE, (f"there is no namespace {details.get('name')}",)
    if answer.status == 404 and details.get("name"):
        return Outcome.ABSENT, (message,)
    if _UNTYPED.search(message):
        return Outcome.UNTYPED, (message,)
    if any(each.get("reason") == "FieldManagerConflict" for each in details.get("causes") or []):
        return Outcome.CONFLICT, (message,)
    if status.get("reason") == "AlreadyExists":
        return Outcome.EXISTS, (message,)
    if answer.status == 403 and _LACKS_RIGHT.search(message):
        return Outcome.LACKS_RIGHT, (message,)
    # What is forbidden to everybody, or is not valid: a quota, a pod security level, a field that does not exist.
    if message and answer.status in {400, 403, 413, 422}:
        return Outcome.DENIED, _invalid(details) or (message,)
    return Outcome.NOT_ASKED, (message or f"the API server answered {answer.status} without saying why",)


def _invalid(details: Mapping[str, Any]) -> tuple[str, ...]:
    """`field: what is wrong with it`, one for each, without the dump of the value that comes before it."""
    return tuple(
        f"{cause['field']}: {_DUMP.sub('Invalid value: ', str(cause.get('message', '')))}"
        for cause in details.get("causes") or []
        if cause.get("field")
    )


def parse_denial(message: str) -> tuple[str, ...]:
    """`policy: what it says`, one for each policy; empty where no admission control speaks."""
    if found := _POLICY.search(message):
        return (f"{found['policy']}: {found['text']}",)
    denied = _DENIED.search(message)
    if denied is None:
        return ()
    text = (denied["text"] or "").strip()
    lines = tuple(_kyverno(text)) or tuple(_gatekeeper(text))
    return lines or (f"{denied['webhook']}: {text or 'denied without explanation'}",)


def _kyverno(text: str) -> Iterator[str]:
    """Below a heading, `policy:` and indented `rule: message`, as YAML. Yields nothing for anything else."""
    heading = _KYVERNO.search(text)
    if heading is None:
        return
    try:
        policies = yaml.safe_load(text[heading.end() :])
    except yaml.YAMLError:
        return
    if not isinstance(policies, dict):
        return
    for policy, rules in policies.items():
        if isinstance(rules, str):
            yield f"{policy}: {rules}"
        elif isinstance(rules, dict):
            yield from (f"{policy}/{rule}: {said}" for rule, said in rules.items() if isinstance(said, str))


def _gatekeeper(text: str) -> Iterator[str]:
    """`[constraint] message`, one or more lines each."""
    found = list(_GATEKEEPER.finditer(text))
    if not found or found[0].start() != 0:
        return
    ends = [*(each.start() for each in found[1:]), len(text)]
    for each, end in zip(found, ends, strict=True):
        yield f"{each['constraint']}: {text[each.end() : end].strip()}"


def parse_warnings(headers: httpx.Headers) -> tuple[str, ...]:
    """Each once, in the order they came (RFC 7234, 5.5: several to a header, several headers)."""
    found = (
        re.sub(r"\\(.)", r"\1", each["text"])
        for line in headers.get_list("warning")
        for each in _WARNING.finditer(line)
        if each["code"] == _KUBERNETES_WARNS
    )
    return tuple(dict.fromkeys(found))
