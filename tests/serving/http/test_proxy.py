"""Requests for the console are passed on to it, and its answers back, as they stream."""

import asyncio
import hashlib
import json
import os
import resource
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from serving.http import proxy
from serving.http.passed_heads import PassedHeads
from serving.master.listening import listen
from tests.serving.http.front_server import Client, client_of, request, running, sent, until
from tests.serving.http.two_kinds import SECRET, TwoKinds, two

__all__ = ["two"]
ADMIN = b"/admin/"
FEEDBACK = b"/api/v1/applications/digits/feedback"
MIB = 1 << 20


async def answer_of(client: Client) -> bytes:
    status, _, body = await client.response()
    assert status == 200, body
    return body


async def test_one_connection_asks_both_kinds_in_turn(two: TwoKinds) -> None:
    two.predict.learn(b"[1]")
    async with two.running(), client_of(two.predict) as client:
        for _ in range(5):
            await client.send(request(b"abc", path=ADMIN))
            assert await answer_of(client) == b"of console"
            await client.send(request())
            assert json.loads(await answer_of(client))["output"] == [1]
            await client.send(request(path=FEEDBACK))
            assert await answer_of(client) == b"of predict"
    assert two.console.asked == [("POST", "/admin/", b"abc")] * 5


async def test_an_answer_under_way_comes_before_that_of_the_console(two: TwoKinds) -> None:
    async with two.running(), client_of(two.predict) as client:
        await client.send(request() + request(path=ADMIN))
        await sent(two.predict)
        assert two.console.asked == []
        two.predict.model.answer()
        assert json.loads(await answer_of(client))["output"] == [1]
        assert await answer_of(client) == b"of console"


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
async def test_a_body_arrives_as_it_was_sent(two: TwoKinds, chunked: bool) -> None:
    body = os.urandom(3 * MIB) + b"\r\n\r\n" * 1000 + os.urandom(MIB)
    framed, framing = body, None
    if chunked:
        parts = [body[at : at + 70_001] for at in range(0, len(body), 70_001)]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        framing = b"Transfer-Encoding: chunked\r\n"
    async with two.running(), client_of(two.predict) as client:
        await client.send(request(framed, path=ADMIN, framing=framing) + request(path=FEEDBACK))
        assert await answer_of(client) == b"of console"
        assert await answer_of(client) == b"of predict"
    assert two.console.asked == [("POST", "/admin/", body)]


async def digest(two: TwoKinds, scope: Any, receive: Callable[..., Any], send: Any) -> None:
    """Answer with the digest of the body, which nobody keeps."""
    whole, more = hashlib.sha256(), True
    while more:
        message = await receive()
        whole.update(message.get("body", b""))
        more = message.get("more_body", False)
    two.console.answer = whole.hexdigest().encode()
    await two.console.respond(send)


async def test_a_large_upload_takes_little_memory(
    two: TwoKinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await digest(two, scope, receive, send)

    monkeypatch.setattr(two.console, "asgi", asgi)
    block, count = os.urandom(MIB), 300
    whole = hashlib.sha256()
    framing = b"Content-Length: %d\r\n" % (count * MIB)
    async with two.running(), client_of(two.predict) as client:
        await client.send(request(b"", path=ADMIN, framing=framing))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(count):
            whole.update(block)
            await client.send(block)
        assert await answer_of(client) == whole.hexdigest().encode()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10


async def test_a_slow_reader_holds_the_console_up_and_no_memory(two: TwoKinds) -> None:
    two.console.answer = b"7" * (12 * MIB)
    async with two.running() as (predict, _), client_of(two.predict) as client:
        transport: Any = client.writer.transport
        transport.pause_reading()
        await client.send(request(path=ADMIN))
        await until(lambda: two.console.asked)
        (connection,) = predict.connections.open
        await until(lambda: connection.write_paused)
        for _ in range(50):
            await asyncio.sleep(0.002)
            assert connection.transport.get_write_buffer_size() < MIB
        transport.resume_reading()
        assert await answer_of(client) == two.console.answer


async def test_a_client_that_waits_to_be_told_to_send_is_told_by_the_console(
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


async def test_a_refusal_before_the_body_is_heard_and_ends_the_connection(two: TwoKinds) -> None:
    two.console.answers_early = True
    head = request(b"a" * 100, path=ADMIN, extra=b"Expect: 100-continue\r\n")[:-100]
    async with two.running(), client_of(two.predict) as client:
        await client.send(head)
        status, headers, _ = await client.response()
        assert (status, headers[b"connection"]) == (200, b"close")
        assert await client.closed()


async def test_the_answer_to_head_has_no_body(two: TwoKinds) -> None:
    async with two.running(), client_of(two.predict) as client:
        await client.send(request(b"", method=b"HEAD", path=ADMIN))
        head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 30)
        assert b"content-length: 10\r\n" in head
        await client.send(request(path=ADMIN))
        assert await answer_of(client) == b"of console"


async def test_the_address_of_the_client_is_passed_on_and_nobody_elses(two: TwoKinds) -> None:
    forged = b"X-Clipper-Client: 192.0.2.1 80 Clipper-Host 1.2\r\n"
    async with two.running():
        async with client_of(two.predict) as client:
            await client.send(request(path=ADMIN + b"?a=%20b", extra=forged))
            await answer_of(client)
            assert two.console.clients == [client.writer.get_extra_info("sockname")]
        async with client_of(two.console) as client:
            await client.send(request(path=ADMIN, extra=forged))
            assert (await client.response())[0] == 401


async def test_a_client_named_with_another_secret_is_refused(tmp_path: Path) -> None:
    two = TwoKinds(tmp_path, tcp=True, secret=b"another secret of 32 characters")
    async with two.running(), client_of(two.predict) as client:
        await client.send(request(path=ADMIN))
        status, _, body = await client.response()
        assert (status, json.loads(body)["code"]) == (401, "unauthenticated")
    assert two.console.asked == []


async def test_a_name_of_a_client_holds_for_its_request_alone(two: TwoKinds) -> None:
    heads = PassedHeads(SECRET)
    said: Any = {"fields": (), "client": ("192.0.2.1", 80), "ending": b""}
    head = heads.head(b"GET", target=ADMIN, **said)
    other = heads.head(b"GET", target=ADMIN + b"?other", **said)
    async with two.running():
        for sent_head, status in ((head, 200), (other.replace(b"?other", b""), 401)):
            async with client_of(two.console) as client:
                await client.send(sent_head[:-2] + b"Host: here\r\n\r\n")
                assert (await client.response())[0] == status
    assert two.console.clients == [("192.0.2.1", 80)]


async def test_events_arrive_one_by_one_as_they_come(
    two: TwoKinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the console sees at once that their reader has left."""
    events: asyncio.Queue[bytes] = asyncio.Queue()
    left = asyncio.Event()

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        async def tell() -> None:
            while True:
                body = b"data: %b\n\n" % await events.get()
                await send({"type": "http.response.body", "body": body, "more_body": True})

        await receive()
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        telling = asyncio.create_task(tell())
        while (await receive())["type"] != "http.disconnect":
            pass
        telling.cancel()
        left.set()

    monkeypatch.setattr(two.console, "asgi", asgi)
    async with two.running():
        async with client_of(two.predict) as client:
            await client.send(request(b"", method=b"GET", path=ADMIN))
            for number in range(3):
                await events.put(b"%d" % number)
                line = b"data: %d\n\n" % number
                assert await asyncio.wait_for(client.reader.readuntil(line), 30)
        await asyncio.wait_for(left.wait(), 30)


async def test_a_request_id_comes_back_once(two: TwoKinds) -> None:
    async with two.running(), client_of(two.predict) as client:
        await client.send(request(path=ADMIN, extra=b"X-Request-Id: mine\r\n"))
        head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 30)
        assert head.count(b"x-request-id: mine") == head.count(b"\r\ndate: ") == 1


async def test_a_client_that_leaves_is_missed_by_the_console(two: TwoKinds) -> None:
    two.console.may_answer.clear()
    async with two.running() as (_, console):
        async with client_of(two.predict) as client:
            await client.send(request(path=ADMIN))
            await until(lambda: two.console.asked)
        await until(lambda: not console.connections.open)
        two.console.may_answer.set()


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
async def test_without_a_console_its_requests_are_refused(tmp_path: Path, tcp: bool) -> None:
    two = TwoKinds(tmp_path, tcp=tcp)
    two.unbind()
    two.predict.learn(b"[1]")
    async with running(two.predict), client_of(two.predict) as client:
        await client.send(request(path=ADMIN))
        status, headers, body = await client.response()
        assert (status, json.loads(body)["code"]) == (503, "process_away")
        assert headers[b"retry-after"] == b"2"
        await client.send(request())
        assert json.loads(await answer_of(client))["output"] == [1]


async def test_a_console_that_is_silent_is_waited_for_so_long_and_no_longer(
    tmp_path: Path,
) -> None:
    two = TwoKinds(tmp_path, seconds=0.2)
    with listen(f"unix:{two.place}"):
        async with running(two.predict), client_of(two.predict) as client:
            await client.send(request(path=ADMIN))
            status, _, body = await client.response()
            assert (status, json.loads(body)["code"]) == (503, "process_away")


async def test_an_answer_that_breaks_off_ends_the_connection(tmp_path: Path) -> None:
    two = TwoKinds(tmp_path)
    with listen(f"unix:{two.place}") as listening:
        listening.setblocking(False)
        async with running(two.predict), client_of(two.predict) as client:
            await client.send(request(b"", path=ADMIN))
            console, _ = await asyncio.get_running_loop().sock_accept(listening)
            with console:
                await asyncio.get_running_loop().sock_recv(console, 1000)
                console.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            answer = await asyncio.wait_for(client.reader.read(), 30)
    assert answer.endswith(b"abc")


async def test_those_who_wait_for_the_console_leave_room_for_queries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = TwoKinds(tmp_path)
    monkeypatch.setattr(proxy, "MAX_PROXIED", 2)
    two.predict.learn(b"[1]")
    async with AsyncExitStack() as clients:
        clients.enter_context(listen(f"unix:{two.place}"))
        await clients.enter_async_context(running(two.predict))
        waiting = [await clients.enter_async_context(client_of(two.predict)) for _ in range(3)]
        for client in waiting:
            await client.send(request(path=ADMIN))
            await asyncio.sleep(0.05)
        assert (await waiting[-1].response())[0] == 503
        asking = await clients.enter_async_context(client_of(two.predict))
        await asking.send(request())
        assert json.loads(await answer_of(asking))["output"] == [1]
        for client in waiting:
            client.writer.transport.abort()


async def test_no_descriptor_stays_behind(two: TwoKinds) -> None:
    async with two.running() as servers:
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(20):
            async with client_of(two.predict) as client:
                await client.send(request(path=ADMIN))
                await answer_of(client)
        for server in servers:
            while server.connections.open or server.connections.tasks:
                await asyncio.sleep(0.001)
        assert len(list(Path("/proc/self/fd").iterdir())) <= before
