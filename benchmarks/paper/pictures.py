"""Scans of digits, moved, turned and made noisy, and the five models that are asked about them.

Splits are by scan: no variation of one that a model has learned from is ever asked about.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from registry.demo.digits import Images, Labels

SIDE, WHITEST = 8, 16.0


@dataclass(frozen=True, slots=True)
class Scans:
    """Images, shape (n, 64), and the digits that were meant, shape (n,)."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def some(self, count: int, *, generator: np.random.Generator) -> Scans:
        """Return so many of them, drawn at random; none twice while there are enough."""
        picked = generator.choice(len(self), count, replace=count > len(self))
        return Scans(self.images[picked], self.labels[picked])

    def split(self, first: int) -> tuple[Scans, Scans]:
        """Return the `first` of them, and the rest."""
        return (
            Scans(self.images[:first], self.labels[:first]),
            Scans(self.images[first:], self.labels[first:]),
        )

    def repeated(self, times: int) -> Scans:
        return Scans(np.tile(self.images, (times, 1)), np.tile(self.labels, times))


def halves(seed: int) -> tuple[Scans, Scans]:
    """Return two halves of all scans, with as many of each digit: to learn from, and to ask."""
    images, labels = load_digits(return_X_y=True)
    first, second, first_labels, second_labels = train_test_split(
        images, labels, test_size=0.5, random_state=seed, stratify=labels
    )
    return Scans(first, first_labels), Scans(second, second_labels)


def varied(
    scans: Scans, *, generator: np.random.Generator, noise: float = 2.0, shift: int = 1
) -> Scans:
    """Return each scan once, moved by up to `shift` pixels and with `noise` grey values added. The
    default is hard enough for models to be wrong often.
    """
    squares = scans.images.reshape(-1, SIDE, SIDE)
    steps = generator.integers(-shift, shift + 1, size=(len(squares), 2))
    moved = np.stack(
        [np.roll(one, step, axis=(0, 1)) for one, step in zip(squares, steps, strict=True)]
    )
    return Scans(noisy(moved.reshape(-1, SIDE**2), noise=noise, generator=generator), scans.labels)


def noisy(images: Images, *, noise: float, generator: np.random.Generator) -> Images:
    """Return the images with normal noise of so many grey values."""
    found: Images = (images + generator.normal(0.0, noise, images.shape)).clip(0.0, WHITEST)
    return found
