"""The soak: what its clients count, what it excuses, and what it judges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from benchmarks.soak.clients import Load
from benchmarks.soak.messages import LEARNING, SINGLE, Plan, Progress, Sort, Tally, Trouble
from benchmarks.soak.verdict import (
    Event,
    Reading,
    Soak,
    draw,
    growth,
    notes,
    phase_table,
    phases,
    targets,
    unexcused,
)

BROKEN = b""
ANSWER = b'{"query_id":"q","output":1,"default":false,"latency_ms":1.0}'


class Server:
    """Answers one request after the other out of a script, and everything after it with ANSWER.

    An empty answer hangs up. `ended` is set when the script is through.
    """

    def __init__(self, *script: tuple[int, bytes]) -> None:
        self.requests: list[bytes] = []
        self.ended = asyncio.Event()
        self._script = list(script)
        self._handlers: set[asyncio.Task[None]] = set()

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.create_task(self._serve(reader, writer))
        self._handlers.add(handler)
        handler.add_done_callback(self._handlers.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):  # the client has closed
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(size)
                self.requests.append(head.split(b" ")[1].rpartition(b"/")[2])
                status, body = self._script.pop(0) if self._script else (200, ANSWER)
                if not self._script:
                    self.ended.set()
                if body == BROKEN:
                    break
                writer.write(b"HTTP/1.1 %d -\r\nContent-Length: %d\r\n\r\n" % (status, len(body)))
                writer.write(body)
        writer.close()
        await writer.wait_closed()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self.connected, "127.0.0.1")
        async with server:
            yield server.sockets[0].getsockname()[1]
            await asyncio.gather(*self._handlers)


async def last_progress(server: Server, *, kind: str) -> tuple[Progress, list[Trouble]]:
    """What one client of that kind reports, until the server's script is through."""
    reports: list[Progress] = []
    async with server.running() as port:
        plan = Plan(
            host="127.0.0.1",
            port=port,
            api_key="key",
            images=["0,1"],
            labels=[1],
            objectives_ms={SINGLE: 50.0, LEARNING: 50.0},
            clients={kind: 1},
        )
        load = Load(plan)
        running = asyncio.create_task(load.run(report=reports.append))
        await server.ended.wait()
        load.stop()
        await running
    return reports[-1], [trouble for report in reports for trouble in report.troubles]


async def test_a_broken_connection_is_no_error_and_the_client_connects_anew():
    progress, troubles = await last_progress(
        Server((200, ANSWER), (200, BROKEN), (200, ANSWER)), kind="single"
    )
    tally = progress.tallies["single"]
    assert (tally.queries, tally.broken, tally.errors) == (3, 1, 0)
    assert [trouble.sort for trouble in troubles] == [Sort.BROKEN]


async def test_any_other_status_is_an_error_with_what_was_said():
    progress, troubles = await last_progress(Server((500, b'{"code":"internal"}')), kind="single")
    assert progress.tallies["single"].errors == 1
    assert troubles[0].what == '500: {"code":"internal"}'


async def test_defaults_and_late_answers_are_counted():
    late = b'{"output":-1,"default":true,"latency_ms":50.1}'
    progress, _ = await last_progress(Server((200, ANSWER), (200, late)), kind="single")
    tally = progress.tallies["single"]
    assert (tally.queries, tally.defaults, tally.late) == (2, 1, 1)


async def test_each_input_of_a_batch_is_looked_at():
    batch = b'{"batch_predictions":[%s,{"error":"bad","code":"x"}]}' % ANSWER
    progress, troubles = await last_progress(Server((200, batch)), kind="batches")
    assert progress.tallies["batches"].errors == 1
    assert troubles[0].what == "bad"


async def test_feedback_is_sent_again_until_it_is_acknowledged_and_counts_once():
    duplicate = b'{"accepted":0,"duplicates":1,"rejected":[]}'
    server = Server((200, ANSWER), (503, b"{}"), (200, BROKEN), (200, duplicate))
    progress, troubles = await last_progress(server, kind="feedback")
    assert server.requests == [b"predict", *[b"feedback"] * 3]
    assert progress.acknowledged == 1
    assert [trouble.sort for trouble in troubles] == [Sort.REFUSED, Sort.BROKEN]


async def test_feedback_that_was_counted_before_it_was_sent_is_an_error():
    duplicate = b'{"accepted":0,"duplicates":1,"rejected":[]}'
    progress, _ = await last_progress(Server((200, ANSWER), (200, duplicate)), kind="feedback")
    assert progress.acknowledged == 0
    assert progress.tallies["feedback"].errors == 1


# --- judging ----------------------------------------------------------------------------------


def trouble(at: float, sort: Sort) -> Trouble:
    return Trouble(at=at, kind="single", sort=sort, what="?")


def progress(at: float, queries: int, *, defaults: int = 0) -> Progress:
    tallies = {"single": Tally(queries=queries, defaults=defaults)}
    return Progress(at=at, tallies=tallies, acknowledged=3, troubles=[])


def reading(pid: int, *, queries: int, web: float) -> Reading:
    return Reading(
        at=queries / 1000, queries=queries, pid=pid, web=web, web_pss=web, worker_pss=1.0, redis=1.0
    )


def life(pid: int, *, first: int, megabytes: list[float]) -> list[Reading]:
    """One reading each thousand queries."""
    return [
        reading(pid, queries=first + 1000 * number, web=web) for number, web in enumerate(megabytes)
    ]


def a_soak(**changes: object) -> Soak:
    fields = {
        "wanted_queries": 300,
        "started": 0.0,
        "progress": [progress(1.0, 100), progress(2.0, 200, defaults=7), progress(3.0, 300)],
        "troubles": [],
        "events": [Event(name="deploy", at=1.5, over=1.75)],
        "memory": life(1, first=0, megabytes=[100.0] * 30),
        "left_open": 0.0,
        "rows": 3,
        "replicas_before": {"replica svm:1": 100.0},
        "replicas_after": {},
    }
    return Soak(**(fields | changes))


def missed(soak: Soak) -> list[str]:
    return [target.what for target in targets(soak) if not target.holds]


def test_a_phase_goes_from_one_event_to_the_next():
    calm, deploy = phases(a_soak(troubles=[trouble(1.6, Sort.ERROR)]))
    assert (calm.name, calm.queries, calm.errors, calm.recovery) == ("calm", 100, 0, None)
    assert (deploy.name, deploy.queries, deploy.errors, deploy.recovery) == ("deploy", 200, 1, 0.25)


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ({"troubles": [trouble(1.6, Sort.ERROR)]}, "errors, and breaks"),
        ({"left_open": 1.0}, "queries in flight"),
        ({"left_open": float("nan")}, "queries in flight"),
        ({"rows": 2}, "rows in the database"),
        ({"rows": 4}, "rows in the database"),
        ({"events": [Event(name="x", at=1.5, over=1.75, failure="?")]}, "events without"),
        ({"memory": life(1, first=0, megabytes=[100.0] * 20 + [121.0] * 10)}, "memory of the web"),
        ({"memory": []}, "memory of the web"),
    ],
)
def test_each_fault_misses_its_own_target(fault, what):
    (only,) = missed(a_soak(**fault))
    assert only.startswith(what)


def test_a_good_soak_misses_nothing_but_what_it_did_not_ask():
    assert missed(a_soak()) == []
    assert missed(a_soak(wanted_queries=301)) == ["queries"]


@pytest.mark.parametrize(
    ("sort", "at", "excused"),
    [
        (Sort.BROKEN, 10.5, True),
        (Sort.REFUSED, 10.5, False),
        (Sort.ERROR, 10.5, False),
        (Sort.BROKEN, 9.9, False),
        (Sort.BROKEN, 60.0, False),
    ],
)
def test_only_what_an_event_must_bring_is_excused_and_only_near_it(sort, at, excused):
    kill = Event(name="kill", at=10.0, over=11.0, connections_break=True)
    soak = a_soak(events=[kill], troubles=[trouble(at, sort)])
    assert (unexcused(soak) == []) is excused


def test_memory_is_compared_within_the_life_of_one_process():
    first = life(1, first=0, megabytes=[50.0] * 10 + [100.0] * 20)
    second = life(2, first=30_000, megabytes=[60.0] * 10 + [80.0] * 10 + [88.0] * 10)
    too_short = life(3, first=60_000, megabytes=[10.0] * 12)
    assert growth([*first, *second, *too_short]) == pytest.approx({1: 1.0, 2: 1.1})


def test_it_is_told_and_drawn():
    soak = a_soak(troubles=[trouble(1.6, Sort.ERROR)])
    assert "single: ?" in notes(soak)
    header, calm, deploy = phase_table(soak)
    assert (calm[0], deploy[0], deploy[header.index("errors")]) == ("calm", "deploy", "1")
    assert len(draw(soak).axes) == 3
