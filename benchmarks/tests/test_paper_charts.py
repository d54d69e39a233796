"""Charts of figures 7 to 10 and of feedback, drawn from numbers as they are written down."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from benchmarks.paper import fig7
from benchmarks.paper.feedback import FEEDBACK
from benchmarks.paper.fig7 import FIG7, Committee
from benchmarks.paper.fig8 import FIG8, MODELS, POLICIES, STEP, Failure, Plan, Run
from benchmarks.paper.fig9 import FIG9, Stragglers
from benchmarks.paper.fig10 import FIG10
from benchmarks.study import report, stored
from benchmarks.tests.test_paper_feedback import result as feedback_result
from benchmarks.tests.test_paper_selection import personal
from benchmarks.tests.test_paper_stragglers import answer, ensemble


def committee() -> Committee:
    predictions = {name: np.array([1, 1, 7, n]) for n, name in enumerate(fig7.MODELS)}
    weights = dict.fromkeys(predictions, 1.0)
    return Committee(splits=[fig7.judge(predictions, labels=np.ones(4, int), weights=weights)])


def failure() -> Failure:
    steps = 12
    plan = Plan(seeds=1, queries=steps * STEP, fails=4 * STEP, mended=8 * STEP)
    alone = [Run(name=name, seed=0, errors=[0.3] * steps) for name in MODELS]
    learned = [
        Run(name=name, seed=0, errors=[0.2] * steps, share=[0.5] * steps) for name in POLICIES
    ]
    return Failure(plan=plan, runs=[*alone, *learned])


RESULTS = [
    (FIG7, committee()),
    (FIG8, failure()),
    (FIG9, Stragglers(ensembles=[ensemble(answer(), size=size) for size in (1, 16)])),
    (FIG10, personal(*[0.4] * 9)),
    (FEEDBACK, feedback_result()),
]


@pytest.mark.parametrize(("experiment", "result"), RESULTS, ids=lambda x: getattr(x, "name", ""))
def test_a_chart_is_drawn_from_what_was_written_down(experiment, result, tmp_path):
    text = msgspec.json.encode({"result": result})
    (tmp_path / f"{experiment.name}.json").write_bytes(text)
    assert report(experiment, stored(experiment, results=tmp_path), tmp_path)
    assert (tmp_path / f"{experiment.name}.png").read_bytes().startswith(b"\x89PNG")
