"""The open loop: when queries are due, and that latencies count from then."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.paper.open_loop import Phase, Plan, arrivals, drive
from tests.benchmarks.answering import Server, serving

FIRST_SECONDS = 0.3


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


def plan(port: int, *, rate: float = 100.0, seconds: float = 0.5) -> Plan:
    return Plan(
        host="127.0.0.1",
        port=port,
        path="/",
        api_key="key",
        body='{"input":[%d]}',
        phases=[Phase(rate=rate, seconds=seconds)],
    )


async def test_every_query_is_asked_once_and_told_of():
    server = Server(b'{"output":1,"default":false}')
    server.first.set()
    async with serving(server) as port:
        samples = await drive(plan(port))
    assert len(samples) == len(list(arrivals(plan(port).phases, seed=1)))
    assert {(sample.status, sample.default) for sample in samples} == {(200, False)}
    assert sorted(server.bodies) == sorted(b'{"input":[%d]}' % n for n in range(len(samples)))


async def test_a_default_output_is_told_from_an_answer():
    server = Server(b'{"output":-1,"default":true,"default_explanation":"too late"}')
    server.first.set()
    async with serving(server) as port:
        samples = await drive(plan(port))
    assert all(sample.default for sample in samples)


async def test_a_query_that_waits_does_not_hold_up_those_after_it():
    server = Server(b'{"output":1,"default":false}')
    asyncio.get_running_loop().call_later(FIRST_SECONDS, server.first.set)
    async with serving(server) as port:
        samples = await drive(plan(port))
    first, *others = samples
    assert first.seconds >= FIRST_SECONDS - first.due - 0.01
    assert min(sample.seconds for sample in others) < FIRST_SECONDS


async def test_a_server_that_is_not_there_is_no_answer():
    async with serving(Server(b"")) as port:
        pass
    samples = await drive(plan(port))
    assert {sample.status for sample in samples} == {0}
