"""Looks at what runs where, because something out there hinted at it, and keeps what is news. Decides nothing.

What a request of the platform deploys is recorded by its own step; this is for what happens without one, such as an environment
that follows a branch by itself.
"""

from __future__ import annotations

import asyncio

import structlog

from bot import standing
from bot.domain import RequestState
from bot.errors import BackendError
from bot.store import Store
from bot.tasks import Tasks
from integrations.ports import Application, Delivery

log = structlog.get_logger(__name__)

DEADLINE_SECONDS = 10.0
_WORKING = (RequestState.QUEUED, RequestState.RUNNING, RequestState.UNDOING)


class Observer:
    """One look at a time, and one for however many hints came meanwhile: a noisy system costs no more than a slow one."""

    def __init__(self, *, store: Store, delivery: Delivery, tasks: Tasks) -> None:
        self._store = store
        self._delivery = delivery
        self._tasks = tasks
        self._due: dict[tuple[str, str], None] = {}
        self._looking = False

    def look_at(self, service: str, environment: str) -> None:
        """Soon, beside whatever else is done."""
        self._due[service, environment] = None
        if not self._looking:
            self._looking = True
            self._tasks.start(self._look(), name="observe")

    async def _look(self) -> None:
        try:
            while self._due:
                place = next(iter(self._due))
                del self._due[place]
                await self._ask(*place)
        finally:
            self._looking = False

    async def _ask(self, service: str, environment: str) -> None:
        try:
            if await self._store.find_service(service) is None:
                return
            async with asyncio.timeout(DEADLINE_SECONDS):
                application = await self._delivery.get_application(service, environment)
            if application is not None:
                await self._keep(application)
        except (BackendError, TimeoutError) as error:
            # The next hint, or whoever asks for the status, looks again.
            log.info("observing.unanswered", service=service, environment=environment, error=str(error))

    async def _keep(self, application: Application) -> None:
        service, environment = application.service, application.environment
        working = await self._store.list_requests(service=service, states=_WORKING, limit=100)
        if any(one.environment == environment for one in working):
            return
        # In this order: a request that ended since then has recorded what it deployed.
        record = standing.news(application, await self._store.last_deployment(service, environment))
        if record is not None and await self._store.record_observed_deployment(record):
            log.info("observing.deployed", service=service, environment=environment, revision=record.revision)
