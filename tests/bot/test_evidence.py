"""What others say of a plan becomes facts and notes of it: in time, the same twice, and nothing where nobody is there to ask."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from fake_backends import FakeAdmission, FakeEvidence
from fake_context import REQUEST_ID, FakeContext, make_plan

from bot import evidence, steps
from bot.domain import Plan, plan_hash
from bot.errors import BackendErrorKind, PermanentBackendError, TemporaryBackendError
from bot.evidence import Heard, Source, considered, considered_in_an_emergency, told
from integrations.ports import EvidenceKind, EvidenceReport, EvidenceVerdict, Preview

REVISION = "a" * 40
SOURCE = Source("staging", REVISION)
CLAIM = steps.plan_claim(
    steps.database_claim(service="orders", environment="production", team="orders", kind="postgresql")
)
MANIFESTS: Sequence[dict[str, Any]] = ({"kind": "Deployment"}, {"kind": "Service"})
POLICIES, VULNERABILITIES = EvidenceKind.POLICIES, EvidenceKind.VULNERABILITIES


def application(clone_url: str = "file:///git/orders.git") -> Any:
    return steps.plan_application(
        service="orders", team="orders", environment="production", golden_path="python-service",
        health_path="/up", clone_url=clone_url,
    )  # fmt: skip


def report(
    kind: EvidenceKind, verdict: EvidenceVerdict = EvidenceVerdict.FINDINGS, **more: Any
) -> EvidenceReport:
    values = {"source": "scanner", "message": "found", "counts": {}, **more}
    return EvidenceReport(kind, verdict=verdict, **values)


@dataclass
class House:
    """A platform with both ports, and one plan."""

    ctx: FakeContext
    admission: FakeAdmission
    reports: FakeEvidence

    def renders(self, manifests: Sequence[dict[str, Any]] = MANIFESTS) -> None:
        self.ctx.backends.delivery.rendered["orders", "production", REVISION] = manifests

    async def considered(self, *planned: Any) -> Plan:
        plan = make_plan(steps=planned, notes=("first",))
        return await considered(self.ctx, plan, revision=REVISION, source=SOURCE)


@pytest.fixture
def house() -> House:
    ctx = FakeContext(request_id=REQUEST_ID)
    admission, reports = FakeAdmission(), FakeEvidence()
    ctx.backends.admission, ctx.backends.evidence = admission, reports
    reports.known["staging", REVISION] = ()
    return House(ctx, admission, reports)


# ---------------------------------------------------------------- nobody to ask


async def test_without_the_ports_and_objections_the_plan_is_the_very_same() -> None:
    ctx = FakeContext(request_id=REQUEST_ID)
    plan = make_plan(steps=(CLAIM, application()))
    same = await considered(ctx, plan, revision=REVISION, source=SOURCE)
    assert plan_hash(same, ()) == plan_hash(plan, ())
    assert await considered_in_an_emergency(ctx, plan, revision=REVISION) is plan


# ---------------------------------------------------------------- admission


async def test_what_would_be_refused_is_a_fact_whoever_says_it(house: House) -> None:
    house.renders()
    backends = house.ctx.backends
    backends.infrastructure.previews["orders-production-db"] = Preview(denials=("claim: no",))
    backends.delivery.previews["orders", "production"] = Preview(denials=("application: no",))
    house.admission.says = Preview(denials=("Deployment: no",), warnings=("Service: careful",))
    plan = await house.considered(CLAIM, application())
    assert plan.facts == {
        "admission_objects": "2",
        "admission_denials": "claim: no\napplication: no\nDeployment: no",
    }
    assert plan.notes == ("first", "Service: careful")
    assert house.admission.shown == [("orders", "orders", "production", MANIFESTS)]
    assert await house.considered(CLAIM, application()) == plan, "asked again, the plan is the same"


async def test_a_denial_counts_also_where_no_admission_port_is_configured(house: House) -> None:
    house.ctx.backends.admission = None
    house.ctx.backends.infrastructure.previews["orders-production-db"] = Preview(denials=("claim: no",))
    assert (await house.considered(CLAIM)).facts == {"admission_denials": "claim: no"}


async def test_what_could_not_be_asked_about_the_objects_is_a_fact_of_its_own(house: House) -> None:
    house.renders()
    house.admission.says = Preview(unknown=("Service orders: the webhook did not answer",))
    assert (await house.considered()).facts == {
        "admission_objects": "2",
        "admission_unknown": "Service orders: the webhook did not answer",
    }


async def test_objects_that_nobody_renders_beforehand_are_told_and_stop_nothing(house: House) -> None:
    plan = await house.considered()
    assert plan.facts == {}
    assert plan.notes == (
        "first",
        "No policy was asked about the objects of aaaaaaa: nothing here renders them beforehand.",
    )
    assert house.admission.shown == []


async def test_objects_that_cannot_be_rendered_are_unknown(house: House) -> None:
    house.ctx.backends.delivery.faults["manifests"] = PermanentBackendError(
        "kustomize build failed", backend="Argo CD", kind=BackendErrorKind.INVALID
    )
    facts = (await house.considered()).facts
    assert facts == {"admission_unknown": "aaaaaaa cannot be rendered: kustomize build failed"}


async def test_an_application_s_preview_that_cannot_be_had_is_told_and_stops_nothing(house: House) -> None:
    house.renders()
    house.ctx.backends.delivery.previews["orders", "production"] = Preview(unknown=("no dry run there",))
    plan = await house.considered(application())
    assert "admission_unknown" not in plan.facts
    assert "Not known beforehand: no dry run there" in plan.notes
    house.ctx.backends.admission = None
    assert (await house.considered(application())).notes == ("first",)


async def test_where_the_repository_s_address_is_not_known_yet_a_denial_is_a_word_of_caution(
    house: House,
) -> None:
    house.renders()
    house.ctx.backends.delivery.previews["orders", "production"] = Preview(denials=("wrong address",))
    plan = await house.considered(application(clone_url=""))
    assert "admission_denials" not in plan.facts
    assert "May be refused: wrong address" in plan.notes


# ---------------------------------------------------------------- reports


async def test_counts_are_facts_and_the_worst_are_named(house: House) -> None:
    house.renders()
    house.reports.known["staging", REVISION] = (
        report(POLICIES, counts={"fail": 1, "error": 1, "warn": 4}, lines=("labels", "broken", "probes")),
        report(
            VULNERABILITIES,
            counts={"critical": 1, "high": 1, "medium": 9, "low": 70},
            lines=("CVE-1 (critical)", "CVE-2 (high)", "CVE-3 (medium)"),
        ),
    )
    plan = await house.considered()
    assert plan.facts == {
        "admission_objects": "2",
        "failed_policies": "2",
        "policies_worst": "labels\nbroken",
        "critical_vulnerabilities": "1",
        "high_vulnerabilities": "1",
        "vulnerabilities_worst": "CVE-1 (critical)\nCVE-2 (high)",
    }
    assert plan.notes == (
        "first",
        "Policies: 2 failed.",
        "labels",
        "broken",
        "Vulnerabilities: 1 critical, 1 high.",
        "CVE-1 (critical)",
        "CVE-2 (high)",
    )


async def test_counts_that_nobody_limits_make_no_other_plan(house: House) -> None:
    def scanned(low: int) -> tuple[EvidenceReport, ...]:
        return (
            report(
                VULNERABILITIES, counts={"critical": 0, "high": 0, "low": low}, lines=(f"CVE-{low} (low)",)
            ),
        )

    house.reports.known["staging", REVISION] = scanned(1)
    first = await house.considered()
    house.reports.known["staging", REVISION] = scanned(2)
    assert await house.considered() == first


async def test_a_report_that_is_missing_is_unknown_and_has_no_numbers(house: House) -> None:
    del house.reports.known["staging", REVISION]
    plan = await house.considered()
    assert plan.facts == {
        "policies_unknown": "There is no report on orders.",
        "vulnerabilities_unknown": "There is no report on orders.",
    }
    assert "Vulnerabilities unknown: There is no report on orders." in plan.notes


async def test_a_backend_of_reports_that_fails_is_unknown(house: House) -> None:
    house.reports.faults["reports"] = TemporaryBackendError("503", backend="Kubernetes")
    assert (await house.considered()).facts == {"policies_unknown": "503", "vulnerabilities_unknown": "503"}


# ---------------------------------------------------------------- deadlines


class Hanging:
    """Takes every question and answers none."""

    async def preview(self, *_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    manifests = reports = preview


@pytest.mark.parametrize(
    ("port", "fact", "says"),
    [
        (
            "infrastructure",
            "admission_unknown",
            "no answer in time, so the infrastructure's backend said nothing of ",
        ),
        ("delivery", "admission_unknown", "no answer in time, so nobody knows what is said of aaaaaaa"),
        ("evidence", "vulnerabilities_unknown", "no answer in time, so no report is known"),
    ],
)
async def test_who_does_not_answer_in_time_is_unknown(house: House, port: str, fact: str, says: str) -> None:
    house.renders()
    setattr(house.ctx.backends, port, Hanging())
    plan = make_plan(steps=(CLAIM,))
    late = await considered(house.ctx, plan, revision=REVISION, source=SOURCE, seconds=0.01)
    assert late.facts[fact].startswith(says)
    if port == "delivery":
        assert await considered_in_an_emergency(house.ctx, plan, revision=REVISION, seconds=0.01) == plan


# ---------------------------------------------------------------- an emergency


async def test_in_an_emergency_only_what_is_known_is_told(house: House) -> None:
    house.renders()
    house.admission.says = Preview(
        denials=("Deployment: no",), warnings=("Service: careful",), unknown=("who knows",)
    )
    plan = await considered_in_an_emergency(house.ctx, make_plan(), revision=REVISION)
    assert plan.facts == {"admission_denials": "Deployment: no"}
    assert plan.notes == ("Service: careful",)
    house.reports.faults["reports"] = AssertionError("nobody asks for reports in an emergency")
    house.admission.says = Preview(unknown=("who knows",))
    assert await considered_in_an_emergency(house.ctx, make_plan(), revision=REVISION) == make_plan()
    house.admission.says = Preview()
    passed = await considered_in_an_emergency(house.ctx, make_plan(), revision=REVISION)
    assert passed.facts == {"admission_objects": "2"}


# ---------------------------------------------------------------- bounds


def test_many_lines_are_cut_so_that_a_card_stays_a_card() -> None:
    many = tuple(f"line {number}" for number in range(50))
    plan = told(make_plan(), Heard(Preview(denials=many, warnings=many)))
    assert len(plan.notes) == evidence.LINES_KEPT + 1
    assert plan.notes[-1] == "and 30 more"
    assert len(plan.facts["admission_denials"].split("\n")) == evidence.LINES_KEPT
