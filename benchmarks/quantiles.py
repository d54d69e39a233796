"""Percentiles, and the line that 99 of 100 latencies lie under."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from sklearn.linear_model import QuantileRegressor

P99 = 0.99


def percentile(values: Sequence[float], q: float) -> float:
    """The smallest value that a share `q` of all values does not exceed; NaN where there is none.

    No interpolation: the answer is a latency that somebody has seen.
    """
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds that a batch takes: `fixed`, and `row` for each input."""

    fixed: float
    row: float

    def at(self, size: float) -> float:
        return self.fixed + self.row * size

    def largest_within(self, seconds: float) -> float:
        """How many whole inputs fit into `seconds`: at least one, as a batch holds no less."""
        if self.row <= 0.0:
            return math.inf if self.fixed <= seconds else 1.0
        return max(1.0, math.floor((seconds - self.fixed) / self.row))


def quantile_line(sizes: Sequence[float], latencies: Sequence[float], *, q: float = P99) -> Line:
    """Fit latency = fixed + row x size by quantile regression (linear programming, exact)."""
    # In milliseconds and thousands, so that the solver's tolerances mean something.
    x = np.asarray(sizes, dtype=float)[:, None] / 1e3
    y = np.asarray(latencies, dtype=float) * 1e3
    fitted = QuantileRegressor(quantile=q, alpha=0.0, solver="highs").fit(x, y)
    return Line(fixed=float(fitted.intercept_) / 1e3, row=float(fitted.coef_[0]) / 1e6)
