"""Second arms: asked when the first one refused the input, or was unsure (a cascade).

In a cascade the policy learns how good it is to begin with an arm: the final answer is judged, and
both arms are charged to the first.
"""

from collections.abc import Callable, Mapping
from random import random
from typing import NamedTuple

from selection.answers.json_values import class_scores
from serving.engine.engine import Target

# Second opinions that don't help are at most this share of an application's queries, beside some at
# first: a flood of bad inputs costs a tenth more, not twice as much.
SHARE = 0.1
AT_FIRST = 50.0


class SecondOpinion(NamedTuple):
    """The arm asked after the first refused, and its chance of that."""

    arm: str
    propensity: float


class OpinionBound:
    """Bound of an application's second opinions; those that help are free."""

    def __init__(self) -> None:
        self._left = AT_FIRST
        self._queries = 0

    def take(self, *, queries: int) -> bool:
        """Take one if one is left; `queries` counts the application's queries so far."""
        self._left = min(AT_FIRST, self._left + SHARE * (queries - self._queries))
        self._queries = queries
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def helped(self) -> None:
        self._left = min(AT_FIRST, self._left + 1.0)


def drawn_other(
    chances: Mapping[str, float],
    *,
    asked: str,
    may_ask: Callable[[str], bool],
    uniform: Callable[[], float] = random,
) -> SecondOpinion | None:
    """Draw another arm by the policy's chances without the first; None if there is none to ask."""
    others = {arm: p for arm, p in chances.items() if p > 0.0 and arm != asked and may_ask(arm)}
    total = sum(others.values())
    left = uniform() * total
    for arm, chance in others.items():
        left -= chance
        if left < 0.0:
            return SecondOpinion(arm, chance / total)
    return None


def sureness_of(output: bytes) -> float:
    """Return the best class's share in an answer of scores; 0 for null, 1 for any other."""
    if output.strip() == b"null":
        return 0.0
    scores = class_scores(output)
    if scores is None:
        return 1.0
    return max(scores.values() if isinstance(scores, dict) else scores)


def dearest_other(
    targets: Mapping[str, Target], *, asked: str, may_ask: Callable[[str], bool]
) -> str | None:
    """Return the dearest arm that costs more than the one asked."""
    costs = {arm: target.version.cost for arm, target in targets.items()}
    dearer = [arm for arm, cost in costs.items() if cost > costs[asked] and may_ask(arm)]
    return max(dearer, key=costs.__getitem__, default=None)
