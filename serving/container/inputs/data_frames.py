"""Parsed rows to a data frame where the model's environment has pandas, else to what comes closest.

pandas is imported with the first rows that need it: it costs a replica some 50 MB.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.container.inputs.rows import Rows
from serving.container.inputs.signature import InputPart


@cache
def pandas_here() -> Any:
    """The module pandas, None where it isn't installed."""
    try:
        import pandas
    except ImportError:
        return None
    return pandas


def stack_columns(rows: Sequence[tuple[Any, ...]], *, parts: tuple[InputPart, ...]) -> Rows:
    """Return a data frame, without pandas an array of numbers or a list of dictionaries."""
    pandas = pandas_here()
    if pandas is None:
        return _without_pandas(rows, parts=parts)
    names = pandas.Index([part.name for part in parts], dtype=object)
    dtypes = {part.dtype for part in parts}
    if len(dtypes) == 1 and (dtype := dtypes.pop()).startswith("float"):
        return pandas.DataFrame(np.array(rows, dtype=dtype), columns=names, copy=False)
    columns = zip(*rows, strict=True)
    series = {
        position: _column(list(values), part=part, pandas=pandas)
        for position, (values, part) in enumerate(zip(columns, parts, strict=True))
    }
    frame = pandas.DataFrame(series, copy=False, index=range(len(rows)))
    frame.columns = names
    return frame


def stack_objects(rows: Sequence[dict[str, Any]]) -> Rows:
    """A data frame of rows whose columns aren't known; without pandas the rows themselves."""
    pandas = pandas_here()
    if pandas is None:
        return list(rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    parts = tuple(InputPart(name=name) for name in names)
    return stack_columns([tuple(map(row.get, names)) for row in rows], parts=parts)


def _column(values: list[Any], *, part: InputPart, pandas: Any) -> Any:
    dtype = part.dtype or _dtype_of(values)
    if dtype == "category":
        return pandas.Categorical(values, categories=list(part.categories) or None)
    if dtype.startswith("datetime"):
        times = pandas.Series(np.array(values, dtype="datetime64[us]"))
        return times.dt.tz_localize("UTC") if dtype == "datetime_utc" else times
    array = _array(values, dtype=dtype, nullable=part.nullable is not False)
    # pandas would look through the values for texts, and make a type of its own of them.
    return pandas.Series(array, dtype=object) if array.dtype == object else array


def _array(values: list[Any], *, dtype: str, nullable: bool) -> NDArray[Any]:
    if dtype.startswith("float"):
        return np.array(values, dtype=dtype)
    if dtype.startswith(("int", "uint")):
        # Nulls in other rows of a batch make no difference to a row.
        return np.array(values, dtype="float64" if nullable else dtype)
    if dtype == "bool" and not nullable:
        return np.array(values, dtype=bool)
    objects = np.empty(len(values), dtype=object)
    objects[:] = [np.nan if value is None else value for value in values]
    return objects


def _dtype_of(values: list[Any]) -> str:
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {bool} and None not in values:
        return "bool"
    numbers = kinds <= {int, float} and all(
        abs(value) <= np.finfo(np.float64).max for value in values if value is not None
    )
    return "float64" if numbers else "string"


def _without_pandas(rows: Sequence[tuple[Any, ...]], *, parts: tuple[InputPart, ...]) -> Rows:
    if all(part.dtype.startswith(("float", "int", "uint", "bool")) for part in parts):
        return np.array(rows, dtype=np.float64)
    names = [part.name for part in parts]
    return [dict(zip(names, row, strict=True)) for row in rows]
