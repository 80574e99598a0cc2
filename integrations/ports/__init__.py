"""What a backend of each kind offers: the contract between commands and the company's systems.

Shaped for GitHub, Crossplane, Argo CD and Backstage; the local backends implement the same. Knows `bot.errors` only.

Rules for every implementation:

* `ensure_*` reads, compares, writes: calling it twice, or again after a lost answer, changes nothing more.
* Whatever is created carries the request id, so that "exists" can be told from "exists, and is ours". A name taken by
  somebody else raises PermanentBackendError(kind=ALREADY_EXISTS) and is never adopted, changed or undone.
* `remove_*` is an undo: it removes only what carries the given request id, and succeeds when nothing is there.
* Failures leave as TemporaryBackendError or PermanentBackendError, translated at this border, chained.
* "Could not ask" raises; it is never an answer. `unknown` is an answer and never means healthy.
* Times are aware datetimes in UTC. Revisions are full commit hashes.
"""

from __future__ import annotations

from collections.abc import Mapping

from integrations.ports.admission import Admission, Preview
from integrations.ports.backend import Backend, Finding, Phase
from integrations.ports.catalog import Catalog, Entity
from integrations.ports.code_host import (
    ChangedFile,
    CodeHost,
    Commit,
    Comparison,
    ComparisonStatus,
    DeploymentReports,
    DeploymentState,
    ReleaseRef,
    Repository,
)
from integrations.ports.delivery import (
    AnalysisPhase,
    AnalysisResult,
    Application,
    ApplicationSpec,
    ClosedWindow,
    Delivery,
    DeployedRevision,
    Deployment,
    Health,
    SyncStatus,
    describe_canary,
)
from integrations.ports.evidence import Evidence, EvidenceKind, EvidenceReport, EvidenceVerdict
from integrations.ports.golden_paths import GoldenPath, GoldenPaths, Parameter, RenderedFile, RenderedTree
from integrations.ports.hooks import Hint, Hooked, Hooks
from integrations.ports.infrastructure import Claim, ClaimSpec, Infrastructure
from integrations.ports.inventory import Inventory, Marked
from integrations.ports.observability import (
    Annotation,
    Annotations,
    Costs,
    MonthlyCost,
    SignalQuestion,
    Signals,
    SignalSource,
)
from integrations.ports.opening import BackendModule, EntityStore, Surroundings
from integrations.ports.scaffolding import Scaffolder, ScaffolderTask, ScaffolderTemplate
from integrations.ports.secrets import KEY_NAME, SecretSpec, SecretStore, SecretSync, StoredKey, SyncedSecret

PORTS: Mapping[str, type] = {
    "golden_paths": GoldenPaths,
    "code_host": CodeHost,
    "infrastructure": Infrastructure,
    "delivery": Delivery,
    "catalog": Catalog,
}
"""Port name -> what it must offer. Every platform has these."""

OPTIONAL_PORTS: Mapping[str, type] = {
    "admission": Admission,
    "evidence": Evidence,
    "secret_store": SecretStore,
    "secret_sync": SecretSync,
    "signals": SignalSource,
    "annotations": Annotations,
    "costs": Costs,
    "scaffolder": Scaffolder,
}
"""Port name -> what it must offer. What a platform lacks is None in `bot.command.Backends`, and nothing pretends otherwise."""

__all__ = [
    "KEY_NAME",
    "OPTIONAL_PORTS",
    "PORTS",
    "Admission",
    "AnalysisPhase",
    "AnalysisResult",
    "Annotation",
    "Annotations",
    "Application",
    "ApplicationSpec",
    "Backend",
    "BackendModule",
    "Catalog",
    "ChangedFile",
    "Claim",
    "ClaimSpec",
    "ClosedWindow",
    "CodeHost",
    "Commit",
    "Comparison",
    "ComparisonStatus",
    "Costs",
    "Delivery",
    "DeployedRevision",
    "Deployment",
    "DeploymentReports",
    "DeploymentState",
    "Entity",
    "EntityStore",
    "Evidence",
    "EvidenceKind",
    "EvidenceReport",
    "EvidenceVerdict",
    "Finding",
    "GoldenPath",
    "GoldenPaths",
    "Health",
    "Hint",
    "Hooked",
    "Hooks",
    "Infrastructure",
    "Inventory",
    "Marked",
    "MonthlyCost",
    "Parameter",
    "Phase",
    "Preview",
    "ReleaseRef",
    "RenderedFile",
    "RenderedTree",
    "Repository",
    "Scaffolder",
    "ScaffolderTask",
    "ScaffolderTemplate",
    "SecretSpec",
    "SecretStore",
    "SecretSync",
    "SignalQuestion",
    "SignalSource",
    "Signals",
    "StoredKey",
    "Surroundings",
    "SyncStatus",
    "SyncedSecret",
    "describe_canary",
]
