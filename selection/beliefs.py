"""What feedback leaves behind: sums by arm, which fade, and which newcomers inherit (§5).

Everything that is learned is a sum of what single pieces of feedback add, each of which fades by a
constant factor with every further one: a mended model comes back because its failures are
forgotten. This module says in pure arithmetic what the script in `selection.feedback.journal` does
atomically in Redis, number by number; replaying feedback with it gives the same state.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Vector = tuple[float, ...]
Beliefs = Mapping[str, Vector]

# A context starts with at most so many observations of what is known for everybody: enough to
# begin with, few enough for its own to count.
CONTEXT_EVIDENCE = 10.0
# And with log-weights at most so far apart: e**2, some seven times as much trust in one arm as in
# another, is what a few labels can turn round.
CONTEXT_GAP = 2.0


class Family(NamedTuple):
    """One kind of sums: `width` numbers an arm, under `name` in Redis.

    `relative`: only differences between arms matter, as with log-weights; a newcomer joins at the
    mean. Otherwise the first number is how much was observed, and a newcomer has observed nothing.
    """

    name: str
    width: int
    relative: bool = False


LOG_WEIGHTS = Family("log", 1, relative=True)
# Observations, their rewards, their rewards squared.
REWARDS = Family("rew", 3)


@dataclass(frozen=True, slots=True)
class State:
    """What one application has learned in one context: sums by family and arm (`model:version`)."""

    sums: Mapping[str, Beliefs] = field(default_factory=dict)

    def of(self, family: Family) -> Beliefs:
        return self.sums.get(family.name, {})


class Heritage(NamedTuple):
    """What newcomers take over: a version of its predecessor's belief, a context of everybody's."""

    version_share: float = 0.5
    context_share: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What one piece of feedback does to a state.

    `arms` take part: what is known of them fades by `keep`, and those that are new join first.
    `deltas` are then added, by family and arm. The arms `taught` count one more feedback.
    """

    arms: tuple[str, ...]
    taught: tuple[str, ...]
    deltas: Mapping[Family, Beliefs]
    keep: float
    heritage: Heritage


def learn(state: State, lesson: Lesson, *, general: State | None = None) -> State:
    """Return the state after the lesson. `general`: of all contexts, where `state` is one's own."""
    sums = dict(state.sums)
    for family, deltas in lesson.deltas.items():
        joined = join(state, lesson.arms, family=family, heritage=lesson.heritage, general=general)
        nothing = (0.0,) * family.width
        sums[family.name] = {
            **state.of(family),
            **{
                arm: tuple(
                    x * lesson.keep + d
                    for x, d in zip(vector, deltas.get(arm, nothing), strict=True)
                )
                for arm, vector in joined.items()
            },
        }
    return State(sums)


def join(
    state: State,
    arms: Iterable[str],
    *,
    family: Family,
    heritage: Heritage,
    general: State | None = None,
) -> dict[str, Vector]:
    """Return what is believed of each arm, newcomers included.

    Where the context knows none of them, it starts from a share of what is `general`.
    """
    arms = tuple(arms)
    own = state.of(family)
    known = [own[arm] for arm in arms if arm in own]
    if not known and general is not None:
        start = join(general, arms, family=family, heritage=heritage)
        return _discounted(start, family=family, heritage=heritage)
    mean = 0.0
    if family.relative and known:
        total = 0.0
        for vector in known:  # one by one, as the script does
            total += vector[0]
        mean = total / len(known)
    return {
        arm: own[arm]
        if arm in own
        else _inherited(arm, own, arms=arms, mean=mean, family=family, heritage=heritage)
        for arm in arms
    }


def predecessor(arm: str, own: Beliefs, *, arms: Iterable[str]) -> str | None:
    """Return the version of the same model, no longer among the arms, of which most is known."""
    model = arm.rpartition(":")[0] + ":"
    former = [other for other in own if other.startswith(model) and other not in arms]
    # By the first number: how much was observed, or how little it was wrong.
    return max(former, key=lambda other: (own[other][0], other), default=None)


def _inherited(
    arm: str,
    own: Beliefs,
    *,
    arms: tuple[str, ...],
    mean: float,
    family: Family,
    heritage: Heritage,
) -> Vector:
    former = predecessor(arm, own, arms=arms)
    if former is None:
        return (mean,) * family.width
    return tuple(mean + heritage.version_share * (x - mean) for x in own[former])


def _discounted(start: Beliefs, *, family: Family, heritage: Heritage) -> dict[str, Vector]:
    share = heritage.context_share
    if not family.relative:
        return {
            arm: _scaled(v, min(share, CONTEXT_EVIDENCE / v[0]) if v[0] > 0.0 else share)
            for arm, v in start.items()
        }
    weights = [vector[0] for vector in start.values()]
    gap = max(weights, default=0.0) - min(weights, default=0.0)
    if gap > 0.0:
        share = min(share, CONTEXT_GAP / gap)
    return {arm: _scaled(vector, share) for arm, vector in start.items()}


def _scaled(vector: Vector, share: float) -> Vector:
    return tuple(share * x for x in vector)


def rewards(losses: Mapping[str, float]) -> dict[str, Vector]:
    """Return what losses in [0, 1] add to the family `REWARDS`."""
    return {arm: (1.0, 1.0 - loss, (1.0 - loss) ** 2) for arm, loss in losses.items()}


def mean_reward(vector: Vector) -> float | None:
    """Return the mean of the rewards seen, None where there is none."""
    return vector[1] / vector[0] if vector[0] > 0.0 and math.isfinite(vector[0]) else None
