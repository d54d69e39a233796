"""Ridge regression of each arm's reward on a query's features, with the width of its confidence."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from selection.policies.arithmetic.sums import Vector

Array = NDArray[np.float64]

# The share of the width in a confidence that is drawn, of sixteen equally likely values.
WIDTHS = np.sqrt((np.arange(16) + 0.5) / 16)


@dataclass(frozen=True, slots=True, eq=False)
class Ridge:
    """The `coefficients` (K, d) of K arms and d features, the `inverses` (K * d, d) of matrices."""

    coefficients: Array
    inverses: Array

    @classmethod
    def of(cls, vectors: Sequence[Vector], *, dimensions: int, ridge: float) -> Ridge:
        """Regress K arms on d features: shared coefficients plus each arm's deviations.

        An arm's vector ends with the upper triangle of A_i = sum(x x'), then b_i = sum(reward * x).
        Of all sums together theta = (A + ridge I)^-1 b; an arm adds (A_i + ridge I)^-1 (b_i - A_i
        theta).
        """
        table = _table_of(vectors)
        total = table.sum(axis=0, keepdims=True)
        together = _penalise(_unfolded(total, dimensions=dimensions), ridge=ridge)
        shared: Array = np.linalg.solve(together[0], total[0, -dimensions:])
        matrices = _unfolded(table, dimensions=dimensions)
        left = (table[:, -dimensions:] - matrices @ shared)[:, :, None]
        inverses = np.linalg.inv(_penalise(matrices, ridge=ridge)).astype(np.float64, copy=False)
        coefficients = shared + (inverses @ left)[:, :, 0]
        return cls(coefficients=coefficients, inverses=inverses.reshape((-1, dimensions)))

    def highest_bound(
        self, features: Sequence[float], *, alpha: float, among: Sequence[bool] | None = None
    ) -> list[float]:
        """Return each arm's chance of the highest theta' x + alpha * sqrt(u * x' A^-1 x)."""
        promised, widths = self._bounds(features)
        return shares_of_highest(promised + alpha * WIDTHS[:, None] * widths, among=among)

    def _bounds(self, features: Sequence[float]) -> tuple[Array, Array]:
        x = np.array(features, dtype=np.float64)
        squares = (self.inverses @ x).reshape(self.coefficients.shape) @ x
        # A square below 0 can only be rounding.
        return self.coefficients @ x, np.sqrt(np.maximum(squares, 0.0))


def shares_of_highest(bounds: Array, *, among: Sequence[bool] | None) -> list[float]:
    """Return the share of rows in which each column is the highest `among` some; ties share."""
    if among is not None:
        bounds[:, ~np.array(among)] = -np.inf
    best = bounds == bounds.max(axis=1, keepdims=True)
    chances: list[float] = (best / best.sum(axis=1, keepdims=True)).mean(axis=0).tolist()
    return chances


def _penalise(matrices: Array, *, ridge: float) -> Array:
    """Add the penalty to each matrix: never a singular one. Return them."""
    diagonals = matrices.reshape((len(matrices), -1))[:, :: matrices.shape[-1] + 1]
    # Beside a sum of squares that is this many times larger, rounding would lose a penalty, and
    # with it that a matrix can be inverted. Each coefficient has its own: beside that of a feature
    # in hundreds of thousands, one for all would draw the others to 0.
    diagonals += ridge + diagonals / 1e12
    return matrices


def _table_of(vectors: Sequence[Vector]) -> Array:
    """Return the vectors as rows."""
    # NumPy takes four times as long over numbers of Python as this does.
    pack = struct.Struct(f"{len(vectors[0])}d").pack
    packed = b"".join([pack(*vector) for vector in vectors])
    return np.frombuffer(packed, dtype=np.float64).reshape(len(vectors), -1)


def _unfolded(table: Array, *, dimensions: int) -> Array:
    """Return sum(x x') of each row, of which only a triangle is kept: (K, d, d)."""
    return table.take(_places(dimensions, width=table.shape[1]), axis=1)


@lru_cache(maxsize=32)
def _places(dimensions: int, *, width: int) -> NDArray[np.intp]:
    """Return where a symmetric matrix's numbers are in a vector of its upper triangle."""
    rows, columns = np.triu_indices(dimensions)
    places = np.zeros((dimensions, dimensions), dtype=np.intp)
    places[rows, columns] = places[columns, rows] = np.arange(len(rows))
    return places + (width - dimensions - len(rows))
