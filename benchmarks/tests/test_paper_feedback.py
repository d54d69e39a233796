"""The feedback benchmark: what is posted, what is counted, what is judged."""

import asyncio
from functools import partial

import pytest

from benchmarks.frames import Record, Records
from benchmarks.generator import OpenLoop
from benchmarks.paper.feedback import CACHED, FEEDBACK, UNCACHED, posted
from benchmarks.tests.answering import Server, serving
from benchmarks.tests.drawing import told


def taken(kind: str, *, rate: float, accepted: int = 1_000, rows: int | None = None) -> Record:
    rows = accepted if rows is None else rows
    waits = {"median_ms": 10.0, "p99_ms": 20.0}
    return {"kind": kind, "rate": rate, "accepted": accepted, "rows": rows} | waits


def result(*, rows: int = 4_000, gain: float = 2.0) -> Records:
    return [
        taken("exp4", rate=4_000.0, accepted=4_000, rows=rows),
        taken("exp3", rate=2_000.0),
        *[taken(CACHED, rate=1_000.0 * gain)] * 2,
        taken(CACHED, rate=20.0),
        *[taken(UNCACHED, rate=1_000.0)] * 3,
    ]


async def test_every_body_is_posted_once_and_what_was_accepted_is_added_up(tmp_path):
    bodies = tmp_path / "bodies.txt"
    bodies.write_text("".join(f"[{n}]\n" for n in range(7)))
    server = Server(b'{"accepted":3,"duplicates":1,"rejected":[{"index":0}]}')
    server.first.set()
    async with serving(server) as port:
        asking = partial(OpenLoop(api_key="key").run, f"http://127.0.0.1:{port}/")
        recording = await asyncio.to_thread(asking, bodies=bodies, connections=3, seconds=10.0)
    found = posted(recording)
    assert sorted(server.bodies) == [b"[%d]" % n for n in range(7)]
    assert found["accepted"] == 21
    assert found["rate"] == pytest.approx(21 / recording.elapsed)


def test_rounds_count_by_their_median_and_policies_each_for_itself(tmp_path):
    exp4, exp3, rows, gain = told(FEEDBACK, result(), tmp_path)
    assert (exp4.seen, exp4.holds) == (4_000, True)
    assert (exp3.seen, exp3.holds) == (2_000, False)
    assert rows.holds
    assert gain.seen == pytest.approx(2.0)
