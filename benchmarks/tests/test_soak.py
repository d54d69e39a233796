"""The soak: what its clients count, what it excuses, and what it judges."""

import pytest

from benchmarks.frames import Frame, Record, Records
from benchmarks.soak import verdict
from benchmarks.soak.__main__ import STUDY
from benchmarks.soak.clients import (
    BROKEN,
    ERROR,
    REFUSED,
)
from benchmarks.soak.verdict import notes, phase_table, phases, targets, unexcused
from benchmarks.study import report


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
