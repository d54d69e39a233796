"""Other estimators beside what-if's: that they are fair, and where they part."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.learning import estimators
from benchmarks.learning.coverage import DRIFTING, queries_of
from benchmarks.learning.worlds import Array

LUCK = np.random.default_rng(3)
ASKED, EARNED = LUCK.random(100) < 0.5, LUCK.random(100)
FEATURES = LUCK.uniform(-1.0, 1.0, (100, estimators.FEATURES))


def fitted(earned: Array) -> Array:
    return estimators.fitted_before(ASKED, earned, FEATURES)


def averaged(earned: Array) -> Array:
    return estimators.means_before(ASKED, earned)


@pytest.mark.parametrize("model", [fitted, averaged])
def test_what_is_promised_of_a_row_knows_earlier_rows_alone(
    model: Callable[[Array], Array],
) -> None:
    row = int(np.flatnonzero(ASKED)[20])
    other = EARNED.copy()
    other[row] = 1.0 - other[row]
    assert np.array_equal(model(EARNED)[: row + 1], model(other)[: row + 1])
    assert not np.array_equal(model(EARNED), model(other))


def test_a_regression_finds_what_features_tell() -> None:
    earned = 0.5 + 0.4 * FEATURES[:, 0]
    off = estimators.fitted_before(ASKED, earned, FEATURES)[80:] - earned[80:]
    assert np.max(np.abs(off)) < 0.1  # a mean is off by up to 0.4


def test_rows_count_by_the_root_of_the_chance_that_the_target_had() -> None:
    asked = list(queries_of("epsilon_greedy", seed=1))
    evidence = estimators.evidence_of_queries(asked)
    proposal = estimators.weighed(evidence, chances=np.eye(5)[0])
    assert proposal.pace is not None
    assert proposal.pace**2 / evidence.chances[:, 0] == pytest.approx(
        np.full(len(asked), proposal.pace[0] ** 2 / evidence.chances[0, 0])
    )


def test_arms_drift_by_a_fifth_of_the_log() -> None:
    true = np.array([means for _, means in queries_of(DRIFTING, seed=1)])
    assert np.ptp(true, axis=0).min() > 0.25
    assert int(np.argmax(true[:, 4])) != int(np.argmax(true[:, 3]))
