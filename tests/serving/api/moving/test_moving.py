"""Connections move to the kind of process that answers their next request, and lose nothing."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from serving.api import moving
from serving.api.whose import Kind
from tests.serving.api.front_server import (
    PATH,
    Client,
    client_of,
    request,
    running,
    sent,
)
from tests.serving.api.moving.two_kinds import TwoKinds, listening_at, open_descriptors

ADMIN = b"/admin/"
FEEDBACK = b"/api/v1/applications/digits/feedback"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


async def answer_of(client: Client) -> bytes:
    status, _, body = await client.response()
    assert status == 200, body
    return body


async def test_what_is_the_consoles_is_answered_there(two: TwoKinds) -> None:
    async with two.running(), client_of(two.predict) as client:
        await client.send(request(b"abc", path=ADMIN))
        assert await answer_of(client) == b"of console"
    assert two.console.asked == [("POST", "/admin/", b"abc")]
    assert two.predict.asked == []


async def test_one_connection_moves_as_often_as_it_has_to(two: TwoKinds) -> None:
    two.predict.learn(b"[1]")
    async with two.running(), client_of(two.predict) as client:
        for _ in range(5):
            await client.send(request(path=ADMIN))
            assert await answer_of(client) == b"of console"
            await client.send(request(path=ADMIN))
            assert await answer_of(client) == b"of console"
            await client.send(request())
            assert json.loads(await answer_of(client))["output"] == [1]
            await client.send(request(path=FEEDBACK))
            assert await answer_of(client) == b"of predict"


async def test_pipelined_requests_are_answered_in_their_order(two: TwoKinds) -> None:
    two.predict.learn(b"[1]")
    paths = [ADMIN, PATH, FEEDBACK, ADMIN, ADMIN, FEEDBACK, PATH, ADMIN] * 5
    async with two.running(), client_of(two.predict) as client:
        await client.send(b"".join(request(path=path) for path in paths))
        came = [(await answer_of(client)) for _ in paths]
    kinds = [b"of console" if body == b"of console" else b"of predict" for body in came]
    assert kinds == [b"of console" if path == ADMIN else b"of predict" for path in paths]


async def test_what_comes_while_a_connection_arrives_waits_behind_what_came_along(
    two: TwoKinds,
) -> None:
    """All is sent before any is read: whoever gets the connection finds more in its socket."""
    queries, turns = 700, 7
    two.predict.learn(b"[1]")
    async with two.running(), client_of(two.predict) as client:
        client.writer.write((request() * queries + request(path=ADMIN)) * turns)
        for _ in range(turns):
            came = [await answer_of(client) for _ in range(queries + 1)]
            assert came.index(b"of console") == queries


async def test_however_often_a_connection_moves_it_brings_no_more_along(two: TwoKinds) -> None:
    """More is in its socket all the time: 3 MB, of kinds that alternate."""
    paths = [ADMIN, FEEDBACK] * 25
    async with two.running(), client_of(two.predict) as client:
        client.writer.write(b"".join(request(b"a" * 60_000, path=path) for path in paths))
        came = [await answer_of(client) for _ in paths]
    assert came == [b"of console", b"of predict"] * 25


async def test_an_answer_under_way_is_out_before_the_connection_moves(two: TwoKinds) -> None:
    async with two.running(), client_of(two.predict) as client:
        await client.send(request() + request(path=ADMIN))
        await sent(two.predict)
        assert two.console.asked == []
        two.predict.model.answer()
        assert json.loads(await answer_of(client))["output"] == [1]
        assert await answer_of(client) == b"of console"


async def test_a_large_answer_that_is_read_late_comes_before_the_next(two: TwoKinds) -> None:
    """What the kernel doesn't take at once is still in this process when the next head is read."""
    two.predict.answer = b"7" * (8 << 20)
    async with two.running(), client_of(two.predict) as client:
        transport: Any = client.writer.transport
        transport.pause_reading()
        await client.send(request(path=FEEDBACK))
        while not two.predict.asked:
            await asyncio.sleep(0.001)
        await client.send(request(path=ADMIN))
        await asyncio.sleep(0.05)
        assert two.console.asked == []
        transport.resume_reading()
        assert await answer_of(client) == two.predict.answer
        assert await answer_of(client) == b"of console"


@pytest.mark.parametrize("step", [1, 7, 64])
async def test_a_request_may_come_in_pieces(two: TwoKinds, step: int) -> None:
    data = request(b"abc", path=ADMIN) + request(b"def", path=FEEDBACK)
    async with two.running(), client_of(two.predict) as client:
        for at in range(0, len(data), step):
            await client.send(data[at : at + step])
            await asyncio.sleep(0)
        assert await answer_of(client) == b"of console"
        assert await answer_of(client) == b"of predict"
    assert two.console.asked == [("POST", "/admin/", b"abc")]
    assert two.predict.asked == [("POST", FEEDBACK.decode(), b"def")]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
async def test_an_upload_arrives_as_it_was_sent(two: TwoKinds, chunked: bool) -> None:
    body = os.urandom(3 << 20) + b"\r\n\r\n" * 1000 + os.urandom(1 << 20)
    framed, framing = body, None
    if chunked:
        parts = [body[at : at + 70_001] for at in range(0, len(body), 70_001)]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        framing = CHUNKED
    async with two.running(), client_of(two.predict) as client:
        await client.send(request(framed, path=ADMIN, framing=framing) + request(path=FEEDBACK))
        assert await answer_of(client) == b"of console"
        assert await answer_of(client) == b"of predict"
    assert two.console.asked == [("POST", "/admin/", body)]


async def test_more_bytes_than_a_socket_takes_at_once_go_along(two: TwoKinds) -> None:
    """The first chunk of an upload is larger than a Unix socket's buffer."""
    head, _, body = request(b"a" * 250_000, path=ADMIN).partition(b"\r\n\r\n")
    assert two.predict.arrivals is None
    async with two.running(), client_of(two.predict) as client:
        client.writer.transport.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        for _ in range(20):
            await client.send(head + b"\r\n\r\n" + body)
            assert await answer_of(client) == b"of console"
            await client.send(request(path=FEEDBACK))
            assert await answer_of(client) == b"of predict"
    assert {body for _, _, body in two.console.asked} == {b"a" * 250_000}


async def test_a_client_that_waits_to_be_told_to_send_is_told_by_who_answers(
    two: TwoKinds,
) -> None:
    head = request(b"abc", path=ADMIN, extra=b"Expect: 100-continue\r\n")[:-3]
    async with two.running(), client_of(two.predict) as client:
        await client.send(head)
        line = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 30)
        assert line == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"abc")
        assert await answer_of(client) == b"of console"
    assert two.console.asked == [("POST", "/admin/", b"abc")]


@pytest.mark.parametrize(
    ("extra", "version"), [(b"Connection: close\r\n", b"1.1"), (b"", b"1.0")], ids=["close", "1.0"]
)
async def test_a_last_request_is_the_last(two: TwoKinds, extra: bytes, version: bytes) -> None:
    async with two.running(), client_of(two.predict) as client:
        await client.send(request(path=ADMIN, extra=extra, version=version) + request())
        assert await answer_of(client) == b"of console"
        assert await client.closed()
    assert two.predict.asked == []


async def test_an_offer_to_upgrade_moves_with_its_request(two: TwoKinds) -> None:
    offer = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    async with two.running(), client_of(two.predict) as client:
        await client.send(request(b"abc", path=ADMIN, extra=offer) + request(path=FEEDBACK))
        assert await answer_of(client) == b"of console"
        assert await answer_of(client) == b"of predict"
    assert two.console.asked == [("POST", "/admin/", b"abc")]
    assert b"upgrade" not in dict(two.console.headers[0])


async def test_a_websocket_is_opened_where_it_belongs(two: TwoKinds) -> None:
    """Also at the other's address, and behind a request of the other's on the same connection."""
    async with two.running():
        for it in (two.predict, two.console):
            uri = f"ws://127.0.0.1:{it.port}/ws/v1/applications/digits/"
            async with connect(uri) as websocket:
                await websocket.send("hello")
                assert await websocket.recv() == "hello"
        async with client_of(two.predict) as client:
            await client.send(request(path=ADMIN))
            assert await answer_of(client) == b"of console"
            await client.send(
                b"GET /ws/v1/applications/digits HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                b"Sec-WebSocket-Version: 13\r\n\r\n"
            )
            head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 30)
            assert head.startswith(b"HTTP/1.1 101 ")


async def test_the_peers_address_is_the_clients(two: TwoKinds) -> None:
    async with two.running(), client_of(two.predict) as client:
        await client.send(request(path=ADMIN))
        await answer_of(client)
        assert two.console.clients == [client.writer.get_extra_info("sockname")]


async def test_without_a_console_its_requests_are_refused_and_counted(two: TwoKinds) -> None:
    two.predict.learn(b"[1]")
    async with running(two.predict) as server:
        async with client_of(two.predict) as client:
            await client.send(request(path=ADMIN))
            status, headers, body = await client.response()
            assert (status, json.loads(body)["code"]) == (503, "process_away")
            assert (headers[b"retry-after"], headers[b"connection"]) == (b"2", b"close")
            assert await client.closed()
        async with client_of(two.predict) as client:
            await client.send(request())
            assert json.loads(await answer_of(client))["output"] == [1]
        while server.server_state.connections:
            await asyncio.sleep(0.001)
    assert two.predict.serving.metrics.refusals == {"process_away": 1}
    assert two.predict.limits.held == 0


async def test_a_console_that_takes_none_is_waited_for_so_long_and_no_longer(
    tmp_path: Path,
) -> None:
    two = TwoKinds(tmp_path, seconds=0.2)
    with listening_at(two.places[Kind.CONSOLE]):
        async with running(two.predict), client_of(two.predict) as client:
            await client.send(request(path=ADMIN))
            status, _, body = await client.response()
            assert (status, json.loads(body)["code"]) == (503, "process_away")


async def test_where_too_many_wait_further_ones_are_refused_at_once(two: TwoKinds) -> None:
    with listening_at(two.places[Kind.CONSOLE], backlog=0) as listening:
        async with running(two.predict), client_of(two.predict) as first:
            await first.send(request(path=ADMIN))
            while not two.predict.limits.held:
                await asyncio.sleep(0.001)
            async with client_of(two.predict) as second:
                await second.send(request(path=ADMIN))
                status, _, body = await second.response()
                assert (status, json.loads(body)["code"]) == (503, "process_away")
            listening.close()
            assert (await first.response())[0] == 503


@pytest.mark.parametrize(
    ("limit", "most"), [("LEAVING_AT_ONCE", 2), ("LEAVING_BYTES", 2 * len(request(path=ADMIN)) + 1)]
)
async def test_those_who_wait_to_be_taken_leave_room_for_queries(
    two: TwoKinds, monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    monkeypatch.setattr(moving, limit, most)
    two.predict.learn(b"[1]")
    async with AsyncExitStack() as clients:
        with listening_at(two.places[Kind.CONSOLE]):
            await clients.enter_async_context(running(two.predict))
            waiting = [await clients.enter_async_context(client_of(two.predict)) for _ in range(3)]
            for client in waiting:
                await client.send(request(path=ADMIN))
            first, *_ = done = await answered_first(waiting)
            assert first[0] == 503
            assert len(done) == 1
            asking = await clients.enter_async_context(client_of(two.predict))
            await asking.send(request())
            assert json.loads(await answer_of(asking))["output"] == [1]


async def answered_first(clients: list[Client]) -> list[tuple[int, dict[bytes, bytes], bytes]]:
    """What came over any of some connections first."""
    tasks = [asyncio.create_task(client.response()) for client in clients]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return [task.result() for task in done]


async def test_a_connection_that_comes_is_not_read_ahead(two: TwoKinds) -> None:
    """What is behind its first request stays with the client until that one is answered."""
    two.console.may_answer.clear()
    flood = request(path=ADMIN) * 200_000
    async with two.running() as (_, console), client_of(two.predict) as client:
        client.writer.write(flood)
        while not two.console.asked:
            await asyncio.sleep(0.001)
        (connection,) = console.server_state.connections
        await asyncio.sleep(0.1)
        assert len(connection.flow.ahead) < 1 << 20 < len(flood)
        assert not connection.transport.is_reading()
        client.writer.transport.abort()
        two.console.may_answer.set()


async def test_no_descriptor_stays_behind(two: TwoKinds) -> None:
    """Wherever connections go, and whether they are taken or not."""
    two.predict.learn(b"[1]")
    async with two.running() as servers:
        await asyncio.sleep(0.05)
        before = open_descriptors()
        for _ in range(20):
            async with client_of(two.predict) as client:
                await client.send(request(path=ADMIN) + request() + request(path=ADMIN))
                for _ in range(3):
                    await answer_of(client)
        two.places[Kind.CONSOLE].unlink()
        for _ in range(20):
            async with client_of(two.predict) as client:
                await client.send(request(path=ADMIN))
                assert (await client.response())[0] == 503
        for server in servers:
            while server.server_state.connections or server.server_state.tasks:
                await asyncio.sleep(0.001)
        async with asyncio.timeout(30):
            while open_descriptors() > before:
                await asyncio.sleep(0.001)
    assert two.predict.limits.held == two.console.limits.held == 0
    assert two.predict.serving.metrics.refusals == {"process_away": 20}


async def test_a_server_that_stops_hands_over_what_it_was_asked(two: TwoKinds) -> None:
    """Also what waits behind a request that is under way."""
    two.predict.may_answer.clear()
    async with two.running() as (predict, _), client_of(two.predict) as client:
        await client.send(request(path=FEEDBACK) + request(path=ADMIN))
        while not two.predict.asked:
            await asyncio.sleep(0.001)
        predict.should_exit = True
        while predict.servers[0].is_serving():
            await asyncio.sleep(0.001)
        two.predict.may_answer.set()
        _, headers, body = await client.response()
        assert (body, headers.get(b"connection")) == (b"of predict", None)
        assert await answer_of(client) == b"of console"


async def test_a_server_that_stops_meanwhile_lets_a_connection_go(two: TwoKinds) -> None:
    """It waits for the other kind, and has its answer from there."""
    with listening_at(two.places[Kind.CONSOLE]) as listening:
        async with running(two.predict) as server, client_of(two.predict) as client:
            await client.send(request(path=ADMIN, extra=b"Connection: close\r\n"))
            while not server.server_state.tasks:
                await asyncio.sleep(0.001)
            server.should_exit = True
            while server.servers[0].is_serving():
                await asyncio.sleep(0.001)
            two.console.arrivals = listening.dup()
            async with running(two.console):
                assert await answer_of(client) == b"of console"
