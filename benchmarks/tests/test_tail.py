"""The tail of latency: what is kept of a load, what must hold of it, and how it is shown."""

from __future__ import annotations

import argparse

import pytest

from benchmarks.command import Failed
from benchmarks.experiment import Session
from benchmarks.generator import Query, Recording
from benchmarks.latencies import Load, Tail, load_of, tail_of
from benchmarks.study import report, stored, write
from benchmarks.tail import __main__ as tail_study
from benchmarks.tail import judging
from benchmarks.tail.__main__ import STUDY, TAIL
from benchmarks.tail.bench import Measured
from benchmarks.tail.judging import Tails
from benchmarks.tail.spikes import Action, Doing, doings_of, spikes_of

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
    queries = [
        Query(0.0, 9.0, 0.0, 0, False),
        Query(0.5, 9.0, 0.0, 200, False),
        Query(1.0, 0.001, 0.0, 200, True),
        Query(1.5, 0.002, 0.0, 503, False),
    ]
    recording = Recording(zero=100.0, elapsed=2.0, cpu_seconds=0.5, most_open=1, queries=queries)
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
    return {target.what: target.holds for target in judging.targets(Tails(scenarios=[one]))}


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
    assert judging.doubts(Tails(scenarios=[measured()])) == []
    (doubt,) = judging.doubts(Tails(scenarios=[measured(elsewhere=0.5)]))
    assert "kept 50% of a core busy" in doubt


# What is left.


def test_the_table_begins_with_the_echo_and_compares_with_steady():
    header, *rows = judging.rows(Tails(scenarios=[measured(), measured("console", p999=0.060)]))
    assert header[0] == "scenario"
    assert rows[0][:5] == ("bare echo server", "2 ms", "2 ms", "5 ms", "10 ms")
    assert rows[2] == (
        *("the console one", "2 ms", "8 ms", "60 ms", "120 ms"),
        *("12", "3", "0", "0"),
    )


def test_what_is_measured_again_takes_the_place_of_what_was_and_all_of_it_is_drawn(
    tmp_path, monkeypatch
):
    options = argparse.Namespace(names=["console"], quick=True)
    session = Session(folder=tmp_path, results=tmp_path, options=options)
    for found in (
        [measured("console"), measured("feedback")],
        [measured(), measured("console", p999=0.060)],
    ):
        monkeypatch.setattr(tail_study, "measured", lambda names, session, found=found: found)
        write(TAIL, TAIL.measure(session), session=session, busy=0.0, seconds=1.0)
    result = stored(TAIL, results=tmp_path)
    assert [(one.name, one.tail.p999) for one in result.scenarios] == [
        ("steady", 0.020), ("console", 0.060), ("feedback", 0.020)
    ]  # fmt: skip
    assert report(TAIL, result, tmp_path)
    assert (tmp_path / "tail.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_is_drawn_of_nothing(tmp_path):
    with pytest.raises(Failed, match="not measured yet"):
        stored(TAIL, results=tmp_path)


def test_an_unknown_scenario_is_refused_with_those_there_are(capsys):
    with pytest.raises(SystemExit):
        STUDY.main(["hedgehog"])
    assert "expected steady, held" in capsys.readouterr().err
