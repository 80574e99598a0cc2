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

from integrations.ports.backend import Backend, Finding, Phase
from integrations.ports.catalog import Catalog, Entity
from integrations.ports.code_host import (
    ChangedFile,
    CodeHost,
    Commit,
    Comparison,
    ComparisonStatus,
    ReleaseRef,
    Repository,
)
from integrations.ports.delivery import (
    Application,
    ApplicationSpec,
    Delivery,
    DeployedRevision,
    Deployment,
    Health,
    SyncStatus,
)
from integrations.ports.golden_paths import GoldenPath, GoldenPaths, Parameter, RenderedFile, RenderedTree
from integrations.ports.infrastructure import Claim, ClaimSpec, Infrastructure
from integrations.ports.opening import BackendModule, EntityStore, Surroundings

PORTS: Mapping[str, type] = {
    "golden_paths": GoldenPaths,
    "code_host": CodeHost,
    "infrastructure": Infrastructure,
    "delivery": Delivery,
    "catalog": Catalog,
}
"""Port name -> what it must offer."""

__all__ = [
    "PORTS",
    "Application",
    "ApplicationSpec",
    "Backend",
    "BackendModule",
    "Catalog",
    "ChangedFile",
    "Claim",
    "ClaimSpec",
    "CodeHost",
    "Commit",
    "Comparison",
    "ComparisonStatus",
    "Delivery",
    "DeployedRevision",
    "Deployment",
    "Entity",
    "EntityStore",
    "Finding",
    "GoldenPath",
    "GoldenPaths",
    "Health",
    "Infrastructure",
    "Parameter",
    "Phase",
    "ReleaseRef",
    "RenderedFile",
    "RenderedTree",
    "Repository",
    "Surroundings",
    "SyncStatus",
]
