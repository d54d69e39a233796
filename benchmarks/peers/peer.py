"""The shape that every peer has: how it is started, how it is asked, and what is expected."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import skops.io

from benchmarks.linear import input_of, large_bodies, linear_artifact

MAX_BATCH = 64
WAIT_MS = 2.0
# What is asked of Clipper beside a peer that was tuned beyond its batching.
AHEAD = 1.0


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
    estimator = skops.io.loads(linear_artifact(), trusted=[])
    model = folder / "linear.npz"
    np.savez(
        model, **{name: getattr(estimator, name) for name in ("coef_", "intercept_", "classes_")}
    )
    plain = large_bodies(folder / f"{PLAIN.name}.txt")
    arrays = tuple(map(input_of, plain.read_text().splitlines()))
    labels = estimator.predict(np.array([json.loads(array) for array in arrays]))
    return Questions(arrays=arrays, labels=tuple(map(int, labels)), model=model, folder=folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A way to make batches; `wait_ms` is how long one that isn't full may wait."""

    name: str
    wait_ms: float


WAIT = Setting(name="wait 2 ms", wait_ms=WAIT_MS)
NO_WAIT = Setting(name="no wait", wait_ms=0.0)
NO_BATCHES = Setting(name="no batches", wait_ms=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where a server is to run. `folder` is its own and short-lived; `ports` are free ones."""

    environment: Path
    folder: Path
    ports: tuple[int, ...]

    @property
    def port(self) -> int:
        """The one on which it is asked."""
        return self.ports[0]

    @property
    def packages(self) -> Path:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.environment / "lib" / version / "site-packages"

    def program(self, name: str) -> str:
        return str(self.environment / "bin" / name)

    def module(self, name: str, *arguments: str) -> list[str]:
        """The command that runs one of the modules in `servers` in the peer's environment."""
        return [self.program("python"), "-m", f"benchmarks.peers.servers.{name}", *arguments]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A command, and the variables that it gets beside those which all peers get."""

    command: list[str]
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One server to be compared with.

    `environment` names its requirements and its virtual environment. Clipper is to make
    `at_least` so many times its queries a second.
    """

    name: str
    title: str
    environment: str
    path: str
    at_least: float
    launch: Callable[[Home, Setting], Launch]
    protocol: Protocol = PLAIN
    settings: tuple[Setting, ...] = (WAIT, NO_WAIT)
