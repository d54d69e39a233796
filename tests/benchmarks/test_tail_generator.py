"""The generator of the tail: every query leaves when it is due, and counts from then."""

from __future__ import annotations

import asyncio
import socket
from array import array
from contextlib import suppress

import pytest

from benchmarks.models import COUNTER
from benchmarks.tail.generator import Generator, Plan, Recording, Requests, due_times
from tests.benchmarks.answering import Server, serving

FIRST_SECONDS = 0.3
ANSWER = b'{"output":1,"default":false}'


@pytest.fixture
def plan(tmp_path):
    bodies = tmp_path / "bodies.txt"
    bodies.write_text("".join(f'{{"input":[{COUNTER},{n}]}}\n' for n in range(3)))

    def made(*, port: int = 1, **changes) -> Plan:
        fields = {
            "host": "127.0.0.1", "port": port, "path": "/", "api_key": "key",
            "bodies": str(bodies), "first": 7, "rate": 100.0, "seconds": 0.5, "connections": 8,
        }  # fmt: skip
        return Plan(**fields | changes)

    return made


async def asked(plan: Plan) -> Recording:
    due = due_times(plan)
    return await asyncio.to_thread(lambda: Generator(plan, due=due).run())


def doubles(of: bytes) -> list[float]:
    return array("d", of).tolist()


def test_queries_are_due_at_the_rate_and_always_at_the_same_moments(plan):
    due = due_times(plan(rate=1000.0, seconds=2.0))
    assert due == sorted(due)
    assert len(due) == pytest.approx(2000, rel=0.1)
    assert due[-1] < 2.0
    assert due == due_times(plan(rate=1000.0, seconds=2.0))
    assert due != due_times(plan(rate=1000.0, seconds=2.0, seed=2))


def test_no_two_requests_are_the_same(plan):
    requests = Requests(plan())
    bodies = [requests[number].partition(b"\r\n\r\n")[2] for number in range(4)]
    assert bodies[0] == b'{"input":[0.000000007,1]}'
    assert len(set(bodies)) == 4
    assert len({len(body) for body in bodies}) == 1


async def test_every_query_is_asked_once_and_told_of(plan):
    server = Server(ANSWER)
    server.first.set()
    async with serving(server) as port:
        recording = await asked(plan(port=port))
    count = len(due_times(plan()))
    assert len(set(server.bodies)) == len(server.bodies) == count
    assert array("H", recording.status).tolist() == [200] * count
    assert recording.default == bytes(count)
    assert min(doubles(recording.took)) > 0.0


async def test_a_default_output_is_told_from_an_answer(plan):
    server = Server(b'{"output":-1,"default":true}')
    server.first.set()
    async with serving(server) as port:
        recording = await asked(plan(port=port))
    assert set(recording.default) == {1}


async def test_a_query_that_waits_does_not_hold_up_those_after_it(plan):
    server = Server(ANSWER)
    asyncio.get_running_loop().call_later(FIRST_SECONDS, server.first.set)
    async with serving(server) as port:
        recording = await asked(plan(port=port))
    first, *others = doubles(recording.took)
    assert first > max(doubles(recording.late))
    assert min(others) < FIRST_SECONDS / 2


async def test_waiting_for_a_connection_counts(plan):
    server = Server(ANSWER)
    asyncio.get_running_loop().call_later(FIRST_SECONDS, server.first.set)
    async with serving(server) as port:
        recording = await asked(plan(port=port, rate=400.0, connections=1))
    late, took = doubles(recording.late), doubles(recording.took)
    assert min(took[:3]) > FIRST_SECONDS / 2
    assert max(late) < FIRST_SECONDS / 2


async def test_a_server_that_hangs_up_is_no_answer(plan):
    handlers = set()

    async def hang_up(reader, writer):
        await reader.read(1)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def connected(reader, writer):
        handlers.add(asyncio.create_task(hang_up(reader, writer)))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        recording = await asked(plan(port=port, seconds=0.1))
        await asyncio.gather(*handlers)
    assert set(array("H", recording.status)) == {0}


def test_nobody_there_is_said_at_once(plan):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = plan(port=taken.getsockname()[1])
        with pytest.raises(ConnectionRefusedError):
            Generator(nobody, due=[0.0])
