"""Ridge regression of each arm's reward on a query's features, with the width of its confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Beside sums of squares that are this many times larger, rounding would lose a penalty, and with it
# that a matrix can be inverted.
LARGEST_BESIDE = 1e12


@dataclass(frozen=True, slots=True, eq=False)
class Ridge:
    """For K arms and d features: `coefficients` (K, d), and `roots` (K * d, d), where the sum of
    squares of an arm's d products with x is x' A^-1 x.
    """

    coefficients: Array
    roots: Array

    @classmethod
    def of(cls, sums: Sequence[Sequence[float]], *, dimensions: int, ridge: float) -> Ridge:
        """Invert once. An arm's sums are the upper triangle of sum(x x'), then sum(reward * x)."""
        matrices, rewarded = _unfolded(sums, dimensions=dimensions)
        # Eigenvalues below 0 can only be rounding: the true matrix is a sum of squares.
        values, vectors = np.linalg.eigh(matrices)
        values = np.maximum(values, 0.0) + ridge
        roots = np.swapaxes(vectors, 1, 2) / np.sqrt(values)[:, :, None]
        projected = (roots @ rewarded[:, :, None])[:, :, 0]
        coefficients = np.einsum("kij,ki->kj", roots, projected)
        return cls(coefficients=coefficients, roots=roots.reshape(-1, dimensions))

    def upper_bounds(self, features: Sequence[float], *, alpha: float) -> list[float]:
        """Return for each arm theta' x + alpha * sqrt(x' A^-1 x)."""
        x = np.array(features, dtype=np.float64)
        parts = (self.roots @ x).reshape(self.coefficients.shape)
        widths = np.sqrt(np.einsum("ij,ij->i", parts, parts))
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
        shared = np.linalg.solve(_penalised(together, ridge=ridge), rewarded.sum(axis=0))
        left = rewarded - matrices @ shared
        own = np.linalg.solve(_penalised(matrices, ridge=ridge), left[:, :, None])[:, :, 0]
        return cls(values=shared + own)

    def rewards(self, features: Sequence[float]) -> list[float]:
        """Return what each arm promises for these features."""
        promised: list[float] = (self.values @ np.array(features, dtype=np.float64)).tolist()
        return promised


def _penalised(matrices: Array, *, ridge: float) -> Array:
    """Return one matrix, or each of several, with the penalty added: never a singular one."""
    squares = np.trace(matrices, axis1=-2, axis2=-1)[..., None, None]
    penalised: Array = matrices + (ridge + squares / LARGEST_BESIDE) * np.eye(matrices.shape[-1])
    return penalised


def _unfolded(sums: Sequence[Sequence[float]], *, dimensions: int) -> tuple[Array, Array]:
    """Return sum(x x') (K, d, d) and sum(reward * x) (K, d), of which only a triangle is kept."""
    table = np.array(sums, dtype=np.float64)
    rows, columns = np.triu_indices(dimensions)
    matrices = np.zeros((len(table), dimensions, dimensions))
    matrices[:, rows, columns] = matrices[:, columns, rows] = table[:, : len(rows)]
    return matrices, table[:, len(rows) :]
