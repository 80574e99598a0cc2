"""Bringing a payload to the app: one deadline, one log, faults on order; over whichever transport the app registered.

Commands and interactions are sent once. Events are retried with the same event_id. Nothing here knows what a payload means.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

from playground.background import Background
from playground.changes import Changes
from playground.clock import Clock
from playground.faults import DeliveryFault, Faults

Json = dict[str, Any]

DEADLINE_SECONDS = 3.0
# https://docs.slack.dev/apis/events-api/#retries: nearly at once, after a minute, after five.
RETRY_DELAYS_SECONDS = (0.0, 60.0, 300.0)
LOG_LENGTH = 20_000


class DeliveryError(Exception):
    """`code` is what a person is told, `reason` what a retried event says in x-slack-retry-reason."""

    def __init__(self, code: str, reason: str, *, no_retry: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason
        self.no_retry = no_retry


@dataclass(frozen=True)
class Parcel:
    """One attempt to deliver one payload. `kind` is the envelope type: slash_commands, interactive or events_api."""

    envelope_id: str
    kind: str
    payload: Json
    accepts_response_payload: bool
    retry_num: int = 0
    retry_reason: str | None = None


@dataclass
class Delivery:
    """A line of the delivery log. `error` is None once the app acknowledged; `note` says what was wrong with its answer."""

    number: int
    envelope_id: str
    kind: str
    type: str
    payload: Json
    sent_at: float
    retry_num: int = 0
    retry_reason: str | None = None
    outcome: str = "pending"
    answer: Json | None = None
    error: str | None = None
    error_reason: str | None = None
    no_retry: bool = False
    latency_ms: float | None = None
    fault: str | None = None
    note: str | None = None

    @property
    def acknowledged(self) -> bool:
        return self.outcome == "acked"


class Transport(Protocol):
    @property
    def connected(self) -> bool: ...

    async def send(self, parcel: Parcel) -> Json | None:
        """The app's answer, None when it only acknowledged; DeliveryError when it did neither."""

    async def repeat(self, parcel: Parcel) -> None:
        """The same parcel once more; whatever the app answers is ignored."""

    async def cut(self) -> None:
        """Drops the connections, as a network does."""

    async def close(self) -> None: ...


class Deliveries:
    def __init__(
        self, transport: Transport, *, clock: Clock, faults: Faults, changes: Changes, background: Background
    ) -> None:
        self.transport = transport
        self.log: deque[Delivery] = deque(maxlen=LOG_LENGTH)
        self._clock = clock
        self._faults = faults
        self._changes = changes
        self._background = background
        self._number = 0

    async def deliver(self, kind: str, payload: Json, *, payload_type: str) -> Delivery:
        """One attempt. It never raises: the log's line says what happened."""
        return await self._attempt(kind, payload, payload_type, retry_num=0, retry_reason=None)

    async def deliver_event(self, payload: Json) -> None:
        """Up to four attempts, until the app acknowledges or forbids more."""
        event_type = payload["event"]["type"]
        delivery = await self._attempt("events_api", payload, event_type, retry_num=0, retry_reason=None)
        for retry_num, delay_seconds in enumerate(RETRY_DELAYS_SECONDS, start=1):
            if delivery.acknowledged or delivery.no_retry:
                return
            if delay_seconds:
                await self._clock.sleep(delay_seconds)
            delivery = await self._attempt(
                "events_api", payload, event_type, retry_num=retry_num, retry_reason=delivery.error_reason
            )

    async def _attempt(
        self, kind: str, payload: Json, payload_type: str, *, retry_num: int, retry_reason: str | None
    ) -> Delivery:
        fault = self._faults.take_delivery((payload_type, kind))
        if fault is not None and fault.kind == "delay":
            await self._clock.sleep(fault.seconds)
        delivery = self._log(kind, payload, payload_type, fault)
        delivery.retry_num, delivery.retry_reason = retry_num, retry_reason
        parcel = Parcel(
            envelope_id=delivery.envelope_id,
            kind=kind,
            payload=payload,
            accepts_response_payload=kind != "events_api",
            retry_num=retry_num,
            retry_reason=retry_reason,
        )
        started = time.perf_counter()
        try:
            sending = self._send(parcel, fault)
            delivery.answer = await self._clock.wait_for(sending, timeout_seconds=DEADLINE_SECONDS)
            delivery.outcome = "acked"
        except TimeoutError:
            delivery.outcome, delivery.error, delivery.error_reason = (
                "timeout",
                "operation_timeout",
                "http_timeout",
            )
        except DeliveryError as error:
            delivery.outcome, delivery.error, delivery.error_reason = "failed", error.code, error.reason
            delivery.no_retry = error.no_retry
        delivery.latency_ms = (time.perf_counter() - started) * 1000
        self._changes.notify()
        return delivery

    def _log(self, kind: str, payload: Json, payload_type: str, fault: DeliveryFault | None) -> Delivery:
        self._number += 1
        now = self._clock.now()
        delivery = Delivery(
            number=self._number,
            envelope_id=f"{int(now):08x}-0000-4000-8000-{self._number:012x}",
            kind=kind,
            type=payload_type,
            payload=payload,
            sent_at=now,
            fault=fault.kind if fault else None,
        )
        self.log.append(delivery)
        self._changes.notify()
        return delivery

    async def _send(self, parcel: Parcel, fault: DeliveryFault | None) -> Json | None:
        kind = fault.kind if fault else None
        if kind == "drop":
            await asyncio.get_running_loop().create_future()
        if kind == "duplicate":
            self._background.spawn(self.transport.repeat(parcel))
        if kind == "disconnect":
            sending = asyncio.ensure_future(self.transport.send(parcel))
            await asyncio.sleep(0)
            await self.transport.cut()
            return await sending
        answer = await self.transport.send(parcel)
        if kind == "lost_ack":
            raise DeliveryError("operation_timeout", "http_timeout")
        return answer
