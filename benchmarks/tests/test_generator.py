"""The open loop: every query leaves when it is due, and counts from then."""

import asyncio
from functools import partial

import numpy as np
import pytest

from benchmarks import generator
from benchmarks.generator import FIRST, OpenLoop, Phase, Recording, arrivals
from benchmarks.tests.answering import Server, serving
from benchmarks.wrk import COUNTER

FIRST_SECONDS = 0.3
ANSWER = b'{"output":1,"default":false}'
PHASES = (Phase(100.0, 0.5),)


@pytest.fixture
def bodies(tmp_path):
    bodies = tmp_path / "bodies.txt"
    bodies.write_text("".join(f'{{"input":[{COUNTER},{n}]}}\n' for n in range(3)))
    return bodies


@pytest.fixture
def ask(bodies):
    """Ask what listens on a port; the counter goes on from one time to the next."""
    run = OpenLoop(api_key="key").run

    async def ask(port: int, **how) -> Recording:
        given = {"bodies": bodies, "phases": PHASES, "connections": 8} | how
        return await asyncio.to_thread(partial(run, f"http://127.0.0.1:{port}/", **given))

    return ask


def server_of(answer: bytes = ANSWER, **how) -> Server:
    """One that answers its first request at once, too."""
    server = Server(answer, **how)
    server.first.set()
    return server


def test_arrivals_come_at_the_rate_of_their_phase():
    phases = [Phase(rate=100.0, seconds=20.0), Phase(rate=400.0, seconds=20.0)]
    due = arrivals(phases, seed=1)
    assert np.all(np.diff(due) >= 0.0)
    calm = due[due < 20.0]
    assert len(calm) == pytest.approx(2000, rel=0.1)
    assert len(due) - len(calm) == pytest.approx(8000, rel=0.1)
    assert due[-1] < 40.0


async def test_every_query_is_asked_once_and_told_of(ask):
    server = server_of()
    async with serving(server) as port:
        seen = [await ask(port) for _ in range(2)]
    count = sum(len(recording.queries) for recording in seen)
    asked = [b'{"input":[0.%d,%d]}' % (FIRST + n, n % 3) for n in range(len(seen[0].queries))]
    assert sorted(server.bodies)[: len(asked)] == asked
    assert len(set(server.bodies)) == len(server.bodies) == count
    for recording in seen:
        assert set(recording.queries["status"]) == {200}
        assert not recording.queries["default"].any()


async def test_a_query_leaves_when_it_is_due_and_its_time_counts_from_then(ask):
    server = server_of()
    async with serving(server) as port:
        recording = await ask(port, connections=64)
    queries = recording.queries
    assert np.array_equal(queries["due"], arrivals(PHASES, seed=FIRST))
    # Bodies count up, and may overtake each other.
    arrived = np.array(server.arrived)[np.argsort(server.bodies)] - recording.zero
    assert np.all(queries["late"] > 0.0)
    assert np.all(queries["due"] + queries["late"] < arrived)
    # The server answered after that, and the generator has seen it before its end.
    assert np.all(queries["due"] + queries["took"] > arrived)
    assert np.all(queries["due"] + queries["took"] < recording.elapsed)


async def test_an_error_is_told_by_its_status(ask):
    async with serving(server_of(status=503)) as port:
        recording = await ask(port)
        kept = await ask(port, phases=(), seconds=30.0)
    assert set(recording.queries["status"]) == set(kept.queries["status"]) == {503}
    assert kept.answers == []


async def test_a_query_that_waits_does_not_hold_up_those_after_it(ask):
    server = Server(ANSWER)
    asyncio.get_running_loop().call_later(FIRST_SECONDS, server.first.set)
    async with serving(server) as port:
        queries = (await ask(port)).queries
    assert queries["took"][0] > queries["late"].max()
    assert queries["took"][1:].min() < FIRST_SECONDS / 2


async def test_a_query_that_nobody_answers_is_given_up(ask, monkeypatch):
    monkeypatch.setattr(generator, "GIVEN_UP_SECONDS", 0.1)
    server = Server(ANSWER)
    async with serving(server) as port:
        recording = await ask(port, connections=1)
        server.first.set()
    queries = recording.queries
    assert recording.elapsed > 0.6
    assert len(server.bodies) == 1
    assert set(queries["status"]) == {0}
    assert queries["due"] + queries["took"] == pytest.approx(recording.elapsed)


async def test_a_connection_that_was_closed_is_opened_anew(ask):
    server = server_of(hangs_up=True)
    async with serving(server) as port:
        queries = (await ask(port, connections=1)).queries
    assert len(server.handlers) > 1
    # Some may have left before it was closed.
    assert set(queries["status"]) <= {0, 200}
    assert np.mean(queries["status"] == 200) > 0.5
