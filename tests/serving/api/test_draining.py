"""A process that retires answers whatever comes on the connections that it has, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from uvicorn import Server as UvicornServer

from serving.api import server as web_server
from serving.api.health import serving_endpoint
from serving.api.shared import STATE_KEY, shared_by_connections
from serving.master.listening import listen
from tests.serving.api.front_server import (
    Client,
    Front,
    Server,
    client_of,
    request,
    running,
    sent,
)

CLOSE = b"close"


@pytest.fixture
def it() -> Front:
    front = Front()
    front.learn(b"[1]")
    return front


@pytest.fixture(autouse=True)
def _long_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection is closed for want of a request, unless a test wants that."""
    monkeypatch.setattr(web_server, "LAST_REQUEST_S", 60.0)


@asynccontextmanager
async def served(it: Front) -> AsyncIterator[tuple[UvicornServer, Client]]:
    async with running(it) as server, client_of(it) as client:
        await client.send(request())
        assert b"connection" not in (await client.response())[1]
        yield server, client


async def retired(server: UvicornServer) -> None:
    """Wait until its connections have moved, where they can, and the others are about to end."""
    assert isinstance(server, Server)
    server.retires = server.should_exit = True
    while not shared_by_connections(server.lifespan.state).closing:
        await asyncio.sleep(0.001)


async def test_an_idle_connection_has_one_more_answer_which_says_that_it_is_the_last(
    it: Front,
) -> None:
    async with served(it) as (server, client):
        await retired(server)
        await client.send(request())
        status, headers, body = await client.response()
        assert (status, headers[b"connection"]) == (200, CLOSE)
        assert b'"default":false' in body
        assert await client.closed()


async def test_so_has_one_that_never_had_a_request(it: Front) -> None:
    async with running(it) as server, client_of(it) as client:
        while not server.server_state.connections:
            await asyncio.sleep(0.001)
        await retired(server)
        await client.send(request())
        assert (await client.response())[1][b"connection"] == CLOSE


async def test_what_is_under_way_is_answered(it: Front) -> None:
    async with served(it) as (server, client):
        await client.send(request(b'{"input":[2]}'))
        await sent(it)
        await retired(server)
        it.model.answer()
        assert (await client.response())[1][b"connection"] == CLOSE
        assert await client.closed()


async def test_so_is_what_the_application_answers(it: Front) -> None:
    it.may_answer.clear()
    async with served(it) as (server, client):
        await client.send(request(path=b"/elsewhere"))
        while not it.asked:
            await asyncio.sleep(0.001)
        await retired(server)
        it.may_answer.set()
        status, headers, body = await client.response()
        assert (status, headers[b"connection"], body) == (200, CLOSE, b"ASGI")
        assert await client.closed()


async def test_a_request_that_has_begun_to_come_is_answered(it: Front) -> None:
    async with served(it) as (server, client):
        whole = request()
        await client.send(whole[:-3])
        await retired(server)
        await client.send(whole[-3:])
        assert (await client.response())[1][b"connection"] == CLOSE


async def test_of_several_at_once_only_the_last_answer_ends_the_connection(it: Front) -> None:
    async with served(it) as (server, client):
        await retired(server)
        await client.send(request() + request() + request())
        said = [(await client.response())[1].get(b"connection") for _ in range(3)]
        assert said == [None, None, CLOSE]
        assert await client.closed()


async def test_what_nobody_asks_any_more_is_closed_after_a_while(
    it: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_server, "LAST_REQUEST_S", 0.05)
    async with served(it) as (server, client):
        await retired(server)
        assert await client.closed()


async def test_a_process_that_ends_without_another_closes_at_once(it: Front) -> None:
    async with served(it) as (server, client):
        server.should_exit = True
        assert await client.closed()


async def test_new_connections_go_to_others(it: Front) -> None:
    async with served(it) as (server, client):
        await retired(server)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", it.port)
        await client.send(request())
        assert (await client.response())[0] == 200


async def test_it_goes_on_accepting_until_load_balancers_have_seen_that_it_drains(
    it: Front,
) -> None:
    it.predictions.lame_duck_s = 3600.0
    async with served(it) as (server, _):
        assert isinstance(server, Server)
        assert (await serving(it)) == 200
        server.should_exit = True
        while (await serving(it)) == 200:
            await asyncio.sleep(0.001)
        async with client_of(it) as other:
            await other.send(request())
            status, headers, _ = await other.response()
            assert (status, headers.get(b"connection")) == (200, None)
        server.succeeded.set()
        while server.servers[0].is_serving():
            await asyncio.sleep(0.001)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", it.port)


async def test_one_that_retires_waits_for_no_load_balancer(it: Front) -> None:
    it.predictions.lame_duck_s = 3600.0
    async with served(it) as (server, _):
        await retired(server)


async def serving(it: Front) -> int:
    """Ask for the readiness of serving, and return the status."""
    statuses: list[int] = []

    async def send(message: dict[str, Any]) -> None:
        statuses.append(message.get("status", 0))

    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is read")

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/health/serving",
        "headers": [],
        "state": {STATE_KEY: it.predictions},
    }
    await serving_endpoint()(scope, receive, send)  # type: ignore[arg-type]
    return statuses[0]


async def test_one_that_takes_too_long_is_cut_off(
    it: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_server, "RETIRE_S", 0.2)
    it.may_answer.clear()
    async with served(it) as (server, client):
        await client.send(request(path=b"/elsewhere"))
        while not it.asked:
            await asyncio.sleep(0.001)
        await retired(server)
        assert (await client.response())[0] == 500
        assert await client.closed()


@asynccontextmanager
async def succeeded(it: Front, path: Path) -> AsyncIterator[tuple[Server, Client, Front]]:
    """A server and a client with a connection to it, and the server that takes its place."""
    after = Front()
    after.learn(b"[1]", answer=b"2")
    after.arrivals = listen(f"unix:{path}")
    async with running(after), served(it) as (server, client):
        assert isinstance(server, Server)
        server.successor = str(path)
        yield server, client, after


async def moved(client: Client) -> None:
    """Ask until the next process answers; no answer before is the last one of the connection."""
    body = b""
    while b'"output":2' not in body:
        await client.send(request())
        _, headers, body = await client.response()
        assert b"connection" not in headers


async def test_an_idle_connection_goes_on_in_the_next_process(it: Front, tmp_path: Path) -> None:
    async with succeeded(it, tmp_path / "s") as (server, client, _):
        await retired(server)
        for _ in range(2):
            await client.send(request())
            _, headers, body = await client.response()
            assert b"connection" not in headers
            assert b'"output":2' in body


async def test_a_request_that_comes_as_the_connection_moves_is_answered_once(
    it: Front, tmp_path: Path
) -> None:
    async with succeeded(it, tmp_path / "s") as (server, client, _):
        server.retires = server.should_exit = True
        await moved(client)


async def test_one_under_way_is_answered_where_it_is(it: Front, tmp_path: Path) -> None:
    async with succeeded(it, tmp_path / "s") as (server, client, after):
        await client.send(request(b'{"input":[2]}'))
        await sent(it)
        await retired(server)
        it.model.answer()
        assert (await client.response())[1][b"connection"] == CLOSE
        assert await client.closed()
        assert after.model.sizes == []


async def test_one_that_is_answered_soon_moves_too(
    it: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_server, "LOOKS", 1000)
    async with succeeded(it, tmp_path / "s") as (server, client, _):
        await client.send(request(b'{"input":[2]}'))
        await sent(it)
        server.retires = server.should_exit = True
        while server.servers[0].is_serving():
            await asyncio.sleep(0.001)
        it.model.answer()
        assert b"connection" not in (await client.response())[1]
        await moved(client)


async def test_where_the_next_process_takes_none_the_connection_has_its_last_answer(
    it: Front, tmp_path: Path
) -> None:
    async with served(it) as (server, client):
        assert isinstance(server, Server)
        server.successor = str(tmp_path / "nobody")
        await retired(server)
        await client.send(request())
        status, headers, _ = await client.response()
        assert (status, headers[b"connection"]) == (200, CLOSE)


async def test_a_connection_that_was_refused_goes_nowhere(it: Front, tmp_path: Path) -> None:
    """What its client still sends is the rest of a body, whatever it looks like."""
    it.limits.unfinished_bytes = 1000
    body, hidden = b" " * 3000, request(path=b"/elsewhere")
    async with succeeded(it, tmp_path / "s") as (server, client, after):
        await client.send(request(body + hidden).removesuffix(hidden))
        assert (await client.response())[0] == 503
        await retired(server)
        assert len(server.server_state.connections) == 1
        await client.send(hidden)
        client.writer.write_eof()
        while server.server_state.connections:
            await asyncio.sleep(0.001)
        assert after.asked == []
