"""A web process: uvicorn with our protocols, on the sockets of its master.

    python -m serving.master predict --listen http=127.0.0.1:8000 --listen arrivals=unix:PATH -- \\
        python -m serving.api.server clipper_site.predict_asgi:application

It says that it is ready once it takes connections. Told to end, it says so to load balancers, goes
on for `CLIPPER_LAME_DUCK_S`, then takes no more connections and answers what is under way; these
answers say `connection: close`. Told to retire, as another process
has taken its place, it hands that one the connections on which nothing is under way, so that no
client sends a request to nobody. Where that fails, it answers one more request on each.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from socket import socket
from typing import Any

import uvicorn
from uvicorn.lifespan.on import LifespanOn

from core.imports import uncollected
from serving.api.accepting import Acceptor
from serving.api.arrivals import ReceivingServer, new_protocol
from serving.api.connection import HttpConnection
from serving.api.moving import MovingConnection
from serving.api.shared import REPLACES_KEY, shared_by_connections
from serving.master.inherited import Inherited

# The sockets of the master: requests come by those whose names begin so, and other processes hand
# connections to this one.
HTTP = "http"
ARRIVALS = "arrivals"
# What is under way has so long to be answered, websockets' last messages included; and so long
# where another process is there already, and nobody waits but an upload.
ANSWER_S = 10
RETIRE_S = 60
# A connection without a request may still bring one for so long, once the process ends.
LAST_REQUEST_S = 2.0
MOVED_AT_ONCE = 32
LOOKS, LOOK_AGAIN_S = 10, 0.02
# What was let in just now is a connection some turns of the event loop later.
LET_IN_S = 0.05
IMPORT_NICE = 10

logger = logging.getLogger(__name__)


class Lifespan(LifespanOn):
    """Uvicorn's, which also keeps why the application can't start."""

    def __init__(self, config: uvicorn.Config, *, replaces: bool) -> None:
        super().__init__(config)
        self.state[REPLACES_KEY] = replaces
        self.failure = ""

    async def send(self, message: Any) -> None:
        if message["type"] == "lifespan.startup.failed":
            self.failure = message.get("message", "")
        await super().send(message)


class DrainingServer(uvicorn.Server):
    """Uvicorn's server, which ends without losing a request."""

    # Another process has taken its place, and takes connections: new ones, and at this path those
    # that wait for their next request.
    retires = False
    successor = ""

    def __init__(self, config: uvicorn.Config, **options: Any) -> None:
        super().__init__(config, **options)
        # Another process takes the connections, so that nobody has to be told first.
        self.succeeded = asyncio.Event()

    async def main_loop(self) -> None:
        """Serve until told to end, and until load balancers have seen that this process drains."""
        await super().main_loop()
        shared = shared_by_connections(self.lifespan.state)
        shared.draining = True
        if not self.retires and shared.lame_duck_s:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.succeeded.wait(), shared.lame_duck_s)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        await asyncio.sleep(LET_IN_S)
        for connection in list(self.server_state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(RETIRE_S if self.retires else ANSWER_S):
                await self._drain()
        except TimeoutError:
            self._cut_off()
        await self.lifespan.shutdown()

    async def _drain(self) -> None:
        if self.retires and self.successor:
            await self._move_idle()
        shared_by_connections(self.lifespan.state).closing = True
        grace = LAST_REQUEST_S if self.retires else 0.0
        closing = asyncio.get_running_loop().call_later(grace, self._close_idle)
        try:
            await self._wait_tasks_to_complete()
        finally:
            closing.cancel()

    async def _move_idle(self) -> None:
        """Have the successor go on with the connections on which nothing is under way.

        On some there was at the first look. One that takes none is offered no more: each would
        wait in vain.
        """
        for _ in range(LOOKS):
            connections = list(self.server_state.connections)
            moving = [each for each in connections if isinstance(each, MovingConnection)]
            for first in range(0, len(moving), MOVED_AT_ONCE):
                some = moving[first : first + MOVED_AT_ONCE]
                took = await asyncio.gather(*(each.move_on(to=self.successor) for each in some))
                if not all(took):
                    return
            if not moving:
                return
            await asyncio.sleep(LOOK_AGAIN_S)

    def _close_idle(self) -> None:
        """Close the connections on which nothing came any more."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, HttpConnection) and connection.is_idle:
                connection.transport.close()

    def _cut_off(self) -> None:
        tasks = list(self.server_state.tasks)
        logger.error("cut off requests=%d: they took too long to end", len(tasks))
        for task in tasks:
            task.cancel()


class WebServer(ReceivingServer, DrainingServer):
    """Tells its master how it fares, and retires when it is told to."""

    def __init__(self, config: uvicorn.Config, *, inherited: Inherited) -> None:
        arrivals = inherited.sockets.get(ARRIVALS)
        super().__init__(config, arrivals=arrivals)
        self._inherited = inherited
        self._acceptor: Acceptor | None = None
        if arrivals is not None:
            self.successor = arrivals.getsockname()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        asyncio.get_running_loop().add_reader(self._inherited.line, self._listen_to_master)
        try:
            await super().startup(sockets)
        except SystemExit:
            self._inherited.failed(getattr(self.lifespan, "failure", ""))
            raise
        if self.started:
            self._acceptor = Acceptor(sockets or (), new_protocol=lambda: new_protocol(self))
        self._inherited.ready()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        asyncio.get_running_loop().remove_reader(self._inherited.line)
        if self._acceptor is not None:
            self._acceptor.close()
        await super().shutdown(sockets)
        self._inherited.line.close()

    def _listen_to_master(self) -> None:
        if self._inherited.told():
            asyncio.get_running_loop().remove_reader(self._inherited.line)
            self.retires = self.should_exit = True
            self.succeeded.set()


def main() -> None:
    """Serve the application that the command line names, as MODULE:NAME."""
    inherited = Inherited()
    try:
        application = imported(sys.argv[1])
    except BaseException as error:
        inherited.failed(f"{type(error).__name__}: {error}")
        raise
    config = configured(application)
    config.load()
    config.lifespan_class = lambda config: Lifespan(config, replaces=inherited.replaces)
    listening = [each for name, each in inherited.sockets.items() if name.startswith(HTTP)]
    WebServer(config, inherited=inherited).run(listening)


def imported(application: str) -> Any:
    """Import MODULE:NAME without taking the time of processes that answer: seconds of a core.

    Linux knows niceness by thread, and a process couldn't lower its own again.
    """

    def import_it() -> Any:
        os.nice(IMPORT_NICE)
        module, _, name = application.partition(":")
        with uncollected():
            return getattr(import_module(module), name)

    with ThreadPoolExecutor(max_workers=1) as niced:
        return niced.submit(import_it).result()


def configured(application: Any) -> uvicorn.Config:
    """Return how every web process is run; its logs go the way of all others.

    The application says by which protocol its connections are served (`connection`).
    """
    return uvicorn.Config(
        application,
        loop="uvloop",
        http=application.connection,
        interface="asgi3",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=4096,
        ws_per_message_deflate=False,
        timeout_keep_alive=75,
    )


if __name__ == "__main__":
    main()
