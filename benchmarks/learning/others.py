"""Policies of other hands, in the same worlds, where they are installed (`requirements.txt`)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.learning.play import Chosen, Player

# Vowpal Wabbit's own default of its exploration.
SQUARECB = "--cb_explore_adf --squarecb --quiet"


class MABWiserThompson:
    """Thompson sampling by the textbook: Beta(1, 1), nothing fades."""

    def __init__(self, arms: int, *, seed: int) -> None:
        mabwiser = import_module("mabwiser.mab")
        self._arms = list(range(arms))
        self._bandit: Any = mabwiser.MAB(
            self._arms, mabwiser.LearningPolicy.ThompsonSampling(), seed=seed
        )
        # It has to be fitted before it predicts: a success and a failure of each, taken back below.
        self._bandit.fit(self._arms * 2, [1] * arms + [0] * arms)
        learned = self._bandit._imp
        for arm in self._arms:
            learned.arm_to_success_count[arm] = learned.arm_to_fail_count[arm] = 1

    def choose(self, *, context: str, features: Sequence[float]) -> Chosen:
        return Chosen(int(self._bandit.predict()), 1.0)

    def learn(
        self, chosen: Chosen, reward: float, *, context: str, features: Sequence[float]
    ) -> None:
        self._bandit.partial_fit([chosen.arm], [int(reward)])


class VowpalWabbitSquareCB:
    """SquareCB of Vowpal Wabbit, told the context and the features, crossed with the arm."""

    def __init__(self, arms: int, *, seed: int) -> None:
        self._bandit: Any = import_module("vowpalwabbit").Workspace(f"{SQUARECB} -q SA")
        self._arms = [f"|A arm={arm}" for arm in range(arms)]
        self._luck = np.random.default_rng((seed, 1))

    def choose(self, *, context: str, features: Sequence[float]) -> Chosen:
        chances = np.array(self._bandit.predict([_shared(context, features), *self._arms]))
        arm = int(self._luck.choice(len(chances), p=chances / chances.sum()))
        return Chosen(arm, float(chances[arm]))

    def learn(
        self, chosen: Chosen, reward: float, *, context: str, features: Sequence[float]
    ) -> None:
        told = [*self._arms]
        told[chosen.arm] = f"0:{1.0 - reward}:{chosen.chance} {told[chosen.arm]}"
        self._bandit.learn([_shared(context, features), *told])


def _shared(context: str, features: Sequence[float]) -> str:
    numbers = " ".join(f"f{place}:{x}" for place, x in enumerate(features))
    return f"shared |S constant {f'user={context}' if context else ''} {numbers}"


OTHERS: dict[str, type[Player]] = {
    name: player
    for name, package, player in (
        ("MABWiser Thompson", "mabwiser", MABWiserThompson),
        ("VW squarecb", "vowpalwabbit", VowpalWabbitSquareCB),
    )
    if find_spec(package)
}
