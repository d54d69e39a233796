"""A model in a child answers web processes itself, over streams that its replica has let in."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from serving.cluster.replica.watchdog import WatchTable, watch_over
from serving.container.child.child_process import ChildPredictor
from serving.container.server.listener import ChildServer, TcpListen
from serving.container.spec import LoadSpec
from serving.rpc.frames.codec import (
    AnswerStatus,
    Frame,
    FrameDecoder,
    FrameType,
    decode_answers,
    encode_predict,
)
from tests.serving.cluster.peer import Peer
from tests.serving.cluster.replica.test_watchdog import a_charge, reasons
from tests.serving.container.artifacts import save
from tests.serving.container.server.test_server import CREDENTIALS, HELLO, LOOPBACK, Web

LIMIT_S = 20
# The first number says what it is asked for.
MODEL = b"""
import asyncio, atexit, os, time

class Predictor:
    def __init__(self, path):
        atexit.register(os._exit, 7)  # as libraries break that are torn down

    def pred_batch(self, inputs):
        return [getattr(self, "case_%d" % row[0])(row[-1]) for row in inputs]

    def case_0(self, _):
        return os.getpid()

    def case_1(self, _):
        async def told():
            return await asyncio.to_thread(lambda: "from a loop of its own")
        return asyncio.run(told())

    def case_2(self, _):
        raise ValueError("no such" + chr(7) + "case")

    def case_3(self, seconds):
        time.sleep(seconds)
        return "slept"

    def case_4(self, _):
        return len(os.listdir("/proc/self/fd"))
"""
WHO, RUN_A_LOOP, RAISE, SLEEP, DESCRIPTORS = range(5)


@pytest.fixture
def predictor(artifact_file: Path) -> Iterator[ChildPredictor]:
    spec = LoadSpec(runtime="python", input_type="doubles", **save(MODEL, at=artifact_file))
    predictor = ChildPredictor(spec)
    yield predictor
    predictor.close()


@asynccontextmanager
async def serving(predictor: ChildPredictor, *, at: str | TcpListen) -> AsyncIterator[ChildServer]:
    server = ChildServer(predictor, hello=HELLO, at=at)
    await server.start()
    try:
        yield server
    finally:
        server.drain()
        await server.wait_closed(0)


@pytest.fixture
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"unix:{tmp_path_factory.mktemp('s') / 'r.sock'}"


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.01)


def row(*numbers: float) -> bytes:
    return json.dumps(numbers).encode()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("scheme", ["unix", "tcp"])
async def test_the_model_s_own_process_answers(
    scheme: str, address: str, predictor: ChildPredictor
) -> None:
    async with serving(predictor, at=LOOPBACK if scheme == "tcp" else address) as server:
        web = await Web.dial(server.address)
        (answer,) = await web.ask(row(WHO))
        assert int(answer.payload) == predictor.process.pid
        many = [row(WHO, n) for n in range(500)]
        assert [one.payload for one in await web.ask(*many, request_id=2)] == [answer.payload] * 500
        web.connection.close()


def test_its_niceness_counts_beside_the_stack_s_processes(predictor: ChildPredictor) -> None:
    """Between sessions it may count for nothing; what it starts ends with its group."""
    pid = predictor.process.pid
    assert pid is not None
    assert os.getsid(pid) == os.getsid(0)
    assert os.getpgid(pid) == pid


async def test_it_answers_while_the_replica_s_process_stands_still(
    address: str, predictor: ChildPredictor
) -> None:
    async with serving(predictor, at=address):
        with await asyncio.to_thread(Peer, address) as peer:
            assert peer.hello == HELLO
            # On the thread of the loop, which can do nothing meanwhile.
            (answer,) = peer.ask(row(WHO))
            assert int(answer.payload) == predictor.process.pid


async def test_peers_that_come_and_go_leave_nothing_behind(
    address: str, predictor: ChildPredictor
) -> None:
    async with serving(predictor, at=address) as server:
        first = await Web.dial(server.address)
        before = open_descriptors(), (await first.ask(row(DESCRIPTORS)))[0].payload
        for _ in range(20):
            web = await Web.dial(server.address)
            await web.ask(row(WHO))
            web.connection.close()
            await web.ended()
        await until(lambda: open_descriptors() == before[0])
        async with asyncio.timeout(LIMIT_S):
            while (await first.ask(row(DESCRIPTORS)))[0].payload != before[1]:
                await asyncio.sleep(0.01)
        first.connection.close()


async def test_a_model_may_run_an_event_loop_of_its_own(
    address: str, predictor: ChildPredictor
) -> None:
    async with serving(predictor, at=address) as server:
        web = await Web.dial(server.address)
        answers = await web.ask(row(RUN_A_LOOP), row(RUN_A_LOOP))
        assert [one.payload for one in answers] == [b'"from a loop of its own"'] * 2
        assert (await web.ask(row(WHO), request_id=2))[0].status is AnswerStatus.OK
        web.connection.close()


async def test_what_a_peer_sends_before_it_was_greeted_is_answered_on_a_unix_socket(
    address: str, predictor: ChildPredictor
) -> None:
    def eager() -> list[Frame]:
        decoder = FrameDecoder()
        frames: list[Frame] = []
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(address.removeprefix("unix:"))
            peer.sendall(encode_predict(1, [row(WHO)]))
            while len(frames) < 2:
                frames += decoder.feed(peer.recv(4096))
        return frames

    async with serving(predictor, at=address):
        hello, answered = await asyncio.to_thread(eager)
    assert hello.type is FrameType.HELLO
    assert int(decode_answers(answered.body)[0][0].payload) == predictor.process.pid


async def test_a_peer_that_asks_before_the_replica_has_proved_itself_is_not_let_in(
    predictor: ChildPredictor,
) -> None:
    """Nothing of it would reach the model's process, which would wait for the rest of a frame."""

    def eager(port: int) -> list[FrameType]:
        handshake = CREDENTIALS.to(HELLO.replica).new_handshake()
        with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as stream:
            (challenge,) = FrameDecoder().feed(stream.recv(4096))
            stream.sendall(handshake.receive(challenge) + encode_predict(1, [row(WHO)]))
            told = b"".join(iter(lambda: stream.recv(4096), b""))
        return [frame.type for frame in FrameDecoder().feed(told)]

    async with serving(predictor, at=LOOPBACK) as server:
        port = int(server.address.rpartition(":")[2])
        assert await asyncio.to_thread(eager, port) == [FrameType.PROOF, FrameType.HELLO]
        web = await Web.dial(server.address)
        await web.ask(row(WHO))
        await until(lambda: server.statistics.batches > 0)
        assert server.statistics.batches == 1
        web.connection.close()


async def test_its_counts_are_told_fit_to_be_shown(address: str, predictor: ChildPredictor) -> None:
    async with serving(predictor, at=address) as server:
        web = await Web.dial(server.address)
        await web.ask(row(WHO), row(WHO), row(WHO))
        await web.ask(row(RAISE), row(WHO), request_id=2)
        await until(lambda: server.statistics.batches == 2)
        told = server.statistics
        assert (told.queries, told.batch_size, told.in_flight) == (5, 2, 0)
        assert told.last_error == "ValueError: no such\\x07case"
        web.connection.close()


async def test_draining_answers_what_arrives_and_ends_the_process_when_peers_close(
    address: str, predictor: ChildPredictor
) -> None:
    async with serving(predictor, at=address) as server:
        web = await Web.dial(server.address)
        await web.ask(row(WHO))
        server.drain()
        await web.next(FrameType.DRAIN)
        assert (await web.ask(row(WHO), request_id=2))[0].status is AnswerStatus.OK
        late = await Web.dial(server.address)
        await late.next(FrameType.DRAIN)
        for leaving in (late, web):
            leaving.connection.close()
        assert await server.wait_closed(LIMIT_S)
        assert predictor.process.wait(0) == 7
    assert not Path(address.removeprefix("unix:")).exists()


async def test_a_peer_that_never_closes_is_cut_off_with_the_process(
    address: str, predictor: ChildPredictor
) -> None:
    server = ChildServer(predictor, hello=HELLO, at=address)
    await server.start()
    web = await Web.dial(server.address)
    await web.ask(row(WHO))
    server.drain()
    await web.next(FrameType.DRAIN)
    assert not await server.wait_closed(0.05)
    await asyncio.to_thread(predictor.close)
    assert await web.ended() is not None
    assert predictor.process.wait(0) == 7


async def test_a_batch_under_way_is_known_and_noted_only_where_it_takes_too_long(
    address: str, predictor: ChildPredictor
) -> None:
    table = WatchTable()
    slot = table.slot(0)
    slot.hold(a_charge())
    async with serving(predictor, at=address) as server:
        web = await Web.dial(server.address)
        await until(lambda: predictor.busy_for == 0.0)
        asked = asyncio.create_task(web.ask(row(SLEEP, 3.0)))
        await until(lambda: predictor.busy_for > 0.0)
        watch_over(predictor, slot=slot, at_most_s=LIMIT_S)
        assert reasons(table, after_s=2 * LIMIT_S) == [], "another batch may be under way by then"
        watch_over(predictor, slot=slot, at_most_s=0.001)
        assert reasons(table, after_s=0.0) == ["the model hung: a batch took more than 0.001 s"]
        await asked
        await until(lambda: predictor.busy_for == 0.0)
        web.connection.close()
