"""The door to the database: one method per transaction, domain values in and out. No rule, no Slack, no backend.

Writes go through the group writer: state change, audit event and dirty cards are one commit, shared with whoever writes at
the same moment. Reads see one consistent moment and never wait for writers. What a run writes is `bot.ledger`'s, through `write`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Literal, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot import audit, halts, inbox, lifecycle, outbox, queries, records, sqlite_log, trail
from bot.database import (
    Engines,
    async_url,
    cannot_start,
    check_schema,
    file_lock,
    is_sqlite,
    open_engines,
    sqlite_file,
    transaction,
)
from bot.domain import (
    AuditEvent,
    Card,
    CardKind,
    DeploymentRecord,
    Request,
    RequestState,
    RunId,
    Service,
)
from bot.fair_lock import FairLock
from bot.glance import Glance
from bot.halts import Word
from bot.intake import Intake
from bot.lifecycle import Ballot, CardTarget, NewRequest, Opened, Proposal
from bot.transaction import Signals, Transaction, no_request
from bot.writer import GroupWriter, Shared, translated
from integrations.ports import Entity

__all__ = [
    "Ballot",
    "CardTarget",
    "NewRequest",
    "Opened",
    "Proposal",
    "Store",
    "Transaction",
    "Word",
]

LOCK_WAIT_SECONDS = 1.0
"""What a killed bot was about to start holds its lock until it is started."""
T = TypeVar("T")
Clock = Callable[[], datetime]


class Store:
    """The bot's memory. `dirty` and `queued` are set after a commit that left cards to send or runs to start."""

    def __init__(
        self,
        engines: Engines,
        writer: GroupWriter,
        glance: Glance,
        intake: Intake | None = None,
        *,
        clock: Clock,
    ) -> None:
        self._engines = engines
        self._writer = writer
        self._glance = glance
        self._intake = intake
        self._clock = clock
        self._signals = Signals()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, clock: Clock) -> AsyncIterator[Store]:
        """Open a migrated database. Raises StartError when it is not, or when another bot uses the same file."""
        address = async_url(url)
        async with AsyncExitStack() as stack:
            if is_sqlite(address):
                stack.enter_context(file_lock(sqlite_file(address), wait_seconds=LOCK_WAIT_SECONDS))
            engines = await stack.enter_async_context(open_engines(address))
            await _refuse_other_schema(engines)
            lock = FairLock()
            writer = await stack.enter_async_context(GroupWriter(engines.writer, lock))
            intake = await stack.enter_async_context(Intake.open(engines.direct, lock, clock=clock))
            glance = await stack.enter_async_context(Glance.open(engines.glance))
            store = cls(engines, writer, glance, intake, clock=clock)
            if is_sqlite(address):
                await stack.enter_async_context(sqlite_log.folding(sqlite_file(address)))
                await store.write(outbox.release_claims)
            yield store

    @classmethod
    @asynccontextmanager
    async def open_for_reading(cls, url: str, *, clock: Clock) -> AsyncIterator[Store]:
        """Beside a running bot: no lock is taken, and the database itself refuses every write. Raises StartError."""
        async with open_engines(async_url(url)) as opened:
            await _refuse_other_schema(opened)
            async with GroupWriter(opened.reader, FairLock()) as writer, Glance.open(opened.glance) as glance:
                read_only = replace(opened, writer=opened.reader)
                yield cls(read_only, writer, glance, clock=clock)

    @property
    def engine(self) -> AsyncEngine:
        """For what must not wait for the writers' lock."""
        return self._engines.writer

    @property
    def dirty(self) -> asyncio.Event:
        return self._signals.dirty

    @property
    def queued(self) -> asyncio.Queue[RunId]:
        """Runs to be made, as they were committed in this process."""
        return self._signals.queued

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in the next shared transaction and return once it is committed."""

        async def in_turn(shared: Shared) -> T:
            # The clock is read when the work's turn has come, so that times grow with the sequence of events.
            async with Transaction.join(shared, self._clock(), signals=self._signals) as tx:
                return await work(tx)

        return await self._writer.submit(in_turn)

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[AsyncConnection]:
        async with translated(), transaction(self._engines.reader) as connection:
            yield connection

    async def ping(self) -> None:
        """Raises TemporaryBackendError when the database does not answer."""
        async with self._read() as connection:
            await connection.execute(sa.select(1))

    # ------------------------------------------------------------ requests: writing

    async def open_request(self, new: NewRequest) -> Opened:
        recorded = await self._intake.record(new) if self._intake is not None else None
        if recorded is not None:
            return Opened(recorded, created=True)
        return await self.write(lambda tx: lifecycle.open_request(tx, new))

    async def propose(self, request_id: str, proposal: Proposal, *, version: int) -> Request:
        return await self.write(lambda tx: lifecycle.propose(tx, request_id, proposal, version=version))

    async def refuse(self, request_id: str, *, version: int, reason: str, rule: str) -> Request:
        return await self.write(
            lambda tx: lifecycle.refuse(tx, request_id, version=version, reason=reason, rule=rule)
        )

    async def confirm(
        self,
        request_id: str,
        *,
        actor: str,
        version: int,
        state: RequestState,
        due_at: datetime | None,
        cards: Sequence[CardTarget] = (),
    ) -> Request:
        return await self.write(
            lambda tx: lifecycle.confirm(
                tx, request_id, actor=actor, version=version, state=state, due_at=due_at, cards=cards
            )
        )

    async def decide(self, request_id: str, ballot: Ballot) -> Request:
        return await self.write(lambda tx: lifecycle.decide(tx, request_id, ballot))

    async def cancel(self, request_id: str, *, actor: str, version: int, reason: str = "") -> Request:
        return await self.write(
            lambda tx: lifecycle.cancel(tx, request_id, actor=actor, version=version, reason=reason)
        )

    async def stop_choice(
        self, request_id: str, *, actor: str, choice: Literal["retry", "undo"], version: int
    ) -> Request:
        return await self.write(
            lambda tx: lifecycle.stop_choice(tx, request_id, actor=actor, choice=choice, version=version)
        )

    async def choose_at_halt(self, request_id: str, word: Word) -> Request:
        return await self.write(lambda tx: halts.choose(tx, request_id, word))

    async def expire_due(self, *, limit: int = 100) -> list[Request]:
        return await self.write(lambda tx: lifecycle.expire_due(tx, limit=limit))

    async def seen(self, dedupe_key: str, *, request_id: str = "") -> bool:
        """Record a delivery; True when it was recorded before."""
        return await self.write(lambda tx: inbox.seen(tx, dedupe_key, request_id=request_id))

    async def delete_inbox(self, before: datetime) -> None:
        """Forget deliveries that can no longer be repeated."""
        await self.write(lambda tx: inbox.forget(tx, before))

    async def record_observed_deployment(self, record: DeploymentRecord) -> bool:
        """A deployment that was seen, not made; False when it is known already."""
        return await self.write(lambda tx: records.add_deployment(tx, record, event="deployment.observed"))

    # ------------------------------------------------------------ requests: reading

    async def get_request(self, request_id: str) -> Request:
        """Raises NotFoundError with a sentence."""
        request = await self.find_request(request_id)
        if request is None:
            raise no_request(request_id)
        return request

    async def find_request(self, request_id: str) -> Request | None:
        async with self._read() as connection:
            return await queries.find_request(connection, request_id)

    async def find_active(self, active_key: str) -> Request | None:
        async with self._read() as connection:
            return await queries.find_active(connection, active_key)

    async def list_requests(
        self,
        *,
        requester: str = "",
        service: str = "",
        teams: Sequence[str] = (),
        states: Sequence[RequestState] = (),
        only_open: bool = False,
        before: str = "",
        limit: int = 20,
    ) -> Sequence[Request]:
        async with self._read() as connection:
            return await queries.list_requests(
                connection,
                requester=requester,
                service=service,
                teams=teams,
                states=states,
                only_open=only_open,
                before=before,
                limit=limit,
            )

    async def list_claimable(self, replica: str) -> list[RunId]:
        """Every run to be made that no other living replica carries out."""
        async with self._read() as connection:
            return await queries.list_claimable(connection, replica)

    async def unplanned(self, *, older_than: datetime, limit: int = 100) -> list[Request]:
        """Requests whose planning was cut off: they were acknowledged and are planned again."""
        async with self._read() as connection:
            return await queries.list_unplanned(connection, older_than=older_than, limit=limit)

    # ------------------------------------------------------------ cards

    async def add_card(self, request_id: str, kind: CardKind, channel_id: str) -> Card:
        """The card of this kind there; made when there is none."""

        async def add(tx: Transaction) -> Card:
            await tx.request_row(request_id)
            await outbox.add_cards(tx, request_id, [(kind, channel_id)])
            return await outbox.read(tx, outbox.card_id(request_id, kind, channel_id))

        return await self.write(add)

    async def claim_dirty_cards(
        self, *, limit: int = 20, claim_seconds: float = outbox.CLAIM_SECONDS
    ) -> list[Card]:
        """Dirty cards that are this caller's to send until the claim runs out."""
        return await self.write(
            lambda tx: outbox.claim_dirty_cards(tx, limit=limit, claim_seconds=claim_seconds)
        )

    async def note_post_started(self, card_id: str, at: datetime) -> None:
        await self.write(lambda tx: outbox.note_post_started(tx, card_id, at))

    async def card_posted(self, card_id: str, *, channel_id: str, ts: str, revision: int) -> None:
        await self.write(
            lambda tx: outbox.card_posted(tx, card_id, channel_id=channel_id, ts=ts, revision=revision)
        )

    async def card_sent(self, card_id: str, *, revision: int) -> None:
        await self.write(lambda tx: outbox.card_sent(tx, card_id, revision))

    async def card_failed(
        self, card_id: str, *, gone: bool = False, retry_at: datetime | None = None
    ) -> None:
        """`gone`: it can never be edited again. Otherwise it is tried again from `retry_at` on."""
        await self.write(lambda tx: outbox.card_failed(tx, card_id, gone=gone, retry_at=retry_at))

    async def list_cards(self, request_id: str) -> list[Card]:
        async with self._read() as connection:
            return await queries.list_cards(connection, request_id)

    # ------------------------------------------------------------ what exists

    async def find_service(self, name: str) -> Service | None:
        async with translated():
            # Past the columns' types, which do this for everything else that is looked for.
            return await self._glance.service(audit.storable_text(name))

    async def list_services(
        self, *, text: str = "", teams: Sequence[str] = (), after: str = "", limit: int = 20
    ) -> Sequence[Service]:
        async with self._read() as connection:
            return await queries.list_services(connection, text=text, teams=teams, after=after, limit=limit)

    async def last_deployment(self, service: str, environment: str) -> DeploymentRecord | None:
        return next(iter(await self.list_deployments(service, environment, limit=1)), None)

    async def list_deployments(
        self, service: str, environment: str, *, limit: int = 10
    ) -> Sequence[DeploymentRecord]:
        async with self._read() as connection:
            return await queries.list_deployments(connection, service, environment, limit=limit)

    async def put_entity(self, entity: Entity) -> None:
        await self.write(lambda tx: records.put_entity(tx, entity))

    async def find_entity(self, name: str) -> Entity | None:
        async with self._read() as connection:
            return await queries.find_entity(connection, name)

    async def search_entities(self, text: str, *, limit: int) -> Sequence[Entity]:
        async with self._read() as connection:
            return await queries.search_entities(connection, text, limit=limit)

    async def delete_entity(self, name: str) -> None:
        await self.write(lambda tx: records.delete_entity(tx, name))

    # ------------------------------------------------------------ audit

    async def list_audit(
        self,
        *,
        service: str = "",
        actor: str = "",
        request_id: str = "",
        since: datetime | None = None,
        before: int = 0,
        steps: bool = True,
        limit: int = 20,
    ) -> Sequence[AuditEvent]:
        async with self._read() as connection:
            return await queries.list_audit(
                connection,
                service=service,
                actor=actor,
                request_id=request_id,
                since=since,
                before=before,
                steps=steps,
                limit=limit,
            )

    async def audit_head(self) -> audit.Head:
        async with self._read() as connection:
            return await queries.audit_head(connection)

    def walk_audit(self, *, after: int = 0, batch: int = 500) -> AsyncIterator[AuditEvent]:
        """Every event after `after` that is recorded when the walk begins, oldest first, in constant memory."""
        return trail.walk(self._read, after=after, batch=batch)

    def export_audit(self, *, after: int = 0, batch: int = 500) -> AsyncIterator[str]:
        """The chain as JSON Lines."""
        return trail.export(self._read, after=after, batch=batch)

    async def verify_audit(self, *, batch: int = 250) -> audit.Verification:
        """Check the whole chain against itself and against its head, while the bot goes on writing."""
        return await trail.verify(self._read, self._engines.bulk, batch=batch)


async def _refuse_other_schema(engines: Engines) -> None:
    try:
        async with engines.reader.connect() as connection:
            await connection.run_sync(check_schema)
    except (sa.exc.SQLAlchemyError, OSError) as error:
        raise cannot_start(error) from error
