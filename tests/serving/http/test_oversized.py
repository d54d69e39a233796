"""Heads that are too large, answers before a body, and last answers: sent, and received."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.serving.http.front_server import PATH, SECONDS, Front, client_of, request, running, until

OTHER = b"/other"
FIELDS = b"".join(b"X-%d: a\r\n" % number for number in range(300))
CHUNKED = b"Transfer-Encoding: chunked\r\n"

TOO_LARGE = {
    "a field": request(extra=b"X: " + b"a" * (70 << 10) + b"\r\n"),
    "a field without end": b"GET / HTTP/1.1\r\nX: " + b"a" * (4 << 20),
    "fields": request(extra=b"X: %b\r\n" % (b"a" * 1000) * 70),
    "many fields": request(extra=FIELDS),
    "a URL": request(path=b"/" + b"a" * (70 << 10)),
    "a URL without end": b"GET /" + b"a" * (4 << 20),
    "a name without end": b"GET / HTTP/1.1\r\n" + b"a" * (4 << 20),
    "blank lines without end": b"\r\n" * (1 << 20),
    "fields after the chunks": request(
        b"1\r\na\r\n0\r\n" + b"X: %b\r\n" % (b"a" * 1000) * 70 + b"\r\n", framing=CHUNKED
    ),
}


@pytest.mark.parametrize("size", [None, 50_000], ids=["at once", "in parts"])
@pytest.mark.parametrize("data", TOO_LARGE.values(), ids=TOO_LARGE)
async def test_a_head_that_is_too_large_is_refused_before_it_is_kept(
    data: bytes, size: int | None
) -> None:
    it = Front()
    async with running(it), client_of(it) as client:

        async def send() -> None:
            for start in range(0, len(data), size or len(data)):
                await client.send(data[start : start + (size or len(data))])

        sending = asyncio.create_task(send())
        status, headers, body = await client.response()
        assert (status, json.loads(body)["code"]) == (431, "head_too_large")
        assert headers[b"connection"] == b"close"
        assert await client.closed()
        await asyncio.wait_for(asyncio.gather(sending, return_exceptions=True), 10)
    assert it.asked == []
    assert it.limits.held == 0


@pytest.mark.parametrize("expects", [b"", b"Expect: 100-continue\r\n"], ids=["plain", "expects"])
async def test_an_answer_before_the_body_ends_the_connection_and_is_heard(expects: bytes) -> None:
    """The client goes on sending: a reset would take the answer from it."""
    it = Front()
    it.answers_early = True
    head, _, body = request(b"a" * (8 << 20), path=OTHER, extra=expects).partition(b"\r\n\r\n")
    async with running(it), client_of(it) as client:
        await client.send(head + b"\r\n\r\n")
        sending = asyncio.create_task(client.send(body))
        status, headers, answer = await client.response()
        assert (status, answer) == (200, b"ASGI")
        assert headers[b"connection"] == b"close"
        assert await client.closed()
        await asyncio.wait_for(asyncio.gather(sending, return_exceptions=True), 10)


async def test_what_follows_an_answer_before_the_body_is_not_read_as_a_request() -> None:
    """Having its answer, a client need not send the body that it announced."""
    it = Front()
    it.answers_early = True
    head = request(b"a" * 50, path=OTHER, extra=b"Expect: 100-continue\r\n")[:-50]
    async with running(it), client_of(it) as client:
        await client.send(head)
        assert (await client.response())[0] == 200
        await client.send(request(path=b"/next"))
        assert await client.closed()
    assert it.asked == []


@pytest.mark.parametrize("path", [PATH, OTHER], ids=["predict", "other"])
async def test_a_body_with_a_length_past_all_memory_holds_what_came(path: bytes) -> None:
    it = Front()
    data = request(b"", path=path, framing=b"Content-Length: 9223372036854775807\r\n")
    async with running(it) as server:
        async with client_of(it) as client:
            await client.send(data + b"a" * 100)
            await until(lambda: server.connections.open)
            await until(lambda: it.limits.held)
            assert it.limits.held <= 100
        await until(lambda: not server.connections.open)
        assert it.limits.held == 0


# More than the system and a process keep of it.
BEHIND = request(b"a" * (1 << 20), path=b"/next") * 16


@pytest.mark.parametrize("path", [PATH, OTHER], ids=["predict", "other"])
@pytest.mark.parametrize(
    ("extra", "version"), [(b"Connection: close\r\n", b"1.1"), (b"", b"1.0")], ids=["close", "1.0"]
)
async def test_a_last_answer_is_heard_by_a_client_that_goes_on_sending(
    path: bytes, extra: bytes, version: bytes
) -> None:
    """A reset would take the answer from it, and those before that it hasn't read."""
    it = Front()
    it.learn(b"[1]")
    last = request(path=path, extra=extra, version=version)
    async with running(it), client_of(it) as client:
        sending = asyncio.create_task(client.send(request() + last + BEHIND))
        assert [(await client.response())[0] for _ in range(2)] == [200, 200]
        assert await client.closed()
        await asyncio.wait_for(sending, SECONDS)
    assert [asked for _, asked, _ in it.asked if asked == "/next"] == []


class TwoSteps(Front):
    """Begins to answer before the body is there, and ends when it may."""

    async def respond(self, send: Callable[..., Any]) -> None:
        headers = [(b"content-length", b"%d" % len(self.answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await self.may_answer.wait()
        await send({"type": "http.response.body", "body": self.answer})


async def test_what_follows_a_body_that_came_during_its_answer_has_none() -> None:
    it = TwoSteps()
    it.answers_early = True
    it.may_answer.clear()
    asked = request(b"abc", path=OTHER)
    async with running(it) as server, client_of(it) as client:
        await client.send(asked[:-1])
        head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), SECONDS)
        assert b"\r\nconnection: close\r\n" in head
        await client.send(asked[-1:] + request(path=b"/next"))
        (connection,) = server.connections.open
        await until(lambda: connection.ahead)
        it.answers_early = False
        it.may_answer.set()
        assert await asyncio.wait_for(client.reader.read(), SECONDS) == it.answer
    assert it.asked == []
