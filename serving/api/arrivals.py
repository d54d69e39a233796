"""Takes the connections that web processes of the other kind hand over to this one."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import uvicorn

from serving.api.moving import MovingConnection
from serving.api.passage import BrokenPassage, claimed, is_of_this_user, received
from serving.rpc.confined_peers import is_model

# So many are taken at a time; more wait in the backlog.
AT_ONCE = 64
# Where the process has no descriptors left, it looks again after this time.
PAUSE_S = 0.5
# What has been sent is there within milliseconds; the connection of a sender that has stopped in
# between stays the sender's.
LAST_S = 1.0

logger = logging.getLogger(__name__)


class Arrivals:
    """Listens on a Unix socket, which other processes of the kind may listen on too, and has each
    connection that comes served by the protocol of a server that has started.
    """

    def __init__(self, listening: socket.socket, *, server: uvicorn.Server) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = server
        self._listening = listening
        self._open = True
        self._listens = False
        self._tasks: set[asyncio.Task[None]] = set()
        listening.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Take no more; those who wait for it to take theirs go to another process."""
        self._open = False
        self._pause()
        self._listening.close()

    async def closed(self) -> None:
        """Wait until nothing is under way any more, which takes no longer than `LAST_S`."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=LAST_S)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    def _accept(self) -> None:
        while len(self._tasks) < AT_ONCE:
            try:
                channel, _ = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                logger.warning("no connection can be taken error=%s", error)
                self._pause()
                self._loop.call_later(PAUSE_S, self._listen)
                return
            task = self._loop.create_task(self._take(channel))
            self._tasks.add(task)
            task.add_done_callback(self._done)
        self._pause()

    def _listen(self) -> None:
        if self._open and not self._listens:
            self._listens = True
            self._loop.add_reader(self._listening, self._accept)

    def _pause(self) -> None:
        if self._listens:
            self._listens = False
            self._loop.remove_reader(self._listening)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._listen()

    async def _take(self, channel: socket.socket) -> None:
        with channel:
            channel.setblocking(False)
            if not is_of_this_user(channel) or is_model(channel):
                return
            try:
                connection, data = await received(channel)
            except (BrokenPassage, OSError, TimeoutError) as error:
                logger.warning("no connection came error=%r", error)
                return
            if not self._open or not claimed(channel):
                connection.close()
                return
        await self._serve(connection, data)

    async def _serve(self, connection: socket.socket, data: bytes) -> None:
        protocol = new_protocol(self._server)
        protocol.brings(data)
        connecting = self._loop.create_task(
            self._loop.connect_accepted_socket(lambda: protocol, connection)
        )
        # In the turn of the loop that connects it, before anything is read: read on at each of its
        # moves, a connection would bring ever more along.
        self._loop.call_soon(self._loop.call_soon, protocol.begin)
        try:
            await connecting
        except OSError:
            connection.close()
        else:
            protocol.begin()  # where the loop took one turn more


def new_protocol(server: uvicorn.Server) -> MovingConnection:
    """Return the protocol of a connection that the server didn't accept itself."""
    protocol: Any = server.config.http_protocol_class
    made: MovingConnection = protocol(
        config=server.config,
        server_state=server.server_state,
        app_state=server.lifespan.state,
        _loop=asyncio.get_running_loop(),
    )
    return made


class ReceivingServer(uvicorn.Server):
    """A server that also takes connections from web processes of the other kind, over a socket that
    listens for them; without one it takes none.
    """

    def __init__(self, config: uvicorn.Config, *, arrivals: socket.socket | None) -> None:
        super().__init__(config)
        self._listening = arrivals
        self._arrivals: Arrivals | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started and self._listening is not None:
            self._arrivals = Arrivals(self._listening, server=self)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._arrivals is not None:
            self._arrivals.close()
            await self._arrivals.closed()
        await super().shutdown(sockets=sockets)
