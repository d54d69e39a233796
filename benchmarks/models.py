"""The questions, and the linear model that has 784 inputs: scikit-learn's digits, enlarged."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from registry.demo.digits import SEED, Images, held_out, training

SMALL_SIDE, LARGE_SIDE = 8, 28
SHADES = 16.0
SCANNER_NOISE = 0.01
# What the load generator counts in; the first pixel of a digit is white anyway.
COUNTER = "0.000000000"


def enlarged(images: Images) -> Images:
    """Return scans of 8 x 8 pixels as 28 x 28 grey values from 0 to 1 with five decimals.

    The noise makes each value as long in JSON as that of a real photograph: 6.2 KB an image.
    """
    squares = images.reshape(-1, SMALL_SIDE, SMALL_SIDE) / SHADES
    factor = -(-LARGE_SIDE // SMALL_SIDE)
    margin = (factor * SMALL_SIDE - LARGE_SIDE) // 2
    large = squares.repeat(factor, axis=1).repeat(factor, axis=2)
    large = large[:, margin : margin + LARGE_SIDE, margin : margin + LARGE_SIDE]
    noise = np.random.default_rng(SEED).normal(0.0, SCANNER_NOISE, large.shape)
    return np.abs(large + noise).clip(0.0, 1.0).round(5).reshape(-1, LARGE_SIDE**2)


@cache
def linear_artifact() -> bytes:
    """Return a LinearSVC of 784 inputs, as skops writes it."""
    images, labels = training()
    estimator = LinearSVC(C=0.1, max_iter=500, random_state=SEED).fit(enlarged(images), labels)
    artifact: bytes = skops.io.dumps(estimator)
    return artifact


def write_small_bodies(file: Path, *, count: int) -> None:
    _write(file, images=held_out()[0][:count], decimals=0)


def write_large_bodies(file: Path, *, count: int) -> None:
    _write(file, images=enlarged(held_out()[0])[:count], decimals=5)


def _write(file: Path, *, images: Images, decimals: int) -> None:
    file.write_text("".join(f"{body(image, decimals=decimals)}\n" for image in images))


def body(image: NDArray[np.float64], *, decimals: int) -> str:
    """Return the JSON that asks about an image, with the counter in place of its first pixel."""
    pixels = ",".join(f"{value:.{decimals}f}" for value in image[1:])
    return f'{{"input":[{COUNTER},{pixels}]}}'
