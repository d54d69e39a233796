"""Planner of A/B tests: labels until a gain shows, and the smallest gain that shows in some days.

A gain shows when the better arm is called `best`, at whichever look that happens. An arm's mean
follows a Brownian motion in its information, one over the variance of its mean (Jennison and
Turnbull, "Group Sequential Methods", 1999, chapter 11); the chance to have passed the verdict's
boundary by a moment is integrated over paths of all arms on a grid of moments.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from selection.inference import ALPHA, LEAST, Seen, half_width, variance_of_gain

Floats = npt.NDArray[np.float64]

# The chance with which a planned gain shows in time.
CHANCE = 0.8
# Paths show this much more often than the verdict: means that chance puts far apart vary more, too,
# as those of right and wrong do (seven settings of 1,000 tests: 1 to 5 of 100 didn't show).
OPTIMISM = 0.03
# No test is planned for longer.
MOST_DAYS = 365.0
# Paths of all arms together, and moments of each.
PATHS, MOMENTS = 6000, 250
# Nothing shows so many times earlier than it does with the chance `CHANCE`.
FAR = 20.0
# A motion that is seen at moments alone passes a boundary later than if it were seen always: as if
# the boundary were this part of a step's standard deviation further away (Siegmund 1985).
UNSEEN = 0.5826


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTraffic:
    """Labels as they come: how many, how good, and how far those of one person are alike.

    `spread`: their variance over that of right and wrong with the same `mean`. `likeness`: the
    correlation of two labels of one person. After t days a label's person has given `others` *
    t**`growth` further ones: a `growth` of 1 if the same people come back, 0 if each stays a while.
    `past`: the labels that this person gave under a single arm before the test begins.
    """

    labels_per_day: float
    mean: float
    spread: float = 1.0
    likeness: float = 0.0
    others: float = 0.0
    growth: float = 1.0
    past: float = 0.0

    def labels_per_person(self, days: Floats | float) -> Floats:
        """Return how many labels the person of a label has given after some days."""
        others: Floats = np.minimum(self.others * days**self.growth, self.labels_per_day * days)
        return 1.0 + others

    def variance(self, mean: float) -> float:
        return self.spread * mean * (1.0 - mean)


def days_until_seen(gain: float, *, traffic: LabelTraffic, split: Sequence[float]) -> float | None:
    """Return the days until a gain has shown with the chance `CHANCE`; None beyond `MOST_DAYS`.

    The `split` has each arm's share of the labels. The better arm is that of the smallest one, and
    earns the traffic's mean plus `gain`; the others earn the mean.
    """
    # Roughly over all times, then closely.
    first, last = 20.0 / traffic.labels_per_day, MOST_DAYS
    for _ in range(2):
        days = np.geomspace(min(first, last / 2.0), last, MOMENTS)
        shown = _shown(days, gain=gain, traffic=traffic, split=split)
        if shown[-1] > gain:
            return None
        found = float(days[np.argmax(shown <= gain)])
        first, last = found / FAR, min(1.2 * found, MOST_DAYS)
    return found


def smallest_gain(days: float, *, traffic: LabelTraffic, split: Sequence[float]) -> float | None:
    """Return the smallest gain that shows within some days; None if not even a perfect arm does."""
    most = 1.0 - traffic.mean
    gain, moments = most / 2.0, np.geomspace(days / FAR, days, MOMENTS)
    # A gain changes the variance a little: it is close after three steps.
    for _ in range(3):
        gain = min(float(_shown(moments, gain=gain, traffic=traffic, split=split)[-1]), most)
    return gain if gain < most else None


def _shown(days: Floats, *, gain: float, traffic: LabelTraffic, split: Sequence[float]) -> Floats:
    """Return the gain that has shown by each day with the chance `CHANCE`, never growing.

    The arms' variances are those they have if the better one's gain is `gain`.
    """
    shares = np.sort(np.array(split))[:, None] / math.fsum(split)
    person = traffic.labels_per_person(days)
    labels = shares * traffic.labels_per_day * days
    variances = np.full((len(shares), 1), traffic.variance(traffic.mean))
    variances[0] = traffic.variance(min(traffic.mean + gain, 1.0 - 1e-3))
    # People differ by as much beside either arm, less what their pasts tell (`person_sums.py`).
    like, differ = traffic.likeness, traffic.likeness * traffic.variance(traffic.mean)
    unforeseen = (1.0 - like) / (1.0 + (traffic.past - 1.0) * like) if traffic.past else 1.0
    alone = np.maximum(variances - differ, 0.0)
    errors = (alone + differ * person * unforeseen) / labels
    steps = np.sqrt(np.diff(1.0 / errors, axis=1, prepend=0.0))
    # The same question gets the same answer.
    draws, shape = np.random.default_rng(2017), (max(PATHS // len(shares), 200), *steps.shape)
    noise = np.cumsum(steps * draws.standard_normal(shape), axis=2) * errors
    gap = noise[:, :1] - noise[:, 1:]
    error = errors[:1] + errors[1:]
    unseen = UNSEEN * error * np.sqrt(np.diff(1.0 / error, axis=1, prepend=0.0))
    people = labels / person
    # The verdict knows an arm's variance by as many people as it has, whose number is drawn too:
    # of many arms it waits for the one that looks the most uncertain.
    grown = np.sqrt(3.0 * np.diff(people, axis=1, prepend=0.0))
    looks = 1.0 + np.cumsum(grown * draws.standard_normal(shape), axis=2) / people
    least = 0.25 / (people * labels)  # as `Seen.of` has it
    seen = [Seen(*arm) for arm in zip(labels, labels, people, errors + least, least, strict=True)]
    looked = np.maximum(looks, 0.1).swapaxes(0, 1)
    drawn = [arm._replace(variance=arm.variance * by) for arm, by in zip(seen, looked, strict=True)]
    proved = [
        _proved(seen[0], seen[k], drawn=(drawn[0], drawn[k]), alpha=ALPHA / (len(seen) - 1))
        for k in range(1, len(seen))
    ]
    wanted = np.stack(proved, axis=1) - unseen - gap
    reached = np.minimum.accumulate(np.max(wanted, axis=1), axis=1)
    shown: Floats = np.sort(reached, axis=0)[math.ceil((CHANCE + OPTIMISM) * len(reached)) - 1]
    return shown


def _proved(better: Seen, other: Seen, *, drawn: tuple[Seen, Seen], alpha: float) -> Floats:
    """Return the gain that is proved by what is seen of two arms, with variances as drawn."""
    variances = np.array(variance_of_gain(better, other, greater=np.maximum))
    fewer = np.minimum(better.people, other.people)
    half = [
        half_width(variance, people=people, alpha=alpha) if people >= LEAST else math.inf
        for variance, people in zip(variances, fewer, strict=True)
    ]
    uncertain = variance_of_gain(*drawn, greater=np.maximum) / variances
    return np.array(half) * np.sqrt(uncertain)
