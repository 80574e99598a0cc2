"""What admission controls say, in the shapes they publish: policy by policy, and never taken for something else."""

from __future__ import annotations

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations._http import Answer
from integrations._kubernetes_dry_run import Outcome, parse_denial, parse_warnings, read

KYVERNO = 'admission webhook "validate.kyverno.svc-fail" denied the request: '
BLOCKED = KYVERNO + "\n\nresource Deployment/orders/orders was blocked due to the following policies \n\n"
GATEKEEPER = 'admission webhook "validation.gatekeeper.sh" denied the request: '


def answer(code: int, message: str, reason: str = "", **details: object) -> Answer:
    body = {"kind": "Status", "message": message, "reason": reason, "code": code, "details": details}
    return Answer(code, httpx.Headers(), json.dumps(body).encode())


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        (
            BLOCKED + "require-labels:\n  check-team: 'validation error: team is missing.'\n",
            ("require-labels/check-team: validation error: team is missing.",),
        ),
        (
            BLOCKED + "a:\n  one: first\n  two: |-\n    second,\n    in two lines\nb:\n  three: third\n",
            ("a/one: first", "a/two: second,\nin two lines", "b/three: third"),
        ),
        (
            KYVERNO + "\n\npolicy Pod/orders/one for resource violation: \n\nno-root:\n  check: no\n",
            # YAML's own idea of "no" is no sentence of a policy: then all of it is passed on as it came.
            ("validate.kyverno.svc-fail: policy Pod/orders/one for resource violation: \n\nno-root:\n  check: no",),
        ),
        (
            KYVERNO + "Policy require-labels failed: the label team is missing",
            ("validate.kyverno.svc-fail: Policy require-labels failed: the label team is missing",),
        ),
        (BLOCKED + "- [not, a, policy", (("validate.kyverno.svc-fail: resource Deployment/orders/orders was blocked "
         "due to the following policies \n\n- [not, a, policy"),)),
        (
            GATEKEEPER + '[must-have-owner] you must provide labels: {"owner"}\n[no-root] runs as root\n',
            ('must-have-owner: you must provide labels: {"owner"}', "no-root: runs as root"),
        ),
        (
            GATEKEEPER + "[one] first line\nsecond line of it [two] is no constraint",
            ("one: first line\nsecond line of it [two] is no constraint",),
        ),
        (
            ("deployments.apps \"orders\" is forbidden: ValidatingAdmissionPolicy 'replicas.example.com' with binding "
            "'replicas-prod' denied request: failed expression: object.spec.replicas <= 5"),
            ("replicas.example.com: failed expression: object.spec.replicas <= 5",),
        ),
        ('admission webhook "mine.example.com" denied the request without explanation',
         ("mine.example.com: denied without explanation",)),
        ('admission webhook "mine.example.com" denied the request: ', ("mine.example.com: denied without explanation",)),
        ("services \"orders\" is forbidden: exceeded quota", ()),
    ],
)  # fmt: skip
def test_each_policy_says_its_own_words(message: str, lines: tuple[str, ...]) -> None:
    assert parse_denial(message) == lines


RBAC = 'deployments.apps "orders" is forbidden: User "bot" cannot patch resource "deployments" in API group "apps"'
CALLING = 'Internal error occurred: failed calling webhook "validate.kyverno.svc-fail": Post "https://k": EOF'


@pytest.mark.parametrize(
    ("refused", "outcome"),
    [
        (answer(400, GATEKEEPER + "[a] b"), Outcome.DENIED),
        (answer(403, GATEKEEPER + "[a] b", "Forbidden"), Outcome.DENIED),
        (answer(404, GATEKEEPER + "[a] b", "NotFound", kind="namespaces"), Outcome.DENIED),
        (answer(409, GATEKEEPER + "[a] b", "Conflict"), Outcome.DENIED),
        (answer(500, GATEKEEPER + "[a] b", "InternalError"), Outcome.DENIED),
        (answer(403, RBAC, "Forbidden"), Outcome.LACKS_RIGHT),
        (answer(403, 'pods "orders" is forbidden: violates PodSecurity "restricted"', "Forbidden"), Outcome.DENIED),
        (answer(422, "Deployment is invalid", "Invalid"), Outcome.DENIED),
        (answer(500, CALLING, "InternalError"), Outcome.NOT_ASKED),
        (answer(500, CALLING.replace("failed calling", "failed to call"), "InternalError"), Outcome.NOT_ASKED),
        (answer(400, 'admission webhook "a" does not support dry run', "BadRequest"), Outcome.NOT_ASKED),
        (answer(500, "etcdserver: request timed out", "InternalError"), Outcome.NOT_ASKED),
        (answer(404, 'namespaces "orders" not found', "NotFound", kind="namespaces", name="orders"), Outcome.NO_NAMESPACE),
        (answer(404, 'services "orders" not found', "NotFound", kind="services", name="orders"), Outcome.ABSENT),
        (Answer(404, httpx.Headers(), b"404 page not found"), Outcome.NOT_ASKED),
        (Answer(403, httpx.Headers(), b"<html>a proxy</html>"), Outcome.NOT_ASKED),
        (answer(409, "x", "Conflict", causes=[{"reason": "FieldManagerConflict"}]), Outcome.CONFLICT),
        (answer(409, 'jobs.batch "x" already exists', "AlreadyExists", name="x"), Outcome.EXISTS),
        (Answer(201, httpx.Headers(), b"{}"), Outcome.ADMITTED),
    ],
)  # fmt: skip
def test_a_denial_a_missing_right_and_nobody_asked_are_three_things(
    refused: Answer, outcome: Outcome
) -> None:
    verdict = read(refused)
    assert verdict.outcome is outcome
    assert bool(verdict.lines) is (outcome is not Outcome.ADMITTED)


def test_what_is_invalid_is_told_field_by_field_without_the_object_in_between() -> None:
    causes = [
        {
            "field": "spec.template",
            "message": "Invalid value: core.PodTemplateSpec{A:1, B:{}}: field is immutable",
        },
        {"field": "spec.replicas", "message": "Invalid value: -1: must be greater than or equal to 0"},
        {"field": "spec", "message": 'Invalid value: {"a":{"b":1}}: no such thing'},
    ]
    assert read(answer(422, "Deployment is invalid: …", "Invalid", causes=causes)).lines == (
        "spec.template: Invalid value: field is immutable",
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        "spec: Invalid value: no such thing",
    )


@pytest.mark.parametrize(
    ("lines", "texts"),
    [
        (['299 - "policy \\"a\\": b, c"'], ('policy "a": b, c',)),
        (['299 - "one"', '299 - "two"', '299 - "one"'], ("one", "two")),
        (['299 - "one", 299 - "two"'], ("one", "two")),
        (['110 proxy "stale"'], ()),
        (["nonsense"], ()),
        ([], ()),
    ],
)
def test_warnings_are_the_server_s_own_and_each_is_told_once(
    lines: list[str], texts: tuple[str, ...]
) -> None:
    assert parse_warnings(httpx.Headers([("Warning", line) for line in lines])) == texts


@given(st.text(max_size=300))
def test_whatever_a_webhook_says_it_is_a_denial_with_something_to_read(said: str) -> None:
    verdict = read(answer(400, f'admission webhook "w" denied the request: {said}'))
    assert verdict.outcome in {Outcome.DENIED, Outcome.NOT_ASKED}
    assert verdict.lines
