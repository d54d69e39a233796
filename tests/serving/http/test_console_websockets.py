"""Websockets of the console pass through the processes that answer queries, as they are."""

import asyncio
from pathlib import Path

import pytest

from serving.http import tunnel
from serving.http.limits import Limits
from tests.serving.http.front_server import Client, client_of, request, running, until
from tests.serving.http.test_smuggling import upgrade
from tests.serving.http.two_kinds import TwoKinds, two

__all__ = ["two"]
OPENING = (
    b"GET %b HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"X-Clipper-Client: 192.0.2.1 80\r\n\r\n"
)
SOCKET = b"/ws/console"


def frame(text: bytes) -> bytes:
    """Return a message of a client, masked with zeros; of the server it has no mask."""
    return b"\x81" + bytes([0x80 | len(text)]) + bytes(4) + text


async def head_of(client: Client) -> bytes:
    return await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 30)


async def echoed(client: Client, text: bytes) -> bytes:
    await client.send(frame(text))
    return (await asyncio.wait_for(client.reader.readexactly(2 + len(text)), 30))[2:]


async def test_messages_go_both_ways(two: TwoKinds) -> None:
    async with two.running() as (predict, console), client_of(two.predict) as client:
        await client.send(OPENING % SOCKET + frame(b"early"))
        assert (await head_of(client)).startswith(b"HTTP/1.1 101 ")
        assert (await asyncio.wait_for(client.reader.readexactly(7), 30))[2:] == b"early"
        for number in range(20):
            assert await echoed(client, b"message %d" % number) == b"message %d" % number
        client.writer.transport.abort()
        await until(lambda: not console.connections.open and not predict.connections.open)


async def test_a_socket_ends_when_the_console_does(two: TwoKinds) -> None:
    async with running(two.predict), client_of(two.predict) as client:
        two.console.listening = [two.listening()]
        async with running(two.console):
            await client.send(OPENING % SOCKET)
            await head_of(client)
            assert await echoed(client, b"a") == b"a"
        await asyncio.wait_for(client.reader.read(), 30)


async def test_without_a_websocket_there_the_answer_is_the_last_thing_read(two: TwoKinds) -> None:
    """Nothing behind the head is taken for a request of its own, with a name of its choice."""
    hidden = request(b"hidden", path=b"/admin/")
    async with two.running(), client_of(two.predict) as client:
        await client.send(OPENING % b"/admin/" + hidden)
        status, headers, body = await client.response()
        assert (status, headers[b"connection"], body) == (200, b"close", b"of console")
        assert await client.closed()
        assert two.console.clients == [client.writer.get_extra_info("sockname")]
    assert two.console.asked == [("GET", "/admin/", b"")]


async def test_a_path_of_these_processes_stays_theirs(two: TwoKinds) -> None:
    path = b"/api/v1/applications/digits/feedback"
    async with two.running(), client_of(two.predict) as client:
        await client.send(request(b"", method=b"GET", path=path, extra=upgrade(b"websocket")))
        assert (await client.response())[2] == b"of predict"


async def test_without_a_console_a_websocket_is_refused(tmp_path: Path) -> None:
    two = TwoKinds(tmp_path)
    async with running(two.predict), client_of(two.predict) as client:
        await client.send(OPENING % SOCKET)
        status, headers, _ = await client.response()
        assert (status, headers[b"retry-after"]) == (503, b"2")
        assert await client.closed()


async def test_a_silent_console_is_left(two: TwoKinds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "SILENT_S", 0.0)
    two.predict.limits = Limits(idle_s=0.2)
    with two.listening():
        async with running(two.predict), client_of(two.predict) as client:
            await client.send(OPENING % SOCKET)
            assert await client.closed()
