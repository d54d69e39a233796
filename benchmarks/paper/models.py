"""The models that the paper's figures put into containers: five that compute, some that sleep.

The five answer the paper's question, "is this a 3?", about pictures of 28 x 28 grey values. They
are trained once, from a fixed seed, and kept in a folder for the next run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import skops.io
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]  # SciPy has no stubs
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC, LinearSVC

from benchmarks.command import Say
from benchmarks.experiment import Session
from registry.demo.digits import SEED, Images, held_out, training

DIGIT = 3
SMALL_SIDE, LARGE_SIDE = 8, 28
FEATURES = LARGE_SIDE**2
SHADES = 16.0
# Shifted by up to so many pixels, and so noisy that the kernel SVM has to keep about 6,000 of its
# 10,000 pictures as support vectors: as slow as the paper's, beside a linear one.
SHIFT = 4
NOISE = 0.6
TRAINING_SIZE = 10_000
DECIMALS = 5

NO_OP = "no-op"
LINEAR_SVM = "linear-svm"
LOGISTIC_REGRESSION = "logistic-regression"
RANDOM_FOREST = "random-forest"
KERNEL_SVM = "kernel-svm"

TITLES = {
    NO_OP: "No-Op",
    LINEAR_SVM: "Linear SVM",
    LOGISTIC_REGRESSION: "Log. regression",
    RANDOM_FOREST: "Random forest",
    KERNEL_SVM: "Kernel SVM",
}

# As the paper's containers had them; all on one core.
ESTIMATORS: dict[str, Callable[[], Any]] = {
    LINEAR_SVM: lambda: LinearSVC(dual=False, random_state=SEED),
    LOGISTIC_REGRESSION: lambda: LogisticRegression(max_iter=200),
    RANDOM_FOREST: lambda: RandomForestClassifier(max_depth=16, random_state=SEED, n_jobs=1),
    KERNEL_SVM: lambda: SVC(),
}

NO_OP_CODE = f'''\
"""A container that does nothing but take inputs and answer."""


class Predictor:
    n_features = {FEATURES}

    def __init__(self, path):
        pass

    def pred_batch(self, inputs):
        return [0] * len(inputs)
'''

SLEEPING_CODE = '''\
"""A model on an accelerator that takes `FIXED + ROW * n` seconds for n inputs, and no CPU."""

import time

FIXED, ROW = {fixed!r}, {row!r}


class Predictor:
    def __init__(self, path):
        pass

    def pred_batch(self, inputs):
        until = time.perf_counter() + FIXED + ROW * len(inputs)
        while (left := until - time.perf_counter()) > 0.0:
            time.sleep(left)
        return [0] * len(inputs)
'''

STRAGGLING_CODE = '''\
"""Answers question n with the n-th of what a real model has answered, and is now and then late."""

import random
import time

ANSWERS = {answers!r}
USUAL, CHANCE, LATE = {usual!r}, {chance!r}, ({late[0]!r}, {late[1]!r})


class Predictor:
    n_features = 1

    def __init__(self, path):
        self._random = random.Random({seed!r})

    def pred_batch(self, inputs):
        late = self._random.random() < CHANCE
        until = time.perf_counter() + (self._random.uniform(*LATE) if late else USUAL)
        while (left := until - time.perf_counter()) > 0.0:
            time.sleep(left)
        return [ANSWERS[int(row[0])] for row in inputs]
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A model as a container loads it."""

    name: str
    runtime: str
    file: Path

    @property
    def digest(self) -> str:
        return sha256(self.file.read_bytes()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SleepingModel:
    """Seconds that a batch takes: `fixed`, and `row` for each of its inputs."""

    fixed: float
    row: float

    def seconds(self, size: int) -> float:
        return self.fixed + self.row * size


@dataclass(frozen=True, slots=True, kw_only=True)
class Straggler:
    """Seconds that a batch takes: `usual`, and with a `chance` anything within `late` instead."""

    usual: float
    chance: float
    late: tuple[float, float]


class Zoo:
    """Makes artifacts in one folder; a trained one that lies there already is used again."""

    @classmethod
    def of(cls, session: Session) -> Zoo:
        return cls(session.results / "models", say=session.say)

    def __init__(self, folder: Path, *, say: Say) -> None:
        self._folder = folder
        self._say = say
        folder.mkdir(parents=True, exist_ok=True)

    def artifact(self, name: str) -> Artifact:
        """One of the five, by its name."""
        if name == NO_OP:
            return self._code(NO_OP, code=NO_OP_CODE)
        file = self._folder / f"{name}-{_recipe()}.skops"
        if not file.exists():
            self._say(f"Training a {TITLES[name]} on {TRAINING_SIZE:,} pictures ...")
            estimator = ESTIMATORS[name]().fit(*pictures())
            _write(file, content=skops.io.dumps(estimator))
        return Artifact(name=name, runtime="sklearn", file=file)

    def sleeping(self, name: str, *, model: SleepingModel) -> Artifact:
        return self._code(name, code=SLEEPING_CODE.format(fixed=model.fixed, row=model.row))

    def straggling(
        self, name: str, *, model: Straggler, answers: Sequence[int], seed: int
    ) -> Artifact:
        """A container that answers from a table, to inputs that are a place in it."""
        code = STRAGGLING_CODE.format(
            answers=bytes(answers), usual=model.usual, chance=model.chance, late=model.late,
            seed=seed,
        )  # fmt: skip
        return self._code(name, code=code)

    def _code(self, name: str, *, code: str) -> Artifact:
        file = self._folder / f"{name}.py"
        _write(file, content=code.encode())
        return Artifact(name=name, runtime="python", file=file)


def _write(file: Path, *, content: bytes) -> None:
    """Put the whole file there, or nothing."""
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(file)


@cache
def _recipe() -> str:
    """What the trained models depend on, as a part of their files' names."""
    text = (sklearn.__version__, inspect.getsource(enlarged), SEED, SHIFT, NOISE, TRAINING_SIZE)
    return sha256(repr(text).encode()).hexdigest()[:8]


@cache
def pictures() -> tuple[Images, NDArray[np.bool_]]:
    """The training set, half of it threes, and which those are."""
    images, labels = training()
    generator = np.random.default_rng(SEED)
    halves = [
        generator.choice(np.flatnonzero(chosen), TRAINING_SIZE // 2)
        for chosen in (labels == DIGIT, labels != DIGIT)
    ]
    picked = np.concatenate(halves)
    return enlarged(images[picked], generator=generator), labels[picked] == DIGIT


def enlarged(images: Images, *, generator: np.random.Generator) -> Images:
    """Return scans of 8 x 8 pixels as shifted, noisy pictures of 28 x 28 values from 0 to 1."""
    squares = images.reshape(-1, SMALL_SIDE, SMALL_SIDE) / SHADES
    factor = LARGE_SIDE / SMALL_SIDE
    large = ndimage.zoom(squares, (1.0, factor, factor), order=1)
    shifts = generator.integers(-SHIFT, SHIFT + 1, size=(len(large), 2))
    shifted = np.stack(
        [np.roll(one, shift, axis=(0, 1)) for one, shift in zip(large, shifts, strict=True)]
    )
    noise = generator.normal(0.0, NOISE, shifted.shape)
    flat: Images = (shifted + noise).clip(0.0, 1.0).round(DECIMALS).reshape(-1, FEATURES)
    return flat


@cache
def questions(count: int) -> tuple[bytes, ...]:
    """So many pictures that no model has seen, each as the raw JSON text of one input."""
    images, _ = held_out()
    generator = np.random.default_rng(SEED + 1)
    picked = images[generator.integers(0, len(images), count)]
    return tuple(_as_json(image) for image in enlarged(picked, generator=generator))


def _as_json(image: NDArray[np.float64]) -> bytes:
    return f"[{','.join(f'{value:.{DECIMALS}f}' for value in image)}]".encode()
