"""The questions, the same numbers in each protocol's JSON, and how an answer is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import skops.io

from benchmarks import models

COUNT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What stands before and after the array of numbers; `label` finds the class in an answer."""

    name: str
    before: str
    after: str
    label: Callable[[Any], int]


PLAIN = Protocol(
    name="plain", before='{"input":', after="}", label=lambda answer: int(answer["output"])
)
ROWS = Protocol(name="rows", before='{"input":[', after="]}", label=lambda answer: int(answer[0]))
OPEN_INFERENCE = Protocol(
    name="open-inference",
    before='{"inputs":[{"name":"input","shape":[1,784],"datatype":"FP64","data":',
    after="}]}",
    label=lambda answer: int(answer["outputs"][0]["data"][0]),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Arrays of numbers as JSON, with the class of each; `model` is a file for peers to load."""

    arrays: tuple[str, ...]
    labels: tuple[int, ...]
    model: Path
    folder: Path

    def bodies(self, protocol: Protocol) -> Iterator[str]:
        return (f"{protocol.before}{array}{protocol.after}" for array in self.arrays)

    def file(self, protocol: Protocol) -> Path:
        """Return the file that wrk reads, one body a line."""
        file = self.folder / f"{protocol.name}.txt"
        if not file.exists():
            file.write_text("".join(f"{body}\n" for body in self.bodies(protocol)))
        return file

    def samples(self, protocol: Protocol, *, count: int) -> Iterator[tuple[str, int]]:
        """Return some bodies, each with the answer that is right."""
        return islice(zip(self.bodies(protocol), self.labels, strict=True), count)


def questions(folder: Path) -> Questions:
    """Ask the model here what it makes of each, and keep its coefficients as a plain file."""
    estimator = skops.io.loads(models.linear_artifact(), trusted=[])
    model, plain = folder / "linear.npz", folder / f"{PLAIN.name}.txt"
    fitted = {name: getattr(estimator, name) for name in ("coef_", "intercept_", "classes_")}
    np.savez(model, **fitted)
    models.write_large_bodies(plain, count=COUNT)
    arrays = tuple(array_of(line) for line in plain.read_text().splitlines())
    labels = estimator.predict(np.array([json.loads(array) for array in arrays]))
    return Questions(
        arrays=arrays, labels=tuple(int(label) for label in labels), model=model, folder=folder
    )


def array_of(body: str) -> str:
    return body.removeprefix(PLAIN.before).removesuffix(PLAIN.after)
