"""Rows to the tensors that a model takes by name, and its outputs back to one for each row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from serving.container.adapters.arrays import are_named, as_rows, part_of, shaped
from serving.container.inputs.rows import InvalidRow, Rows
from serving.container.inputs.signature import DType, InputPart


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
    return _split(shaped(rows, shape=None, dtype=None), inputs=inputs)


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
