"""Growth of a query's cost: ratios and slopes, verdicts, questions, charts and tables."""

import pytest

from benchmarks.frames import Frame, Record, Records
from benchmarks.growth import contexts, curves, snapshot
from benchmarks.growth.__main__ import STUDY
from benchmarks.growth.curve import slope
from benchmarks.growth.snapshot import NOTHING, OBJECTIVE
from benchmarks.tests.drawing import told

EXPERIMENTS = {experiment.name: experiment for experiment in STUDY.experiments}


def record(size: int, us: float, *, series: str, turn: int = 1, beside: float = 40.0) -> Record:
    return {
        "series": series, "size": size, "round": turn, "us": us, "beside_us": beside,
        "rate": 10_000.0, "p99_ms": 9.0, "redis_us": 1.0, "reads": 0.1, "scripts": 0.2,
        "memory": 120.0, "failures": 0,
    }  # fmt: skip


def growth(costs: dict[int, float], *, name: str = curves.ONE, failures: int = 0) -> Records:
    found = [record(size, us, series=name) for size, us in costs.items()]
    return [*found, {"kept": 200}, {"failures": failures}]


def judged(curve: str, records: Records) -> list[bool]:
    return [target.holds for target in EXPERIMENTS[curve].targets(Frame(records))]


def test_a_line_has_no_bend_and_a_square_has_one():
    line = [(x, 30.0 + 20.0 * x) for x in (1.0, 4.0, 16.0)]
    assert slope(line) == pytest.approx(20.0)
    assert curves.bend(line, at=4.0) == pytest.approx(1.0)
    assert curves.bend([(x, x * x) for x in (1.0, 4.0, 16.0)], at=4.0) == pytest.approx(4.0)


def test_the_registry_may_cost_no_more_than_noise():
    assert judged("applications", growth({1: 40.0, 200: 45.0})) == [True, True]
    assert judged("applications", growth({1: 40.0, 200: 47.0})) == [False, True]


def test_arms_may_cost_in_proportion_and_not_more():
    steady = {size: 20.0 + 20.0 * size for size in (1, 4, 16)}
    assert all(judged("arms", growth(steady, name=curves.ALL_ARMS)))
    squared = {size: 20.0 + size * size for size in (1, 4, 16)}
    assert judged("arms", growth(squared, name=curves.ALL_ARMS))[0] is False


def scene(size: int, change: str, *, p99: float) -> Record:
    tail = {"p50_ms": 2.0, "p99_ms": p99, "p999_ms": 20.0, "max_ms": 30.0}
    seen = {"read": [50.0, 60.0], "follow": [4.0], "lag": [12.0]}
    counts = {"errors": 0, "default_count": 0, "round": 1}
    return {"size": size, "change": change, **tail, **seen, **counts}


def scenes(*, p99: float = 10.0) -> Records:
    sizes = (1, snapshot.SIZE)
    quiet = [scene(size, NOTHING, p99=8.0) for size in sizes]
    return quiet + [scene(size, OBJECTIVE, p99=p99) for size in sizes]


def test_a_change_of_the_registry_may_add_a_few_milliseconds():
    assert judged("snapshot", scenes()) == [True] * 5
    assert judged("snapshot", scenes(p99=14.0)) == [True, True, False, True, True]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_chart_and_tables_are_made_of_what_was_written_down(name, tmp_path):
    series = {"arms": curves.ALL_ARMS, "body": curves.STRINGS, "contexts": contexts.RANDOM}
    sizes = {1: 40.0, 64: 41.0, 10_000: 50.0, 64 << 10: 60.0, 1 << 20: 90.0}
    if name == "arms":
        sizes = {1: 40.0, 4: 80.0, 16: 160.0}
    others = {"snapshot": scenes()}
    found = others.get(name) or growth(sizes, name=series.get(name, curves.ONE))
    experiment = EXPERIMENTS[name]
    assert told(experiment, found, tmp_path)
    header, *rows = experiment.table(Frame(found))
    assert len(rows) == (len(found) if name in others else len(sizes))
    assert {len(row) for row in rows} == {len(header)}
