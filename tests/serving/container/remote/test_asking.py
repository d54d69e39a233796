"""A server that is away, slow, broken or hostile: each input gets its reason, in bounded time."""

import asyncio
import re
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from serving.container.failures.container_errors import WarmUpFailed
from serving.container.remote import http_exchange
from serving.container.remote.remote_predictor import RemotePredictor
from tests.serving.container.remote.asking import outputs, predictor, reason
from tests.serving.container.remote.stand_in import (
    Asked,
    Said,
    StandIn,
    as_json,
    raw_server,
    read_request,
    standing_in,
    sums,
)


def refusing(status: int, asked: Asked) -> Said:
    return as_json({"error": "no"}, status=status)


@pytest.fixture
def asked(server: StandIn) -> Iterator[RemotePredictor]:
    with predictor(server.url("/model")) as made:
        yield made


def test_a_batch_is_one_request_over_a_connection_that_is_kept(
    server: StandIn, asked: RemotePredictor
) -> None:
    assert outputs(asked, [[1, 2], [3, 4.5]]) == [3, 7.5]
    for _ in range(5):
        assert outputs(asked, [[1, 1]]) == [2]
    assert len(server.asked) == 6
    assert server.connections == 1
    assert len({request.port for request in server.asked}) == 1


def test_a_bad_input_is_refused_here_and_the_others_are_asked(
    server: StandIn, asked: RemotePredictor
) -> None:
    assert outputs(asked, [[1, 2], "seven", [3, 4]]) == [
        3,
        ("expected an array of numbers, got a string",),
        7,
    ]
    assert server.asked[0].json == {"instances": [[1, 2], [3, 4]]}


def test_an_input_that_the_server_refuses_fails_alone() -> None:
    def picky(asked: Asked) -> Said:
        rows = asked.json["instances"]
        if any(row == [13] for row in rows):
            return as_json({"detail": "thirteen is no input"}, status=400)
        return as_json({"predictions": [row[0] for row in rows]})

    with standing_in(picky) as server, predictor(server.url()) as asked:
        given = [[number] for number in range(40)]
        found = outputs(asked, given)
        assert found[13] == (f"127.0.0.1:{server.port} answered 400: thirteen is no input",)
        assert found[:13] + found[14:] == [n for n in range(40) if n != 13]
        assert len(server.asked) < 30


def test_it_stops_and_comes_back(
    server: StandIn, asked: RemotePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outputs(asked, [[1, 2]]) == [3]
    server.stop()
    said = reason(asked)
    assert said.startswith(f"cannot connect to 127.0.0.1:{server.port}: ")
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    # While nobody is there, no query waits for a further try.
    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "sleep", sleep)
        for _ in range(20):
            assert reason(asked) == said
    assert slept == []
    with standing_in(sums, port=server.port):
        assert outputs(asked, [[1, 2]]) == [3]
    (failure,) = asked.failures.take()
    assert (failure.error, failure.count) == (said, 21)


def test_a_connection_that_the_server_has_closed_meanwhile_costs_nobody_an_answer(
    server: StandIn, asked: RemotePredictor
) -> None:
    for _ in range(5):
        assert outputs(asked, [[1, 2]]) == [3]
        server.cut_all()
    assert asked.failures.take() == []


def test_what_may_pass_is_tried_again_and_the_rest_is_not() -> None:
    statuses = iter([503, 502])

    def weary(asked: Asked) -> Said:
        status = next(statuses, 200)
        return sums(asked) if status == 200 else as_json({"error": "busy"}, status=status)

    with standing_in(weary) as server, predictor(server.url()) as asked:
        assert outputs(asked, [[1, 2]]) == [3]
        assert len(server.asked) == 3
        for status, tries in ((503, 3), (501, 1), (401, 1), (404, 1)):
            server.asked.clear()
            server.answering = partial(refusing, status)
            assert reason(asked) == f"127.0.0.1:{server.port} answered {status}: no"
            assert len(server.asked) == tries


def always(answer: Said, asked: Asked) -> Said:
    return answer


def test_retry_after_is_kept_to_but_never_beyond_the_time_there_is() -> None:
    times: list[float] = []

    def later(asked: Asked) -> Said:
        times.append(time.monotonic())
        if len(times) == 1:
            return as_json({}, status=503, Retry_After="1")
        return sums(asked)

    with standing_in(later) as server, predictor(server.url(), timeout_ms=4000) as asked:
        assert outputs(asked, [[1, 2]]) == [3]
        assert times[1] - times[0] >= 1.0
        for said, tries in (("30", 1), ("Mon, 01 Jan 99999999999 00:00:00 GMT", 3)):
            busy = as_json({}, status=503, Retry_After=said)
            server.answering = partial(always, busy)
            server.asked.clear()
            assert "answered 503" in reason(asked)
            assert len(server.asked) == tries


def test_a_server_that_never_answers_is_given_up_in_time_for_all_of_a_batch() -> None:
    waiting = threading.Event()

    def never(asked: Asked) -> Said:
        waiting.wait(30)
        return Said()

    with (
        standing_in(never) as server,
        predictor(server.url(), template={"x": "$input"}, timeout_ms=200, concurrency=2) as asked,
    ):
        found = outputs(asked, [[1]] * 50)
        waiting.set()
    late = f"127.0.0.1:{server.port} gave no answer within 200 ms"
    others = f"not asked any more, as for an input of the same batch {late}"
    said = [tuple(map(of_all_the_time, one)) for one in found]
    assert (late,) in said
    assert set(said) <= {(late,), (others,)}
    assert len(server.asked) <= 4


def test_answers_that_trickle_are_given_up_in_time() -> None:
    def trickle(peer: socket.socket) -> None:
        read_request(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            peer.sendall(b" ")
            time.sleep(0.02)

    with (
        raw_server(trickle) as port,
        predictor(f"http://127.0.0.1:{port}/", timeout_ms=300) as asked,
    ):
        said = of_all_the_time(reason(asked))
        assert said == f"127.0.0.1:{port} gave no answer within 300 ms"


def of_all_the_time(said: str) -> str:
    """As where nothing was lost of the time before it was asked: a busy machine takes a part."""

    def whole(found: re.Match[str]) -> str:
        return f"within {-(-int(found[1]) // 100) * 100} ms"

    return re.sub(r"within (\d+) ms", whole, said)


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", "closed the connection without an answer"),
        (b"\x15\x03\x01\x00\x02\x02", "sent no HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "sent no HTTP"),
        (OK + b'Content-Length: 50\r\n\r\n{"predi', "sent an answer that broke off after"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n[1,2", "broke off after"),
        (OK + b"Content-Length: 5\r\n\r\n<html", "expected JSON, the remote answered '<html'"),
        (OK + b"Content-Length: 9999999999\r\n\r\n", "sent more than"),
        (OK + b"X: " + b"y" * 70_000, "sent a head of more than"),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", "a compressed answer"),
        (OK + b"Content-Length: 2\r\n\r\n{}", "expected 'predictions' in the answer"),
        (OK + b"Content-Length: 2\r\n\r\n[]", "no 'predictions' in an array of 0"),
        (OK + b'Content-Length: 17\r\n\r\n{"predictions":1}', "expected a sequence of 1 outputs"),
        (OK + b'Content-Length: 23\r\n\r\n{"predictions":[1,2,3]}', "expected 1 outputs for 1"),
        (
            b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "another protocol",
        ),
    ],
)
def test_half_and_garbled_answers_say_what_came(answer: bytes, expected: str) -> None:
    def talk(peer: socket.socket) -> None:
        read_request(peer)
        peer.sendall(answer)

    with raw_server(talk) as port, predictor(f"http://127.0.0.1:{port}/") as asked:
        assert expected in reason(asked)


@pytest.mark.parametrize(
    "answer",
    [
        OK + b'Connection: close\r\n\r\n{"predictions":[3]}',
        OK + b'Transfer-Encoding: chunked\r\n\r\n13\r\n{"predictions":[3]}\r\n0\r\n\r\n',
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        + OK
        + b'Content-Length: 19\r\n\r\n{"predictions":[3]}',
        b'HTTP/1.0 200 OK\r\n\r\n{"predictions":[3]}',
    ],
)
def test_answers_are_read_however_they_end(answer: bytes) -> None:
    def talk(peer: socket.socket) -> None:
        read_request(peer)
        peer.sendall(answer)

    with raw_server(talk) as port, predictor(f"http://127.0.0.1:{port}/") as asked:
        assert outputs(asked, [[1, 2]]) == [3]


def test_an_answer_that_nobody_asked_for_is_no_answer_to_the_next() -> None:
    def talk(peer: socket.socket) -> None:
        number = 0
        while read_request(peer):
            number += 1
            body = b'{"predictions":[%d]}' % number
            once = OK + b"Content-Length: %d\r\n\r\n" % len(body) + body
            peer.sendall(once + once.replace(b"[%d]" % number, b"[9]"))

    with raw_server(talk) as port, predictor(f"http://127.0.0.1:{port}/") as asked:
        assert [outputs(asked, [[1, 2]]) for _ in range(3)] == [[1], [1], [1]]


@pytest.mark.parametrize(
    ("begins", "goes_on", "expected"),
    [
        (b"\r\n", b"x", "sent more than 1048576 bytes"),
        (
            b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
            b"Field: of the trailer\r\n",
            "sent more than 1048576 bytes beside its body",
        ),
    ],
)
def test_an_answer_without_end_stops_at_the_bound(
    begins: bytes, goes_on: bytes, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_exchange, "LARGEST_BODY", 1 << 20)

    def endless(peer: socket.socket) -> None:
        read_request(peer)
        peer.sendall(OK + begins)
        while True:
            peer.sendall(goes_on * 65536)

    with raw_server(endless) as port, predictor(f"http://127.0.0.1:{port}/") as asked:
        assert reason(asked) == f"127.0.0.1:{port} {expected}"


def test_several_requests_are_under_way_from_one_replica() -> None:
    together = threading.Barrier(8)

    def meet(asked: Asked) -> Said:
        together.wait(10)
        return as_json({"predictions": asked.json["x"][0]})

    with (
        standing_in(meet) as server,
        predictor(server.url(), template={"x": "$input"}, concurrency=8) as asked,
    ):
        assert outputs(asked, [[n] for n in range(16)]) == list(range(16))
        assert server.most_at_once == 8
        assert server.connections == 8


def test_a_batch_is_spread_over_as_many_requests_as_the_version_says() -> None:
    together = threading.Barrier(3)

    def meet(asked: Asked) -> Said:
        together.wait(10)
        return sums(asked)

    with standing_in(meet) as server, predictor(server.url(), concurrency=3) as asked:
        assert outputs(asked, [[n] for n in range(8)]) == list(range(8))
        assert sorted(len(request.json["instances"]) for request in server.asked) == [2, 3, 3]


def test_a_check_needs_the_server_and_a_replica_does_not(server: StandIn) -> None:
    server.stop()
    with predictor(server.url(), must_answer=True) as asked, pytest.raises(WarmUpFailed) as failed:
        asked.warm_up()
    assert "the remote model can't answer: cannot connect to" in str(failed.value)
    with predictor(server.url()) as asked:
        asked.warm_up()
        with standing_in(sums, port=server.port):
            assert outputs(asked, [[1, 2]]) == [3]
