"""Agreement of a model with another one's answers to kept inputs."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from serving.rpc.frames.codec import AnswerStatus

if TYPE_CHECKING:
    from serving.container.predictor import BatchPredictor

# A model that is slower answers fewer of them.
SECONDS = 5.0

Count = Annotated[int, msgspec.Meta(ge=0)]
# An input, and the output of the other model as JSON.
Row = tuple[bytes, bytes]


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of inputs asked, answered and answered alike, and the largest difference."""

    inputs: Count
    answered: Count
    same: Count
    largest_difference: Annotated[float, msgspec.Meta(ge=0.0, le=sys.float_info.max)] | None


def read_rows(descriptor: int) -> list[Row]:
    """Read the file that this process has been given."""
    with open(descriptor, "rb") as file:
        return msgspec.msgpack.decode(file.read(), type=list[Row])


def agreement(
    predictor: BatchPredictor, rows: Iterable[Row], *, seconds: float = SECONDS
) -> Agreement:
    """Have the model answer as many of the inputs as there is time for, one after another."""
    until = monotonic() + seconds
    inputs = 0
    differences: list[float | None] = []
    for raw, other in rows:
        if monotonic() >= until:
            break
        inputs += 1
        answer = predictor.answer_batch([raw])[0]
        if answer.status is AnswerStatus.OK:
            decode = msgspec.json.decode
            differences.append(difference(decode(answer.payload), decode(other)))
    comparable = [found for found in differences if found is not None]
    return Agreement(
        inputs=inputs,
        answered=len(differences),
        same=comparable.count(0.0),
        largest_difference=max(comparable) if any(comparable) else None,
    )


def difference(one: Any, other: Any) -> float | None:
    """Return the largest difference of numbers in two JSON values, None if they differ in kind."""
    if _is_number(one) and _is_number(other):
        return _distance(one, other)
    if isinstance(one, list) and isinstance(other, list):
        return _largest(one, other) if len(one) == len(other) else None
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return None
        return _largest(one.values(), [other[name] for name in one])
    return 0.0 if type(one) is type(other) and one == other else None


def _largest(ones: Iterable[Any], others: Iterable[Any]) -> float | None:
    largest = 0.0
    for one, other in zip(ones, others, strict=True):
        found = difference(one, other)
        if found is None:
            return None
        largest = max(largest, found)
    return largest


def _distance(one: float, other: float) -> float:
    """Bound the distance: JSON has no infinity, and integers larger than any float."""
    if one == other:
        return 0.0
    try:
        found = abs(float(one) - float(other))
    except OverflowError:
        return sys.float_info.max
    return found if math.isfinite(found) else sys.float_info.max


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
