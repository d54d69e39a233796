"""The soak: what its clients count, what it excuses, and what it judges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from benchmarks.frames import Frame, Record, Records
from benchmarks.soak import verdict
from benchmarks.soak.__main__ import STUDY
from benchmarks.soak.clients import (
    BROKEN,
    ERROR,
    LEARNING,
    REFUSED,
    SINGLE,
    Load,
    Plan,
    Progress,
)
from benchmarks.soak.verdict import notes, phase_table, phases, targets, unexcused
from benchmarks.study import report

HANG_UP = b""
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
                if body == HANG_UP:
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


async def last_progress(server: Server, *, kind: str) -> tuple[Progress, Records]:
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
    return reports[-1], [trouble for report in reports for trouble in report["troubles"]]


async def test_a_broken_connection_is_no_error_and_the_client_connects_anew():
    progress, troubles = await last_progress(
        Server((200, ANSWER), (200, HANG_UP), (200, ANSWER)), kind="single"
    )
    tally = progress["tallies"]["single"]
    assert (tally["queries"], tally["broken"], tally["errors"]) == (3, 1, 0)
    assert [trouble["sort"] for trouble in troubles] == [BROKEN]


async def test_any_other_status_is_an_error_with_what_was_said():
    progress, troubles = await last_progress(Server((500, b'{"code":"internal"}')), kind="single")
    assert progress["tallies"]["single"]["errors"] == 1
    assert troubles[0]["what"] == '500: {"code":"internal"}'


async def test_feedback_is_sent_again_until_it_is_acknowledged_and_counts_once():
    duplicate = b'{"accepted":0,"duplicates":1,"rejected":[]}'
    server = Server((200, ANSWER), (503, b"{}"), (200, HANG_UP), (200, duplicate))
    progress, troubles = await last_progress(server, kind="feedback")
    assert server.requests == [b"predict", *[b"feedback"] * 3]
    assert progress["acknowledged"] == 1
    assert [trouble["sort"] for trouble in troubles] == [REFUSED, BROKEN]


async def test_feedback_that_was_counted_before_it_was_sent_is_an_error():
    duplicate = b'{"accepted":0,"duplicates":1,"rejected":[]}'
    progress, _ = await last_progress(Server((200, ANSWER), (200, duplicate)), kind="feedback")
    assert progress["acknowledged"] == 0
    assert progress["tallies"]["feedback"]["errors"] == 1


def trouble(at: float, sort: str) -> Record:
    return {"kind": verdict.TROUBLE, "at": at, "client": "single", "sort": sort, "what": "?"}


def event(name: str, at: float, over: float, **changes: object) -> Record:
    about = {"kind": verdict.EVENT, "name": name, "at": at, "over": over}
    return about | {"excuses": [], "failure": ""} | changes


def life(pid: int, *, first: int, megabytes: list[float]) -> Records:
    """One reading each thousand queries."""
    return [
        {"kind": verdict.MEMORY, "at": queries / 1000, "queries": queries, "pid": pid, "web": web}
        for queries, web in ((first + 1000 * n, web) for n, web in enumerate(megabytes))
    ]


def a_soak(
    *,
    troubles: Records | None = None,
    events: Records | None = None,
    memory: Records | None = None,
    **end: float,
) -> Records:
    counts = {"late": 0, "errors": 0, "broken": 0}
    tallies = [
        {"kind": verdict.TALLY, "at": at, "client": "single", "queries": queries}
        | {"defaults": defaults, **counts}
        for at, queries, defaults in ((1.0, 100, 0), (2.0, 200, 7), (3.0, 300, 7))
    ]
    ending = {"wanted": 300, "acknowledged": 3, "rows": 3, "left_open": 0.0} | end
    return [
        *tallies,
        *(troubles or []),
        *([event("deploy", 1.5, 1.75)] if events is None else events),
        *(life(1, first=0, megabytes=[100.0] * 30) if memory is None else memory),
        {"kind": verdict.END} | ending,
    ]


def missed(soak: Records) -> list[str]:
    return [target.what for target in targets(Frame(soak)) if not target.holds]


def test_a_phase_goes_from_one_event_to_the_next():
    found = phases(Frame(a_soak(troubles=[trouble(1.6, ERROR)]))).to_dict("records")
    calm, deploy = ([one[k] for k in ("phase", "queries", "errors")] for one in found)
    assert (calm, deploy) == (["calm", 100, 0], ["deploy", 200, 1])
    assert found[1]["recovered"] == 0.25


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ({"troubles": [trouble(1.6, ERROR)]}, "errors, and breaks"),
        ({"left_open": 1.0}, "queries in flight"),
        ({"left_open": float("nan")}, "queries in flight"),
        ({"rows": 2}, "rows in the database"),
        ({"rows": 4}, "rows in the database"),
        ({"events": [event("x", 1.5, 1.75, failure="?")]}, "events without"),
        ({"memory": life(1, first=0, megabytes=[100.0] * 20 + [121.0] * 10)}, "memory of the web"),
        ({"memory": []}, "memory of the web"),
        ({"wanted": 301}, "queries"),
    ],
)
def test_each_fault_misses_its_own_target(fault, what):
    (only,) = missed(a_soak(**fault))
    assert only.startswith(what)


def test_a_good_soak_misses_nothing():
    assert missed(a_soak()) == []


@pytest.mark.parametrize(
    ("sort", "at", "excused"),
    [
        (BROKEN, 10.5, True),
        (REFUSED, 10.5, False),
        (ERROR, 10.5, False),
        (BROKEN, 9.9, False),
        (BROKEN, 60.0, False),
    ],
)
def test_only_what_an_event_must_bring_is_excused_and_only_near_it(sort, at, excused):
    kill = event("kill", 10.0, 11.0, excuses=[BROKEN])
    soak = a_soak(events=[kill], troubles=[trouble(at, sort)])
    assert (unexcused(Frame(soak)) == []) is excused


def test_it_is_told_and_drawn(tmp_path):
    soak = Frame(a_soak(troubles=[trouble(1.6, ERROR)]))
    assert "single: ?" in notes(soak)
    header, calm, deploy = phase_table(soak)
    assert (calm[0], deploy[0], deploy[header.index("errors")]) == ("calm", "deploy", "1")
    assert len(report(STUDY.experiments[0], soak, tmp_path)) == 7
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")
