"""A server that answers every request alike, for the load generators to ask."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic


class Server:
    """Answers every request with `answer`, the first one once `first` is set.

    `arrived` has the monotonic times of the requests, in the order of `bodies`.
    """

    def __init__(self, answer: bytes, *, status: int = 200, hangs_up: bool = False) -> None:
        self.first = asyncio.Event()
        self.bodies: list[bytes] = []
        self.arrived: list[float] = []
        self.handlers: set[asyncio.Task[None]] = set()
        head = b"HTTP/1.1 %d OK\r\ncontent-length: %d\r\n\r\n" % (status, len(answer))
        self.whole = head + answer
        self._hangs_up = hangs_up

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handlers.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.bodies.append(await reader.readexactly(size))
                self.arrived.append(monotonic())
                if len(self.bodies) == 1:
                    await self.first.wait()
                writer.write(self.whole)
                if self._hangs_up:
                    writer.close()
        except asyncio.IncompleteReadError:  # the client has closed
            pass
        finally:
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
