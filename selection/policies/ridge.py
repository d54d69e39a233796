"""Ridge regression of each arm's reward on a query's features, with the width of its confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


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
        d = dimensions
        table = np.array(sums, dtype=np.float64)
        rows, columns = np.triu_indices(d)
        matrices = np.zeros((len(table), d, d))
        matrices[:, rows, columns] = matrices[:, columns, rows] = table[:, : len(rows)]
        # Eigenvalues below 0 can only be rounding: the true matrix is a sum of squares.
        values, vectors = np.linalg.eigh(matrices)
        values = np.maximum(values, 0.0) + ridge
        roots = np.swapaxes(vectors, 1, 2) / np.sqrt(values)[:, :, None]
        projected = (roots @ table[:, len(rows) :, None])[:, :, 0]
        coefficients = np.einsum("kij,ki->kj", roots, projected)
        return cls(coefficients=coefficients, roots=roots.reshape(-1, d))

    def upper_bounds(self, features: Sequence[float], *, alpha: float) -> list[float]:
        """Return for each arm theta' x + alpha * sqrt(x' A^-1 x)."""
        x = np.array(features, dtype=np.float64)
        parts = (self.roots @ x).reshape(self.coefficients.shape)
        widths = np.sqrt(np.einsum("ij,ij->i", parts, parts))
        bounds: list[float] = (self.coefficients @ x + alpha * widths).tolist()
        return bounds
