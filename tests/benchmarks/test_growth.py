"""How the cost of a query grows: ratios and slopes, verdicts, questions, and what is shown."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks.figures import records
from benchmarks.growth import (
    applications,
    arms,
    bodies,
    body_size,
    contexts,
    judging,
    models,
    snapshot,
)
from benchmarks.growth.__main__ import CURVES, PAGE
from benchmarks.growth.changing import NOTHING, OBJECTIVE
from benchmarks.growth.page import with_section
from benchmarks.growth.place import Places
from benchmarks.growth.results import Growth, Point, Sample, Series, bend, slope
from benchmarks.growth.rounds import joined
from benchmarks.growth.snapshot import Scene, Snapshots
from benchmarks.models import COUNTER
from benchmarks.tail.results import Tail

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
    kept = {"contexts kept of 500 taught, at most 200": 200.0}
    return Growth(series=[Series(name=name, points=points)], defaults=defaults, facts=kept)


def verdicts(claims) -> list[bool]:
    return [claim.holds for claim in claims]


# Arithmetic.


def test_a_slow_round_is_slow_for_both_and_changes_no_ratio():
    here, beside = [sample(44.0), sample(88.0), sample(44.0)], [sample(40), sample(80), sample(40)]
    assert Point(size=200, here=here, beside=beside).ratio == pytest.approx(1.1)


def test_a_line_has_no_bend_and_a_square_has_one():
    line = [(x, 30.0 + 20.0 * x) for x in (1.0, 4.0, 16.0)]
    assert slope(line) == pytest.approx(20.0)
    assert bend(line, at=4.0) == pytest.approx(1.0)
    assert bend([(x, x * x) for x in (1.0, 4.0, 16.0)], at=4.0) == pytest.approx(4.0)


def test_series_that_were_measured_size_by_size_become_one():
    parts = [growth({1: 40.0}).series, growth({200: 41.0}).series]
    (series,) = joined(*parts)
    assert [one.size for one in series.points] == [1, 200]


# Verdicts.


def test_the_registry_may_cost_no_more_than_noise():
    claims = lambda cost: judging.ratio_claims(  # noqa: E731
        "models", growth({1: 40.0, 200: cost}), of="models", at_most={"asked": 1.15}
    )
    assert verdicts(claims(45.0)) == [True]
    assert verdicts(claims(47.0)) == [False]


def test_one_answer_of_no_model_misses_the_target():
    assert judging.no_failures("models", growth({1: 40.0})).holds
    assert not judging.no_failures("models", growth({1: 40.0}, defaults=1)).holds


def test_arms_may_cost_in_proportion_and_not_more():
    steady = growth({size: 20.0 + 20.0 * size for size in (1, 4, 16)}, name=arms.ALL)
    assert all(verdicts(arms.claims(steady)))
    squared = growth({size: 20.0 + size * size for size in (1, 4, 16)}, name=arms.ALL)
    assert verdicts(arms.claims(squared))[0] is False


def test_bytes_may_cost_in_proportion_and_not_more():
    def costs(beyond: float) -> Growth:
        line = {64: 40.0, 64 << 10: 104.0, 1 << 20: 104.0 + 960.0 * beyond}
        return growth(line, name=body_size.STRINGS)

    assert all(verdicts(body_size.claims(costs(1.9))))
    assert not verdicts(body_size.claims(costs(2.1)))[0]


def test_a_million_contexts_may_cost_what_ten_thousand_do_and_misses_are_told_apart():
    found = growth({1: 40.0, 10_000: 60.0, 1_000_000: 90.0}, name=contexts.RANDOM)
    same, misses, bound, failures = contexts.claims(found)
    assert (same.seen, same.holds) == (pytest.approx(1.5), False)
    assert (misses.seen, misses.holds) == (pytest.approx(2.25), False)
    assert bound.holds
    assert failures.holds


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
    assert all(verdicts(snapshot.claims(snapshots())))
    assert verdicts(snapshot.claims(snapshots(p99=0.014))).count(False) == 1


# Questions.


def test_a_question_has_the_bytes_it_is_to_have_and_the_counter():
    for size in body_size.SIZES:
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


@pytest.mark.parametrize("curve", CURVES.values(), ids=lambda curve: curve.name)
def test_a_chart_and_tables_are_made_of_what_was_written_down(curve, tmp_path):
    sizes = {1: 40.0, 64: 41.0, 10_000: 50.0, 64 << 10: 60.0, 1 << 20: 90.0}
    names = {
        "applications": applications.ONE,
        "arms": arms.ALL,
        "body": body_size.STRINGS,
        "contexts": contexts.RANDOM,
    }
    result = snapshots() if curve is CURVES["snapshot"] else growth(
        {1: 40.0, 4: 80.0, 16: 160.0} if curve is CURVES["arms"] else sizes,
        name=names.get(curve.name, models.SERIES),
    )  # fmt: skip
    (tmp_path / f"{curve.name}.json").write_bytes(msgspec.json.encode({"result": result}))
    experiment = curve.on(Places(say=print))
    claims = records.report(experiment, results=tmp_path)
    assert claims
    assert (tmp_path / f"{curve.name}.png").read_bytes().startswith(b"\x89PNG")
    header, *rows = curve.table(records.stored(experiment, results=tmp_path))
    assert {len(row) for row in rows} == {len(header)}
    page = with_section(PAGE.read_text(), name=curve.name, points=[header, *rows], claims=claims)
    assert f"<!-- {curve.name} -->\n| " in page
    assert page.count("<!-- /") == len(CURVES)


def test_a_page_without_the_marks_is_refused():
    with pytest.raises(ValueError, match="no place"):
        with_section("nothing here\n", name="arms", points=[("a",)], claims=[])
