"""Signatures of models that know their features or tensors."""

from collections.abc import Mapping, Sequence
from math import prod

from serving.container.failures.container_errors import LoadFailed
from serving.container.inputs.data_frames import pandas_here
from serving.container.inputs.signature import (
    ARRAY_DTYPES,
    COLUMNS,
    TENSOR,
    Category,
    InputPart,
    Signature,
)


def of_features(
    input_type: str,
    *,
    length: int | None,
    names: Sequence[str] = (),
    nullable: bool | None = None,
    categories: Mapping[str, Sequence[Category]] | None = None,
) -> Signature:
    """Return the signature of a model of numeric features; raises LoadFailed without pandas."""
    if input_type == COLUMNS and names:
        known = categories or {}
        if known and pandas_here() is None:
            raise LoadFailed(
                "rows with categories take pandas, which isn't installed: name it among the "
                "requirements of the version"
            )
        parts = [
            InputPart(name=name, dtype="category", nullable=True, categories=tuple(known[name]))
            if name in known
            else InputPart(name=name, dtype="float64", nullable=nullable)
            for name in names
        ]
        return Signature(input_type=input_type, inputs=tuple(parts))
    if input_type in ARRAY_DTYPES and length is not None:
        part = InputPart(dtype=ARRAY_DTYPES[input_type], shape=(length,), nullable=nullable)
        return Signature(input_type=input_type, inputs=(part,), names=tuple(names))
    return Signature(input_type=input_type)


def of_tensors(input_type: str, parts: Sequence[InputPart]) -> Signature:
    """Return the signature of a model of tensors, which arrays or columns can feed as well."""
    if input_type == TENSOR:
        return Signature(input_type=input_type, inputs=tuple(parts))
    if input_type == COLUMNS and all(part.shape in ((), (1,)) for part in parts):
        # Only floating-point numbers have a value that stands for none.
        columns = [
            InputPart(
                name=part.name,
                dtype=part.dtype,
                nullable=None if part.dtype.startswith("float") or not part.dtype else False,
            )
            for part in parts
        ]
        return Signature(input_type=input_type, inputs=tuple(columns))
    lengths = [_length(part) for part in parts]
    if None in lengths or not lengths:
        return Signature(input_type=input_type)
    return Signature.of(input_type, length=sum(filter(None, lengths)))


def _length(part: InputPart) -> int | None:
    """Return the fixed number of values of a tensor, or None."""
    if part.shape is None or part.dtype == "string":
        return None
    known = [size for size in part.shape if size is not None]
    return prod(known) if len(known) == len(part.shape) else None
