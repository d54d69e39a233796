"""The linear model that has 784 inputs, and the questions: scikit-learn's digits, enlarged."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from benchmarks.stack import Stack
from benchmarks.wrk import COUNTER
from registry.demo.digits import SEED, Images, held_out, training

LINEAR = "bench-linear"
# Long enough that a loaded machine shows its load as latency and not as default answers.
LINEAR_SLO_MS = 100.0
SMALL_COUNT, LARGE_COUNT = 300, 500
SMALL_SIDE, LARGE_SIDE = 8, 28
SHADES = 16.0
SCANNER_NOISE = 0.01


def enlarged(images: Images) -> Images:
    """Return scans of 8 x 8 pixels as 28 x 28 grey values from 0 to 1 with five decimals. The noise
    makes each value as long in JSON as that of a real photograph: 6.2 KB an image.
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


def publish_linear(stack: Stack) -> None:
    """Bring it live, and an application that asks it alone."""
    stack.publish(LINEAR, artifact=linear_artifact())
    first = body(enlarged(held_out()[0][:1])[0], decimals=5).encode()
    stack.route(LINEAR, LINEAR, slo_ms=LINEAR_SLO_MS, body=first)


def small_bodies(file: Path) -> Path:
    """Write the demo's own digits down, as the load generators read them."""
    return written(file, (body(image, decimals=0) for image in held_out()[0][:SMALL_COUNT]))


def large_bodies(file: Path) -> Path:
    images = enlarged(held_out()[0])[:LARGE_COUNT]
    return written(file, (body(image, decimals=5) for image in images))


def written(file: Path, lines: Iterable[str]) -> Path:
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def body(image: NDArray[np.float64], *, decimals: int) -> str:
    """Return the JSON that asks about an image, with the counter in place of its first pixel."""
    pixels = ",".join(f"{value:.{decimals}f}" for value in image[1:])
    return f'{{"input":[{COUNTER},{pixels}]}}'


def input_of(body: str) -> str:
    """Return the array that a question holds."""
    return body.removeprefix('{"input":').removesuffix("}")
