"""Asking the dear arm only where the cheap one is unsure: a cascade, as long as there is time.

The policy draws where a cascade begins, and learns how good it is to begin there: the answer that
came of it in the end is judged, and what both arms took is charged. So the chance of the arm that
was drawn is the only one that matters, and known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from selection.answers.json_values import class_scores
from serving.query.routing import Target

ABSTENTION = b"null"


def sureness_of(output: bytes) -> float:
    """Return the share of the best class in an answer of scores, 0 of null, and 1 of any other."""
    if output.strip() == ABSTENTION:
        return 0.0
    scores = class_scores(output)
    if scores is None:
        return 1.0
    return max(scores.values() if isinstance(scores, dict) else scores)


def dearest_other(
    targets: Mapping[str, Target], *, asked: str, may_ask: Callable[[str], bool]
) -> str | None:
    """Return the arm that costs most, of those that cost more than the one asked."""
    costs = {arm: target.version.cost for arm, target in targets.items()}
    dearer = [arm for arm, cost in costs.items() if cost > costs[asked] and may_ask(arm)]
    return max(dearer, key=costs.__getitem__, default=None)
