"""The HTTP server with its short cut for predictions, on a real socket, and a client of raw bytes.

Replicas are played by the test; the ASGI application says that it was asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httptools
import uvicorn

from core.specs import ApiKeySpec
from serving.api.arrivals import ReceivingServer
from serving.api.front import DirectPredictions, FrontProtocol
from serving.api.limits import LIMITS_KEY, Limits
from serving.api.moving import MOVES_KEY, Moves
from serving.api.server import DrainingServer
from serving.api.shared import STATE_KEY
from serving.testing import (
    PlayedReplica,
    PlayedServing,
    application_spec,
    connect,
    key_spec,
    routes_to,
)

KEY = b"clp_secret"
DIGEST = hashlib.sha256(KEY).hexdigest()
PATH = b"/api/v1/applications/digits/predict"
ONE_ROUTE = routes_to(1)
MAX_BODY = 1 << 20
SECONDS = 30.0


class Front:
    """A server with one application, whose ASGI side just says what it was asked."""

    def __init__(self, *, limits: Limits | None = None, **changes: Any) -> None:
        self.limits = limits or Limits()
        self.serving = PlayedServing(
            application_spec(**({"routes": ONE_ROUTE} | changes)), queue_capacity=1000
        )
        self.model: PlayedReplica = connect(self.serving.engine)
        self.allow(key_spec(KEY.decode()))
        self.predictions = DirectPredictions(self.serving.processor, max_body_bytes=MAX_BODY)
        self.asked: list[tuple[str, str, bytes]] = []
        self.headers: list[list[tuple[bytes, bytes]]] = []
        self.clients: list[tuple[str, int] | None] = []
        self.protocol: type[asyncio.Protocol] = FrontProtocol
        self.port = 0
        # How its ASGI side answers: what, when, and whether before the body is there.
        self.answer = b"ASGI"
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.answers_early = False
        # Where its connections may move to, and where those that come from there come in.
        self.moves: Moves | None = None
        self.arrivals: socket.socket | None = None

    def allow(self, *keys: ApiKeySpec) -> None:
        self.serving.change_registry(keys={key.digest: key for key in keys})

    def learn(self, *inputs: bytes, answer: bytes | None = None) -> None:
        """Have the cache know the answer to some inputs: themselves, or this one."""
        target = self.serving.router.arms(self.serving.application).targets["m1:1"]
        for one in inputs:
            key = target.key_prefix + hashlib.sha256(one).digest()
            self.serving.engine.cache.put(key, answer or one, now=0.0)

    async def asgi(
        self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"] |= {STATE_KEY: self.predictions, LIMITS_KEY: self.limits}
            if self.moves is not None:
                scope["state"][MOVES_KEY] = self.moves
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["type"] == "websocket":
            await echo(receive, send)
            return
        if self.answers_early:
            await self.respond(send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if message["type"] == "http.disconnect":
                return
        self.asked.append((scope["method"], scope["path"], body))
        self.headers.append(scope["headers"])
        self.clients.append(scope["client"])
        await self.may_answer.wait()
        await self.respond(send)

    async def respond(self, send: Callable[..., Any]) -> None:
        headers = [(b"content-length", b"%d" % len(self.answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.answer})


async def echo(receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


class Server(ReceivingServer, DrainingServer):
    """Leaves the signals of the process that runs the tests alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def running(it: Front, **options: Any) -> AsyncIterator[uvicorn.Server]:
    config = uvicorn.Config(
        it.asgi,
        port=0,
        http=it.protocol,
        interface="asgi3",
        lifespan="on",
        log_config=None,
        proxy_headers=False,
        **options,
    )
    server = Server(config, arrivals=it.arrivals)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.001)
    it.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, SECONDS)


class Response(httptools.HttpResponseParser):
    """One response as it is parsed; `messages` are all that came, as (status, headers, body)."""

    def __init__(self) -> None:
        super().__init__(self)
        self.messages: list[tuple[int, dict[bytes, bytes], bytes]] = []

    def on_message_begin(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.messages.append((self.get_status_code(), self.headers, self.body))


class Client:
    """One connection, over which raw bytes go."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._parser = Response()
        self._taken = 0

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def response(self) -> tuple[int, dict[bytes, bytes], bytes]:
        while len(self._parser.messages) <= self._taken:
            data = await asyncio.wait_for(self.reader.read(1 << 16), SECONDS)
            assert data, "the connection was closed"
            self._parser.feed_data(data)
        self._taken += 1
        return self._parser.messages[self._taken - 1]

    async def closed(self) -> bool:
        return await asyncio.wait_for(self.reader.read(1), SECONDS) == b""


@asynccontextmanager
async def client_of(it: Front) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", it.port, limit=1 << 20)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def request(
    body: bytes = b'{"input":[1]}',
    *,
    method: bytes = b"POST",
    path: bytes = PATH,
    key: bytes | None = KEY,
    version: bytes = b"1.1",
    extra: bytes = b"",
    framing: bytes | None = None,
) -> bytes:
    framing = b"Content-Length: %d\r\n" % len(body) if framing is None else framing
    authorization = b"" if key is None else b"Authorization: Api-Key %b\r\n" % key
    start = b"%b %b HTTP/%b\r\nHost: here\r\n" % (method, path, version)
    return start + framing + authorization + extra + b"\r\n" + body


async def sent(it: Front, count: int = 1) -> None:
    """Wait until the model has got so many rows."""
    while sum(it.model.sizes) < count:
        await asyncio.sleep(0.001)
