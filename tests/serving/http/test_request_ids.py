"""Requests can be followed by the caller's own id, and by that of a query which failed."""

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from core.errors import ClipperError
from serving.endpoints.predictions.query_failures import LINES_A_SECOND, FailureLog
from serving.http.asgi import ClientGone, while_connected
from serving.rpc.frames.codec import Answer, AnswerStatus
from tests.serving.http.front_server import PATH, Front, client_of, request, running, sent

OTHER = b"/other"


@pytest.mark.parametrize("path", [PATH, OTHER], ids=["predict", "other"])
async def test_the_id_of_a_request_comes_back_with_its_answer_and_with_no_other(
    path: bytes,
) -> None:
    it = Front()
    it.learn(b"[1]")
    async with running(it), client_of(it) as client:
        for id in (b"one", b"2-[x]/~", b"a" * 128):
            await client.send(request(path=path, extra=b"X-Request-Id: %b\r\n" % id))
            status, headers, _ = await client.response()
            assert (status, headers[b"x-request-id"]) == (200, id)
        await client.send(request(path=path))
        assert b"x-request-id" not in (await client.response())[1]


async def test_an_id_does_not_come_back_with_the_refusal_of_what_follows_its_request() -> None:
    it = Front()
    it.learn(b"[1]")
    async with running(it), client_of(it) as client:
        await client.send(request(extra=b"X-Request-Id: one\r\n"))
        assert (await client.response())[1][b"x-request-id"] == b"one"
        await client.send(b"nonsense\r\n\r\n")
        status, headers, _ = await client.response()
    assert status == 400
    assert b"x-request-id" not in headers


@pytest.mark.parametrize("path", [PATH, OTHER], ids=["predict", "other"])
async def test_what_is_no_id_does_not_come_back(path: bytes) -> None:
    it = Front()
    it.learn(b"[1]")
    async with running(it), client_of(it) as client:
        for id in (b"a b", b"", b"a" * 129, b"\xe9"):
            await client.send(request(path=path, extra=b"X-Request-ID: %b\r\n" % id))
            status, headers, _ = await client.response()
            assert status == 200
            assert b"x-request-id" not in headers


async def test_a_query_that_fails_has_an_id_that_the_log_knows_and_is_explained(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # That of this process may have had its lines for this second.
    monkeypatch.setattr("serving.endpoints.predictions.query_failures._log", FailureLog())
    it = Front(slo_ms=1000.0, default_output=None)
    asked = request(b'{"input":[1],"explain":true}', extra=b"X-Request-ID: mine\r\n")
    with caplog.at_level(logging.INFO, logger="serving.endpoints.predictions.query_failures"):
        async with running(it), client_of(it) as client:
            await client.send(asked)
            await sent(it)
            it.model.answer_with(Answer(AnswerStatus.MODEL_FAILED, b"no such row"))
            status, headers, body = await client.response()
    answer = json.loads(body)
    assert (status, answer["code"]) == (500, "model_failed")
    assert headers[b"x-request-id"] == b"mine"
    assert answer["explain"]["models"]["m1:1"]["why"] == "no such row"
    (line,) = [line for line in caplog.messages if "query failed" in line]
    assert answer["query_id"] in line
    assert "application=digits code=model_failed" in line
    assert "no such row" in line


def test_the_log_has_the_first_failures_of_each_second_and_how_many_more(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = FailureLog()
    error = ClipperError("no")
    error.about = {"query_id": "failed-1"}
    for second, count in ((10.0, 3 * LINES_A_SECOND), (11.0, 2)):
        monkeypatch.setattr(
            "serving.endpoints.predictions.query_failures.monotonic", lambda second=second: second
        )
        with caplog.at_level(logging.INFO, logger="serving.endpoints.predictions.query_failures"):
            for _ in range(count):
                log.failed(error, application="digits")
    lines = ["query failed" in line for line in caplog.messages]
    assert lines == [True] * LINES_A_SECOND + [False] + [True] * 2
    assert caplog.messages[LINES_A_SECOND].endswith(f"count={2 * LINES_A_SECOND}")


class Endless(Front):
    """Never comes to an answer, and says when it has begun and ended."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.ended = asyncio.Event(), asyncio.Event()
        self.answers_early = True

    async def respond(self, send: Callable[..., Any]) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    async def asgi(
        self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        with suppress(ClientGone), while_connected(scope):
            await super().asgi(scope, receive, send)


async def test_an_endpoint_stops_when_its_client_leaves(caplog: pytest.LogCaptureFixture) -> None:
    it = Endless()
    async with running(it):
        async with client_of(it) as client:
            await client.send(request(path=OTHER))
            await it.begun.wait()
        await asyncio.wait_for(it.ended.wait(), 30)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
