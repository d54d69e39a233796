"""The tail of latency: what is kept of a load, what must hold of it, and how it is shown."""

import argparse

import numpy as np
import pytest

from benchmarks.experiment import Session
from benchmarks.frames import Frame, Record, queries_of, tail_of
from benchmarks.generator import QUERY, Recording
from benchmarks.tail import bench
from benchmarks.tail.__main__ import TAIL, notes, targets
from benchmarks.tail.bench import worst_stretches
from benchmarks.tail.disturbances import Action
from benchmarks.tests.drawing import told

CALM = 0.002


def load(*slow: tuple[float, float], seconds: float = 10.0, rate: int = 100) -> Frame:
    """Queries that take 2 ms, but for those due at these moments: (due, took)."""
    moments = dict.fromkeys([n / rate for n in range(round(seconds * rate))], CALM) | dict(slow)
    queries = [(100.0 + due, took, 0.0, 200, False) for due, took in sorted(moments.items())]
    return queries_of(recorded(queries))


def recorded(queries: list[tuple[float, float, float, int, bool]]) -> Recording:
    return Recording(zero=0.0, elapsed=1.0, queries=np.array(queries, dtype=QUERY), answers=[])


def measured(name: str = "steady", share: float = 0.5, **changes: float) -> Record:
    tail = {"p50_ms": 2.0, "p99_ms": 8.0, "p999_ms": 20.0, "max_ms": 40.0}
    beside = {"echo_p50_ms": 2.0, "echo_p99_ms": 2.0, "echo_p999_ms": 5.0, "echo_max_ms": 10.0}
    counts = {"errors": 0, "default_count": 0, "late_ms": 0.1, "elsewhere": 0.0, "rate": 100.0}
    row = {"name": name, "share": share, "queries": 10_000, "done": 3}
    spikes = [(30.0, 40.0, ["/admin/"])]
    return {**row, "spikes": spikes, **tail, **beside, **counts, **changes}


def test_what_was_due_during_the_warm_up_does_not_count():
    queries = [
        (0.0, 9.0, 0.0, 0, False),
        (0.5, 9.0, 0.0, 200, False),
        (1.0, 0.001, 0.0, 200, True),
        (1.5, 0.002, 0.0, 503, False),
    ]
    kept = queries_of(recorded(queries), warm_up=1.0)
    assert list(kept["due"]) == [1.0, 1.5]
    found = tail_of(kept)
    assert (found["max_ms"], found["errors"], found["default_count"]) == (2.0, 1, 1)


def test_the_worst_stretch_is_told_first_with_what_went_on():
    actions = [Action("deploy", 101.9, 102.1), Action("/metrics", 107.0, 107.5)]
    stretches = worst_stretches(load((2.0, 0.020), (8.0, 0.080)), actions)
    assert [worst for worst, _, _ in stretches] == pytest.approx([80.0, 20.0])
    assert [during for _, _, during in stretches] == [[], ["deploy"]]
    assert "/admin/" in notes(Frame([measured()]))


def verdict(one: Record, *, beside: Record | None = None) -> dict[str, bool]:
    """Return the judgement of each target of this row, with `beside` as the steady one."""
    found = targets(Frame([beside or measured(share=one["share"]), one]))
    named = [target for target in found if target.what.startswith(f"{one['name']} at")]
    return {target.what.partition(": ")[2]: target.holds for target in named}


def test_a_steady_load_keeps_its_p99_and_loses_nothing():
    held = {"p99": True, "p99.9": True, "default answers": True, "errors": True}
    assert verdict(measured()) == held
    assert not verdict(measured(p99_ms=21.0), beside=measured(p99_ms=21.0))["p99"]


@pytest.mark.parametrize("share", [0.5, 0.7])
def test_a_disturbance_may_add_a_little_and_loses_no_answer(share):
    assert all(verdict(measured("consoles", share, p99_ms=18.0, p999_ms=100.0)).values())
    assert not verdict(measured("consoles", share, p99_ms=18.1))["p99"]
    assert not verdict(measured("consoles", share, p999_ms=101.0))["p99.9"]
    assert not verdict(measured("consoles", share, default_count=1))["default answers"]
    assert not verdict(measured("consoles", share, errors=1))["errors"]


def test_what_is_measured_again_takes_the_place_of_what_was_and_all_of_it_is_drawn(
    tmp_path, monkeypatch
):
    options = argparse.Namespace(names=["consoles"], quick=True)
    session = Session(folder=tmp_path, results=tmp_path, options=options)
    both = [measured(share=share) for share in (0.5, 0.7)]
    told(TAIL, [*both, measured("consoles"), measured("feedback")], tmp_path)

    def again(chosen, *, session):
        assert [scenario.name for scenario in chosen] == ["steady", "consoles"]
        return [*both, measured("consoles", p999_ms=60.0), measured("consoles", 0.7)]

    monkeypatch.setattr(bench, "measured", again)
    found = TAIL.measure(session)
    assert [(one["name"], one["share"], one["p999_ms"]) for one in found] == [
        ("steady", 0.5, 20.0), ("steady", 0.7, 20.0),
        ("consoles", 0.5, 60.0), ("consoles", 0.7, 20.0), ("feedback", 0.5, 20.0),
    ]  # fmt: skip
