"""Takes all connections that wait to be accepted.

Libuv takes one of a listening socket in each turn of the loop. A turn answers whatever came, which
takes 0.2 s where a thousand connections are busy: of 1,500 that came at once, 491 still had no
answer after 8 s.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable

# In one turn of the loop, of each listening socket. One takes some 70 µs in all.
AT_ONCE = 1024


class Acceptor:
    """Accepts beside the server that listens on the same sockets, whatever that leaves."""

    def __init__(
        self,
        listening: Iterable[socket.socket],
        *,
        new_protocol: Callable[[], asyncio.Protocol],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._new_protocol = new_protocol
        self._tasks: set[asyncio.Task[None]] = set()
        # The loop looks at a descriptor for one purpose only.
        self._listening = [each.dup() for each in listening]
        for each in self._listening:
            each.setblocking(False)
            self._loop.add_reader(each, self._accept, each)

    def close(self) -> None:
        for each in self._listening:
            self._loop.remove_reader(each)
            each.close()
        self._listening.clear()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, _ = listening.accept()
            except OSError:  # none waits, or no descriptor is left: the server knows what to do
                return
            task = self._loop.create_task(self._serve(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._new_protocol, connection)
        except OSError:  # the client has left
            connection.close()
