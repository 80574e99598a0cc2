"""Facts that enter the database: services that exist, deployments that happened, each with its audit event.

And the entities of the catalog that lives here; the catalog is a backend's, so its entries are no events of ours.
"""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlmodel import col

from bot.audit import Fact
from bot.domain import JSON, DeploymentRecord, Record, Service
from bot.errors import ConflictError
from bot.rows import from_deployment, from_entity, from_fragments, from_service
from bot.tables import DeploymentRow, EntityRow, ServiceFragmentRow, ServiceRow
from bot.transaction import SYSTEM, Subject, Transaction
from integrations.ports import Entity


async def apply_record(tx: Transaction, request: Subject, record: Record | None) -> None:
    """Add what a finished step knows; repeating it adds nothing."""
    if record is None:
        return
    if record.service is not None:
        await _add_service(tx, request, record.service)
    if record.forget_service:
        await _forget_service(tx, request, record.forget_service)
    if record.deployment is not None:
        await add_deployment(tx, record.deployment, event="deployment.recorded")


async def _add_service(tx: Transaction, request: Subject, service: Service) -> None:
    known = await tx.session.get(ServiceRow, service.name)
    if known is not None:
        if known.request_id != service.request_id:
            raise ConflictError(f"A service named {service.name} exists already.", fix="Choose another name.")
        return
    added = from_service(service)
    tx.session.add_all([added, *from_fragments(added)])
    data = {"name": service.name, "team": service.team, "golden_path": service.golden_path}
    await tx.record_for(request, "service.created", actor=SYSTEM, data=data)


async def _forget_service(tx: Transaction, request: Subject, name: str) -> None:
    """Only the request that made a service takes it back."""
    known = await tx.session.get(ServiceRow, name)
    if known is not None and known.request_id == request.id:
        found = [one.fragment for one in from_fragments(known)]
        of_it = col(ServiceFragmentRow.service) == name, col(ServiceFragmentRow.fragment).in_(found)
        await tx.session.execute(delete(ServiceFragmentRow).where(*of_it))
        await tx.session.delete(known)
        await tx.record_for(request, "service.forgotten", actor=SYSTEM, data={"name": name})


async def add_deployment(tx: Transaction, record: DeploymentRecord, *, event: str) -> bool:
    """False where this deployment is known already."""
    known = await tx.session.scalar(
        select(col(DeploymentRow.id)).where(
            col(DeploymentRow.service) == record.service,
            col(DeploymentRow.environment) == record.environment,
            col(DeploymentRow.revision) == record.revision,
            col(DeploymentRow.deployed_at) == record.deployed_at,
        )
    )
    if known is not None:
        return False
    tx.session.add(from_deployment(record))
    data: JSON = {
        "revision": record.revision,
        "ref_revision": record.ref_revision,
        "healthy": record.healthy,
        "deployed_by": record.deployed_by,
    }
    fact = Fact(
        event=event,
        actor=SYSTEM,
        request_id=record.request_id,
        service=record.service,
        environment=record.environment,
        data=data,
    )
    await tx.record(fact)
    return True


async def put_entity(tx: Transaction, entity: Entity) -> None:
    await tx.session.merge(from_entity(entity))


async def delete_entity(tx: Transaction, name: str) -> None:
    await tx.session.execute(delete(EntityRow).where(col(EntityRow.name) == name))
