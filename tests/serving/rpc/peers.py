"""Both ends of a TCP link: a replica that listens, web processes and strangers that dial."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from serving.rpc.connection import Connection, Listener, connect
from serving.rpc.frames.codec import HEADER, Frame, FrameType
from serving.rpc.frames.hello import encode_hello
from serving.rpc.tcp.credentials import Credentials
from tests.serving.rpc.conftest import CREDENTIALS, HELLO, End, listen

LIMIT_S = 20


class Replica:
    """A listener that says HELLO to whom it admits and notes what they send."""

    def __init__(self) -> None:
        self.admitted: asyncio.Queue[Connection] = asyncio.Queue()
        self.frames: asyncio.Queue[Frame] = asyncio.Queue()
        self.lost: asyncio.Queue[object] = asyncio.Queue()
        self.listener: Listener
        self.first_words = encode_hello(HELLO)

    @classmethod
    @asynccontextmanager
    async def serving(cls, credentials: Credentials = CREDENTIALS) -> AsyncIterator[Replica]:
        replica = cls()
        replica.listener = await listen(
            "tcp:127.0.0.1:0",
            on_connect=replica.welcome,
            on_frame=lambda _, frame: replica.frames.put_nowait(frame),
            on_lost=lambda _, error: replica.lost.put_nowait(error),
            authentication=credentials.of(HELLO),
        )
        try:
            async with asyncio.timeout(LIMIT_S):  # pytest's own limit does not reach into uvloop
                yield replica
        finally:
            replica.listener.close()
            while not replica.admitted.empty():
                replica.admitted.get_nowait().abort()
            await asyncio.sleep(0)

    def welcome(self, connection: Connection) -> None:
        self.admitted.put_nowait(connection)
        connection.send(self.first_words)

    @property
    def port(self) -> int:
        return int(self.listener.sockets[0].getsockname()[1])

    @property
    def nobody_was_heard(self) -> bool:
        return self.admitted.empty() and self.frames.empty() and self.lost.empty()


async def dial(
    port: int,
    *,
    credentials: Credentials = CREDENTIALS,
    replica: str = HELLO.replica,
    timeout: float = LIMIT_S,
) -> tuple[Connection, End]:
    end = End()
    connection = await connect(
        f"tcp:127.0.0.1:{port}",
        on_frame=end.on_frame,
        on_lost=end.on_lost,
        timeout=timeout,
        authentication=credentials.to(replica),
    )
    assert (await end.frames.get()).type is FrameType.HELLO
    return connection, end


class Stranger:
    """A bare stream to a replica, which says what a test has it say."""

    @classmethod
    async def dial(cls, port: int) -> Stranger:
        stranger = cls()
        stranger.reader, stranger.writer = await asyncio.open_connection("127.0.0.1", port)
        return stranger

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def all_it_is_told(self) -> bytes:
        """Everything until the replica closes; the first frame is its challenge."""
        told = await self.reader.read()
        self.writer.close()
        return told[HEADER.size + 32 :]


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until the condition holds."""
    while not condition():
        await asyncio.sleep(0.001)
