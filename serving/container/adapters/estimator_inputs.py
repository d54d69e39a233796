"""The inputs of a fitted estimator: names and types as it keeps them.

Types are those of its first steps: an encoder knows its categories, what scales takes numbers.
"""

import math
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any

import numpy as np
from msgspec.structs import replace

from serving.container.inputs.signature import (
    ARRAY_DTYPES,
    COLUMNS,
    TENSOR,
    DType,
    InputPart,
    OutputShape,
    Signature,
)

ENCODERS = ("OneHotEncoder", "OrdinalEncoder", "TargetEncoder")
TEXT = ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer")
# Steps that only pass their inputs on to the one inside them.
AROUND = ("best_estimator_", "regressor_", "estimator_")


def taken_by(estimator: Any, *, input_type: str, method: str) -> Signature:
    """The signature of an estimator, without what it does with null."""
    features = getattr(estimator, "n_features_in_", None)
    names = tuple(map(str, getattr(estimator, "feature_names_in_", ())))
    output = _output_of(estimator, method=method)
    if input_type == COLUMNS:
        known = dict(_columns_of(estimator, names=names))
        parts = tuple(replace(known.get(name, InputPart()), name=name) for name in names)
        return Signature(input_type=input_type, inputs=parts, output=output)
    if features is None or input_type not in (*ARRAY_DTYPES, TENSOR):
        return Signature(input_type=input_type, output=output)
    part = InputPart(dtype=ARRAY_DTYPES.get(input_type, "float64"), shape=(int(features),))
    return Signature(input_type=input_type, inputs=(part,), names=names, output=output)


def _output_of(estimator: Any, *, method: str) -> OutputShape | None:
    classes = getattr(estimator, "classes_", None)
    if not isinstance(classes, np.ndarray) or not 0 < classes.size <= 100:
        return None
    names = _known(classes)
    if len(names) < classes.size:
        return None
    if method == "predict_proba":
        return OutputShape(kind="array", shape=(len(names),), classes=names)
    if method != "predict":
        return None
    if classes.dtype.kind == "b":
        return OutputShape(kind="boolean", classes=names)
    return OutputShape(kind="text" if classes.dtype.kind in "OUT" else "number", classes=names)


def _columns_of(estimator: Any, *, names: tuple[str, ...]) -> Iterator[tuple[str, InputPart]]:
    """Yield the parts that the first steps take; the last one holds, texts over numbers."""
    estimator = _first_step(estimator)
    if hasattr(estimator, "transformers_"):
        parts = [
            part
            for _, transformer, columns in estimator.transformers_
            if not isinstance(transformer, str)
            for part in _columns_of(transformer, names=_named(columns, names=names))
        ]
        yield from sorted(parts, key=lambda part: part[1].dtype != "float64")
    elif type(estimator).__name__ in ENCODERS:
        yield from zip(names, map(_encoded, *_categories(estimator)), strict=False)
    elif getattr(estimator, "is_categorical_", None) is not None:
        yield from zip(names, _parts_of_histograms(estimator), strict=False)
    else:
        yield from (
            (n, InputPart(dtype=d)) for n, d in zip(names, _dtypes(estimator), strict=False)
        )


def _dtypes(estimator: Any) -> Iterable[DType]:
    """Return the types of an estimator's columns; none if they aren't known."""
    if type(estimator).__name__ in TEXT:
        return repeat("string")
    if type(estimator).__name__ == "SimpleImputer":
        return ["string" if kind == "O" else "float64" for kind in _fill_kinds(estimator)]
    return repeat("float64") if _takes_numbers(estimator) else ()


def _first_step(estimator: Any) -> Any:
    while True:
        around = (getattr(estimator, name, None) for name in AROUND)
        steps = (step for _, step in getattr(estimator, "steps", None) or ())
        inside = [step for step in (*around, *steps) if not isinstance(step, str | type(None))]
        if not inside:
            return estimator
        estimator = inside[0]


def _named(columns: Any, *, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns of a transformer, given by names, numbers, a mask or a slice."""
    if isinstance(columns, str):
        return (columns,)
    if isinstance(columns, slice):
        return names[columns] if not isinstance(columns.start, str) else ()
    chosen = list(columns)
    if chosen and all(isinstance(column, bool | np.bool_) for column in chosen):
        return tuple(name for name, taken in zip(names, chosen, strict=False) if taken)
    return tuple(
        column if isinstance(column, str) else names[int(column)]
        for column in chosen
        if isinstance(column, str) or -len(names) <= int(column) < len(names)
    )


def _categories(encoder: Any) -> tuple[Iterable[Any], Iterable[bool]]:
    categories = list(getattr(encoder, "categories_", ()))
    closed = getattr(encoder, "handle_unknown", "error") == "error"
    closed = closed and type(encoder).__name__ != "TargetEncoder"
    return categories, [closed] * len(categories)


def _encoded(categories: Any, closed: bool) -> InputPart:
    known = _known(categories)
    dtype = _dtype_of(known)
    if not closed or len(known) > 200:
        return InputPart(dtype=dtype)
    return InputPart(dtype=dtype, nullable=len(known) < len(categories), categories=known)


def _known(categories: Any) -> tuple[Any, ...]:
    """Return categories as JSON has them, without missing values."""
    values = map(_plain, np.asarray(categories, dtype=object).tolist())
    return tuple(value for value in values if value is not None)


def _dtype_of(known: tuple[Any, ...]) -> DType:
    kinds = {type(value) for value in known}
    if kinds == {str}:
        return "string"
    if kinds == {bool}:
        return "bool"
    return "float64" if kinds and kinds <= {int, float} else ""


def _parts_of_histograms(estimator: Any) -> Iterator[InputPart]:
    transformers = getattr(getattr(estimator, "_preprocessor", None), "named_transformers_", {})
    categories = iter(getattr(transformers.get("encoder"), "categories_", ()))
    for is_categorical in estimator.is_categorical_:
        if is_categorical:
            yield InputPart(dtype="category", categories=_known(next(categories, ())))
        else:
            yield InputPart(dtype="float64")


def _fill_kinds(imputer: Any) -> list[str]:
    statistics = np.asarray(getattr(imputer, "statistics_", ()))
    if statistics.dtype != object:
        return [statistics.dtype.kind] * len(statistics)
    return ["O" if isinstance(value, str) else "f" for value in statistics.tolist()]


def _takes_numbers(estimator: Any) -> bool:
    try:
        from sklearn.utils import get_tags

        tags = get_tags(estimator).input_tags
    except Exception:  # not an estimator in scikit-learn's sense
        return False
    return not (tags.string or tags.categorical) and type(estimator).__name__ != (
        "FunctionTransformer"
    )


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; None for a missing one."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        return None
    return value if isinstance(value, str | int | float | bool) else None
