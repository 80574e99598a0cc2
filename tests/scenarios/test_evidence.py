"""What policies and scanners say stands before people when they decide, and holds when they have decided."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from fake_backends import FakeAdmission, FakeEvidence
from memory_backends import MemoryDelivery, open_world
from memory_world import World
from stage import OpenStage, Stage

from bot.config import Config
from bot.registry import OpenBackends
from integrations.ports import EvidenceKind, EvidenceReport, EvidenceVerdict, Preview, Surroundings

LIMITS = {
    "environments.1.evidence": {"critical_vulnerabilities": 0},
    "integrations.evidence": {"use": "kubernetes_reports"},
    "integrations.admission": {"use": "kubernetes_admission"},
}
DENIAL = "Deployment orders: require-labels/check-team: validation error: the label team is required"
WARNING = "Service orders: prefer-probes: a probe is missing"


class RenderingDelivery(MemoryDelivery):
    """As Argo CD's API: it says beforehand what a revision would deploy."""

    async def manifests(
        self, service: str, environment: str, *, revision: str
    ) -> Sequence[Mapping[str, Any]] | None:
        if (service, environment) not in self.world.apps:
            return None
        return [{"kind": "Deployment", "metadata": {"name": service, "annotations": {"commit": revision}}}]


class Cluster:
    """What admission and the scanners of this platform say."""

    def __init__(self) -> None:
        self.admission = FakeAdmission()
        self.evidence = FakeEvidence()

    def scanned(self, revision: str, *, critical: int) -> None:
        lines = tuple(f"CVE-2026-{number} (critical): openssl 3.0.1" for number in range(critical))
        verdict = EvidenceVerdict.FINDINGS if critical else EvidenceVerdict.CLEAN
        counts = {"critical": critical, "high": 0}
        self.evidence.known["staging", revision] = (
            EvidenceReport(EvidenceKind.VULNERABILITIES, "Trivy", verdict, "scanned", counts, lines=lines),
        )

    @asynccontextmanager
    async def open(
        self, world: World, config: Config, surroundings: Surroundings
    ) -> AsyncIterator[OpenBackends]:
        async with open_world(world, config, surroundings) as backends:
            yield replace(
                backends,
                delivery=RenderingDelivery(world),
                admission=self.admission,
                evidence=self.evidence,
            )


async def _clean_in_staging(house: Stage, cluster: Cluster) -> str:
    """A service that production has had once; a newer commit waits in staging, scanned and clean."""
    await house.create("orders")
    cluster.scanned(house.world.head("orders"), critical=0)
    await house.released("orders")
    revision = house.world.push("orders", "Add a page")
    cluster.scanned(revision, critical=0)
    return revision


async def test_a_denial_is_told_before_anybody_is_asked_to_approve(open_stage: OpenStage) -> None:
    cluster = Cluster()
    async with open_stage(changes=LIMITS, opening=cluster.open) as house:
        await _clean_in_staging(house, cluster)
        cluster.admission.says = Preview(denials=(DENIAL,))
        said = await house.types("alice", "/platform promote orders")
        assert "was not started" in said
        assert f"production would refuse it: {DENIAL}." in said
        assert "ask the platform team what it wants" in said


async def test_warnings_and_what_was_shown_to_policies_stand_on_the_card(open_stage: OpenStage) -> None:
    cluster = Cluster()
    async with open_stage(changes=LIMITS, opening=cluster.open) as house:
        revision = await _clean_in_staging(house, cluster)
        cluster.admission.says = Preview(warnings=(WARNING,))
        card = await house.promote("orders")
        said = house.says(card)
        assert WARNING in said
        assert "Admission in production lets 1 object pass." in said
        assert f"Vulnerabilities of {revision[:7]}: 0 critical, within the limit." in said
        assert house.labels(card)[0] == "Approve"


async def test_a_policy_that_changed_its_mind_after_the_approval_was_asked_for_still_counts(
    open_stage: OpenStage,
) -> None:
    cluster = Cluster()
    async with open_stage(changes=LIMITS, opening=cluster.open) as house:
        revision = await _clean_in_staging(house, cluster)
        card = await house.promote("orders")
        cluster.admission.says = Preview(denials=(DENIAL,))
        await house.person("lena").click(card, "approve")
        await house.until_shown(card, "refused")
        assert DENIAL in house.says(card)
        assert house.world.apps["orders", "production"].revision != revision


async def test_findings_over_the_limit_block_a_promotion_with_numbers_and_the_way_out(
    open_stage: OpenStage,
) -> None:
    cluster = Cluster()
    async with open_stage(changes=LIMITS, opening=cluster.open) as house:
        revision = await _clean_in_staging(house, cluster)
        cluster.scanned(revision, critical=2)
        said = await house.types("alice", "/platform promote orders")
        assert f"{revision[:7]} has too many vulnerabilities for production: 2 critical (at most 0)." in said
        assert "CVE-2026-0 (critical): openssl 3.0.1" in said
        assert "Mend them and promote the revision that does." in said


async def test_a_missing_report_is_no_clean_one(open_stage: OpenStage) -> None:
    cluster = Cluster()
    async with open_stage(changes=LIMITS, opening=cluster.open) as house:
        await _clean_in_staging(house, cluster)
        revision = house.world.push("orders", "Not scanned yet")
        said = await house.types("alice", "/platform promote orders")
        assert (
            f"It is not known which vulnerabilities {revision[:7]} has: There is no report on orders." in said
        )
        assert "A report that is missing is not a clean one." in said
        cluster.scanned(revision, critical=0)
        await house.released("orders")
        assert house.world.apps["orders", "production"].revision == revision


async def test_the_way_back_is_open_without_a_report_but_not_against_a_policy(open_stage: OpenStage) -> None:
    cluster = Cluster()
    async with open_stage(changes=LIMITS, opening=cluster.open) as house:
        await _clean_in_staging(house, cluster)
        await house.released("orders")
        cluster.evidence.known.clear()
        cluster.admission.says = Preview(denials=(DENIAL,))
        said = await house.types("omar", "/platform rollback orders")
        assert DENIAL in said
        cluster.admission.says = Preview(unknown=("the webhook timed out",))
        card = await house.asks("omar", "/platform rollback orders", "Roll back orders in production")
        await house.person("omar").click(card, "Roll back")
        await house.until_shown(card, "done")
