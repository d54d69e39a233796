"""A web process, on the sockets of its master.

    python -m serving.master predict --listen http=127.0.0.1:8000 -- \\
        python -m serving.http.server clipper_site.predict_asgi:application

A signal has it drain for `CLIPPER_LAME_DUCK_S`, then answer what is under way and end. If its
master retires it, it answers one more request on each connection.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from importlib import import_module
from socket import socket
from time import monotonic
from typing import Any

import uvloop

from core.imports import uncollected
from serving.http.connection import HttpConnection
from serving.http.connections import Connections
from serving.master.inherited import Inherited

# What is under way has so long to be answered if another process is there already.
RETIRE_S = 60.0
# A connection without a request may still bring one for so long, once the process retires.
LAST_REQUEST_S = 2.0

# Starts the parts of a process; `replaces`: another one does its work meanwhile.
Process = Callable[[bool], AbstractAsyncContextManager[Connections]]

logger = logging.getLogger(__name__)


class Server:
    """Accepts connections until it is stopped, and then loses no request.

    All waiting connections are accepted at once: libuv takes one in each turn of the loop, and a
    turn takes 0.2 s with a thousand busy connections.
    """

    def __init__(self, connections: Connections, listening: Iterable[socket]) -> None:
        self.connections = connections
        # Set once another process takes the connections.
        self.retiring = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._listening = set(listening)
        self._letting_in: set[asyncio.Task[None]] = set()
        self._checking: asyncio.TimerHandle | None = None

    def start(self) -> None:
        for each in self._listening:
            each.setblocking(False)
            self._listen(each)
        self._check()

    async def stop(self) -> None:
        """Tell load balancers, take no more connections, and answer what is under way."""
        self.connections.draining = True
        with suppress(TimeoutError):
            # No load balancer has to know first if another process takes the connections.
            await asyncio.wait_for(self.retiring.wait(), self.connections.lame_duck_s)
        retires = self.retiring.is_set()
        for each in self._listening:
            self._loop.remove_reader(each)
            each.close()
        self._listening.clear()
        if self._letting_in:
            await asyncio.wait(self._letting_in)
        self.connections.closing = True
        for connection in list(self.connections.open):
            connection.end()
        grace = LAST_REQUEST_S if retires else 0.0
        closing = self._loop.call_later(grace, self._close_idle)
        try:
            async with asyncio.timeout(RETIRE_S if retires else 10.0):
                await self.connections.emptied()
        except TimeoutError:
            await self._cut_off()
        finally:
            closing.cancel()
            if self._checking is not None:
                self._checking.cancel()

    def _listen(self, listening: socket) -> None:
        if listening in self._listening:
            self._loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket) -> None:
        for _ in range(1024):  # one takes 70 µs of this turn of the loop
            try:
                connection, _ = listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                logger.warning("no connection can be accepted error=%s", error)
                self._loop.remove_reader(listening)
                self._loop.call_later(0.5, self._listen, listening)  # descriptors may be free
                return
            task = self._loop.create_task(self._let_in(connection))
            self._letting_in.add(task)
            task.add_done_callback(self._letting_in.discard)

    async def _let_in(self, connection: socket) -> None:
        protocol = HttpConnection(self.connections)
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, connection)
        except OSError:  # the client has left
            connection.close()

    def _check(self) -> None:
        """Date responses anew, and end the connections whose clients have had their time."""
        self.connections.renew_date()
        now = monotonic()
        for connection in list(self.connections.open):
            connection.check(now)
        self._checking = self._loop.call_later(self.connections.check_s, self._check)

    def _close_idle(self) -> None:
        for connection in list(self.connections.open):
            if connection.is_idle:
                connection.close()

    async def _cut_off(self) -> None:
        tasks = list(self.connections.tasks)
        logger.error("cut off requests=%d: they took too long to end", len(tasks))
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)


async def serve(process: Process, *, inherited: Inherited) -> int:
    """Run a process until a signal or its master ends it; return its exit code."""
    loop = asyncio.get_running_loop()
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)

    def listen_to_master() -> None:
        if inherited.must_retire():
            loop.remove_reader(inherited.line)
            server.retiring.set()
            ending.set()

    async with AsyncExitStack() as parts:
        try:
            async with asyncio.timeout(30.0):
                connections = await parts.enter_async_context(process(inherited.replaces))
        except Exception as error:
            logger.exception("the web process did not start")
            inherited.failed(str(error))
            return 3
        server = Server(connections, inherited.sockets.values())
        server.start()
        loop.add_reader(inherited.line, listen_to_master)
        inherited.ready()
        await ending.wait()
        await server.stop()
        loop.remove_reader(inherited.line)
        inherited.line.close()
    return 0


def main() -> int:
    """Serve the application that the command line names, as MODULE:NAME."""
    inherited = Inherited()
    try:
        process = imported(sys.argv[1])
    except BaseException as error:
        inherited.failed(f"{type(error).__name__}: {error}")
        raise
    return uvloop.run(serve(process, inherited=inherited))


def imported(process: str) -> Any:
    """Import MODULE:NAME in a niced thread: a process couldn't lower its own niceness again."""

    def import_it() -> Any:
        os.nice(10)
        module, _, name = process.partition(":")
        with uncollected():
            return getattr(import_module(module), name)

    with ThreadPoolExecutor(max_workers=1) as niced:
        return niced.submit(import_it).result()


if __name__ == "__main__":
    raise SystemExit(main())
