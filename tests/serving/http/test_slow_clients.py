"""Clients that take their time, or never read: they are bounded, and disturb nobody."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest

from core.errors import Saturated
from serving.http.asgi import read_body
from serving.http.limits import LIMITS_KEY, Limits
from tests.serving.http.front_server import PATH, Client, Front, client_of, request, running, until

OTHER = b"/other"
LARGE = b"[" + b"7," * (64 << 10) + b"7]"
# What the system keeps for two sockets, a buffer to read into, and an answer, is less than this.
FEW_BYTES = 1 << 20


def reading(client: Client) -> asyncio.ReadTransport:
    """Its end of the connection, which reads as well as it writes."""
    transport = client.writer.transport
    assert isinstance(transport, asyncio.ReadTransport)
    return transport


async def dripped(
    client: Client, data: bytes, *, every: float = 0.01
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Send byte after byte until there is a response; return it."""

    async def drip() -> None:
        with suppress(OSError):
            for at in range(len(data)):
                await client.send(data[at : at + 1])
                await asyncio.sleep(every)
            # A client that has said all would be waited for as long.
            await asyncio.Event().wait()

    sending = asyncio.create_task(drip())
    try:
        return await client.response()
    finally:
        sending.cancel()


@pytest.mark.parametrize(
    "data",
    [request() * 20, request(path=OTHER) * 20, b"\r\n" * 2000, b"GET /" + b"a" * 2000],
    ids=["predict", "other", "blank lines", "a URL"],
)
async def test_a_head_that_drips_in_is_given_up(data: bytes) -> None:
    it = Front(limits=Limits(head_s=0.3))
    async with running(it), client_of(it) as client:
        head_only = data[: data.find(b"\r\n\r\n")] if data.startswith(b"POST") else data
        status, headers, body = await dripped(client, head_only)
        assert (status, json.loads(body)["code"]) == (408, "request_timeout")
        assert headers[b"connection"] == b"close"
        assert await client.closed()
    assert it.asked == []
    assert it.limits.held == 0
    assert it.serving.metrics.refusals == {"request_timeout": 1}


CHUNKED = request(b"", path=OTHER, framing=b"Transfer-Encoding: chunked\r\n")
LENGTHY = [request(b" " * 100_000, path=path)[:-100_000] for path in (PATH, OTHER)]


@pytest.mark.parametrize(
    ("head", "body"),
    [(LENGTHY[0], b" " * 1000), (LENGTHY[1], b" " * 1000), (CHUNKED, b"1\r\na\r\n" * 500)],
    ids=["predict", "other", "chunks"],
)
async def test_a_body_that_drips_in_is_given_up(head: bytes, body: bytes) -> None:
    it = Front(limits=Limits(body_s=0.3))
    async with running(it), client_of(it) as client:
        await client.send(head)
        status, headers, answer = await dripped(client, body)
        assert (status, json.loads(answer)["code"]) == (408, "request_timeout")
        assert headers[b"connection"] == b"close"
        assert await client.closed()
    assert it.asked == []
    assert it.limits.held == 0


@pytest.mark.parametrize("path", [PATH, OTHER], ids=["predict", "other"])
async def test_a_slow_body_is_taken_as_long_as_enough_of_it_comes(path: bytes) -> None:
    it = Front(limits=Limits(body_s=1.0, body_rate=1.0))
    it.learn(b"[1]")
    data = request(b'{"input":[1]}', path=path)
    async with running(it) as server, client_of(it) as client:
        await client.send(data[:-5])
        await until(lambda: server.connections.open)
        (connection,) = server.connections.open
        await until(lambda: connection.unfinished.since)
        for at in (-5, -4):
            window = connection.unfinished.since
            await client.send(data[at : at + 1])
            await until(lambda window=window: connection.unfinished.since != window)
        await client.send(data[-3:])
        assert (await client.response())[0] == 200
    assert it.limits.held == 0


async def test_time_that_the_server_takes_is_not_the_clients() -> None:
    """The next request began to come while the answer to the first one was awaited."""
    it = Front(limits=Limits(head_s=1.0))
    it.may_answer.clear()
    first, second = request(path=OTHER), request(path=b"/next")
    async with running(it), client_of(it) as client:
        await client.send(first + second[:20])
        await asyncio.sleep(1.2)
        it.may_answer.set()
        assert (await client.response())[0] == 200
        await client.send(second[20:])
        assert (await client.response())[0] == 200
    assert [path for _, path, _ in it.asked] == ["/other", "/next"]


@pytest.mark.parametrize("path", [PATH, OTHER], ids=["predict", "other"])
async def test_a_client_that_does_not_read_its_answers_is_not_read_from(path: bytes) -> None:
    it = Front()
    it.learn(b"[1]", answer=LARGE)
    it.answer = LARGE
    count = 200
    async with running(it) as server, client_of(it) as client:
        reading(client).pause_reading()
        for _ in range(count):
            client.writer.write(request(path=path))
            await asyncio.sleep(0)
        await until(lambda: server.connections.open)
        (connection,) = server.connections.open
        await until(lambda: connection.write_paused)
        # Whatever it would still read, it has the time to read now.
        for _ in range(50):
            await asyncio.sleep(0.002)
            assert connection.transport.get_write_buffer_size() < FEW_BYTES
            assert len(connection.ahead) < FEW_BYTES
        reading(client).resume_reading()
        for _ in range(count):
            status, _, body = await client.response()
            assert status == 200
            assert LARGE in body


@pytest.mark.parametrize("path", [PATH, OTHER], ids=["predict", "other"])
async def test_a_client_that_never_reads_is_let_go(path: bytes) -> None:
    it = Front(limits=Limits(idle_s=0.3))
    it.learn(b"[1]", answer=LARGE)
    it.answer = LARGE
    async with running(it) as server, client_of(it) as client:
        reading(client).pause_reading()
        for _ in range(200):
            client.writer.write(request(path=path))
        await until(lambda: server.connections.open)
        (connection,) = server.connections.open
        await until(lambda: connection.write_paused)
        await until(lambda: not server.connections.open)
    assert it.serving.metrics.refusals == {"unread": 1}


@pytest.mark.parametrize("tail", [b"", b"GET /nex"], ids=["whole", "with a part of one"])
async def test_requests_sent_ahead_wait_unread(tail: bytes) -> None:
    """Each answer used to let in another buffer full of requests behind those that waited."""
    it = Front()
    it.may_answer.clear()
    one = b"GET /x HTTP/1.1\r\nHost: here\r\n\r\n"
    async with running(it) as server, client_of(it) as client:
        await client.send(one)
        await until(lambda: server.connections.open)
        (connection,) = server.connections.open
        await until(lambda: it.asked)
        burst = one * 500 + tail

        async def flood() -> None:
            with suppress(OSError):
                while True:
                    await client.send(burst)

        flooding = asyncio.create_task(flood())
        await until(lambda: connection.read_paused)
        it.may_answer.set()
        most = 0
        for _ in range(300):
            await client.response()
            most = max(most, len(connection.ahead))
        assert most < FEW_BYTES
        flooding.cancel()


@pytest.mark.parametrize("path", [PATH, b"/digits/predict"])
async def test_bodies_that_have_not_arrived_are_bounded_over_all_connections(path: bytes) -> None:
    it = Front(limits=Limits(unfinished_bytes=150_000))
    data = request(b" " * 200_000, path=path)[:100_000]
    async with running(it) as server:
        async with client_of(it) as first:
            await first.send(data)
            await until(lambda: it.limits.held == len(data))
            async with client_of(it) as second:
                await second.send(data)
                status, headers, body = await second.response()
                assert (status, json.loads(body)["code"]) == (503, "saturated")
                assert (headers[b"retry-after"], headers[b"connection"]) == (b"1", b"close")
                assert await second.closed()
            assert it.limits.held == len(data)
        await until(lambda: not server.connections.open)
        assert it.limits.held == 0
        it.learn(b"[1]")
        async with client_of(it) as third:
            await third.send(data[:-1000])
            await until(lambda: it.limits.held == len(data) - 1000)


async def test_heads_that_have_not_arrived_count_as_well() -> None:
    it = Front(limits=Limits(unfinished_bytes=50_000))
    data = b"GET / HTTP/1.1\r\nX: " + b"a" * 30_000
    async with running(it), client_of(it) as first, client_of(it) as second:
        await first.send(data)
        await until(lambda: it.limits.held == len(data))
        await second.send(data)
        assert (await second.response())[0] == 503
        assert it.limits.held == len(data)


async def test_a_body_that_an_endpoint_reads_counts_until_it_is_there() -> None:
    limits = Limits(unfinished_bytes=100)
    chunk = {"type": "http.request", "body": b"a" * 40}
    seen = []

    async def receive() -> dict[str, Any]:
        seen.append(limits.held)
        return chunk | {"more_body": len(seen) < 3}

    scope = {"headers": [], "state": {LIMITS_KEY: limits}}
    with pytest.raises(Saturated):
        await read_body(scope, receive, limit=1000)
    assert seen == [0, 40, 80]
    assert limits.held == 0
