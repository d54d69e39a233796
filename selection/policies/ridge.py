"""Ridge regression of each arm's reward on a query's features, with the width of its confidence."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Beside sums of squares that are this many times larger, rounding would lose a penalty, and with it
# that a matrix can be inverted.
LARGEST_BESIDE = 1e12


@dataclass(frozen=True, slots=True, eq=False)
class Ridge:
    """For K arms and d features: `coefficients` (K, d), and each arm's inverse matrix A^-1 in
    `inverses` (K * d, d).
    """

    coefficients: Array
    inverses: Array

    @classmethod
    def of(cls, sums: Sequence[Sequence[float]], *, dimensions: int, ridge: float) -> Ridge:
        """Invert once. An arm's sums are the upper triangle of sum(x x'), then sum(reward * x)."""
        matrices, rewarded = _unfolded(sums, dimensions=dimensions)
        inverses = np.linalg.inv(_penalise(matrices, ridge=ridge)).astype(np.float64, copy=False)
        coefficients = (inverses @ rewarded[:, :, None])[:, :, 0]
        return cls(coefficients=coefficients, inverses=inverses.reshape((-1, dimensions)))

    def upper_bounds(self, features: Sequence[float], *, alpha: float) -> list[float]:
        """Return for each arm theta' x + alpha * sqrt(x' A^-1 x)."""
        x = np.array(features, dtype=np.float64)
        squares = (self.inverses @ x).reshape(self.coefficients.shape) @ x
        # A square below 0 can only be rounding.
        widths = np.sqrt(np.maximum(squares, 0.0))
        bounds: list[float] = (self.coefficients @ x + alpha * widths).tolist()
        return bounds


@dataclass(frozen=True, slots=True, eq=False)
class Coefficients:
    """For K arms and d features, (K, d): those of all arms together, and each arm's deviation.

    Of all sums A and b together theta = (A + ridge I)^-1 b; an arm's own add
    (A_i + ridge I)^-1 (b_i - A_i theta), which is what ridge regression of what theta leaves
    unexplained comes to.
    """

    values: Array

    @classmethod
    def of(cls, sums: Sequence[Sequence[float]], *, dimensions: int, ridge: float) -> Coefficients:
        matrices, rewarded = _unfolded(sums, dimensions=dimensions)
        together = matrices.sum(axis=0)
        shared = np.linalg.solve(_penalise(together, ridge=ridge), rewarded.sum(axis=0))
        left = rewarded - matrices @ shared
        own = np.linalg.solve(_penalise(matrices, ridge=ridge), left[:, :, None])[:, :, 0]
        return cls(values=shared + own)

    def rewards(self, features: Sequence[float]) -> list[float]:
        """Return what each arm promises for these features."""
        promised: list[float] = (self.values @ np.array(features, dtype=np.float64)).tolist()
        return promised


def _penalise(matrices: Array, *, ridge: float) -> Array:
    """Add the penalty to one matrix, or each of several: never a singular one. Return them."""
    diagonals = np.einsum("...ii->...i", matrices)
    diagonals += ridge + diagonals.sum(axis=-1, keepdims=True) / LARGEST_BESIDE
    return matrices


def _unfolded(sums: Sequence[Sequence[float]], *, dimensions: int) -> tuple[Array, Array]:
    """Return sum(x x') (K, d, d) and sum(reward * x) (K, d), of which only a triangle is kept."""
    # NumPy takes five times as long over numbers of Python as this does.
    packed = b"".join([struct.pack(f"{len(vector)}d", *vector) for vector in sums])
    table = np.frombuffer(packed, dtype=np.float64).reshape(len(sums), -1)
    matrices = table.take(_places(dimensions), axis=1)
    return matrices, table[:, -dimensions:]


@lru_cache(maxsize=32)
def _places(dimensions: int) -> NDArray[np.intp]:
    """Return where in its upper triangle, row by row, each number of a symmetric matrix is."""
    rows, columns = np.triu_indices(dimensions)
    places = np.zeros((dimensions, dimensions), dtype=np.intp)
    places[rows, columns] = places[columns, rows] = np.arange(len(rows))
    return places
