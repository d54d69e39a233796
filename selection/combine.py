"""Combines what the arms answered into one output, and says how far to trust it (§5.2).

`vote`  the value with the most weight behind it. Confidence is the share of the weight of all
        asked arms that agrees with the output: an arm that didn't answer in time agrees with
        nothing, so missing answers lower it.
`mean`  the weighted mean of numbers, or of arrays of numbers item by item, over the arms that
        answered. Numbers have no natural "agrees", so confidence is the share of the weight of
        all asked arms that answered.

The result depends neither on the order in which answers came nor on that of the arms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from registry.errors import ModelFailed
from selection.policies.base import normalised
from selection.values import numbers, same_value_key

VOTE, MEAN = "vote", "mean"


class Combined(NamedTuple):
    """One output as JSON text, and the confidence in it, from 0 to 1."""

    output: bytes
    confidence: float


def combine(
    predictions: Mapping[str, bytes],
    *,
    weights: Mapping[str, float],
    asked: Sequence[str],
    how: str = VOTE,
) -> Combined:
    """Combine the JSON texts of the arms that answered; at least one of `asked` must have.

    Raises `ModelFailed` where `how` is `mean` and the outputs have no mean.
    """
    arrived = [arm for arm in asked if arm in predictions]
    if not arrived:
        raise ValueError("nothing to combine: no arm answered")
    first = predictions[arrived[0]]
    if len(arrived) == 1 or all(predictions[arm] == first for arm in arrived):
        # Most queries end here: whatever `how` is, equal texts combine to themselves.
        return Combined(first, _share(arrived, weights=weights, asked=asked))
    return METHODS[how](predictions, weights=weights, asked=asked, arrived=arrived)


def _vote(
    predictions: Mapping[str, bytes],
    *,
    weights: Mapping[str, float],
    asked: Sequence[str],
    arrived: Sequence[str],
) -> Combined:
    camps: dict[Hashable, list[str]] = {}
    for arm in arrived:
        camps.setdefault(same_value_key(predictions[arm]), []).append(arm)

    def rank(arm: str) -> tuple[float, str]:
        return (-weights.get(arm, 0.0), arm)

    def weakness(arms: list[str]) -> tuple[float, tuple[float, str]]:
        # Ties go to the camp of the most trusted single arm, then of the first name.
        return (-_total(arms, weights), min(map(rank, arms)))

    winners = min(camps.values(), key=weakness)
    output = predictions[min(winners, key=rank)]
    return Combined(output, _share(winners, weights=weights, asked=asked))


def _mean(
    predictions: Mapping[str, bytes],
    *,
    weights: Mapping[str, float],
    asked: Sequence[str],
    arrived: Sequence[str],
) -> Combined:
    values = {arm: numbers(predictions[arm]) for arm in arrived}
    for arm, value in values.items():
        if value is None:
            raise ModelFailed(
                f"mean needs numbers or arrays of numbers, {arm} answered "
                f"{predictions[arm][:80].decode(errors='replace')}"
            )
    if len({len(v) if isinstance(v, list) else None for v in values.values()}) > 1:
        raise ModelFailed("mean needs outputs of one shape, the arms answered with several")
    trust = normalised({arm: weights.get(arm, 0.0) for arm in arrived}).values()
    columns = [v if isinstance(v, list) else [v] for v in values.values() if v is not None]
    means = [
        math.fsum(share * x for share, x in zip(trust, column, strict=True))
        for column in zip(*columns, strict=True)
    ]
    if not all(map(math.isfinite, means)):
        raise ModelFailed("the mean of the outputs is too large for a number")
    is_array = isinstance(values[arrived[0]], list)
    output = msgspec.json.encode(means if is_array else means[0])
    return Combined(output, _share(arrived, weights=weights, asked=asked))


METHODS: dict[str, Callable[..., Combined]] = {VOTE: _vote, MEAN: _mean}


def _total(arms: Sequence[str], weights: Mapping[str, float]) -> float:
    return math.fsum([weights.get(arm, 0.0) for arm in arms])


def _share(arms: Sequence[str], *, weights: Mapping[str, float], asked: Sequence[str]) -> float:
    """Return the share of the weight of `asked` that `arms` hold; counted where none weighs."""
    if len(arms) == len(asked):
        return 1.0
    total = _total(asked, weights)
    return _total(arms, weights) / total if total > 0.0 else len(arms) / len(asked)
