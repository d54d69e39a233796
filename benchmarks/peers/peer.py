"""The shape that every peer has: how it is started, where it is asked, and what is expected."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.bodies import Protocol

MAX_BATCH = 64
WAIT_MS = 2.0
# What is asked of Clipper beside a peer that was tuned beyond its batching.
AHEAD = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A way to make batches; `wait_ms` is how long one that isn't full may wait."""

    name: str
    wait_ms: float


WAIT = Setting(name="wait 2 ms", wait_ms=WAIT_MS)
NO_WAIT = Setting(name="no wait", wait_ms=0.0)
NO_BATCHES = Setting(name="no batches", wait_ms=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a server is to run. `folder` is its own and short-lived; `ports` are free ones."""

    environment: Path
    folder: Path
    ports: tuple[int, ...]

    @property
    def port(self) -> int:
        """The one on which it is asked."""
        return self.ports[0]

    @property
    def python(self) -> str:
        return str(self.environment / "bin/python")

    @property
    def packages(self) -> Path:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.environment / "lib" / version / "site-packages"


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
    protocol: Protocol
    path: str
    at_least: float
    launch: Callable[[Place, Setting], Launch]
    settings: tuple[Setting, ...] = (WAIT, NO_WAIT)


def module(place: Place, name: str) -> list[str]:
    """The command that runs one of the modules in `servers` in the peer's environment."""
    return [place.python, "-m", f"benchmarks.peers.servers.{name}"]
