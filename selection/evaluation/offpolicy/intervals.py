"""Intervals of 95 % around means of weighted rewards, wide where few answers carry them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from selection.evaluation.offpolicy.log import Floats

# 95 % of a distribution lie between this quantile and its counterpart.
UPPER = 0.975


class Value(NamedTuple):
    """A mean reward, or a difference of two, and the ends of its interval."""

    reward: float
    low: float
    high: float


def mean_with_interval(terms: Floats, *, weights: Floats) -> Value:
    """Return the mean of `terms` (n) and a normal interval of 95 % for what it estimates.

    `weights` (n) say how much each row counts for. The interval is wider than the textbook's in
    two ways. It is Student's, with as many degrees of freedom as rows count effectively; and it
    takes it that two more answers had come, one as good and one as bad as can be, as Agresti and
    Coull (1998) do for shares, so that five of five right don't pass for certainty.
    """
    n = len(terms)
    value = float(np.mean(terms))
    total, squares = float(np.sum(weights)), float(np.sum(weights**2))
    typical = squares / total
    centre = min(max(value, 0.0), 1.0)
    spread = float(np.sum((terms - value) ** 2))
    spread += 2.0 * typical**2 * ((1.0 - centre) ** 2 + centre**2)
    half = student_quantile(total**2 / squares - 1.0) * math.sqrt(spread) / n
    return Value(value, value - half, value + half)


def within(value: Value, *, low: float = 0.0, high: float = 1.0) -> Value:
    """Return the value with all three numbers brought to where they can be: a reward in [0, 1]."""
    return Value(*(min(max(x, low), high) for x in value))


def student_quantile(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t; less than 1 degree of freedom counts as 1."""
    # Here, as it takes a tenth of a second that only evaluations have to spend.
    from scipy.special import stdtrit  # type: ignore[import-untyped]  # SciPy has no stubs

    return float(stdtrit(max(freedom, 1.0), UPPER))
