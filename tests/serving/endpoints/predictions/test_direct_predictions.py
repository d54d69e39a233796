"""The short cut of predictions through the HTTP server: the same answers, and who goes by."""

import asyncio
import itertools
import json
from time import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.http import connection
from serving.http.limits import Limits
from serving.rpc.frames.codec import Answer, AnswerStatus
from serving.testing import key_spec
from tests.serving.http.front_server import MAX_BODY, Front, client_of, request, running, sent


def output(response: tuple[int, dict[bytes, bytes], bytes]) -> object:
    status, _, body = response
    assert status == 200, body
    return json.loads(body)["output"]


async def test_what_the_cache_knows_is_answered_at_once() -> None:
    it = Front()
    it.learn(b"[1]")
    async with running(it), client_of(it) as client:
        await client.send(request())
        status, headers, body = await client.response()
    assert status == 200
    assert headers[b"content-type"] == b"application/json"
    assert b"date" in headers
    answer = json.loads(body)
    assert (answer["output"], answer["models"], answer["default"]) == ([1], {"m1:1": [1]}, False)
    assert answer["latency_ms"] > 0
    assert it.asked == []


async def test_others_are_answered_when_the_model_has() -> None:
    it = Front()
    async with running(it), client_of(it) as one, client_of(it) as other:
        await one.send(request(b'{"input":[1]}'))
        await other.send(request(b'{"input":[2]}'))
        await sent(it, 2)
        while it.model.batches:
            it.model.answer()
        assert output(await one.response()) == [1]
        assert output(await other.response()) == [2]
        # The connection goes on, with the next query.
        await one.send(request(b'{"input":[3]}'))
        await sent(it)
        it.model.answer()
        assert output(await one.response()) == [3]
    assert it.asked == []


@pytest.mark.parametrize(("default", "status"), [("-1", 200), (None, 504)])
async def test_at_the_deadline_the_default_is_given_or_an_error(
    default: str | None, status: int
) -> None:
    it = Front(slo_ms=30.0, **({} if default else {"default_output": None}))
    async with running(it), client_of(it) as client:
        await client.send(request())
        got, _, body = await client.response()
    assert got == status
    answer = json.loads(body)
    assert answer.get("output") == -1 if default else answer["code"] == "deadline_exceeded"


LONG_WAY = {
    "another method": request(b"", method=b"GET"),
    "another path": request(path=b"/health/live"),
    "an unknown application": request(path=b"/api/v1/applications/other/predict"),
    "an escaped path": request(path=b"/api/v1/applications/dig%69ts/predict"),
    "no key": request(key=None),
    "an unknown key": request(key=b"clp_wrong"),
    "HTTP/1.0": request(version=b"1.0"),
    "an encoding": request(extra=b"Content-Encoding: gzip\r\n"),
    "an upgrade": request(extra=b"Connection: upgrade\r\nUpgrade: h2c\r\n"),
    "several inputs": request(b'{"input_batch":[[1],[2]]}'),
    "a version": request(b'{"input":[1],"version":"m1:1"}'),
    "no JSON": request(b'{"input":[1]'),
    "an unknown field": request(b'{"input":[1],"inputs":[2]}'),
    "a wrong type": request(b'{"input":"1"}'),
    "no input": request(b"{}"),
    "outputs of models left out": request(b'{"input":[1],"models":false}'),
    "a long context": request(b'{"input":[1],"context":"%b"}' % (b"c" * 300)),
    "no body": request(b""),
    "no length": request(b"", framing=b""),
}  # fmt: skip


@pytest.mark.parametrize("data", LONG_WAY.values(), ids=LONG_WAY)
async def test_anything_else_reaches_the_application_as_it_was_sent(data: bytes) -> None:
    it = Front()
    it.learn(b"[1]")
    async with running(it), client_of(it) as client:
        await client.send(data)
        assert (await client.response())[2] == b"ASGI"
    ((method, path, body),) = it.asked
    assert data.startswith(b"%b " % method.encode())
    assert path.encode() in data.replace(b"%69", b"i")
    assert body == data.partition(b"\r\n\r\n")[2]
    # Nothing was asked on the way there.
    assert it.model.batches == []
    assert it.serving.metrics.applications == {}


async def test_a_body_that_is_announced_too_long_goes_the_long_way_unread() -> None:
    it = Front()
    async with running(it), client_of(it) as client:
        await client.send(request(b" " * (MAX_BODY + 1)))
        assert (await client.response())[2] == b"ASGI"


async def test_a_client_that_waits_to_be_told_to_go_on_is_told() -> None:
    it = Front()
    async with running(it), client_of(it) as client:
        head, body = request(extra=b"Expect: 100-continue\r\n").split(b"\r\n\r\n")
        await client.send(head + b"\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(body)
        assert (await client.response())[2] == b"ASGI"


async def test_what_comes_while_an_answer_is_awaited_comes_next() -> None:
    it = Front()
    it.learn(b"[2]")
    async with running(it), client_of(it) as client:
        await client.send(request(b'{"input":[1]}'))
        await sent(it)
        await client.send(request(b'{"input":[2]}') + request(path=b"/health/live"))
        await asyncio.sleep(0.02)
        it.model.answer()
        assert output(await client.response()) == [1]
        assert output(await client.response()) == [2]
        assert (await client.response())[2] == b"ASGI"
        await client.send(request(b'{"input":[2]}'))
        assert output(await client.response()) == [2]


async def test_a_client_that_left_with_more_to_say_disturbs_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    it = Front()
    async with running(it), client_of(it) as stayed:
        async with client_of(it) as left:
            await left.send(request(b'{"input":[1]}'))
            await sent(it)
            await left.send(request(path=b"/health/live"))
            await asyncio.sleep(0.02)
        await stayed.send(request(b'{"input":[2]}'))
        await sent(it, 2)
        while it.model.batches:
            it.model.answer()
        assert output(await stayed.response()) == [2]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_an_expired_key_is_good_no_more_although_its_head_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    it = Front()
    it.learn(b"[1]")
    it.allow(key_spec(expires_at=time() + 60.0))
    async with running(it), client_of(it) as client:
        await client.send(request())
        assert output(await client.response()) == [1]
        monkeypatch.setattr("serving.endpoints.predictions.known_heads.time", lambda: time() + 61.0)
        await client.send(request())
        assert (await client.response())[2] == b"ASGI"


async def test_a_public_application_needs_no_key() -> None:
    it = Front(public=True)
    it.learn(b"[1]")
    async with running(it), client_of(it) as client:
        await client.send(request(key=None))
        assert output(await client.response()) == [1]
        await client.send(request(key=None, path=b"/digits/predict"))
        assert output(await client.response()) == [1]
    assert it.asked == []


async def test_idle_connections_are_closed_and_busy_ones_are_not() -> None:
    it = Front(limits=Limits(idle_s=0.1))
    async with running(it), client_of(it) as asking:
        await asking.send(request())
        await sent(it)
        for before in ([], [request(path=b"/x")]):
            async with client_of(it) as idle:
                for data in before:
                    await idle.send(data)
                    assert (await idle.response())[2] == b"ASGI"
                assert await idle.closed()
        it.model.answer()
        assert output(await asking.response()) == [1]
        assert await asking.closed()


async def test_one_connection_too_many_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 1)
    it = Front()
    it.learn(b"[1]")
    async with running(it), client_of(it) as first:
        await first.send(request())
        assert output(await first.response()) == [1]
        async with client_of(it) as second:
            status, headers, body = await second.response()
            assert (status, json.loads(body)["code"]) == (503, "saturated")
            assert headers[b"retry-after"] == b"1"
            assert await second.closed()
        await first.send(request())
        assert output(await first.response()) == [1]


async def test_what_nobody_foresaw_is_an_error_of_the_usual_shape(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    it = Front()
    it.learn(b"[1]")
    async with running(it), client_of(it) as client:
        monkeypatch.setattr(
            it.serving.signer, "sign", lambda receipt: (_ for _ in ()).throw(OSError("disk"))
        )
        await client.send(request())
        status, _, body = await client.response()
        assert (status, json.loads(body)["code"]) == (500, "internal")
        assert "disk" not in body.decode()
        assert "disk" in caplog.text
        monkeypatch.undo()
        await client.send(request())
        assert output(await client.response()) == [1]
    counted = it.serving.metrics.applications["digits"]
    assert (counted.queries, counted.errors) == (1, 1)


CASES = (
    request(b'{"input":[1]}'),
    request(b'{"input":[2],"context":"anna"}'),
    request(b'{"input_batch":[[1]]}'),
    request(path=b"/health/live"),
    request(b"3\r\nabc\r\n0\r\n\r\n", framing=b"Transfer-Encoding: chunked\r\n"),
)


def test_however_the_bytes_arrive_each_request_is_answered_in_order() -> None:
    it = Front()
    it.learn(b"[1]", b"[2]")

    async def answers(requests: list[bytes], sizes: list[int]) -> list[bytes]:
        data, start = b"".join(requests), 0
        async with client_of(it) as client:
            for size in itertools.chain(sizes, [len(data)]):
                await client.send(data[start : start + size])
                await asyncio.sleep(0)
                start += size
            return [(await client.response())[2] for _ in requests]

    with asyncio.Runner() as runner:
        server = running(it)
        runner.run(server.__aenter__())

        @settings(max_examples=60, deadline=None)
        @given(
            st.lists(st.sampled_from(CASES), min_size=1, max_size=6),
            st.lists(st.integers(min_value=1, max_value=400), max_size=12),
        )
        def in_order(requests: list[bytes], sizes: list[int]) -> None:
            for one, answer in zip(requests, runner.run(answers(requests, sizes)), strict=True):
                if answer != b"ASGI":
                    assert json.loads(answer)["output"] == ([1] if b"[1]" in one else [2])
                    assert b'"input":' in one

        in_order()
        runner.run(server.__aexit__(None, None, None))


async def test_what_turns_out_to_be_no_json_is_refused_as_such() -> None:
    it = Front()
    async with running(it), client_of(it) as client:
        await client.send(request(b'{"input":[1,,2]}'))
        await sent(it)
        it.model.answer_with(Answer(AnswerStatus.INVALID_INPUT, b"expected numbers"))
        status, _, body = await client.response()
        assert (status, json.loads(body)["code"]) == (400, "invalid_json")
        await client.send(request(b'{"input":[1,2]}'))
        await sent(it)
        it.model.answer_with(Answer(AnswerStatus.INVALID_INPUT, b"expected 3 numbers, got 2"))
        status, _, body = await client.response()
        assert (status, json.loads(body)["code"]) == (400, "invalid_input")
        assert "expected 3 numbers, got 2" in json.loads(body)["error"]
