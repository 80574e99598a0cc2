"""Steps that several commands share: one outward effect each, on one port, with its undo.

Commands do not know each other, so what create-service, promote and rollback have in common lives here. Plans are made of
`plan_*` and `*_change` (pure); runs are made of the StepKinds at the end. Nothing here knows a database or Slack.
"""

from __future__ import annotations

from bot.announcing import Announcement, announce
from bot.command import Done, Pending, Run, StepKind
from bot.domain import (
    JSON,
    Change,
    Cost,
    DeploymentRecord,
    Environment,
    Link,
    PlannedStep,
    Platform,
    Record,
    StepRecord,
)
from bot.errors import BackendErrorKind, NotFoundError, PermanentBackendError
from bot.rollouts import Rollout, steered, waiting, watching
from integrations.ports import ApplicationSpec, ClaimSpec, DeploymentState, Phase

CLAIM_TIMEOUT_SECONDS = 1800
"""A managed database may take its time; Crossplane knows no terminal failure, so the deadline is ours."""
DEPLOY_TIMEOUT_SECONDS = 900
DEPLOY_STEP = "deploy"
HEALTH_PATH = "/healthz"
"""Where a service answers whose golden path does not say it."""


# ---------------------------------------------------------------- planning


def database_claim(*, service: str, environment: str, team: str, kind: str) -> ClaimSpec:
    return ClaimSpec(
        name=f"{service}-{environment}-db", kind=kind, service=service, environment=environment, team=team
    )


def claim_change(claim: ClaimSpec) -> Change:
    return Change(
        kind="claim",
        action="create",
        name=claim.name,
        environment=claim.environment,
        detail=f"{claim.kind}, size {claim.size}",
    )


def plan_claim(claim: ClaimSpec) -> PlannedStep:
    return PlannedStep(
        key="claim",
        title=f"{claim.kind} for {claim.environment}",
        undo_title=f"Remove the {claim.kind}",
        arguments={
            "service": claim.service,
            "team": claim.team,
            "environment": claim.environment,
            "name": claim.name,
            "kind": claim.kind,
            "size": claim.size,
        },
        timeout_seconds=CLAIM_TIMEOUT_SECONDS,
    )


def plan_application(
    *,
    service: str,
    team: str,
    environment: str,
    golden_path: str,
    health_path: str,
    clone_url: str = "",
) -> PlannedStep:
    """`clone_url` is empty where the repository is created by an earlier step of the same plan."""
    return PlannedStep(
        key="application",
        title=f"Deployment to {environment}",
        undo_title=f"Remove it from {environment}",
        arguments={
            "service": service,
            "team": team,
            "environment": environment,
            "golden_path": golden_path,
            "health_path": health_path,
            "clone_url": clone_url,
        },
    )


def plan_release(
    *, service: str, ref: str, revision: str, expected: str | None, previous: str | None
) -> PlannedStep:
    """`expected` is the ref's commit now, `previous` the revision it carries: what an undo goes back to."""
    return PlannedStep(
        key="release",
        title=f"Move {ref} to {revision[:7]}",
        undo_title=f"Move {ref} back",
        arguments={
            "service": service,
            "ref": ref,
            "revision": revision,
            "expected": expected or "",
            "previous": previous or "",
        },
    )


def plan_deploy(*, service: str, environment: str, revision: str, previous: str | None) -> PlannedStep:
    """`previous` is the revision that runs now and comes back when this one degrades."""
    return PlannedStep(
        key=DEPLOY_STEP,
        title=f"{revision[:7]} healthy in {environment}",
        undo_title=f"Roll {environment} back to {previous[:7]}" if previous else f"Leave {environment} empty",
        arguments={
            "service": service,
            "environment": environment,
            "revision": revision,
            "previous": previous or "",
        },
        timeout_seconds=DEPLOY_TIMEOUT_SECONDS,
    )


def monthly_cost(platform: Platform, *, environment: str, claim: ClaimSpec | None) -> Cost | None:
    """From the configured price table; None where it says nothing about any part."""
    wanted = [f"service:{environment}", *([f"{claim.kind}:{claim.size}"] if claim else [])]
    rows = tuple((name, platform.prices[name]) for name in wanted if name in platform.prices)
    if not rows:
        return None
    return Cost(currency=platform.currency, monthly=round(sum(price for _, price in rows), 2), lines=rows)


# ---------------------------------------------------------------- claim


def claim_spec(arguments: JSON) -> ClaimSpec:
    """What the step will ask for: a preview of it asks for the same."""
    return ClaimSpec(
        name=arguments["name"],
        kind=arguments["kind"],
        service=arguments["service"],
        environment=arguments["environment"],
        team=arguments["team"],
        size=arguments["size"],
    )


async def _do_claim(run: Run, arguments: JSON) -> Done | Pending:
    spec = claim_spec(arguments)
    claim = await run.backends.infrastructure.ensure_claim(spec, request_id=run.request_id)
    if claim.phase is Phase.FAILED:
        raise PermanentBackendError(
            claim.message or f"{spec.kind} could not be created.",
            backend="infrastructure",
            kind=BackendErrorKind.UNKNOWN,
        )
    if claim.phase is not Phase.READY:
        return Pending(claim.message or f"{spec.kind} is {claim.phase.value}", after_seconds=2.0)
    return Done(
        detail=f"{spec.kind} is ready", external_id=claim.external_id, output={"secret": claim.secret}
    )


async def _undo_claim(run: Run, arguments: JSON, _done: StepRecord) -> Done:
    await run.backends.infrastructure.remove_claim(
        arguments["name"], environment=arguments["environment"], request_id=run.request_id
    )
    return Done(detail=f"{arguments['kind']} removed")


# ---------------------------------------------------------------- application


def application_spec(
    arguments: JSON, environment: Environment, *, clone_url: str, secret: str = ""
) -> ApplicationSpec:
    """What the step will ask for: a preview of it asks for the same."""
    return ApplicationSpec(
        service=arguments["service"],
        environment=environment.name,
        team=arguments["team"],
        repository_url=clone_url,
        golden_path=arguments["golden_path"],
        follows=environment.follows,
        health_path=arguments["health_path"],
        secrets=(secret,) if secret else (),
        release_ref=environment.release_ref,
    )


async def _do_application(run: Run, arguments: JSON) -> Done:
    environment = run.platform.environment(arguments["environment"])
    if environment is None:
        raise NotFoundError(f"The environment {arguments['environment']} is no longer configured.")
    spec = application_spec(
        arguments,
        environment,
        clone_url=arguments["clone_url"] or run.output("repository")["clone_url"],
        secret=run.output("claim").get("secret", ""),
    )
    application = await run.backends.delivery.ensure_application(spec, request_id=run.request_id)
    return Done(
        detail=f"follows {environment.follows}" if environment.follows else "created",
        external_id=f"{application.service}-{application.environment}",
    )


async def _undo_application(run: Run, arguments: JSON, _done: StepRecord) -> Done:
    await run.backends.delivery.remove_application(
        arguments["service"], arguments["environment"], request_id=run.request_id
    )
    return Done(detail=f"removed from {arguments['environment']}")


# ---------------------------------------------------------------- release ref


async def _do_release(run: Run, arguments: JSON) -> Done:
    release = await run.backends.code_host.move_release(
        arguments["service"],
        arguments["ref"],
        revision=arguments["revision"],
        expected=arguments["expected"] or None,
        request_id=run.request_id,
    )
    return Done(
        detail=f"{release.name} is at {release.sha[:7]}",
        external_id=release.sha,
        output={"sha": release.sha},
    )


async def _undo_release(run: Run, arguments: JSON, done: StepRecord) -> Done:
    """Forward to the good tree again, never back by force; a ref that was absent before is left where it is."""
    previous = arguments["previous"]
    host = run.backends.code_host
    current = await host.find_release(arguments["service"], arguments["ref"])
    moved = done.output.get("sha")
    if moved and current is not None and current.revision == previous:
        # Perhaps this very undo moved it before a kill: what it says must not depend on that.
        return Done(detail=f"{current.name} carries {previous[:7]} again")
    if not previous or current is None or current.revision == previous:
        return Done(detail=f"{arguments['ref']} left as it is")
    # Where the answer to the move was lost, what the ref carries tells whether the move happened and still stands.
    if current.sha != moved if moved else current.revision != arguments["revision"]:
        return Done(detail=f"{arguments['ref']} left as it is")
    release = await host.move_release(
        arguments["service"],
        arguments["ref"],
        revision=previous,
        expected=current.sha,
        request_id=f"{run.request_id}-undo",
    )
    return Done(detail=f"{release.name} carries {previous[:7]} again")


# ---------------------------------------------------------------- deployment


async def _do_deploy(run: Run, arguments: JSON) -> Done | Pending:
    return await _drive(
        run,
        arguments,
        purpose="deploy",
        revision=run.output("release").get("sha") or arguments["revision"],
        approved=arguments["revision"],
    )


async def _undo_deploy(run: Run, arguments: JSON, _done: StepRecord) -> Done | Pending:
    previous = arguments["previous"]
    taken_back = Announcement(
        arguments["service"], arguments["environment"], arguments["revision"], run.operation("deploy")
    )
    if not previous:
        await announce(run, taken_back, DeploymentState.INACTIVE)
        return Done(detail="nothing ran there before")
    outcome = await _drive(run, arguments, purpose="undo-deploy", revision=previous, approved=previous)
    if isinstance(outcome, Done):
        await announce(run, taken_back, DeploymentState.INACTIVE)
        return Done(
            detail=f"rolled back to {previous[:7]}", external_id=outcome.external_id, record=outcome.record
        )
    return outcome


async def _drive(run: Run, arguments: JSON, *, purpose: str, revision: str, approved: str) -> Done | Pending:
    """Start the deployment once, then watch it: READY is done, FAILED is a permanent failure, all else is pending."""
    service, environment = arguments["service"], arguments["environment"]
    delivery = run.backends.delivery
    operation = run.operation(purpose)
    announcement = Announcement(service, environment, approved, operation)
    deployment = await delivery.get_deployment(service, environment, operation=operation)
    if deployment is None or deployment.phase is Phase.PENDING:
        window = await delivery.find_closed_window(service, environment)
        if window is not None:
            return waiting(window, run.now)
    if deployment is None:
        deployment = await delivery.deploy(
            service, environment, revision=revision, operation=operation, actor=run.requester_name
        )
        await announce(run, announcement, DeploymentState.IN_PROGRESS)
    try:
        deployment = await steered(
            run, Rollout(service, environment, approved, operation, DEPLOY_STEP), deployment
        )
    except PermanentBackendError:
        await announce(run, announcement, DeploymentState.FAILURE)
        raise
    if deployment.phase is Phase.FAILED:
        await announce(run, announcement, DeploymentState.FAILURE)
        raise PermanentBackendError(
            f"{approved[:7]} is {deployment.health.value} in {environment}: {deployment.message}",
            backend="delivery",
            kind=BackendErrorKind.NOT_READY,
        )
    if deployment.phase is not Phase.READY:
        return watching(deployment)
    application = await delivery.get_application(service, environment)
    url = application.url if application else ""
    await announce(run, announcement, DeploymentState.SUCCESS, url=url)
    return Done(
        detail=f"{approved[:7]} is healthy in {environment}",
        external_id=operation,
        output={"healthy_at": run.now.isoformat()},
        links=(Link(f"Open in {environment}", url),) if url else (),
        record=Record(
            deployment=DeploymentRecord(
                service=service,
                environment=environment,
                revision=approved,
                ref_revision=revision,
                healthy=True,
                deployed_by=run.requester,
                deployed_at=run.now,
                request_id=run.request_id,
            )
        ),
    )


CLAIM = StepKind(_do_claim, _undo_claim)
APPLICATION = StepKind(_do_application, _undo_application)
RELEASE = StepKind(_do_release, _undo_release)
DEPLOY = StepKind(_do_deploy, _undo_deploy)
