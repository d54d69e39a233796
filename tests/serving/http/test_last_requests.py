"""The last request of a connection has its answer, and what was sent behind it has none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.serving.http.front_server import PATH, SECONDS, Front, client_of, request, running

OTHER = b"/other"
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
        while not connection.ahead:
            await asyncio.sleep(0.001)
        it.answers_early = False
        it.may_answer.set()
        assert await asyncio.wait_for(client.reader.read(), SECONDS) == it.answer
    assert it.asked == []
