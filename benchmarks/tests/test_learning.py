"""Policies played in small worlds: what counts as regret, when labels come, what the page says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.learning import __main__ as command
from benchmarks.learning.play import Chosen, play
from benchmarks.learning.worlds import WORLDS, World


class Stubborn:
    """Asks one arm, and keeps what it is told."""

    told: list[tuple[int, float]]
    asked: int
    made: list[Stubborn] = []

    def __init__(self, arms: int, *, seed: int) -> None:
        self.arms, self.asked, self.told = arms, 0, []
        self.made.append(self)

    def choose(self, *, context: str, features: Sequence[float]) -> Chosen:
        self.asked += 1
        return Chosen(1, 1.0)

    def learn(
        self, chosen: Chosen, reward: float, *, context: str, features: Sequence[float]
    ) -> None:
        self.told.append((self.asked, reward))


def test_regret_is_what_the_best_arm_would_have_earned_beyond() -> None:
    world = World(means=np.tile([1.0, 0.75], (100, 1)))
    assert play(Stubborn, world, seed=1, queries=100) == pytest.approx(25.0)


def test_labels_come_late_and_only_some_of_them() -> None:
    world = World(means=np.tile([1.0, 1.0], (100, 1)), delay=10, labelled=0.5)
    play(Stubborn, world, seed=1, queries=100)
    told = Stubborn.made[-1].told
    assert told[0][0] > 10
    assert 20 < len(told) < 70


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_auto_plays_in_every_world(name: str) -> None:
    made = command.made_for(name, "auto")
    assert made is not None
    assert 0.0 < play(made, WORLDS[name], seed=1, queries=30) < 30.0
