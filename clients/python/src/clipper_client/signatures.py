"""The input type of a model by an example, and one input out of it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from clipper_client.inputs import is_array, is_frame, is_series, plain, rows_of

# The deepest arrays that are a row, or rows, of numbers.
ROWS = 2


def input_type_of(example: Any, *, model: Any = None) -> str:
    """Return the input type of a model, by an example of its inputs, else by what it was fitted on.

    Whole numbers count as doubles: a model that was trained on them takes others too.
    """
    if example is None and getattr(model, "tokenizer", None) is not None:
        return "strings"
    if example is None:
        return "columns" if hasattr(model, "feature_names_in_") else "doubles"
    if is_frame(example) or is_series(example):
        return "columns"
    if is_array(example):
        return _of_array(example)
    first = first_of(example)
    if is_series(first) or isinstance(first, Mapping):
        return "columns"
    if isinstance(first, str):
        return "strings"
    if isinstance(first, bytes | bytearray):
        return "bytes"
    if is_array(first):
        return _of_array(first, deepest=1)
    return _of_list(first)


def first_of(example: Any) -> Any:
    """Return one input out of an example, which may be one input or several."""
    if isinstance(example, str | bytes | bytearray | Mapping) or is_series(example):
        return plain(example)
    if is_frame(example):
        return next(rows_of(example), None)
    if is_array(example):
        return example[0] if len(example.shape) > 1 or _kind(example) not in "biuf" else example
    first = next(islice(example, 1), None) if hasattr(example, "__iter__") else example
    return example if _is_number(first) else first


def _of_array(array: Any, *, deepest: int = ROWS) -> str:
    kind = _kind(array)
    if kind not in "biuf":
        return "strings" if kind in "UT" else "json"
    if len(array.shape) > deepest:
        return "tensor"
    return "floats" if str(array.dtype).endswith("float32") else "doubles"


def _kind(array: Any) -> str:
    """The kind of an array's numbers, as NumPy has it; other libraries' tensors hold numbers."""
    return str(getattr(array.dtype, "kind", "f"))


def _of_list(row: Any) -> str:
    if not isinstance(row, list | tuple):
        return "json"
    if all(_is_number(item) for item in row):
        return "doubles"
    return "tensor" if row and all(isinstance(item, list | tuple) for item in row) else "json"


def _is_number(value: Any) -> bool:
    # NumPy's numbers are arrays of no dimension.
    return hasattr(value, "__float__") and not getattr(value, "shape", ())
