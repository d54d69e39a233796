"""The HTTP server with its short cut for predictions, on a real socket, and a client of raw bytes.

Replicas are played by the test; the ASGI application says that it was asked.
"""

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httptools

from core.specs import ApiKeySpec
from serving.endpoints.predictions.direct_predictions import DirectPredictions
from serving.engine.engine import digest_of
from serving.http.asgi import DRAINING_KEY
from serving.http.connections import Connections
from serving.http.limits import Limits
from serving.http.server import Server
from serving.http.websocket import WebSocket
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
        self.draining: list[bool] = []
        # None: a process that answers no predictions.
        self.direct: DirectPredictions | None = self.predictions
        self.listening: list[socket.socket] = []
        self.port = 0
        # How its ASGI side answers: what, when, and if before the body is there.
        self.answer = b"ASGI"
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.answers_early = False

    def allow(self, *keys: ApiKeySpec) -> None:
        self.serving.change_registry(keys={key.digest: key for key in keys})

    def learn(self, *inputs: bytes, answer: bytes | None = None) -> None:
        """Have the cache know the answer to some inputs: themselves, or this one."""
        target = self.serving.router.arms(self.serving.application).targets["m1:1"]
        for one in inputs:
            key = target.key_prefix + digest_of(one)
            self.serving.engine.cache.put(key, answer or one, now=0.0)

    async def asgi(
        self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
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
        self.draining.append(scope["state"][DRAINING_KEY])
        await self.may_answer.wait()
        await self.respond(send)

    async def respond(self, send: Callable[..., Any]) -> None:
        headers = [(b"content-length", b"%d" % len(self.answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.answer})

    def websocket(self, path: str) -> Callable[..., WebSocket] | None:
        """Return what makes the websocket of a path: it sends back what it receives."""
        return partial(WebSocket, talk=echo) if path.startswith("/ws") else None

    def connections(self) -> Connections:
        asgi: Any = self.asgi
        return Connections(
            asgi,
            refusals=self.serving.metrics.refusals,
            limits=self.limits,
            direct=self.direct,
            websocket=self.websocket,
        )


async def echo(websocket: WebSocket, request: Any) -> None:
    websocket.trust()
    while (message := await websocket.receive()) is not None:
        await websocket.send(message[0])
    websocket.close_with(1012)


@asynccontextmanager
async def running(it: Front) -> AsyncIterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        it.port = listening.getsockname()[1]
        server = Server(it.connections(), [listening, *it.listening])
        server.start()
        try:
            yield server
        finally:
            async with asyncio.timeout(SECONDS):
                await server.stop()


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


async def until(true: Callable[..., Any]) -> None:
    while not true():
        await asyncio.sleep(0.002)
