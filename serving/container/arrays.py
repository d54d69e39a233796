"""Rows as the arrays that frameworks take: of their shape and type."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from serving.container.rows import Rows

# The length of an axis; None where any will do.
Length = int | None


def as_matrix(rows: Rows) -> NDArray[Any]:
    """Rows of numbers as one array; of JSON values too, where null is NaN."""
    return rows if isinstance(rows, np.ndarray) else np.array(rows, dtype=np.float64)


def length_of(shape: Sequence[Length] | None) -> int | None:
    """How many numbers make one input of this shape, without the batch's axis; None: any."""
    if shape is None:
        return None
    known = [length for length in shape if length is not None]
    return math.prod(known) if len(known) == len(shape) else None


def shaped(rows: Rows, *, shape: Sequence[Length] | None, dtype: DTypeLike | None) -> NDArray[Any]:
    """Rows as one array of a dtype, each of them folded into a shape that is known.

    An image may come as its pixels one after the other. Raises ValueError where a row doesn't fit.
    """
    batch = np.asarray(rows, dtype=dtype)
    if shape is None or length_of(shape) is None or batch.shape[1:] == tuple(shape):
        return batch
    return batch.reshape(len(batch), *(length or 0 for length in shape))


def in_batches(rows: Rows, *, size: int | None, ask: Callable[[Rows], Any]) -> Any:
    """Ask about rows, so many at once as the model takes, or all at once where any number will do.

    The last batch is filled up with its last row.
    """
    if size is None:
        return ask(rows)
    outputs: list[Any] = []
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        spare = size - len(batch)
        if spare and isinstance(batch, np.ndarray):
            batch = np.concatenate([batch, np.repeat(batch[-1:], spare, axis=0)])
        elif spare:
            batch = [*batch, *batch[-1:] * spare]
        answers = ask(batch)
        outputs += as_rows(answers)[: size - spare]
    return outputs


def as_rows(outputs: Any) -> list[Any]:
    """An output for each row, in Python's types."""
    return list(outputs.tolist() if hasattr(outputs, "tolist") else outputs)
