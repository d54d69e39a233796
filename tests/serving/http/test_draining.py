"""A process that retires answers whatever comes on the connections that it has, and no more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from serving.http import server as web_server
from serving.http.server import Server
from tests.serving.http.front_server import Client, Front, client_of, request, running, sent, until

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
async def served(it: Front) -> AsyncIterator[tuple[Server, Client]]:
    async with running(it) as server, client_of(it) as client:
        await client.send(request())
        assert b"connection" not in (await client.response())[1]
        yield server, client


async def retired(server: Server) -> asyncio.Task[None]:
    """Stop a server in whose place there is another one; return once its answers are the last."""
    server.retiring.set()
    stopping = asyncio.create_task(server.stop())
    await until(lambda: server.connections.closing)
    return stopping


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
        await until(lambda: it.asked)
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
        stopping = asyncio.create_task(server.stop())
        assert await client.closed()
        await stopping


async def test_it_goes_on_accepting_until_load_balancers_have_seen_that_it_drains(
    it: Front,
) -> None:
    async with served(it) as (server, _):
        server.connections.lame_duck_s = 3600.0
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0.05)
        async with client_of(it) as other:
            await other.send(request(path=b"/health/serving"))
            status, headers, _ = await other.response()
            assert (status, headers.get(b"connection")) == (200, None)
        assert it.draining == [True]
        server.retiring.set()
        await until(lambda: server.connections.closing)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", it.port)
    await stopping


async def test_one_that_takes_too_long_is_cut_off(
    it: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_server, "RETIRE_S", 0.2)
    it.may_answer.clear()
    async with served(it) as (server, client):
        await client.send(request(path=b"/elsewhere"))
        await until(lambda: it.asked)
        await retired(server)
        assert (await client.response())[0] == 500
        assert await client.closed()
