"""How a service stands in an environment, in the revisions that people approved.

A release ref may carry an approved revision by a commit of its own (a merge, or a forward commit of a rollback), and that commit
is what the backend runs and remembers. People asked for and approved the revision, so plans speak of that one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bot.command import Context
from bot.domain import DeploymentRecord, Environment, PlannedCommit, PlannedFile
from integrations.ports import Application, Comparison, DeployedRevision, Health, ReleaseRef

HISTORY_LIMIT = 50


@dataclass(frozen=True)
class Standing:
    """`revision` is the approved one that runs; None where nothing does."""

    application: Application | None
    release: ReleaseRef | None
    revision: str | None

    def as_it_runs(self, revision: str) -> str:
        """The commit by which the backend knows an approved revision: it may run there as a release commit of its own."""
        running = self.application.revision if self.application else None
        return running if running and revision == self.revision else revision


async def of(ctx: Context, service: str, environment: Environment) -> Standing:
    """Raises BackendError when it cannot be asked."""
    application = await ctx.backends.delivery.get_application(service, environment.name)
    if environment.follows:
        return Standing(application, None, application.revision if application else None)
    release = await ctx.backends.code_host.find_release(service, environment.release_ref)
    revision = application.revision if application else None
    if release is not None and revision == release.sha:
        revision = release.revision
    return Standing(application, release, revision)


async def history(ctx: Context, service: str, environment: Environment) -> list[DeployedRevision]:
    """What ran there, newest first, each by its approved revision as far as the bot's own records tell."""
    records = await ctx.knowledge.list_deployments(service, environment.name, limit=HISTORY_LIMIT)
    approved = {one.ref_revision: one.revision for one in records}
    ran = await ctx.backends.delivery.history(service, environment.name, limit=HISTORY_LIMIT)
    return [replace(one, revision=approved.get(one.revision, one.revision)) for one in ran]


def news(application: Application, last: DeploymentRecord | None) -> DeploymentRecord | None:
    """A healthy revision that is newer than all that is recorded; None where nothing of that kind runs."""
    if application.health is not Health.HEALTHY or not application.revision or not application.deployed_at:
        return None
    if last is not None and (
        application.revision in {last.revision, last.ref_revision}
        or application.deployed_at <= last.deployed_at
    ):
        return None
    return DeploymentRecord(
        service=application.service,
        environment=application.environment,
        revision=application.revision,
        ref_revision=application.revision,
        healthy=True,
        deployed_by=application.deployed_by,
        deployed_at=application.deployed_at,
    )


def commits(comparison: Comparison) -> tuple[PlannedCommit, ...]:
    return tuple(
        PlannedCommit(
            sha=one.sha, subject=one.subject, author_name=one.author_name, author_email=one.author_email
        )
        for one in comparison.commits
    )


def files(comparison: Comparison) -> tuple[PlannedFile, ...]:
    return tuple(
        PlannedFile(path=one.path, status=one.status, additions=one.additions, deletions=one.deletions)
        for one in comparison.files
    )


async def window(ctx: Context, service: str, environment: Environment) -> dict[str, str]:
    """The facts about a time in which nothing is deployed there; empty while it is open."""
    closed = await ctx.backends.delivery.find_closed_window(service, environment.name)
    if closed is None:
        return {}
    opens = f"{closed.opens_at:%Y-%m-%d %H:%M} UTC" if closed.opens_at else ""
    return {"closed_window": closed.reason, "opens_at": opens}
