"""Facts that enter the database: services that exist, deployments that happened, each with its audit event.

And the entities of the catalog that lives here; the catalog is a backend's, so its entries are no events of ours.
"""

from __future__ import annotations

from dataclasses import asdict

import sqlalchemy as sa

from bot.audit import Fact
from bot.domain import JSON, DeploymentRecord, Record, Service
from bot.errors import ConflictError
from bot.rows import fragments, from_entity, from_service
from bot.tables import DEPLOYMENTS, ENTITIES, FRAGMENTS, SERVICES
from bot.transaction import SYSTEM, Subject, Transaction
from integrations.ports import Entity

_SERVICE = sa.select(SERVICES.c.request_id, SERVICES.c.search_text).where(
    SERVICES.c.name == sa.bindparam("service")
)
_SAME_DEPLOYMENT = sa.select(DEPLOYMENTS.c.id).where(
    *(
        DEPLOYMENTS.c[name] == sa.bindparam(f"the_{name}")
        for name in ("service", "environment", "revision", "deployed_at")
    )
)
_ENTITY = ENTITIES.c.name == sa.bindparam("entity")
_PUT_ENTITY = sa.update(ENTITIES).where(_ENTITY).returning(ENTITIES.c.name)


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
    known = (await tx.connection.execute(_SERVICE, {"service": service.name})).one_or_none()
    if known is not None:
        if known.request_id != service.request_id:
            raise ConflictError(f"A service named {service.name} exists already.", fix="Choose another name.")
        return
    added = from_service(service)
    parts = [{"fragment": one, "service": service.name} for one in sorted(fragments(added["search_text"]))]
    await tx.connection.execute(sa.insert(SERVICES), added)
    await tx.connection.execute(sa.insert(FRAGMENTS), parts)
    data = {"name": service.name, "team": service.team, "golden_path": service.golden_path}
    await tx.record_for(request, "service.created", actor=SYSTEM, data=data)


async def _forget_service(tx: Transaction, request: Subject, name: str) -> None:
    """Only the request that made a service takes it back."""
    known = (await tx.connection.execute(_SERVICE, {"service": name})).one_or_none()
    if known is not None and known.request_id == request.id:
        parts = FRAGMENTS.c.fragment.in_(fragments(known.search_text))
        await tx.connection.execute(sa.delete(FRAGMENTS).where(FRAGMENTS.c.service == name, parts))
        await tx.connection.execute(sa.delete(SERVICES).where(SERVICES.c.name == name))
        await tx.record_for(request, "service.forgotten", actor=SYSTEM, data={"name": name})


async def add_deployment(tx: Transaction, record: DeploymentRecord, *, event: str) -> bool:
    """False where this deployment is known already."""
    same = {
        "the_service": record.service,
        "the_environment": record.environment,
        "the_revision": record.revision,
        "the_deployed_at": record.deployed_at,
    }
    if (await tx.connection.execute(_SAME_DEPLOYMENT, same)).first() is not None:
        return False
    await tx.connection.execute(sa.insert(DEPLOYMENTS), asdict(record))
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
    columns = from_entity(entity)
    known = await tx.connection.execute(_PUT_ENTITY, {"entity": entity.name, **columns})
    if known.first() is None:
        await tx.connection.execute(sa.insert(ENTITIES), columns)


async def delete_entity(tx: Transaction, name: str) -> None:
    await tx.connection.execute(sa.delete(ENTITIES).where(_ENTITY), {"entity": name})
