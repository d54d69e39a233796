"""How the cost of a query grows: ratios and slopes, verdicts, questions, and what is shown."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest

from benchmarks.experiment import Session
from benchmarks.growth import bodies, contexts, curves, results, snapshot
from benchmarks.growth.__main__ import STUDY, publish
from benchmarks.growth.registry_changes import NOTHING, OBJECTIVE
from benchmarks.growth.results import Growth, Point, Sample, Series, bend, slope
from benchmarks.growth.snapshot import Scene, Snapshots
from benchmarks.latencies import Tail
from benchmarks.study import report, stored
from benchmarks.wrk import COUNTER
from scripts.stack.layout import ROOT

EXPERIMENTS = {experiment.name: experiment for experiment in STUDY.experiments}
YARDSTICK = 40.0


def sample(web_us: float, *, errors: int = 0) -> Sample:
    return Sample(
        rate=10_000.0,
        p50_ms=4.0,
        p99_ms=9.0,
        web_us=web_us,
        redis_us=1.0,
        replicas_us=5.0,
        reads=0.1,
        scripts=0.2,
        memory=120.0,
        errors=errors,
        elsewhere=0.0,
    )


def point(size: int, *costs: float, beside: float = YARDSTICK) -> Point:
    return Point(size=size, here=[*map(sample, costs)], beside=[sample(beside) for _ in costs])


def growth(costs: dict[int, float], *, defaults: float = 0.0, name: str = "asked") -> Growth:
    points = [point(size, cost) for size, cost in costs.items()]
    series = [Series(name=name, points=points)]
    return Growth(series=series, defaults=defaults, facts={contexts.KEPT: 200.0})


def verdicts(targets) -> list[bool]:
    return [target.holds for target in targets]


# Arithmetic.


def test_a_slow_round_is_slow_for_both_and_changes_no_ratio():
    here, beside = [sample(44.0), sample(88.0), sample(44.0)], [sample(40), sample(80), sample(40)]
    assert Point(size=200, here=here, beside=beside).ratio == pytest.approx(1.1)


def test_a_line_has_no_bend_and_a_square_has_one():
    line = [(x, 30.0 + 20.0 * x) for x in (1.0, 4.0, 16.0)]
    assert slope(line) == pytest.approx(20.0)
    assert bend(line, at=4.0) == pytest.approx(1.0)
    assert bend([(x, x * x) for x in (1.0, 4.0, 16.0)], at=4.0) == pytest.approx(4.0)


# Verdicts.


def judged(curve: str, result: Growth) -> list[bool]:
    return verdicts(EXPERIMENTS[curve].targets(result))


def test_the_registry_may_cost_no_more_than_noise():
    assert judged("models", growth({1: 40.0, 200: 45.0}, name=curves.ONE)) == [True, True]
    assert judged("models", growth({1: 40.0, 200: 47.0}, name=curves.ONE)) == [False, True]


def test_one_answer_of_no_model_misses_the_target():
    assert results.no_failures(growth({1: 40.0})).holds
    assert not results.no_failures(growth({1: 40.0}, defaults=1)).holds


def test_arms_may_cost_in_proportion_and_not_more():
    steady = growth({size: 20.0 + 20.0 * size for size in (1, 4, 16)}, name=curves.ALL_ARMS)
    assert all(judged("arms", steady))
    squared = growth({size: 20.0 + size * size for size in (1, 4, 16)}, name=curves.ALL_ARMS)
    assert judged("arms", squared)[0] is False


def test_bytes_may_cost_in_proportion_and_not_more():
    def costs(beyond: float) -> Growth:
        line = {64: 40.0, 64 << 10: 104.0, 1 << 20: 104.0 + 960.0 * beyond}
        return growth(line, name=curves.STRINGS)

    assert all(judged("body", costs(1.9)))
    assert judged("body", costs(2.1))[0] is False


def test_a_million_contexts_may_cost_what_ten_thousand_do_and_misses_are_told_apart():
    found = growth({1: 40.0, 10_000: 60.0, 1_000_000: 90.0}, name=contexts.RANDOM)
    same, misses, bound = contexts.targets(found)
    assert (same.seen, same.holds) == (pytest.approx(1.5), False)
    assert (misses.seen, misses.holds) == (pytest.approx(2.25), False)
    assert bound.holds


def scene(size: int, change: str, *, p99: float) -> Scene:
    tail = Tail(
        queries=1000, rate=100.0, p50=0.002, p99=p99, p999=2 * p99, max=3 * p99,
        errors=0, defaults=0, late=0.0, cores=0.3,
    )  # fmt: skip
    return Scene(
        size=size, change=change, tail=tail, p99=[p99], read=[0.05], follow=[0.004], lag=[0.012]
    )


def snapshots(*, p99: float = 0.010) -> Snapshots:
    quiet = [scene(size, NOTHING, p99=0.008) for size in (1, snapshot.SIZE)]
    changed = [scene(size, OBJECTIVE, p99=p99) for size in (1, snapshot.SIZE)]
    return Snapshots(rate=4000.0, scenes=[*quiet, *changed])


def test_a_change_of_the_registry_may_add_a_few_milliseconds():
    assert all(verdicts(snapshot.targets(snapshots())))
    assert verdicts(snapshot.targets(snapshots(p99=0.014))).count(False) == 1


def test_replicas_are_measured_once_a_size_and_one_is_left(tmp_path, monkeypatch):
    wanted: list[int] = []
    stack = SimpleNamespace(
        folder=tmp_path,
        scale=lambda model, *, replicas: wanted.append(replicas),
        wait_for_replicas=lambda model, *, count: None,
    )
    monkeypatch.setattr(curves.stacks, "alone", lambda session: stack)
    monkeypatch.setattr(curves.stacks, "publish", lambda stack, *models: None)
    monkeypatch.setattr(curves.stacks, "route", lambda stack, *models: None)
    groups = curves._replicas(Session(folder=tmp_path, results=tmp_path), (1, 2, 8))
    assert [[pair.size for pair in pairs] for pairs in groups] == [[1], [2], [8]]
    assert wanted == [1, 2, 8, 1]


# Questions.


BYTES = next(curve.sizes for curve in curves.CURVES if curve.name == "body")


def test_a_question_has_the_bytes_it_is_to_have_and_the_counter():
    for size in BYTES:
        assert len(bodies.text(size)) == size
        assert len(bodies.array(size)) == pytest.approx(size, abs=8)
        assert bodies.text(size).count(COUNTER) == bodies.array(size).count(COUNTER) == 1


def test_questions_of_few_and_of_many_contexts_differ_in_nothing_else():
    one, many = bodies.of_contexts(1, seed=1), bodies.of_contexts(1_000_000, seed=1)
    assert len(set(one)) == 1
    assert len(set(many)) > 0.9 * bodies.DRAWS
    assert {len(line) for line in (*one, *many)} == {len(one[0])}


def test_a_path_stands_before_its_body():
    lines = bodies.spread(["/a", "/b"], lengths=(8, 9))
    assert len(lines) == 4
    assert all(line[:3] in ("/a ", "/b ") for line in lines)


# What is left.


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_chart_and_tables_are_made_of_what_was_written_down(name, tmp_path):
    series = {"arms": curves.ALL_ARMS, "body": curves.STRINGS, "contexts": contexts.RANDOM}
    sizes = {1: 40.0, 64: 41.0, 10_000: 50.0, 64 << 10: 60.0, 1 << 20: 90.0}
    if name == "arms":
        sizes = {1: 40.0, 4: 80.0, 16: 160.0}
    result = snapshots() if name == "snapshot" else growth(sizes, name=series.get(name, curves.ONE))
    experiment = EXPERIMENTS[name]
    (tmp_path / f"{name}.json").write_bytes(msgspec.json.encode({"result": result}))
    found = stored(experiment, results=tmp_path)
    assert report(experiment, found, tmp_path)
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    header, *rows = experiment.table(found)
    assert {len(row) for row in rows} == {len(header)}
    page = publish((ROOT / "docs/results/growth.md").read_text(), [(experiment, found)])
    assert f"<!-- {name} -->\n| " in page
    assert page.count("<!-- /") == len(EXPERIMENTS)


def test_every_curve_says_what_is_asked_of_which_systems():
    assert all(one.workload and len(one.systems) > 1 for one in STUDY.experiments)
