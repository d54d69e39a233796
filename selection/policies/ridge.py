"""Ridge regression of each arm's reward on a query's features, with the width of its confidence."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Beside a sum of squares that is this many times larger, rounding would lose a penalty, and with it
# that a matrix can be inverted. Each coefficient has its own: beside that of a feature in hundreds
# of thousands, one for all would draw the others to 0.
LARGEST_BESIDE = 1e12
# The share of the width in a confidence that is drawn, of so many equally likely values.
DRAWS = 16
WIDTHS = np.sqrt((np.arange(DRAWS) + 0.5) / DRAWS)


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

    @classmethod
    def together(cls, sums: Sequence[Sequence[float]], *, dimensions: int, ridge: float) -> Ridge:
        """The same with coefficients that are drawn to those of all arms, not to 0."""
        matrices, rewarded = _unfolded(sums, dimensions=dimensions)
        shared = _shared(matrices, rewarded, ridge=ridge)
        left = rewarded - matrices @ shared
        inverses = np.linalg.inv(_penalise(matrices, ridge=ridge)).astype(np.float64, copy=False)
        coefficients = shared + (inverses @ left[:, :, None])[:, :, 0]
        return cls(coefficients=coefficients, inverses=inverses.reshape((-1, dimensions)))

    def highest_bound(
        self, features: Sequence[float], *, alpha: float, among: Sequence[bool] | None = None
    ) -> list[float]:
        """Return each arm's chance of the highest theta' x + alpha * sqrt(u * x' A^-1 x), u being
        drawn evenly from 0 to 1; arms that tie share.

        `among`: only these arms are compared, and the others have no chance.
        """
        promised, widths = self._bounds(features)
        bounds = promised + alpha * WIDTHS[:, None] * widths
        if among is not None:
            bounds[:, ~np.array(among)] = -np.inf
        best = bounds == bounds.max(axis=1, keepdims=True)
        chances: list[float] = (best / best.sum(axis=1, keepdims=True)).mean(axis=0).tolist()
        return chances

    def upper_bounds(self, features: Sequence[float], *, alpha: float) -> list[float]:
        """Return for each arm theta' x + alpha * sqrt(x' A^-1 x)."""
        promised, widths = self._bounds(features)
        bounds: list[float] = (promised + alpha * widths).tolist()
        return bounds

    def _bounds(self, features: Sequence[float]) -> tuple[Array, Array]:
        x = np.array(features, dtype=np.float64)
        squares = (self.inverses @ x).reshape(self.coefficients.shape) @ x
        # A square below 0 can only be rounding.
        return self.coefficients @ x, np.sqrt(np.maximum(squares, 0.0))


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
        shared = _shared(matrices, rewarded, ridge=ridge)
        left = rewarded - matrices @ shared
        own = np.linalg.solve(_penalise(matrices, ridge=ridge), left[:, :, None])[:, :, 0]
        return cls(values=shared + own)

    def rewards(self, features: Sequence[float]) -> list[float]:
        """Return what each arm promises for these features."""
        promised: list[float] = (self.values @ np.array(features, dtype=np.float64)).tolist()
        return promised


def _shared(matrices: Array, rewarded: Array, *, ridge: float) -> Array:
    """Return the coefficients of all arms together."""
    together = _penalise(matrices.sum(axis=0), ridge=ridge)
    shared: Array = np.linalg.solve(together, rewarded.sum(axis=0))
    return shared


def _penalise(matrices: Array, *, ridge: float) -> Array:
    """Add the penalty to one matrix, or each of several: never a singular one. Return them."""
    diagonals = np.einsum("...ii->...i", matrices)
    diagonals += ridge + diagonals / LARGEST_BESIDE
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
