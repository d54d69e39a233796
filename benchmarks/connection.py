"""One connection to a server: just enough of HTTP/1.1 for ours, at little cost for the client."""

from __future__ import annotations

import asyncio

HEADER_END = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """One connection and at most one open question, kept alive from one to the next."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    @classmethod
    async def open(cls, host: str, *, port: int) -> Connection:
        """Connect; OSError where nobody listens."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, host, port)
        return connection

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Return status and body; ConnectionError where the server hangs up."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the server has closed the connection")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        answer = answer_in(self._received)
        if answer is None:
            return
        status, body, whole = answer
        del self._received[:whole]
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((status, body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(f"the server hung up: {exc}"))


def answer_in(received: bytes | bytearray) -> tuple[int, bytes, int] | None:
    """Return status, body and length of the answer that begins here; None until all is there."""
    end = received.find(HEADER_END)
    if end < 0:
        return None
    size = _content_length(bytes(received[:end]))
    whole = end + len(HEADER_END) + size
    if len(received) < whole:
        return None
    return int(received[9:12]), bytes(received[whole - size : whole]), whole


def post_request(*, host: str, port: int, path: str, api_key: str, body: bytes) -> bytes:
    """A POST of JSON with the key in it, as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Authorization: Api-Key {api_key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
