"""Model containers as real processes, each on a Unix socket of its own."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.command import Failed
from benchmarks.paper.models import Artifact
from benchmarks.servers import KEPT, ONE_THREAD, stop
from scripts.stack.layout import ROOT
from scripts.stack.processes import dying_with_its_parent
from serving.cluster.membership.records import ReplicaRecord, ReplicaState

START_SECONDS, STOP_SECONDS = 60.0, 10.0
VERSION = "1"


@contextmanager
def running_containers(
    artifacts: Sequence[Artifact], *, folder: Path, replicas: int = 1
) -> Iterator[list[ReplicaRecord]]:
    """Start replicas of each model at the same time; they are gone when the block is left.

    The models' versions are 1, 2, ... in order. Yields what a front end's links need to know, as a
    directory would list them.
    """
    with ExitStack() as held:
        starting = [
            (artifact, id, held.enter_context(_process(artifact, folder=folder, number=n, id=id)))
            for id, artifact in enumerate(artifacts, start=1)
            for n in range(1, replicas + 1)
        ]
        yield [_wait_until_up(process, artifact, id=id) for artifact, id, process in starting]


@contextmanager
def _process(
    artifact: Artifact, *, folder: Path, number: int, id: int
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    name = f"{artifact.name}-{number}"
    log = folder / f"{name}.log"
    command = [
        sys.executable, "-m", "serving.container", "serve",
        "--runtime", artifact.runtime, "--artifact", str(artifact.file),
        "--sha256", artifact.digest, "--input-type", "doubles",
        "--address", f"unix:{folder / name}.sock", "--name", artifact.name,
        "--version", VERSION, "--version-id", str(id), "--drain-timeout", "1",
        # Forests hold types that skops doesn't trust by itself; the files are our own.
        "--allow-pickle",
    ]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={name: os.environ[name] for name in KEPT[:4] if name in os.environ} | ONE_THREAD,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            # Ctrl-C in the terminal is for us alone: we stop the containers in order.
            start_new_session=True,
            preexec_fn=_on_the_last_core(),
        )
    assert process.stdout is not None
    try:
        yield process, log
    finally:
        stop(process, seconds=STOP_SECONDS)
        process.stdout.close()


def _on_the_last_core() -> Callable[[], None] | None:
    """A `preexec_fn`: away from this process, which keeps to the first core (`on_one_core`)."""
    tie = dying_with_its_parent()

    def settle() -> None:
        if tie is not None:
            tie()
        if len(CORES) > 1:
            os.sched_setaffinity(0, CORES[1:])

    return settle if sys.platform == "linux" else tie


# The cores that the whole run may use; empty where the system does not tell.
CORES: list[int] = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []


@contextmanager
def on_one_core() -> Iterator[None]:
    """Keep this process, the front end, on a core that no container gets, as the paper did."""
    if len(CORES) < 2:
        yield
        return
    os.sched_setaffinity(0, CORES[:1])
    try:
        yield
    finally:
        os.sched_setaffinity(0, CORES)


def _wait_until_up(
    started: tuple[subprocess.Popen[bytes], Path], artifact: Artifact, *, id: int
) -> ReplicaRecord:
    process, log = started
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if ready else b""
    said: dict[str, Any] = json.loads(line) if line else {}
    if not said.get("ok"):
        reason = said.get("error") or log.read_text(errors="replace")[-2000:]
        raise Failed(f"A container did not come up: {reason}")
    return ReplicaRecord(
        # As the container calls itself, in its HELLO.
        id=f"{artifact.name}-{VERSION}-{said['pid']}",
        model=artifact.name,
        version=VERSION,
        version_id=id,
        generation=0,
        state=ReplicaState.READY,
        address=said["address"],
    )
