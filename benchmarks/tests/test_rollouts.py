"""Rollouts of bad versions: what is summed over the runs, and what must hold of it."""

from pathlib import Path

import numpy as np

from benchmarks.frames import Frame
from benchmarks.rollouts import ROLLOUTS, Run, summed, targets
from benchmarks.tests.drawing import told


def run(**changes: object) -> Run:
    usual = {"rolled_back": True, "calls": 8, "exposed_ms": 100.0, "queries": 500, "errors": 0}
    others = np.array([1.0, 2.0]), np.array([3.0])
    return Run(**{**usual, "defaults": 0, "others": others, **changes})  # type: ignore[arg-type]


def result(*runs: Run) -> Frame:
    return Frame([{"fault": "raises an error", **summed(runs)}])


def test_runs_are_summed_with_the_worst_of_them(tmp_path: Path) -> None:
    (row,) = found = result(run(), run(calls=20, exposed_ms=300.0, errors=1)).to_dict("records")
    assert [target.holds for target in told(ROLLOUTS, found, tmp_path)] == [True, True, False, True]
    assert (row["runs"], row["rolled_back"], row["errors"], row["queries"]) == (2, 2, 1, 1000)
    assert (row["exposed_ms"], row["longest_ms"], row["most_calls"]) == (200.0, 300.0, 20)
    assert (row["before_p99_ms"], row["during_p99_ms"]) == (2.0, 3.0)


def test_a_rollout_that_stayed_or_was_noticed_misses_its_targets() -> None:
    assert all(target.holds for target in targets(result(run())))
    for bad in ({"rolled_back": False}, {"errors": 1}, {"defaults": 1}, {"exposed_ms": 3e3}):
        assert sum(not target.holds for target in targets(result(run(), run(**bad)))) == 1


def test_a_version_that_was_never_called_misses_its_target() -> None:
    assert not all(target.holds for target in targets(result(run(exposed_ms=float("nan")))))
