"""Socket Mode: one-use tickets, hello, each payload on one connection, acks accepted on that connection only.

https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from playground.changes import Changes
from playground.clock import Clock
from playground.delivery import DeliveryError, Parcel
from playground.feed import Feed

Json = dict[str, Any]

MAX_CONNECTIONS = 10
TICKET_LIFETIME_SECONDS = 30.0
CONNECTION_LIFETIME_SECONDS = 3600


# Compared by identity: two connections are never the same one.
@dataclass(eq=False)
class Connection:
    number: int
    socket: web.WebSocketResponse
    transport: asyncio.Transport | None


@dataclass
class Waiting:
    """An envelope whose ack is due, and the connections it was sent on."""

    answer: asyncio.Future[Json | None]
    connections: list[Connection] = field(default_factory=list)


class SocketDelivery:
    def __init__(self, *, clock: Clock, changes: Changes, feed: Feed, app_id: str) -> None:
        self._clock = clock
        self._changes = changes
        self._feed = feed
        self._app_id = app_id
        self._tickets: dict[str, float] = {}
        self._connections: list[Connection] = []
        self._waiting: dict[str, Waiting] = {}
        self._turn = 0
        self.opened = 0
        self.ignored_acks: list[str] = []

    # -- what apps.connections.open and the socket route need -------------------------------------------------------

    def issue_ticket(self) -> str:
        ticket = secrets.token_hex(16)
        self._tickets[ticket] = self._clock.now()
        return ticket

    async def handle(self, request: web.Request) -> web.StreamResponse:
        issued_at = self._tickets.pop(request.query.get("ticket", ""), None)
        if issued_at is None or self._clock.now() - issued_at > TICKET_LIFETIME_SECONDS:
            return web.Response(status=403, text="invalid_ticket")
        socket = web.WebSocketResponse(max_msg_size=1_000_000)
        await socket.prepare(request)
        if len(self._connections) >= MAX_CONNECTIONS:
            await self._say_goodbye(socket, "too_many_websockets")
            return socket
        connection = self._add(socket, request.transport)
        try:
            await socket.send_json(self._hello())
            await self._listen(connection)
        finally:
            self._remove(connection)
        return socket

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self._connections),
            "debug_info": {
                "host": "playground",
                "build_number": 1,
                "approximate_connection_time": CONNECTION_LIFETIME_SECONDS,
            },
            "connection_info": {"app_id": self._app_id},
        }

    def _add(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> Connection:
        self.opened += 1
        connection = Connection(self.opened, socket, transport)
        self._connections.append(connection)
        self._feed.tell_everyone({"type": "app", "connected": True})
        self._changes.notify()
        return connection

    def _remove(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
        if not self._connections:
            self._feed.tell_everyone({"type": "app", "connected": False})
        self._changes.notify()

    async def _listen(self, connection: Connection) -> None:
        async for frame in connection.socket:
            if frame.type is WSMsgType.TEXT:
                self._acknowledge(connection, frame.data)

    def _acknowledge(self, connection: Connection, text: str) -> None:
        try:
            frame = json.loads(text)
        except ValueError:
            return
        envelope_id = frame.get("envelope_id") if isinstance(frame, dict) else None
        waiting = self._waiting.get(envelope_id or "")
        if waiting is None or connection not in waiting.connections:
            # Too late, a second time, or on another connection: Slack ignores all three.
            self.ignored_acks.append(envelope_id or "")
            self._changes.notify()
        elif not waiting.answer.done():
            payload = frame.get("payload")
            waiting.answer.set_result(payload if isinstance(payload, dict) and payload else None)

    # -- Transport ---------------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        return bool(self._connections)

    @property
    def connection_count(self) -> int:
        return len(self._connections)

    async def send(self, parcel: Parcel) -> Json | None:
        connection = self._next_connection()
        if connection is None:
            raise DeliveryError("dispatch_failed", "connection_failed")
        waiting = Waiting(asyncio.get_running_loop().create_future(), [connection])
        self._waiting[parcel.envelope_id] = waiting
        try:
            await self._write(connection, parcel)
            return await waiting.answer
        finally:
            del self._waiting[parcel.envelope_id]

    async def repeat(self, parcel: Parcel) -> None:
        connection = self._next_connection()
        if connection is None:
            return
        if (waiting := self._waiting.get(parcel.envelope_id)) is not None:
            waiting.connections.append(connection)
        await self._write(connection, parcel)

    def _next_connection(self) -> Connection | None:
        if not self._connections:
            return None
        self._turn += 1
        return self._connections[self._turn % len(self._connections)]

    async def _write(self, connection: Connection, parcel: Parcel) -> None:
        envelope: Json = {
            "envelope_id": parcel.envelope_id,
            "type": parcel.kind,
            "accepts_response_payload": parcel.accepts_response_payload,
            "payload": parcel.payload,
        }
        if parcel.kind == "events_api":
            envelope |= {
                "retry_attempt": parcel.retry_num,
                "retry_reason": _socket_reason(parcel.retry_reason),
            }
        try:
            await connection.socket.send_json(envelope)
        except ConnectionError as error:
            raise DeliveryError("dispatch_failed", "connection_failed") from error

    async def cut(self) -> None:
        """Without a closing handshake, as when a network breaks."""
        for connection in list(self._connections):
            if connection.transport is not None:
                connection.transport.abort()

    async def announce(self, reason: str, *, close: bool) -> None:
        """A disconnect frame: warning, refresh_requested, link_disabled or too_many_websockets; then the end, if `close`."""
        for connection in list(self._connections):
            await connection.socket.send_json(self._disconnect(reason))
            if close:
                await connection.socket.close()

    async def close(self) -> None:
        for connection in list(self._connections):
            await connection.socket.close()

    async def _say_goodbye(self, socket: web.WebSocketResponse, reason: str) -> None:
        await socket.send_json(self._disconnect(reason))
        await socket.close()

    def _disconnect(self, reason: str) -> Json:
        return {"type": "disconnect", "reason": reason, "debug_info": {"host": "playground"}}


def _socket_reason(reason: str | None) -> str:
    return "timeout" if reason == "http_timeout" else reason or ""
