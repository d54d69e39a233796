"""Limits of one model: memory beyond that of its bare process, threads for linear algebra.

Memory counts if nothing else backs it. Another process compares the family with the limit each
second (`fault_of`); in between the kernel refuses one process much more than the limit.
"""

import os
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from serving.container.failures.container_errors import ContainerError, MemoryLimitExceeded
from serving.container.sandbox.family import (
    Process,
    crowd_of,
    family_of,
    held_bytes,
    read_processes,
    shared_once_bytes,
)

MIB = 1 << 20
# The kernel hands out so much on top of the limit: it counts what a process has asked for, used or
# not, such as the stack and the buffers of each thread.
SLACK = 1.25
SPARE_BYTES_PER_THREAD = 64 * MIB
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class MemoryLimit:
    """Holds this process to `limit_mb` more than it has now, for good; None: to nothing."""

    def __init__(self, limit_mb: int | None, *, threads: int = 1) -> None:
        self.limit_mb = limit_mb
        self.base_bytes = process_bytes()
        self._threads = threads
        self._before = resource.getrlimit(resource.RLIMIT_DATA)

    def impose(self) -> None:
        if self.limit_mb is None or sys.platform != "linux":
            return
        limit = int(self.limit_mb * MIB * SLACK)
        ceiling = _status("VmData") + limit + SPARE_BYTES_PER_THREAD * (1 + self._threads)
        _, hard = self._before
        soft = ceiling if hard == resource.RLIM_INFINITY else min(ceiling, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))

    def lift(self) -> None:
        """Give back the room for whatever has to be done once the model has failed."""
        resource.setrlimit(resource.RLIMIT_DATA, self._before)

    def check(self) -> None:
        """Raises MemoryLimitExceeded where the process holds more than it may."""
        if self.limit_mb is not None:
            excess = excess_of(private_bytes(), base_bytes=self.base_bytes, limit_mb=self.limit_mb)
            if excess:
                raise MemoryLimitExceeded(excess)


def excess_of(held_bytes: int, *, base_bytes: int, limit_mb: int) -> str:
    """Say by how much a process is over its limit, "" where it isn't."""
    taken_mb = (held_bytes - base_bytes) / MIB
    if taken_mb <= limit_mb:
        return ""
    return f"the model takes {taken_mb:.0f} MiB, more than its memory limit of {limit_mb} MiB"


@contextmanager
def held_to(limit: MemoryLimit, *, threads: int) -> Iterator[None]:
    """Load and warm a model up within its limits; raises MemoryLimitExceeded."""
    if threads > 1:  # else libraries go by the environment that the process was started with
        limit_threads(threads)
    limit.impose()
    try:
        yield
        limit.check()
    except (ContainerError, MemoryError) as error:
        limit.lift()
        if limit.limit_mb is None or not _tells_of_memory(error):
            raise
        raise MemoryLimitExceeded(
            f"the model needs more than its memory limit of {limit.limit_mb} MiB: {error}"
        ) from error
    limit_threads(threads)


def limit_threads(count: int) -> None:
    """Have linear algebra use so many threads: in libraries loaded already, and in later ones."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(count)))
    with suppress(ImportError):  # scikit-learn's; a model's own environment need not have it
        from threadpoolctl import threadpool_limits

        threadpool_limits(limits=count)


def process_bytes(pid: int | None = None) -> int:
    """Return what a process holds that no file backs, this one for None; 0 if nobody knows."""
    return held_bytes({os.getpid() if pid is None else pid})


def private_bytes(pid: int | None = None) -> int:
    """Return what a process (None: this one) and its family hold that no file backs."""
    return held_bytes(family_of([os.getpid() if pid is None else pid], read_processes()))


def fault_of(
    pids: Sequence[int], processes: Mapping[int, Process], *, base_bytes: int, limit_mb: int | None
) -> str:
    """Say what the family of a model's processes has too much of, "" if it is within its limits."""
    family = family_of(pids, processes)
    if crowd := crowd_of(family, processes):
        return crowd
    if limit_mb is None:
        return ""
    if not excess_of(held_bytes(family), base_bytes=base_bytes, limit_mb=limit_mb):
        return ""
    held = shared_once_bytes(pids, family)
    return excess_of(held, base_bytes=base_bytes, limit_mb=limit_mb)


def _status(name: str) -> int:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def _tells_of_memory(error: BaseException) -> bool:
    """Return whether memory was short; a model's own exception is there as text alone."""
    return isinstance(error, MemoryError) or (
        not isinstance(error, MemoryLimitExceeded) and "MemoryError" in str(error)
    )
