"""How likely each arm is to be the best, given what is known of the mean reward of each.

P(i is best) is the integral of its density times the product of the others' distribution functions.
All arms share one grid, which is fine wherever one of them has its mass; on it integrals are those
of cubic Hermite interpolation, so that so few points give five digits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Points that each arm adds to the grid, and the exponent of e down to which its tails matter.
POINTS = 64
DEPTH = 20.0
TINY = 1e-300


def best_of_betas(parameters: Sequence[tuple[float, float]]) -> list[float]:
    """Return each arm's chance that its draw from Beta(a, b) is the highest; a and b are >= 1.

    The integration is over log(x / (1 - x)), in which all of these are smooth and single-peaked.
    """
    a, b = np.array(parameters, dtype=np.float64).T
    peak = np.log(a / b)
    width = np.sqrt(1.0 / a + 1.0 / b)
    # Beyond the bell the tails fall like exp(a t) to the left and exp(-b t) to the right.
    bell = np.sqrt(2.0 * DEPTH)
    nodes = _grid(
        peak,
        width,
        left=bell + DEPTH / (a * width),
        right=bell + DEPTH / (b * width),
    )
    log_complement = np.logaddexp(0.0, nodes)
    odds = np.exp(nodes - log_complement)
    a, b = a[:, None], b[:, None]
    heights = a * peak[:, None] - (a + b) * np.logaddexp(0.0, peak)[:, None]
    density = np.exp(a * nodes - (a + b) * log_complement - heights)
    return _chances(nodes, density=density, slope=density * (a - (a + b) * odds))


def best_of_students(parameters: Sequence[tuple[float, float, float]]) -> list[float]:
    """Return each arm's chance that its draw from Student's t (mean, scale, freedom) is highest."""
    mean, scale, freedom = np.array(parameters, dtype=np.float64).T
    reach = np.sqrt(freedom * np.expm1(2.0 * DEPTH / freedom))
    nodes = _grid(mean, scale, left=reach, right=reach)
    mean, scale, freedom = mean[:, None], scale[:, None], freedom[:, None]
    z = (nodes - mean) / scale
    inner = 1.0 + z * z / freedom
    density = np.exp(-0.5 * (freedom + 1.0) * np.log(inner)) / scale
    slope = -density * (freedom + 1.0) * z / (freedom * inner * scale)
    return _chances(nodes, density=density, slope=slope)


def _grid(peak: Array, width: Array, *, left: Array, right: Array) -> Array:
    """Return sorted points, dense at each peak; `left` and `right` are how many widths to go."""
    steps = np.linspace(0.0, 1.0, POINTS)
    low, high = -np.arcsinh(left)[:, None], np.arcsinh(right)[:, None]
    nodes = np.sinh(low + steps * (high - low)) * width[:, None] + peak[:, None]
    return np.sort(nodes, axis=None)


def _chances(nodes: Array, *, density: Array, slope: Array) -> list[float]:
    gaps = np.diff(nodes)
    below = np.zeros_like(density)
    np.cumsum(_pieces(density, slope, gaps=gaps), axis=1, out=below[:, 1:])
    total = below[:, -1:].copy()
    # Rounding, and interpolation where an arm has next to nothing, may leave less than nothing.
    below = np.maximum(below / total, TINY)
    density, slope = density / total, slope / total
    others = _product_of_others(below)
    hazards = density / below
    rise = hazards.sum(axis=0) - hazards
    best = _pieces(density * others, (slope + density * rise) * others, gaps=gaps).sum(axis=1)
    best = np.maximum(best, 0.0)
    chances: list[float] = (best / best.sum()).tolist()
    return chances


def _pieces(values: Array, slopes: Array, *, gaps: Array) -> Array:
    """Return the integral between neighbouring nodes of the cubic through values and slopes."""
    linear = (values[:, :-1] + values[:, 1:]) * (gaps / 2.0)
    bend = (slopes[:, :-1] - slopes[:, 1:]) * (gaps * gaps / 12.0)
    pieces: Array = linear + bend
    return pieces


def _product_of_others(factors: Array) -> Array:
    """Return for each row the product of all other rows, without dividing."""
    before, after = np.ones_like(factors), np.ones_like(factors)
    np.multiply.accumulate(factors[:-1], axis=0, out=before[1:])
    np.multiply.accumulate(factors[:0:-1], axis=0, out=after[-2::-1])
    product: Array = before * after
    return product
