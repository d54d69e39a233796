"""Figures 3 to 6: with real containers on tiny sizes, and judged on made-up numbers."""

from __future__ import annotations

import argparse
import json
import math
from functools import partial

import pytest

from benchmarks.experiment import Session
from benchmarks.frames import Frame
from benchmarks.paper import batching, fig3, models
from benchmarks.paper.batching import AUTO, FIG4, FIG5, FIG6, FREE
from benchmarks.paper.fig3 import FIG3, Line, p99_line
from benchmarks.tests.drawing import told


@pytest.fixture
def session(tmp_path_factory):
    # Short: the path of a Unix socket has to fit into 107 bytes.
    folder = tmp_path_factory.mktemp("p")
    options = argparse.Namespace(quick=True)
    return Session(folder=folder, results=folder / "results", options=options, say=print)


def test_a_figure_is_measured_written_down_judged_and_drawn(session, tmp_path):
    loop = {"clients": 8, "inputs": [b"[1.0]"], "warm_up": 0.1, "seconds": 0.2, "think": 0.0005}
    cases = batching.wait_cases((0.0, 2.0), loop=loop)
    found = batching.measured(session, cases, artifact=partial(batching._sleeping, session))
    assert [(one["model"], one["varied"]) for one in found[3:]] == [
        (FREE, 0.0), (FREE, 2.0), (FREE, AUTO)
    ]  # fmt: skip
    for one in found:
        assert one["rate"] > 0
        assert 1 <= one["batch"] <= 8
        assert 0 < one["batch_p99_ms"] <= one["p99_ms"]
    assert len(told(FIG5, found, tmp_path)) == 4


def test_a_real_container_is_profiled_by_batch_size(session):
    found = fig3.profile(session, models.NO_OP, sizes=(1, 2, 4, 8))
    assert {one["size"] for one in found} == {1, 2, 4, 8}
    assert len(found) >= 4 * 8
    assert all(one["seconds"] > 0 for one in found)


def test_the_line_that_99_of_100_lie_under_crosses_the_objective_at_the_largest_batch(tmp_path):
    rows = dict.fromkeys(models.TITLES, 0.0001) | {models.KERNEL_SVM: 0.006}
    found = [
        {"model": name, "size": size, "seconds": 0.002 + row * size}
        for name, row in rows.items()
        for size in (1, 2, 4, 8)
        for _ in range(5)
    ]
    (target,) = told(FIG3, found, tmp_path)
    assert (target.seen, target.holds) == (pytest.approx(180 / 3, abs=1), True)


def test_the_p99_line_of_points_on_a_line_is_that_line():
    sizes = [1, 2, 4, 8, 16, 32] * 10
    line = p99_line(sizes, [0.002 + 0.0005 * size for size in sizes])
    assert line.fixed == pytest.approx(0.002, rel=1e-3)
    assert line.row == pytest.approx(0.0005, rel=1e-3)
    assert Line(fixed=0.050, row=0.001).largest_within(0.020) == 1.0
    assert Line(fixed=0.002, row=0.0).largest_within(0.020) == math.inf


def test_strategies_are_compared_by_model_and_each_batch_with_its_objective(tmp_path):
    rates = {batching.AIMD: 900.0, batching.QUANTILES: 1_000.0, batching.NONE: 100.0}
    found = [
        {"model": name, "varied": way, "rate": rate, "batch_p99_ms": 25.0}
        for name in models.TITLES
        for way, rate in rates.items()
    ]
    plain, worst, *p99s = told(FIG4, found, tmp_path)
    assert (plain.seen, plain.holds) == (9.0, True)
    assert (worst.seen, worst.holds) == (pytest.approx(0.9), True)
    assert [target.holds for target in p99s] == [False] * 4 + [True]


def test_replicas_are_compared_with_one(tmp_path):
    rates = {1: 100.0, 2: 195.0, 3: 260.0, 4: 400.0}
    found = [{"model": "m", "varied": count, "rate": rate} for count, rate in rates.items()]
    assert [target.holds for target in told(FIG6, found, tmp_path)] == [True, False, True]


def test_pictures_are_as_large_as_the_papers_and_always_the_same():
    first = models.questions(3)
    assert len(json.loads(first[0])) == models.FEATURES
    models.questions.cache_clear()
    assert models.questions(3) == first


def test_nothing_is_judged_of_waits_that_were_not_measured():
    with pytest.raises(KeyError):
        FIG5.targets(Frame([{"model": FREE, "varied": 1.0, "rate": 1.0}]))
