"""Rows as the arrays that frameworks take: of their shape and type, by name, so many at once."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from serving.container.inputs.rows import InvalidRow, Rows, describe


def as_matrix(rows: Rows) -> Any:
    """Rows of numbers as one array, or as the data frame that they are; null is NaN."""
    return np.array(rows, dtype=np.float64) if isinstance(rows, list) else rows


def shaped(
    rows: Rows, *, shape: Sequence[int | None] | None, dtype: DTypeLike | None
) -> NDArray[Any]:
    """Return rows as one array, each folded into a known shape; raises InvalidRow."""
    try:
        batch = np.asarray(rows, dtype=dtype)
    except (ValueError, TypeError) as error:
        raise InvalidRow(f"expected nested arrays of one shape and type: {error}") from error
    if shape is None or len(batch.shape) == len(shape) + 1:
        return batch
    known = [size for size in shape if size is not None]
    if len(known) < len(shape) or prod(batch.shape[1:]) != prod(known):
        return batch
    return batch.reshape(len(batch), *known)


def are_named(rows: Rows) -> bool:
    """Return whether each row has its parts by their names."""
    if isinstance(rows, list):
        return bool(rows) and isinstance(rows[0], dict)
    return isinstance(rows, dict) or hasattr(rows, "columns")


def part_of(rows: Rows, *, name: str, place: int) -> Any:
    """One part of every row: by its name, or by its place where rows have no names."""
    if isinstance(rows, list):
        return [_part_of_row(row, name=name, place=place) for row in rows]
    if isinstance(rows, np.ndarray):  # as columns of numbers are where there is no pandas
        return rows[:, place]
    return rows[name].to_numpy() if hasattr(rows, "columns") else rows[name]


def in_batches(rows: Rows, *, size: int | None, ask: Callable[[Rows], Any]) -> Any:
    """Ask in batches of the model's fixed size, the last one filled up with its last row."""
    if size is None:
        return ask(rows)
    count = _count(rows)
    outputs: list[Any] = []
    for start in range(0, count, size):
        chosen = [min(start + place, count - 1) for place in range(size)]
        outputs += as_rows(ask(_chosen(rows, chosen)))[: count - start]
    return outputs


def by_input(outputs: Any, *, method: str) -> Any:
    """Transpose the list with an array per output that predict_proba may return."""
    if method != "predict_proba" or not isinstance(outputs, list):
        return outputs
    return list(zip(*outputs, strict=True))


def as_rows(outputs: Any) -> list[Any]:
    """An output for each row, in Python's types."""
    return list(outputs.tolist() if hasattr(outputs, "tolist") else outputs)


def _part_of_row(row: Any, *, name: str, place: int) -> Any:
    try:
        return row[name] if isinstance(row, dict) else row[place]
    except (LookupError, TypeError):
        raise InvalidRow(f"expected {name!r} in each input, got {describe(row)} without") from None


def _count(rows: Rows) -> int:
    return len(next(iter(rows.values()))) if isinstance(rows, dict) else len(rows)


def _chosen(rows: Rows, places: list[int]) -> Rows:
    if isinstance(rows, list):
        return [rows[place] for place in places]
    if isinstance(rows, dict):
        return {name: _chosen(part, places) for name, part in rows.items()}
    return rows.iloc[places] if hasattr(rows, "columns") else rows[places]
