"""Model containers as real processes, each on a Unix socket of its own."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.paper.models import Artifact
from scripts.stack.layout import ROOT
from scripts.stack.processes import dying_with_its_parent
from serving.cluster.membership.records import ReplicaRecord, ReplicaState

START_SECONDS = 60.0
STOP_SECONDS = 10.0
VERSION = "1"
# One thread for every library that may start more: a container has one core, as in the paper.
ONE_THREAD = {
    f"{library}_NUM_THREADS": "1"
    for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR", "VECLIB_MAXIMUM")
}
KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


class ContainerFailed(Exception):
    """A container did not come up; the message holds what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A running container. `id` is the replica's."""

    id: str
    model: str
    version_id: int
    address: str
    pid: int


@contextmanager
def running_containers(
    artifact: Artifact, *, folder: Path, count: int = 1, version_id: int = 1
) -> Iterator[list[Container]]:
    """Start replicas of one model at the same time; they are gone when the block is left."""
    with ExitStack() as held:
        starting = [
            held.enter_context(_process(artifact, folder=folder, number=n, version_id=version_id))
            for n in range(1, count + 1)
        ]
        yield [
            _wait_until_up(process, log=log, name=artifact.name, version_id=version_id)
            for process, log in starting
        ]


@contextmanager
def running_models(artifacts: Sequence[Artifact], *, folder: Path) -> Iterator[list[Container]]:
    """Start one container of each model at the same time; their versions are 1, 2, ... in order."""
    with ExitStack() as held:
        starting = [
            held.enter_context(_process(artifact, folder=folder, number=1, version_id=version_id))
            for version_id, artifact in enumerate(artifacts, start=1)
        ]
        yield [
            _wait_until_up(process, log=log, name=artifact.name, version_id=version_id)
            for version_id, (artifact, (process, log)) in enumerate(
                zip(artifacts, starting, strict=True), start=1
            )
        ]


@contextmanager
def _process(
    artifact: Artifact, *, folder: Path, number: int, version_id: int
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    name = f"{artifact.name}-{number}"
    log = folder / f"{name}.log"
    command = [
        sys.executable, "-m", "serving.container", "serve",
        "--runtime", artifact.runtime, "--artifact", str(artifact.file),
        "--sha256", artifact.digest, "--input-type", "doubles",
        "--address", f"unix:{folder / name}.sock", "--name", artifact.name,
        "--version", VERSION, "--version-id", str(version_id), "--drain-timeout", "1",
        # Forests hold types that skops doesn't trust by itself; the files are our own.
        "--allow-pickle",
    ]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={name: os.environ[name] for name in KEPT if name in os.environ} | ONE_THREAD,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            # Ctrl-C in the terminal is for us alone: we stop the containers in order.
            start_new_session=True,
            preexec_fn=_on_the_last_core(),
        )
    try:
        yield process, log
    finally:
        _stop(process)


def _on_the_last_core() -> Callable[[], None] | None:
    """A `preexec_fn`: away from this process, which keeps to the first core (see `on_core`)."""
    tie, cores = dying_with_its_parent(), usable_cores()

    def settle() -> None:
        if tie is not None:
            tie()
        if len(cores) > 1:
            os.sched_setaffinity(0, cores[1:])

    return settle if sys.platform == "linux" else tie


def usable_cores() -> list[int]:
    """The cores that the whole run may use; empty where the system does not tell."""
    return sorted(_ALL_CORES)


_ALL_CORES: frozenset[int] = (
    frozenset(os.sched_getaffinity(0)) if sys.platform == "linux" else frozenset()
)


@contextmanager
def on_one_core() -> Iterator[None]:
    """Keep this process, the front end, on a core that no container gets, as the paper did."""
    cores = usable_cores()
    if len(cores) < 2:
        yield
        return
    os.sched_setaffinity(0, cores[:1])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _wait_until_up(
    process: subprocess.Popen[bytes], *, log: Path, name: str, version_id: int
) -> Container:
    said = _first_line(process)
    if not said.get("ok"):
        reason = said.get("error") or log.read_text(errors="replace")[-2000:]
        raise ContainerFailed(f"A container did not come up: {reason}")
    # As the container calls itself, in its HELLO.
    replica = f"{name}-{VERSION}-{said['pid']}"
    return Container(
        id=replica, model=name, version_id=version_id, address=said["address"], pid=said["pid"]
    )


def _first_line(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if ready else b""
    said: dict[str, Any] = json.loads(line) if line else {}
    return said


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    try:
        process.wait(deadline - time.monotonic())
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def records(containers: Sequence[Container]) -> list[ReplicaRecord]:
    """What the front end's links need to know, as a directory would list them."""
    return [
        ReplicaRecord(
            id=container.id,
            model=container.model,
            version=VERSION,
            version_id=container.version_id,
            generation=0,
            state=ReplicaState.READY,
            address=container.address,
        )
        for container in containers
    ]
