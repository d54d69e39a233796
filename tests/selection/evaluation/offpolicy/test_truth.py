"""Logs of policies whose arms' accuracies are known: estimates are right, intervals honest."""

import numpy as np
import pytest

from selection.evaluation.offpolicy.estimate import Estimate, Proposal, estimate
from selection.evaluation.offpolicy.evidence import evidence_of
from tests.selection.evaluation.offpolicy.logs import logged_by

ACCURACIES = {"best": 0.92, "good": 0.85, "fair": 0.7}
SEEDS = 40


class Estimated(dict[tuple[float, ...], list[Estimate]]):
    """Estimates from each of a policy's logs, by chances."""

    def __init__(self, policy: str) -> None:
        self._logs = [
            evidence_of(logged_by(policy, accuracies=ACCURACIES, queries=400, seed=seed))
            for seed in range(SEEDS)
        ]

    def __missing__(self, chances: tuple[float, ...]) -> list[Estimate]:
        proposal = Proposal(chances=np.array([chances]))
        self[chances] = [estimate(log, proposal) for log in self._logs]
        return self[chances]

    def values_of(self, chances: tuple[float, ...]) -> np.ndarray:
        """Return reward, low and high for each log."""
        return np.array([one.best for one in self[chances] if one.best is not None])


@pytest.fixture(scope="module", params=["exp3", "epsilon_greedy", "static"])
def estimated(request: pytest.FixtureRequest) -> Estimated:
    return Estimated(request.param)


ALONE = list(zip(ACCURACIES, [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)], strict=True))


@pytest.mark.parametrize(("arm", "chances"), ALONE)
def test_intervals_hold_the_true_accuracy_as_often_as_they_say(
    estimated: Estimated, arm: str, chances: tuple[float, ...]
) -> None:
    _, low, high = estimated.values_of(chances).T
    held = np.mean((low <= ACCURACIES[arm]) & (ACCURACIES[arm] <= high))
    assert held >= 0.85  # 34 of 40: 95 % intervals do worse once in a hundred


@pytest.mark.parametrize("chances", [*(alone for _, alone in ALONE), (0.5, 0.3, 0.2)])
def test_doubly_robust_is_right_on_average(
    estimated: Estimated, chances: tuple[float, ...]
) -> None:
    truth = float(np.dot(chances, list(ACCURACIES.values())))
    found = estimated.values_of(chances)[:, 0]
    assert abs(found.mean() - truth) < 3.5 * found.std() / SEEDS**0.5 + 0.003


def test_all_answers_seen_are_the_direct_mean_to_the_last_digit() -> None:
    log = logged_by("exp4", accuracies=ACCURACIES, queries=500, seed=3)
    for k in range(3):
        found = estimate(evidence_of(log), Proposal(chances=np.eye(3)[[k]]))
        seen = log.rewards[:, k].mean()
        assert found.best.value == pytest.approx(seen, abs=1e-12)
