"""Spares scikit-learn a long look at each array for whether it's a data frame.

From 1.9 on it asks narwhals, three times for a batch, and the way to a no is long: half of what a
linear model's answer to one row takes (37 of 75 µs), as much as all the rest of its checks.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

NARWHALS = "narwhals.stable.v2.dependencies"
LOOKS = ("is_into_dataframe", "is_into_series")


def take_arrays_for_arrays() -> None:
    """Have these functions say at once of an array what they have always said of arrays: no.

    Of whatever else, subclasses included, they say what they said; so they do of arrays where a
    plugin of narwhals takes those for frames. Where nobody has imported narwhals, nothing happens.
    """
    asked = sys.modules.get(NARWHALS)
    for name in LOOKS:
        look = getattr(asked, name, None)
        if look is not None and not hasattr(look, "__wrapped__") and not look(np.zeros((1, 1))):
            setattr(asked, name, _but_for_arrays(look))


def _but_for_arrays(look: Callable[[Any], bool]) -> Callable[[Any], bool]:
    @functools.wraps(look)
    def looked(native: Any) -> bool:
        return type(native) is not np.ndarray and look(native)

    return looked
