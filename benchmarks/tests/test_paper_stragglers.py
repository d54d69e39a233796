"""Figure 9: who answered in time, what that costs in accuracy, and the whole with real sockets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.experiment import Session
from benchmarks.paper.fig9 import Answer, Ensemble, Exam, Plan, Stragglers, stragglers, targets

TINY = Plan(warm_up=0.1, seconds=0.4, sizes=(1, 2))


def answer(
    *, ms: float = 10.0, models: int = 2, default: bool = False, right: bool = True
) -> Answer:
    return Answer(seconds=ms / 1e3, models=models, default=default, right=right, full=True)


def ensemble(*mitigated: Answer, blocking_ms: float = 100.0, size: int = 4) -> Ensemble:
    return Ensemble(size=size, mitigated=list(mitigated), blocking=[answer(ms=blocking_ms)])


def judged(*ensembles: Ensemble) -> dict[str, tuple[float, bool]]:
    found = targets(Stragglers(ensembles=list(ensembles)))
    return {target.what.split(",")[0]: (target.seen, target.holds) for target in found}


NONE = answer(models=0, default=True, right=False)


def test_answers_in_time_are_a_share_of_all_that_were_asked():
    one = ensemble(answer(models=4), answer(models=2), NONE)
    assert one.in_time == pytest.approx(0.5)
    assert one.answered == pytest.approx(2 / 3)


def test_a_default_output_counts_against_the_accuracy_of_all_queries_alone():
    one = ensemble(answer(), answer(right=False), NONE, NONE)
    assert one.full == 1.0
    assert one.accuracy == 0.25
    assert one.accuracy_of_answered == 0.5


def test_nothing_answered_has_no_accuracy():
    assert math.isnan(ensemble(NONE).accuracy_of_answered)


def test_one_size_that_is_late_misses_the_target():
    good, late = ensemble(answer(ms=20.0)), ensemble(answer(ms=24.0), size=16)
    assert judged(good)["P99 with mitigation"] == (pytest.approx(20.0), True)
    assert judged(good, late)["P99 with mitigation"] == (pytest.approx(24.0), False)


def test_accuracy_is_judged_only_where_enough_answer():
    few = ensemble(*[answer(models=1, right=False)] * 9, answer(models=1))
    many = ensemble(*[answer(models=4)] * 99, answer(models=4, right=False))
    lost, holds = judged(few, many)["accuracy lost where ≥ 60% are in time"]
    assert holds
    assert lost == pytest.approx(1.0)


def test_the_exam_knows_where_all_models_together_are_right():
    table = np.array([[1, 2, 3], [1, 2, 4], [1, 5, 4]])
    assert Exam.of(table, truth=[b"1", b"2", b"3"]).full == [True, True, False]


def test_real_containers_are_asked_over_the_whole_path(tmp_path_factory):
    # Short: the path of a Unix socket has to fit into 107 bytes.
    folder = tmp_path_factory.mktemp("s")
    session = Session(folder=folder, results=folder / "results", say=print)
    one, two = stragglers(session, plan=TINY).ensembles
    assert (one.size, two.size) == (1, 2)
    for measured in (one, two):
        assert len(measured.mitigated) > 5
        # Nobody is late for ever: who waits for all gets all.
        assert {answer.models for answer in measured.blocking} == {measured.size}
        assert any(answer.right for answer in measured.blocking)
