"""The models that the figures put into containers: five that compute, trained from a fixed
seed, which answer the paper's question, "is this a 3?", and others that sleep.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn
import skops.io
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]  # SciPy has no stubs
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC, LinearSVC

from benchmarks.experiment import Session
from benchmarks.linear import LARGE_SIDE, SHADES, SMALL_SIDE
from benchmarks.servers import ONE_THREAD, running
from registry.demo.digits import SEED, Images, held_out, training
from serving.cluster.membership.records import ReplicaRecord, ReplicaState

DIGIT = 3
FEATURES = LARGE_SIDE**2
# Shifted by up to so many pixels, and so noisy that the kernel SVM has to keep about 6,000 of its
# 10,000 pictures as support vectors: as slow as the paper's, beside a linear one.
SHIFT, NOISE, TRAINING_SIZE = 4, 0.6, 10_000
RECIPE = (sklearn.__version__, SEED, SHIFT, NOISE, TRAINING_SIZE)
START_SECONDS = 60.0
VERSION = "1"
# The cores that the whole run may use; empty where the system does not tell.
CORES: list[int] = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []

NO_OP, LINEAR_SVM, KERNEL_SVM = "no-op", "linear-svm", "kernel-svm"
TITLES = {
    NO_OP: "No-Op",
    LINEAR_SVM: "Linear SVM",
    "logistic-regression": "Log. regression",
    "random-forest": "Random forest",
    KERNEL_SVM: "Kernel SVM",
}
# As the paper's containers had them; all on one core.
ESTIMATORS: dict[str, Callable[[], Any]] = {
    LINEAR_SVM: lambda: LinearSVC(dual=False, random_state=SEED),
    "logistic-regression": lambda: LogisticRegression(max_iter=200),
    "random-forest": lambda: RandomForestClassifier(max_depth=16, random_state=SEED, n_jobs=1),
    KERNEL_SVM: lambda: SVC(),
}

CODE = '''\
"""A model that sleeps as one on an accelerator keeps its host waiting, and takes no CPU.

`FIXED + ROW * n` seconds for n inputs, and with a CHANCE anything within LATE instead. Answers
question n with the n-th of the ANSWERS of a real model, where there are any.
"""

import random
import time

FIXED, ROW, CHANCE, LATE = {fixed!r}, {row!r}, {chance!r}, {late!r}
ANSWERS = {answers!r}


class Predictor:
    def __init__(self, path):
        self._random = random.Random({seed!r})

    def pred_batch(self, inputs):
        late = self._random.random() < CHANCE
        seconds = self._random.uniform(*LATE) if late else FIXED + ROW * len(inputs)
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0.0:
            time.sleep(left)
        return [ANSWERS[int(row[0])] for row in inputs] if ANSWERS else [0] * len(inputs)
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A model as a container loads it."""

    name: str
    runtime: str
    file: Path

    @property
    def upload(self) -> dict[str, Any]:
        """The same as a stack takes it."""
        artifact = self.file.read_bytes()
        return {"artifact": artifact, "runtime": self.runtime, "file": self.file.name}


def trained(session: Session, name: str) -> Artifact:
    """One of the five, by its name; kept for the next run as long as nothing about it changes."""
    if name == NO_OP:
        return coded(session, NO_OP)
    memory = joblib.Memory(session.results / "models", verbose=0)
    file = session.folder / f"{name}.skops"
    file.write_bytes(memory.cache(_trained)(name, RECIPE))
    return Artifact(name=name, runtime="sklearn", file=file)


def _trained(name: str, recipe: tuple[object, ...]) -> bytes:
    artifact: bytes = skops.io.dumps(ESTIMATORS[name]().fit(*pictures()))
    return artifact


def coded(
    session: Session,
    name: str,
    *,
    fixed: float = 0.0,
    row: float = 0.0,
    chance: float = 0.0,
    late: tuple[float, float] = (0.0, 0.0),
    answers: bytes = b"",
    seed: int = 0,
) -> Artifact:
    """A model that sleeps; the seconds and the rest are those in its code."""
    code = CODE.format(fixed=fixed, row=row, chance=chance, late=late, answers=answers, seed=seed)
    file = session.folder / f"{name}.py"
    file.write_text(code)
    return Artifact(name=name, runtime="python", file=file)


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
    flat: Images = (shifted + noise).clip(0.0, 1.0).round(5).reshape(-1, FEATURES)
    return flat


@cache
def questions(count: int) -> tuple[bytes, ...]:
    """So many pictures that no model has seen, each as the raw JSON text of one input."""
    images, _ = held_out()
    generator = np.random.default_rng(SEED + 1)
    picked = enlarged(images[generator.integers(0, len(images), count)], generator=generator)
    return tuple(f"[{','.join(f'{value:.5f}' for value in image)}]".encode() for image in picked)


@contextmanager
def running_containers(
    artifacts: Sequence[Artifact], *, folder: Path, replicas: int = 1
) -> Iterator[list[ReplicaRecord]]:
    """Yield replicas of each model, as a directory would list them; versions are 1, 2, ...

    This process, the front end, keeps to a core that no container gets, as in the paper.
    """
    with ExitStack() as held:
        with _only_on(CORES[1:]):
            started = [
                held.enter_context(_running(artifact, folder=folder, number=number, id=id))
                for id, artifact in enumerate(artifacts, start=1)
                for number in range(1, replicas + 1)
            ]
        held.enter_context(_only_on(CORES[:1] if CORES[1:] else []))
        yield started


@contextmanager
def _only_on(cores: Sequence[int]) -> Iterator[None]:
    """Keep this process, and those that it starts, to these cores."""
    if not cores:
        yield
        return
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, CORES)


@contextmanager
def _running(artifact: Artifact, *, folder: Path, number: int, id: int) -> Iterator[ReplicaRecord]:
    name = f"{artifact.name}-{number}"
    log = folder / f"{name}.log"
    command = [
        sys.executable, "-m", "serving.container", "serve",
        "--runtime", artifact.runtime, "--artifact", str(artifact.file),
        "--sha256", sha256(artifact.file.read_bytes()).hexdigest(), "--input-type", "doubles",
        "--address", f"unix:{folder / name}.sock", "--name", artifact.name,
        "--version", VERSION, "--version-id", str(id), "--drain-timeout", "1",
        # Forests hold types that skops doesn't trust by itself; the files are our own.
        "--allow-pickle",
    ]  # fmt: skip

    def said() -> dict[str, Any]:
        """Return its message that it is up, or the reason that it isn't going to be."""
        lines = [line for line in log.read_text().splitlines() if line.startswith('{"')]
        return dict(json.loads(lines[-1])) if lines else {}

    up = lambda: bool(said().get("ok"))  # noqa: E731
    with running(command, log=log, up=up, seconds=START_SECONDS, settings=ONE_THREAD):
        # As the container calls itself, in its HELLO.
        own, address = f"{artifact.name}-{VERSION}-{said()['pid']}", said()["address"]
        yield ReplicaRecord(
            id=own, model=artifact.name, version=VERSION, version_id=id, generation=0,
            state=ReplicaState.READY, address=address,
        )  # fmt: skip
