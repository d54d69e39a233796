"""Rows as arrays and tensors that frameworks take, and their outputs as one for each row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from serving.container.inputs.rows import InvalidRow, Rows, describe
from serving.container.inputs.signature import DType, InputPart


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInput:
    """An input tensor: the shape of one row, if known, and the batch size; None is any size."""

    name: str
    dtype: DTypeLike
    shape: tuple[int | None, ...] | None
    batch: int | None

    @property
    def part(self) -> InputPart:
        name = np.dtype(self.dtype).name
        known = {"object": "string", "str": "string"}.get(name, name)
        dtype = cast(DType, known if known in get_args(DType) else "")
        return InputPart(name=self.name, dtype=dtype, shape=self.shape)

    def array(self, rows: Rows) -> NDArray[Any]:
        if np.dtype(self.dtype).kind in "fiub":
            rows = shaped(rows, shape=None, dtype=None)
            # NumPy would take "1" for a number.
            if rows.dtype.kind in "OU" and any(isinstance(each, str) for each in rows.flat):
                raise InvalidRow(f"expected numbers for {self.name}, got a string")
        values = shaped(rows, shape=self.shape, dtype=self.dtype)
        missing = 0 if self.shape is None else 1 + len(self.shape) - values.ndim
        return values.reshape(*values.shape, *[1] * missing) if missing > 0 else values


def feed(rows: Rows, *, inputs: Sequence[TensorInput]) -> dict[str, NDArray[Any]]:
    """Return each input's tensor: by name, by place, or of a row's numbers in order."""
    only = inputs[0]
    if len(inputs) == 1 and hasattr(rows, "columns"):
        return {only.name: only.array(rows.to_numpy())}
    if are_named(rows) or (len(inputs) > 1 and _by_place(rows, inputs=inputs)):
        return {
            each.name: each.array(part_of(rows, name=each.name, place=place))
            for place, each in enumerate(inputs)
        }
    if len(inputs) == 1:
        return {only.name: only.array(rows)}
    # Of texts and numbers together NumPy would make texts.
    dtype = object if isinstance(rows, list) else None
    return _split(shaped(rows, shape=None, dtype=dtype), inputs=inputs)


def _by_place(rows: Rows, *, inputs: Sequence[TensorInput]) -> bool:
    """Return whether each row has an entry for each input, rather than all of their numbers."""
    if any(each.shape is None for each in inputs):
        return True
    return isinstance(rows, list) and isinstance(rows[0], list) and len(rows[0]) == len(inputs)


def by_row(outputs: Any) -> Any:
    """One output for each row: of several they are together, by name or in their order."""
    if isinstance(outputs, Mapping):
        names = [str(name) for name in outputs]
        columns = map(as_rows, outputs.values())
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if isinstance(outputs, list | tuple):
        return [list(row) for row in zip(*map(as_rows, outputs), strict=True)]
    return outputs


def first_of(outputs: Any) -> Any:
    """The only output, or the first of several."""
    while isinstance(outputs, Mapping | list | tuple):
        outputs = next(iter(outputs.values() if isinstance(outputs, Mapping) else outputs))
    return outputs


def _split(rows: NDArray[Any], *, inputs: Sequence[TensorInput]) -> dict[str, NDArray[Any]]:
    if rows.ndim < 2:
        names = ", ".join(each.name for each in inputs)
        raise InvalidRow(f"expected the numbers of {names} in each input")
    tensors, start = {}, 0
    for each in inputs:
        end = start + prod(size or 1 for size in each.shape or ())
        tensors[each.name] = each.array(rows[:, start:end])
        start = end
    return tensors


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
