"""Figures 4 and 6: with real containers on tiny sizes, and judged on made-up numbers."""

import argparse
from functools import partial

import pytest

from benchmarks.experiment import Session
from benchmarks.paper import batching, models
from benchmarks.paper.batching import FIG4, FIG6, Case
from benchmarks.tests.drawing import told
from core.specs import BatchingSpec


@pytest.fixture
def session(tmp_path_factory):
    # Short: the path of a Unix socket has to fit into 107 bytes.
    folder = tmp_path_factory.mktemp("p")
    options = argparse.Namespace(quick=True)
    return Session(folder=folder, results=folder / "results", options=options, say=print)


def test_replicas_are_measured_in_a_closed_loop(session):
    loop = {
        "clients": 8, "inputs": [b"[1.0]"], "warm_up": 0.1, "seconds": 0.2, "think": 0.0005,
        "batching": BatchingSpec(wait_ms=2.0),
    }  # fmt: skip
    sleeping = partial(models.coded, session, fixed=0.0, row=0.000_3)
    (one,) = batching.measured(session, [Case("sleeping", 1, loop)], artifact=sleeping)
    assert one["rate"] > 0
    assert 1 <= one["batch"] <= 8
    assert 0 < one["batch_p99_ms"] <= one["p99_ms"]


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
