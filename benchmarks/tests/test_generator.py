"""The open loop: every query leaves when it is due, and counts from then."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest

from benchmarks.generator import Generator, Phase, Plan, Recording, arrivals, rendered
from benchmarks.tests.answering import Server, serving
from benchmarks.wrk import COUNTER, COUNTER_DIGITS

FIRST_SECONDS = 0.3
ANSWER = b'{"output":1,"default":false}'


@pytest.fixture
def plan(tmp_path):
    bodies = tmp_path / "bodies.txt"
    bodies.write_text("".join(f'{{"input":[{COUNTER},{n}]}}\n' for n in range(3)))

    def made(*, port: int = 1, **changes) -> Plan:
        fields = {
            "url": f"http://127.0.0.1:{port}/", "api_key": "key",
            "bodies": str(bodies), "first": 7, "connections": 8,
            "phases": [Phase(100.0, 0.5)],
        }  # fmt: skip
        return Plan(**fields | changes)

    return made


async def asked(plan: Plan) -> Recording:
    return await asyncio.to_thread(lambda: Generator(plan).run())


def test_arrivals_come_at_the_rate_of_their_phase():
    phases = [Phase(rate=100.0, seconds=20.0), Phase(rate=400.0, seconds=20.0)]
    due = list(arrivals(phases, seed=1))
    assert due == sorted(due)
    calm = [moment for moment in due if moment < 20.0]
    assert len(calm) == pytest.approx(2000, rel=0.1)
    assert len(due) - len(calm) == pytest.approx(8000, rel=0.1)
    assert due[-1] < 40.0


def test_arrivals_of_one_seed_are_always_the_same():
    phases = [Phase(rate=50.0, seconds=2.0)]
    assert list(arrivals(phases, seed=3)) == list(arrivals(phases, seed=3))
    assert list(arrivals(phases, seed=3)) != list(arrivals(phases, seed=4))


def test_a_request_is_rendered_but_for_the_digits_of_its_counter(plan):
    requests = rendered(plan())
    assert len(requests) == 3
    for number, (head, tail) in enumerate(requests):
        assert head.endswith(b'\r\n\r\n{"input":[0.')
        assert tail == b",%d]}" % number
        whole = len(head) + COUNTER_DIGITS + len(tail) - head.index(b"\r\n\r\n") - 4
        assert b"Content-Length: %d\r\n" % whole in head


async def test_every_query_is_asked_once_and_told_of(plan):
    server = Server(ANSWER)
    server.first.set()
    async with serving(server) as port:
        recording = await asked(plan(port=port))
    count = len(list(arrivals(plan().phases, seed=plan().first)))
    assert len(set(server.bodies)) == len(server.bodies) == count
    assert server.bodies[0] == b'{"input":[0.000000007,0]}'
    assert len(recording.queries) == count
    assert {(query.status, query.default) for query in recording.queries} == {(200, False)}
    assert min(query.took for query in recording.queries) > 0.0


async def test_a_default_output_is_told_from_an_answer(plan):
    server = Server(b'{"output":-1,"default":true}')
    server.first.set()
    async with serving(server) as port:
        recording = await asked(plan(port=port))
    assert {query.default for query in recording.queries} == {True}


async def test_a_query_that_waits_does_not_hold_up_those_after_it(plan):
    server = Server(ANSWER)
    asyncio.get_running_loop().call_later(FIRST_SECONDS, server.first.set)
    async with serving(server) as port:
        recording = await asked(plan(port=port))
    first, *others = recording.queries
    assert first.took > max(query.late for query in recording.queries)
    assert min(query.took for query in others) < FIRST_SECONDS / 2


async def test_waiting_for_a_connection_counts(plan):
    server = Server(ANSWER)
    asyncio.get_running_loop().call_later(FIRST_SECONDS, server.first.set)
    async with serving(server) as port:
        recording = await asked(
            plan(port=port, phases=[Phase(rate=400.0, seconds=0.5)], connections=1)
        )
    assert min(query.took for query in recording.queries[:3]) > FIRST_SECONDS / 2
    assert max(query.late for query in recording.queries) < FIRST_SECONDS / 2


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
        recording = await asked(plan(port=port, phases=[Phase(rate=100.0, seconds=0.1)]))
        await asyncio.gather(*handlers)
    assert {query.status for query in recording.queries} == {0}


def test_nobody_there_is_said_at_once(plan):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = plan(port=taken.getsockname()[1])
        with pytest.raises(ConnectionRefusedError):
            Generator(nobody)
