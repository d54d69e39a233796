"""Figure 9: who answered in time, what that costs in accuracy, and the whole with real sockets."""

import pytest

from benchmarks.experiment import Session
from benchmarks.frames import Frame, Record, Records, of
from benchmarks.paper.fig9 import (
    BLOCKING,
    FIG9,
    MITIGATED,
    stragglers,
    targets,
)
from benchmarks.tests.drawing import told


def answer(
    *, ms: float = 10.0, models: int = 2, default: bool = False, right: bool = True
) -> Record:
    return {"ms": ms, "models": models, "default": default, "right": right, "full": True}


def ensemble(*mitigated: Record, size: int = 4) -> Records:
    found = [one | {"size": size, "kind": MITIGATED} for one in mitigated]
    return [*found, answer(ms=100.0) | {"size": size, "kind": BLOCKING}]


def judged(*ensembles: Records) -> dict[str, tuple[float, bool]]:
    found = targets(Frame([record for records in ensembles for record in records]))
    return {target.what.split(",")[0]: (target.seen, target.holds) for target in found}


def test_accuracy_is_judged_only_where_enough_answer():
    few = ensemble(*[answer(models=1, right=False)] * 9, answer(models=1))
    many = ensemble(*[answer(models=16)] * 99, answer(models=16, right=False), size=16)
    lost, holds = judged(few, many)["accuracy lost where ≥ 60% are in time"]
    assert holds
    assert lost == pytest.approx(1.0)


def test_it_is_told_and_drawn(tmp_path):
    both = [*ensemble(answer()), *ensemble(answer(models=16), size=16)]
    assert len(told(FIG9, both, tmp_path)) == 4


def test_real_containers_are_asked_over_the_whole_path(tmp_path_factory):
    # Short: the path of a Unix socket has to fit into 107 bytes.
    folder = tmp_path_factory.mktemp("s")
    session = Session(folder=folder, results=folder / "results", say=print)
    result = Frame(stragglers(session, (1, 2), seconds=0.4, warm_up=0.1))
    for size in (1, 2):
        assert len(of(result, size=size, kind=MITIGATED)) > 5
        blocking = of(result, size=size, kind=BLOCKING)
        # Nobody is late for ever: who waits for all gets all.
        assert set(blocking["models"]) == {size}
        assert blocking["right"].any()
