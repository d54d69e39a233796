"""The overload judged: what counts as an answer in time, as memory that grows, as recovered."""

import pytest

from benchmarks.frames import Frame, Record, Records
from benchmarks.paper.overload import CROWD, FLOOD, MEMORY, OVERLOAD, QUERY, ended, targets
from benchmarks.telling import Target
from benchmarks.tests.drawing import told


def query(due: float, took: float, *, status: int = 200, default: bool = False) -> Record:
    told = {"late": 0.0, "status": status, "default": default}
    return {"kind": QUERY, "due": due, "took": took} | told


IN_TIME, LATE = query(5.0, 0.05), query(5.0, 0.2)
DEFAULT, NO_ANSWER = query(5.0, 0.001, default=True), query(5.0, 10.0, status=0)


def crowd(connections: int, *, rate: float, next_ms: float = 10.0) -> Record:
    waits = {"p50_ms": 10.0, "p99_ms": 20.0, "next_ms": next_ms}
    return {"kind": CROWD, "connections": connections, "rate": rate} | waits


def overload(*samples: Record, next_ms: float = 10.0) -> Records:
    readings = {1.0: 50.0, 7.5: 100.0, 10.0: 101.0, 13.5: 104.0, 20.0: 400.0}
    return [
        {"kind": FLOOD, "capacity": 2.0, "begin": 4.0, "end": 14.0},
        *samples,
        *({"kind": MEMORY, "due": at, "mib": mib} for at, mib in readings.items()),
        crowd(64, rate=100.0),
        crowd(1500, rate=90.0, next_ms=next_ms),
    ]


def judged(*samples: Record, next_ms: float = 10.0) -> list[Target]:
    return targets(Frame(overload(*samples, next_ms=next_ms)))


@pytest.mark.parametrize(
    ("sample", "good", "vain"),
    [
        (IN_TIME, True, False),
        (DEFAULT, False, False),
        (LATE, False, True),
        (NO_ANSWER, False, True),
    ],
)
def test_a_query_ends_in_time_by_default_or_in_vain(sample, good, vain):
    (found,) = ended(Frame(overload(sample))).to_dict("records")
    assert (bool(found["good"]), bool(found["vain"])) == (good, vain)


def test_only_answers_in_time_and_during_the_overload_count():
    found = judged(query(1.0, 0.01), IN_TIME, IN_TIME, DEFAULT, LATE)
    assert found[0].seen == pytest.approx(0.2 / 2.0)
    assert (found[2].seen, found[2].holds) == (25.0, False)


def test_it_is_told_and_drawn(tmp_path):
    samples = [query(n / 10, 0.05) for n in range(200)]
    assert [target.holds for target in told(OVERLOAD, overload(*samples), tmp_path)] == [True] * 7
