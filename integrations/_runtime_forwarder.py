"""The stable door of one application: a TCP port that stays while the processes behind it come and go.

Bytes in, bytes out, at most one target at a time. Knows nothing of revisions or health; without a target it says so in
HTTP, because a browser is what usually knocks.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

_CHUNK_BYTES: Final = 64 * 1024
_CONNECT_SECONDS: Final = 5.0
_NOBODY_HOME: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 30\r\n"
    b"Connection: close\r\n\r\n"
    b"This service is not running.\r\n"
)


class Forwarder:
    """Set `target_port` to switch: new connections go there, running ones end with the process they reach."""

    def __init__(self, port: int) -> None:
        self.target_port: int | None = None
        self._port = port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Raises OSError when the port is taken."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)

    async def close(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A peer that goes away in mid-sentence is the everyday end of a connection.
        with contextlib.suppress(ConnectionError, TimeoutError), contextlib.closing(writer):
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    upstream, downstream = await asyncio.open_connection("127.0.0.1", self.target_port or 0)
            except OSError:
                writer.write(_NOBODY_HOME)
                await writer.drain()
                return
            with contextlib.closing(downstream):
                questions = asyncio.create_task(_copy(reader, downstream))
                try:
                    # The service has the last word: when it has ended, nobody is left to read more questions.
                    await _copy(upstream, writer)
                finally:
                    questions.cancel()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the end of the stream; the other direction may still have something to say."""
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()
