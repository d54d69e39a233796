"""A server that answers every request alike, for the load generators to ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Server:
    """Answers every request with `answer`; the first one only once `first` is set."""

    def __init__(self, answer: bytes) -> None:
        self.first = asyncio.Event()
        self.bodies: list[bytes] = []
        self.handlers: set[asyncio.Task[None]] = set()
        self._answer = answer

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handlers.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.bodies.append(await reader.readexactly(size))
                if len(self.bodies) == 1:
                    await self.first.wait()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self._answer)
                    + self._answer
                )
        except asyncio.IncompleteReadError:  # the client has closed
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[int]:
    listener = await asyncio.start_server(server.connected, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await asyncio.gather(*server.handlers)
        await listener.wait_closed()
