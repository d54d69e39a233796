"""The tail of latency: what is kept of a load, what must hold of it, and how it is shown."""

from __future__ import annotations

from array import array

import pytest

from benchmarks.figures.records import NothingMeasured
from benchmarks.tail import judging, records
from benchmarks.tail.bench import Measured
from benchmarks.tail.generator import Recording
from benchmarks.tail.results import (
    Action,
    Doing,
    Load,
    Query,
    Tail,
    doings_of,
    load_of,
    spikes_of,
    tail_of,
)

CALM = 0.002


def load(*slow: tuple[float, float], seconds: float = 10.0, rate: int = 100) -> Load:
    """A load in which queries take 2 ms, but for those due at these moments: (due, took)."""
    moments = dict.fromkeys([n / rate for n in range(round(seconds * rate))], CALM) | dict(slow)
    queries = [Query(100.0 + due, took, 0.0, 200, False) for due, took in sorted(moments.items())]
    return Load(zero=100.0, seconds=seconds, queries=queries, cores=0.25)


def tail(*, p99: float = 0.008, p999: float = 0.020, errors: int = 0, defaults: int = 0) -> Tail:
    return Tail(
        queries=1000,
        rate=100.0,
        p50=CALM,
        p99=p99,
        p999=p999,
        max=2 * p999,
        errors=errors,
        defaults=defaults,
        late=0.0001,
        cores=0.25,
    )


def measured(name: str = "steady", *, elsewhere: float = 0.0, **of_tail: float) -> Measured:
    return Measured(
        name=name,
        title=f"the {name} one",
        capacity=140.0,
        objective=0.100,
        tail=tail(**of_tail),
        echo=tail(p99=0.002, p999=0.005),
        spikes=spikes_of(load((5.0, 0.030)), actions=[Action("/admin/", 104.9, 105.1)]),
        doings=[Doing(what="/admin/", times=3, median=0.1, max=0.2)],
        cores={"web": 0.7, "elsewhere": elsewhere},
    )


# Percentiles.


def test_the_tail_is_made_of_latencies_that_were_seen():
    slow = [(5.0 + n / 1000, 0.050 + n / 1000) for n in range(1, 6)]
    found = tail_of([load(*slow)])
    assert (found.p50, found.max) == (CALM, 0.055)
    assert found.p99 == CALM
    assert found.p999 == pytest.approx(0.054)


def test_several_rounds_are_one():
    found = tail_of([load(), load((5.001, 0.5))])
    assert found.queries == 2001
    assert found.rate == pytest.approx(100.05)
    assert found.max == 0.5


def test_what_was_due_during_the_warm_up_does_not_count():
    due = [0.0, 0.5, 1.0, 1.5]
    recording = Recording(
        zero=100.0,
        elapsed=2.0,
        cpu_seconds=0.5,
        most_open=1,
        due=array("d", due).tobytes(),
        took=array("d", [9.0, 9.0, 0.001, 0.002]).tobytes(),
        late=array("d", [0.0] * 4).tobytes(),
        status=array("H", [0, 200, 200, 503]).tobytes(),
        default=bytes([0, 0, 1, 0]),
    )
    kept = load_of(recording, warm_up=1.0)
    assert [query.due for query in kept.queries] == [101.0, 101.5]
    assert kept.cores == 0.25
    found = tail_of([kept])
    assert (found.max, found.errors, found.defaults) == (0.002, 1, 1)


# Spikes.


def test_slow_queries_of_one_stall_are_one_spike():
    stalled = [(5.0 + n / 100, 0.050 - n / 100) for n in range(5)]
    (spike,) = spikes_of(load(*stalled), actions=[])
    assert spike.at == pytest.approx(5.0)
    assert spike.seconds == pytest.approx(0.050)
    assert (spike.worst, spike.queries, spike.during) == (0.050, 4 + 1, [])


def test_the_worst_spike_is_told_first_with_what_went_on():
    actions = [Action("deploy", 101.9, 102.1), Action("/metrics", 107.0, 107.5)]
    spikes = spikes_of(load((2.0, 0.020), (8.0, 0.080)), actions=actions)
    assert [spike.worst for spike in spikes] == [0.080, 0.020]
    assert [spike.during for spike in spikes] == [[], ["deploy"]]


def test_what_was_done_is_summed_up_by_what_it_was():
    actions = [Action("a", 0.0, 1.0), Action("b", 1.0, 1.5), Action("a", 2.0, 5.0)]
    assert [(d.what, d.times, d.max) for d in doings_of(actions)] == [("a", 2, 3.0), ("b", 1, 0.5)]


# Verdicts.


def verdict(one: Measured) -> dict[str, bool]:
    return {claim.what: claim.holds for claim in judging.claims([one])}


def test_a_steady_load_keeps_its_p99_and_loses_nothing():
    assert verdict(measured()) == {
        "p99": True, "p99.9": True, "default answers": True, "errors": True
    }  # fmt: skip
    assert not verdict(measured(p99=0.021))["p99"]


def test_a_disturbance_may_cost_up_to_the_objective_and_no_answer():
    assert all(verdict(measured("console", p99=0.090, p999=0.100)).values())
    assert not verdict(measured("console", p999=0.101))["p99.9"]
    assert not verdict(measured("console", defaults=1))["default answers"]
    assert not verdict(measured("console", errors=1))["errors"]


def test_a_busy_machine_is_told_of():
    assert judging.doubts([measured()]) == ""
    assert "kept 50% of a core busy" in judging.doubts([measured(elsewhere=0.5)])


# What is left.


def test_the_table_begins_with_the_echo_and_compares_with_steady():
    header, *rows = judging.rows([measured(), measured("console", p999=0.060)])
    assert header[0] == "scenario"
    assert rows[0][:5] == ("bare echo server", "2 ms", "2 ms", "5 ms", "10 ms")
    assert rows[2] == (
        *("the console one", "2 ms", "8 ms", "60 ms", "120 ms"),
        *("12", "3", "0", "0"),
    )


def test_a_chart_is_drawn_of_all_that_was_written_down(tmp_path):
    records.write([measured(), measured("console")], quick=True, results=tmp_path)
    records.write([measured("console", p999=0.060)], quick=True, results=tmp_path)
    drawn = records.draw_all(tmp_path)
    assert [(one.name, one.tail.p999) for one in drawn] == [("steady", 0.020), ("console", 0.060)]
    assert (tmp_path / records.CHART).read_bytes().startswith(b"\x89PNG")


def test_nothing_is_drawn_of_nothing(tmp_path):
    with pytest.raises(NothingMeasured):
        records.draw_all(tmp_path)
