"""Whether estimators of which C believes the arrays, and which are asked beside secrets, are exact.

What `sizes` looks at is all that C believes of them as long as their attributes are among those of
`arithmetic.VOUCHED`: libsvm's dense vectors (scikit-learn's svm/src/libsvm, `set_model`), and
neighbours whose distances are Euclidean, looked for among all points. Unlike there, what can't be
looked at is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.container.errors import ArtifactInvalid, explain
from serving.container.estimators.arithmetic import VOUCHED
from serving.container.estimators.compiled import everything_in
from serving.container.estimators.sizes import check_sizes_closely

# Arrays that C reads as they are, rather than NumPy.
ARRAYS = ("support_", "support_vectors_", "_n_support", "_dual_coef_", "_intercept_", "_fit_X")


def check_vouched(model: Any) -> None:
    """Raise ArtifactInvalid where one of them isn't what its file says, or can't be looked at."""
    for _, held in everything_in(model):
        kind = f"{type(held).__module__}.{type(held).__qualname__}"
        if kind not in VOUCHED:
            continue
        try:
            _check_attributes(held, VOUCHED[kind])
            check_sizes_closely(held)
        except (AttributeError, TypeError, ValueError, LookupError, OverflowError) as error:
            raise ArtifactInvalid(
                f"expected a fitted {type(held).__name__}, got a broken one: {explain(error)}"
            ) from error


def _check_attributes(held: Any, demanded: Mapping[str, tuple[Any, ...]]) -> None:
    own = vars(held)
    for name, values in demanded.items():
        if own[name] not in values:
            raise ValueError(f"{name} is {own[name]!r}")
    # It says which of libsvm's machines it is, and belongs to the class.
    if "_impl" in own or own.get("effective_metric_params_"):
        raise ValueError("an attribute is not what fitting makes of it")
    for name in ARRAYS:
        if name in own and type(own[name]) is not np.ndarray:
            raise TypeError(f"{name} is no array")
