"""Whether estimators of which C believes the arrays, and which are asked beside secrets, are exact.

What `sizes` looks at is all that C believes of them as long as their attributes are among those of
`arithmetic.VOUCHED`: libsvm's dense vectors (scikit-learn's svm/src/libsvm, `set_model`), and
neighbours whose distances are Euclidean, looked for among all points. Unlike there, what can't be
looked at is refused. Of encoders it is also that each category is found at its own place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.container.errors import ArtifactInvalid, explain
from serving.container.estimators.arithmetic import FITTED, VOUCHED
from serving.container.estimators.compiled import everything_in
from serving.container.estimators.sizes import check_sizes_closely

# Arrays that C reads as they are, rather than NumPy.
ARRAYS = ("support_", "support_vectors_", "_n_support", "_dual_coef_", "_intercept_", "_fit_X")


def check_vouched(model: Any) -> None:
    """Raise ArtifactInvalid where one of them isn't what its file says, or can't be looked at."""
    for _, held in everything_in(model):
        kind = f"{type(held).__module__}.{type(held).__qualname__}"
        if kind not in VOUCHED or (kind in FITTED and FITTED[kind] not in vars(held)):
            continue
        try:
            _check_attributes(held, VOUCHED[kind])
            check_sizes_closely(held)
            _check_places(vars(held))
        except (AttributeError, TypeError, ValueError, LookupError, OverflowError) as error:
            raise ArtifactInvalid(
                f"expected a fitted {type(held).__name__}, got a broken one: {explain(error)}"
            ) from error


def _check_attributes(held: Any, demanded: Mapping[str, tuple[Any, ...]]) -> None:
    own = vars(held)
    for name, values in demanded.items():
        if own[name] not in values:
            raise ValueError(f"{name} is {own[name]!r}")
    # Such as "_impl", which says which of libsvm's machines it is, or a method.
    if own.keys() & set(dir(type(held))) or own.get("effective_metric_params_"):
        raise ValueError("an attribute is not what fitting makes of it")
    for name in ARRAYS:
        if name in own and type(own[name]) is not np.ndarray:
            raise TypeError(f"{name} is no array")


def _check_places(own: Mapping[str, Any]) -> None:
    """Raise ValueError where a word or a category has no column of its own."""
    if type(own.get("vocabulary_", {})) is not dict:
        raise TypeError("its vocabulary is none")
    if "categories_" not in own:
        return
    known, columns = own["categories_"], own["_n_features_outs"]
    if type(known) is not list or len(known) != own["n_features_in_"] or type(columns) is not list:
        raise ValueError("it doesn't say the categories of each feature")
    for count, categories in zip(columns, known, strict=True):
        if type(count) is not int or type(categories) is not np.ndarray or not categories.size:
            raise TypeError("its categories are none")
        if categories.shape != (count,) or not _is_in_order(categories):
            raise ValueError("its categories are in no order")


def _is_in_order(categories: NDArray[Any]) -> bool:
    """Whether each is found at its place: behind the last is no column."""
    if categories.dtype == object:
        while any(map(_is_missing, categories[-1:].tolist())):
            categories = categories[:-1]
        if all(isinstance(category, str) for category in categories.tolist()):
            return True  # of these it keeps a table
    places = np.searchsorted(categories, categories)
    return bool((places == np.arange(len(categories))).all())


def _is_missing(category: Any) -> bool:
    return category is None or (isinstance(category, float) and category != category)
