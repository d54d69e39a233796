"""A replica answers batches over real sockets, survives bad peers and drains without dropping."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from serving.container.child.link import Statistics
from serving.container.server.batch_server import MAX_BUFFERED
from serving.container.server.listener import ContainerServer, TcpListen
from serving.rpc.connection import Connection, connect
from serving.rpc.errors import ConnectionLost
from serving.rpc.frames import codec
from serving.rpc.frames.codec import (
    Answer,
    AnswerStatus,
    Frame,
    FrameType,
    decode_answers,
    encode_frame,
    encode_predict,
)
from serving.rpc.frames.hello import Hello, decode_hello
from serving.rpc.tcp.credentials import Credentials
from tests.serving.container.artifacts import load_sklearn

HELLO = Hello(
    replica="r1", model="svm", version="1", version_id=1, generation=1, input_type="doubles"
)
CREDENTIALS = Credentials(secret=b"the secret of this cluster, and of no other")
LOOPBACK = TcpListen(advertise_host="127.0.0.1", bind_host="127.0.0.1", credentials=CREDENTIALS)
LIMIT = 10


class Echo:
    """Answers each input with itself; calls back before, to look at the server meanwhile."""

    def __init__(self) -> None:
        self.before: Callable[[Sequence[bytes]], Any] = lambda inputs: None

    def answer_batch(self, inputs: Sequence[bytes]) -> list[Answer]:
        self.before(inputs)
        return [Answer(AnswerStatus.OK, raw) for raw in inputs]


class Sevens:
    """Answers each input, a number, with as many digits."""

    def answer_batch(self, inputs: Sequence[bytes]) -> list[Answer]:
        return [Answer(AnswerStatus.OK, b"7" * int(raw)) for raw in inputs]


class Web:
    """The other end: what a web process sees of a replica."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[Frame] = asyncio.Queue()
        self.lost: asyncio.Future[ConnectionLost | None] = (
            asyncio.get_running_loop().create_future()
        )
        self.connection: Connection

    @classmethod
    async def dial(
        cls,
        address: str,
        *,
        hello: Hello | None = HELLO,
        credentials: Credentials = CREDENTIALS,
        replica: str = HELLO.replica,
    ) -> Web:
        web = cls()
        web.connection = await connect(
            address,
            on_frame=lambda _, frame: web.frames.put_nowait(frame),
            on_lost=lambda _, error: web.lost.set_result(error),
            timeout=LIMIT,
            authentication=credentials.to(replica),
        )
        told = decode_hello((await web.next(FrameType.HELLO)).body)
        assert hello is None or told == hello
        return web

    async def next(self, frame_type: FrameType) -> Frame:
        frame = await asyncio.wait_for(self.frames.get(), LIMIT)
        assert frame.type is frame_type
        return frame

    async def ask(self, *inputs: bytes, request_id: int = 1) -> list[Answer]:
        self.connection.send(encode_predict(request_id, inputs))
        frame = await self.next(FrameType.ANSWER)
        assert frame.request_id == request_id
        return decode_answers(frame.body)[0]

    async def ask_in_parts(self, *inputs: bytes) -> tuple[list[Answer], list[int]]:
        """Return the answers, and how many of them came in each frame."""
        self.connection.send(encode_predict(1, inputs))
        answers: list[Answer] = []
        sizes: list[int] = []
        while len(answers) < len(inputs):
            frame = await asyncio.wait_for(self.frames.get(), LIMIT)
            part, _ = decode_answers(frame.body)
            answers += part
            sizes.append(len(part))
            is_last = len(answers) == len(inputs)
            assert frame.type is (FrameType.ANSWER if is_last else FrameType.PART)
        return answers, sizes

    async def ended(self) -> ConnectionLost | None:
        return await asyncio.wait_for(self.lost, LIMIT)


@asynccontextmanager
async def serving(
    predictor: Any, *, address: str = "", listen: TcpListen | None = None, hello: Hello = HELLO
) -> AsyncIterator[ContainerServer]:
    server = ContainerServer(predictor, hello=hello, at=listen or address)
    await server.start()
    try:
        yield server
    finally:
        server.drain()
        await server.wait_closed(0)
        await asyncio.sleep(0)  # lets the connections that it cut off say so


@pytest.fixture
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"unix:{tmp_path_factory.mktemp('s') / 'r.sock'}"


@pytest.mark.parametrize("scheme", ["unix", "tcp"])
async def test_a_real_model_answers_over_a_socket(
    scheme: str, address: str, svm: Any, rows: list[bytes], digits: Any, artifact_file: Path
) -> None:
    listen = None if scheme == "unix" else LOOPBACK
    predictor = load_sklearn(svm, at=artifact_file)
    async with serving(predictor, address=address, listen=listen) as server:
        web = await Web.dial(server.address)
        expected = [
            (AnswerStatus.OK, b"%d" % label) for label in svm.predict(digits[0][:64]).tolist()
        ]
        assert await web.ask(*rows) == expected
        assert (await web.ask(b"[1]", rows[0]))[0] == (
            AnswerStatus.INVALID_INPUT,
            b"expected 64 numbers, got 1",
        )
        assert server.statistics == Statistics(queries=66, batches=2, batch_size=2)


async def test_every_batch_is_answered_with_its_own_id_in_order(address: str) -> None:
    async with serving(Echo(), address=address) as server:
        web = await Web.dial(address)
        total = 3 * MAX_BUFFERED
        web.connection.send(b"".join(encode_predict(i, [b"%d" % i]) for i in range(total)))
        for i in range(total):
            frame = await web.next(FrameType.ANSWER)
            assert frame.request_id == i
            assert decode_answers(frame.body)[0] == [(AnswerStatus.OK, b"%d" % i)]
        assert server.statistics.batches == total


async def test_it_reads_no_further_when_it_holds_so_many_bytes(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.container.server.batch_server.MAX_BUFFERED_BYTES", 200_000)
    echo = Echo()
    row, total = b'"' + b"x" * 50_000 + b'"', 100
    async with serving(echo, address=address) as server:
        web = await Web.dial(address)
        held: list[int] = []
        echo.before = lambda inputs: held.append(server.bytes_buffered)
        web.connection.send(b"".join(encode_predict(i, [row]) for i in range(total)))
        for i in range(total):
            assert (await web.next(FrameType.ANSWER)).request_id == i
        # What one read brings comes on top.
        assert 100_000 < max(held) < 1_000_000
        assert server.bytes_buffered == 0


async def test_an_answer_is_sent_before_the_next_batch_is_worked_on(address: str) -> None:
    echo = Echo()
    async with serving(echo, address=address) as server:
        web = await Web.dial(address)
        seen: list[int] = []
        echo.before = lambda inputs: seen.append(server.statistics.in_flight)
        web.connection.send(b"".join(encode_predict(i, [b"1"]) for i in range(3)))
        for _ in range(3):
            await web.next(FrameType.ANSWER)
        assert seen == [3, 2, 1]


async def test_a_predictor_that_raises_fails_the_batch_and_the_replica_lives_on(
    address: str,
) -> None:
    echo = Echo()
    async with serving(echo, address=address) as server:
        web = await Web.dial(address)
        echo.before = lambda inputs: 1 / 0
        failed = (AnswerStatus.MODEL_FAILED, b"ZeroDivisionError: division by zero")
        assert await web.ask(b"1", b"2") == [failed, failed]
        assert server.statistics.last_error == "ZeroDivisionError: division by zero"
        echo.before = lambda inputs: None
        assert await web.ask(b"1") == [(AnswerStatus.OK, b"1")]


async def test_an_output_that_is_too_large_fails_alone(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(Sevens(), address=address) as server:
        web = await Web.dial(address)
        monkeypatch.setattr(codec, "MAX_OUTPUT", 987)
        answers, _ = await web.ask_in_parts(b"1", b"988", b"987", b"2")
        assert [answer.status is AnswerStatus.OK for answer in answers] == [True, False, True, True]
        assert answers[1].status is AnswerStatus.MODEL_FAILED
        assert answers[1].payload == b"expected an output of at most 987 bytes, got one of 988"
        assert server.statistics.last_error == answers[1].payload.decode()


async def test_answers_too_large_for_one_frame_come_in_parts(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(Sevens(), address=address):
        web = await Web.dial(address)
        monkeypatch.setattr(codec, "MAX_BODY", 1000)
        answers, sizes = await web.ask_in_parts(b"400", b"401", b"402", b"403", b"404")
        assert [len(answer.payload) for answer in answers] == [400, 401, 402, 403, 404]
        assert sizes == [2, 2, 1]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "expected a frame starting with"),
        (encode_frame(FrameType.PREDICT, 1, b"\xff\xff\xff\xff"), "expected the lengths of"),
        (encode_frame(FrameType.ANSWER, 1), "expected a PREDICT frame, got ANSWER"),
    ],
)
async def test_a_bad_frame_ends_its_connection_only(address: str, data: bytes, reason: str) -> None:
    async with serving(Echo(), address=address):
        good, bad = await Web.dial(address), await Web.dial(address)
        bad.connection.send(data)
        assert reason in (await bad.next(FrameType.ERROR)).body.decode()
        assert reason in str(await bad.ended())
        assert await good.ask(b"1") == [(AnswerStatus.OK, b"1")]


async def test_a_vanished_peer_does_not_cost_the_others_their_answers(address: str) -> None:
    async with serving(Echo(), address=address) as server:
        stays, goes = await Web.dial(address), await Web.dial(address)
        goes.connection.send(encode_predict(1, [b"1"])[:-1])
        goes.connection.abort()
        assert await goes.ended() is None
        assert await stays.ask(b"1") == [(AnswerStatus.OK, b"1")]
        assert len(server.connections) == 1


async def test_the_batches_of_a_vanished_peer_are_not_worked_on(address: str) -> None:
    echo = Echo()
    async with serving(echo, address=address) as server:
        web, other = await Web.dial(address), await Web.dial(address)
        worked: list[bytes] = []

        def cut_off(inputs: Sequence[bytes]) -> None:
            worked.extend(inputs)
            for connection in list(server.connections):
                connection.abort()

        echo.before = cut_off
        web.connection.send(b"".join(encode_predict(i, [b"%d" % i]) for i in range(5)))
        await web.ended()
        await other.ended()
        assert worked == [b"0"]


async def test_a_peer_that_does_not_read_is_not_read_either(address: str) -> None:
    echo = Echo()
    async with serving(echo, address=address) as server:
        web = await Web.dial(address)
        web.connection.pause_reading()
        body = b"7" * 2_000_000
        for i in range(40):
            web.connection.send(encode_predict(i, [body]))
        for _ in range(200):  # turns of the loop, in which it could work on all of them
            await asyncio.sleep(0)
        assert server.statistics.batches < 20
        web.connection.resume_reading()
        for i in range(40):
            assert (await web.next(FrameType.ANSWER)).request_id == i


async def test_draining_answers_what_arrives_and_ends_when_peers_close(
    address: str,
) -> None:
    async with serving(Echo(), address=address) as server:
        web = await Web.dial(address)
        server.drain()
        await web.next(FrameType.DRAIN)
        closed = asyncio.create_task(server.wait_closed(LIMIT))
        assert await web.ask(b"1") == [(AnswerStatus.OK, b"1")]
        assert not closed.done()
        web.connection.close()
        assert await asyncio.wait_for(closed, LIMIT) is True
        assert not Path(address.removeprefix("unix:")).exists()
        with pytest.raises(ConnectionLost):
            await Web.dial(address)


async def test_draining_with_nobody_connected_ends_at_once(address: str) -> None:
    async with serving(Echo(), address=address) as server:
        server.drain()
        assert await asyncio.wait_for(server.wait_closed(LIMIT), LIMIT / 2) is True


async def test_a_peer_that_never_closes_is_cut_off_at_the_limit(address: str) -> None:
    async with serving(Echo(), address=address) as server:
        web = await Web.dial(address)
        server.drain()
        assert await server.wait_closed(0.05) is False
        assert isinstance(await web.ended(), ConnectionLost)
        assert len(server.connections) == 0
