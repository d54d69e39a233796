"""Websockets of clients that are slow, greedy or unknown, and of a server that stops."""

import asyncio
import base64
import gc
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from core.decoding import LARGE_BODY_BYTES
from serving.endpoints.websocket_talk import NO_KEY, websockets_of
from serving.http.limits import Limits
from serving.http.websocket import FIRST_BYTES, MAX_PARTS
from tests.serving.http.front_server import KEY, Client, Front, client_of, running, sent, until

SECONDS = 30.0
AUTHORIZED = {"Authorization": f"Api-Key {KEY.decode()}"}
LARGE = b"[" + b"7," * (64 << 10) + b"7]"
FEW_BYTES = 2 << 20


class Sockets(Front):
    """The server with the websocket of its application."""

    def websocket(self, path: str) -> Callable[..., Any] | None:
        return websockets_of(self.serving.runtime)(path)

    def socket(self, **options: Any) -> connect:
        options = {"open_timeout": SECONDS, "close_timeout": SECONDS} | options
        return connect(f"ws://127.0.0.1:{self.port}/ws/v1/applications/digits", **options)


async def received(socket: ClientConnection) -> dict[str, Any]:
    return json.loads(await asyncio.wait_for(socket.recv(), SECONDS))


async def closed_with(socket: ClientConnection) -> int:
    async with asyncio.timeout(SECONDS):
        with suppress(ConnectionClosed):
            while True:
                await socket.recv()
        await socket.wait_closed()
    assert socket.close_code is not None
    return socket.close_code


HEAD = (
    b"GET /ws/v1/applications/digits HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


@asynccontextmanager
async def raw_socket(it: Front, *, key: bytes | None = KEY) -> AsyncIterator[Any]:
    """A websocket whose frames the test writes."""
    authorization = b"" if key is None else b"Authorization: Api-Key %b\r\n" % key
    async with client_of(it) as client:
        await client.send(b"%b%b\r\n" % (HEAD, authorization))
        head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), SECONDS)
        assert head.startswith(b"HTTP/1.1 101")
        yield client


def frame(data: bytes, *, opcode: Opcode = Opcode.TEXT, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin=fin).serialize(mask=True)


async def close_code(client: Client) -> int:
    """Read to the close frame."""
    data = await asyncio.wait_for(client.reader.read(), SECONDS)
    at = data.rindex(b"\x88")
    return int.from_bytes(data[at + 2 : at + 4], "big")


@pytest.mark.parametrize(
    "rest",
    [
        b"X: " + b"a" * 9000 + b"\r\n\r\n",
        b"X: a\r\n" * 130 + b"\r\n",
    ],
    ids=["a long line", "many fields"],
)
async def test_what_opens_no_websocket_is_refused_and_ended(
    rest: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    it = Sockets()
    async with running(it), client_of(it) as client:
        await client.send(HEAD + rest)
        response = await asyncio.wait_for(client.reader.read(), SECONDS)
    assert response.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"malformed"' in response
    assert it.serving.metrics.refusals == {"malformed": 1}
    assert "Traceback" not in caplog.text


async def test_what_is_no_frame_ends_the_websocket() -> None:
    it = Sockets()
    async with running(it), raw_socket(it) as client:
        await client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert await close_code(client) == 1002
    assert it.serving.metrics.refusals == {"websocket_1002": 1}


async def test_a_socket_that_names_no_key_in_time_is_closed() -> None:
    it = Sockets(limits=Limits(authentication_s=2.0))
    async with running(it), it.socket() as socket:
        for message in ({"type": "auth", "key": "wrong"}, {"input": [1]}):
            await socket.send(json.dumps({"id": 1, **message}))
            answer = await received(socket)
            assert (answer["id"], answer["code"]) == (1, "unauthenticated")
        assert await closed_with(socket) == NO_KEY
    assert it.serving.metrics.refusals == {"websocket_4401": 1}


@pytest.mark.parametrize("how", ["header", "message", "public"])
async def test_a_socket_that_may_ask_stays_open(how: str) -> None:
    it = Sockets(limits=Limits(authentication_s=1.0), public=how == "public")
    it.learn(b"[1]")
    headers = AUTHORIZED if how == "header" else {}
    async with running(it), it.socket(additional_headers=headers) as socket:
        if how == "message":
            await socket.send(json.dumps({"id": 0, "type": "auth", "key": KEY.decode()}))
            assert (await received(socket))["ok"]
        await asyncio.sleep(1.2)
        await socket.send(json.dumps({"id": 1, "input": [1]}))
        assert (await received(socket))["output"] == [1]


async def test_a_client_that_closes_leaves_no_error(caplog: pytest.LogCaptureFixture) -> None:
    it = Sockets()
    async with running(it) as server:
        async with it.socket(additional_headers=AUTHORIZED) as socket:
            await socket.close()
        await until(lambda: not server.connections.open)
    gc.collect()  # what a task raised is logged when it goes
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_a_large_message_is_taken_once_the_key_is_known() -> None:
    it = Sockets()
    it.learn(LARGE)
    message = b'{"id":1,"input":%b}' % LARGE
    assert len(message) > FIRST_BYTES
    async with running(it):
        async with it.socket() as socket:
            with suppress(ConnectionClosed):
                await socket.send(message.decode())
            assert await closed_with(socket) == 1009
        async with it.socket() as socket:
            await socket.send(json.dumps({"id": 0, "type": "auth", "key": KEY.decode()}))
            assert (await received(socket))["ok"]
            await socket.send(message.decode())
            assert (await received(socket))["type"] == "prediction"


async def test_a_large_batch_is_split_and_answered_under_its_id() -> None:
    """Its inputs are in the middle of its fields."""
    it = Sockets()
    rows = [[n] * 300 for n in range(100)]
    it.learn(*(json.dumps(row).encode() for row in rows))
    message = json.dumps({"id": 7, "input_batch": rows, "context": "a"})
    assert len(message) > LARGE_BODY_BYTES
    async with running(it), it.socket(additional_headers=AUTHORIZED) as socket:
        await socket.send(message)
        answer = await received(socket)
    assert (answer["id"], answer["type"]) == (7, "prediction")
    assert [item["output"] for item in answer["batch_predictions"]] == rows


FIELDS = b'{"id": 4, "context": "a"}\n'


@pytest.mark.parametrize(
    ("message", "content"),
    [
        *(
            (FIELDS + content, content)
            for content in (b"\x89PNG\n\x00\xff", b'{"id": 9}', b"\n\n.")
        ),
        (b'{"id": 4, "input": "aGk="}\n', b"hi"),
        (b'{\n"id": 4,\n"input": "aGk="}', b"hi"),
    ],
)
async def test_a_binary_message_is_a_line_of_fields_and_the_input_or_json(
    message: bytes, content: bytes
) -> None:
    it = Sockets(input_type="bytes")
    it.learn(b'"' + base64.b64encode(content) + b'"', answer=b"7")
    async with running(it), it.socket(additional_headers=AUTHORIZED) as socket:
        await socket.send(message)
        answer = await received(socket)
        assert (answer["id"], answer["output"]) == (4, 7)
        await socket.send(b"\x89PNG\n\x00\xff")
        assert (await received(socket))["code"] == "malformed"


async def test_a_message_of_too_many_parts_is_refused_whatever_their_size() -> None:
    it = Sockets()
    async with running(it), raw_socket(it) as client:
        parts = frame(b"", opcode=Opcode.CONT, fin=False) * (MAX_PARTS + 1)
        await client.send(frame(b"{", fin=False) + parts)
        assert await close_code(client) == 1009
    assert it.serving.metrics.refusals == {"websocket_1009": 1}
    assert it.limits.held == 0


async def test_messages_that_have_not_arrived_are_bounded_over_all_sockets() -> None:
    it = Sockets(limits=Limits(unfinished_bytes=150_000))
    part = frame(b" " * 200_000)[:100_000]
    async with running(it) as server:
        async with raw_socket(it) as first, raw_socket(it) as second:
            await first.send(part)
            await until(lambda: it.limits.held > 90_000)
            held = it.limits.held
            await second.send(part)
            assert await close_code(second) == 1013
            assert it.limits.held == held
        await until(lambda: not server.connections.open)
        assert it.limits.held == 0


@pytest.mark.parametrize("key", [KEY, None], ids=["known", "unknown"])
async def test_a_message_that_drips_in_is_given_up(key: bytes | None) -> None:
    it = Sockets(limits=Limits(body_s=0.3))
    async with running(it), raw_socket(it, key=key) as client:

        async def drip() -> None:
            with suppress(OSError):
                for byte in frame(b" " * 4000):
                    await client.send(bytes([byte]))
                    await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        assert await close_code(client) == 1008
        dripping.cancel()
    assert it.limits.held == 0


async def test_a_client_that_does_not_read_its_answers_is_not_read_from() -> None:
    it = Sockets()
    it.learn(b"[1]", answer=LARGE)
    count = 200
    async with running(it) as server, raw_socket(it) as client:
        client.writer.transport.pause_reading()
        for number in range(count):
            client.writer.write(frame(b'{"id":%d,"input":[1]}' % number))
            await asyncio.sleep(0)
        (socket,) = server.connections.open
        await until(lambda: not socket.writable.is_set())
        for _ in range(50):
            await asyncio.sleep(0.002)
            assert socket.transport.get_write_buffer_size() < FEW_BYTES
        client.writer.transport.resume_reading()
        for _ in range(count):
            await asyncio.wait_for(client.reader.readuntil(b'"type":"prediction"'), SECONDS)


async def test_the_answers_to_pings_wait_for_the_client_to_read() -> None:
    it = Sockets()
    async with running(it) as server, raw_socket(it) as client:
        client.writer.transport.pause_reading()
        (socket,) = server.connections.open
        pings = frame(b"p" * 125, opcode=Opcode.PING) * 50
        most = 0
        while socket.writable.is_set():
            client.writer.write(pings)
            await asyncio.sleep(0.001)
        for _ in range(100):
            client.writer.write(pings)
            await asyncio.sleep(0.001)
            most = max(most, socket.transport.get_write_buffer_size())
        client.writer.transport.abort()
        assert 0 < most < FEW_BYTES


async def test_a_server_that_stops_answers_what_is_in_flight_then_says_so() -> None:
    it = Sockets(slo_ms=60_000.0)
    async with running(it) as server, it.socket(additional_headers=AUTHORIZED) as socket:
        for number in range(2):
            await socket.send(json.dumps({"id": number, "input": [number]}))
        await sent(it, 2)
        stopping = asyncio.create_task(server.stop())
        await until(lambda: server.connections.closing)
        await asyncio.sleep(0.2)
        while it.model.batches:
            it.model.answer()
        outputs = [(await received(socket))["output"] for _ in range(2)]
        assert sorted(outputs) == [[0], [1]]
        assert await closed_with(socket) == 1012
        await stopping


async def test_a_server_that_stops_closes_sockets_that_wait_for_nothing() -> None:
    it = Sockets()
    async with running(it) as server, it.socket() as socket:
        stopping = asyncio.create_task(server.stop())
        assert await closed_with(socket) == 1012
        await stopping


async def test_what_a_socket_that_left_has_asked_is_asked_no_more() -> None:
    it = Sockets(slo_ms=60_000.0)
    async with running(it):
        async with raw_socket(it) as client:
            await client.send(frame(b'{"id":1,"input":[1]}'))
            await sent(it)
        counted = it.serving.metrics.applications["digits"]
        await until(lambda: counted.abandoned == 1)
