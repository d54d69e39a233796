"""The worlds as data: how often each arm is right at each time, when labels come, what is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

QUERIES = 10_000
ARMS = (0.92, 0.85, 0.80, 0.70, 0.60)


class Asked(NamedTuple):
    """A query: whose it is, what is known of it, and how often each arm is right about such."""

    context: str
    features: Sequence[float]
    means: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """`means` of each arm (a column) at each query (a row), or in each context where there are
    some. Of the labels the share `labelled` comes, `delay` queries late. Where queries carry
    `features`, so many numbers from -1 to 1, an arm's mean is a constant and a slope for each,
    which are its row. The first context has the share `heavy` of all queries and an even one of the
    rest. If `graded`, rewards are drawn from a beta distribution of that many pseudo-observations.
    """

    means: Array
    delay: int = 0
    labelled: float = 1.0
    contexts: bool = False
    features: int = 0
    heavy: float = 0.0
    graded: float = 0.0

    @property
    def arms(self) -> int:
        return len(self.means if self.features else self.means[0])

    def ask(self, query: int, luck: np.random.Generator) -> Asked:
        if self.features:
            numbers = luck.uniform(-1.0, 1.0, self.features)
            means = self.means[:, 0] + self.means[:, 1:] @ numbers
            return Asked("", numbers.tolist(), means)
        if self.contexts:
            heavy = self.heavy and luck.random() < self.heavy
            context = 0 if heavy else int(luck.integers(len(self.means)))
            return Asked(f"user {context}", (), self.means[context])
        return Asked("", (), self.means[query])

    def reward(self, mean: float, luck: np.random.Generator) -> float:
        if self.graded:
            return float(luck.beta(self.graded * mean, self.graded * (1.0 - mean)))
        return float(luck.random() < mean)


def constant(means: Sequence[float]) -> Array:
    return np.tile(np.array(means), (QUERIES, 1))


def evenly(count: int) -> list[float]:
    return [float(mean) for mean in np.linspace(ARMS[0], ARMS[-1], count)]


def failing(means: Sequence[float], *, to: float = 0.1) -> Array:
    """The best falls for the second quarter of the time."""
    found = constant(means)
    found[QUERIES // 4 : QUERIES // 2, int(np.argmax(means))] = to
    return found


def waves(middle: float, height: float, *, arms: int = 5, periods: float = 1.0) -> Array:
    """All drift, one after the other becomes the best."""
    at, arm = np.arange(QUERIES)[:, None], np.arange(arms)[None]
    found: Array = middle + height * np.sin(2.0 * np.pi * (periods * at / QUERIES + arm / arms))
    return found


def misleading(gap: float, *, arms: int = 5, growth: float = 1.6) -> Array:
    """One arm is always better by the gap, while all jump between the lowest and the highest, in
    phases that grow: the stochastically constrained adversary of Zimmert and Seldin (JMLR 2021).
    """
    found = np.zeros((QUERIES, arms))
    start, phase = 0, 1
    while start < QUERIES:
        end = start + max(1, int(growth**phase))
        found[start:end] = (1.0 - gap) * (phase % 2 == 0)
        found[start:end, 0] += gap
        start, phase = end, phase + 1
    return found


def rotating(means: Sequence[float], *, every: int) -> Array:
    """The means move on to the next arm each so many queries."""
    return np.stack([np.roll(means, query // every) for query in range(QUERIES)])


def of_contexts(count: int, *, types: int) -> Array:
    """Each context has one of so many orders of the same means."""
    return np.stack([np.roll(ARMS, context % types) for context in range(count)])


def linear(arms: int, *, features: int) -> Array:
    """A constant and slopes for each arm, whose means stay between 0.05 and 0.95."""
    luck = np.random.default_rng(features)
    slopes = luck.normal(size=(arms, features))
    slopes *= 0.4 / np.abs(slopes).sum(axis=1, keepdims=True)
    return np.hstack([luck.uniform(0.45, 0.55, size=(arms, 1)), slopes])


# Those of the table; the rest is held out, for nothing was chosen by it.
PUBLISHED = {
    "stationary": World(means=constant(ARMS)),
    "close arms": World(means=constant((0.92, 0.90, 0.88, 0.86, 0.84))),
    "20 arms": World(means=constant(evenly(20))),
    "abrupt change": World(means=failing(ARMS)),
    "slow drift": World(means=waves(0.7, 0.2)),
    "adversarial": World(means=misleading(0.125)),
    "labels 1,000 late": World(means=constant(ARMS), delay=1000),
    "5 % labelled": World(means=constant(ARMS), labelled=0.05),
    "500 contexts, same best arm": World(means=of_contexts(500, types=1), contexts=True),
    "500 contexts, 5 types": World(means=of_contexts(500, types=5), contexts=True),
    "500 contexts, one has half": World(means=of_contexts(500, types=5), contexts=True, heavy=0.5),
    "graded": World(means=constant((0.60, 0.58, 0.56, 0.54, 0.52)), graded=30.0),
    "graded, abrupt change": World(means=failing(ARMS), graded=20.0),
    "linear features": World(means=linear(5, features=5), features=5),
}
HELD_OUT = {
    "two arms, seldom right": World(means=constant((0.11, 0.07))),
    "50 arms, one better": World(means=constant((0.9, *(0.8,) * 49))),
    "abrupt change, 20 arms": World(means=failing(evenly(20))),
    "abrupt change, 1,000 late": World(means=failing(ARMS), delay=1000),
    "best moves on every 2,000": World(means=rotating(ARMS, every=2000)),
    "fast drift, three arms": World(means=waves(0.5, 0.3, arms=3, periods=3.0)),
    "adversarial, three arms": World(means=misleading(0.1, arms=3, growth=2.0)),
    "linear features, 12 arms": World(means=linear(12, features=8), features=8),
    "50 contexts, 3 types": World(means=of_contexts(50, types=3), contexts=True),
}
WORLDS = PUBLISHED | HELD_OUT
