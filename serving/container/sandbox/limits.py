"""Limits of one model: memory beyond that of its bare process, threads for linear algebra.

Memory counts if nothing else backs it. Another process compares the family with the limit each
second (`usage_of`); in between the kernel refuses one process much more than the limit.
"""

import os
import re
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
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def held_to(limit_mb: int | None, *, threads: int) -> Iterator[None]:
    """Load and warm a model up within its limits, which stay; raises MemoryLimitExceeded.

    `limit_mb` counts from what this process holds now; None: no limit.
    """
    base_bytes, before = process_bytes(), resource.getrlimit(resource.RLIMIT_DATA)
    if threads > 1:  # else libraries go by the environment that the process was started with
        limit_threads(threads)
    if limit_mb is not None and sys.platform == "linux":
        # Some more, as the kernel counts what a process has asked for, used or not, such as the
        # stack and the buffers of each thread.
        spare = 64 * MIB * (1 + threads)
        ceiling = _data_bytes() + int(limit_mb * MIB * 1.25) + spare
        hard = before[1]
        soft = ceiling if hard == resource.RLIM_INFINITY else min(ceiling, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    try:
        yield
        if limit_mb is not None:
            held = held_bytes(family_of([os.getpid()], read_processes()))
            if excess := excess_of(held, base_bytes=base_bytes, limit_mb=limit_mb):
                raise MemoryLimitExceeded(excess)
    except (ContainerError, MemoryError) as error:
        # Room for what has to be done once the model has failed.
        resource.setrlimit(resource.RLIMIT_DATA, before)
        # A model's own exception is there as text alone.
        is_short = isinstance(error, MemoryError) or "MemoryError" in str(error)
        if limit_mb is None or isinstance(error, MemoryLimitExceeded) or not is_short:
            raise
        raise MemoryLimitExceeded(
            f"the model needs more than its memory limit of {limit_mb} MiB: {error}"
        ) from error
    limit_threads(threads)


def excess_of(held_bytes: int, *, base_bytes: int, limit_mb: int) -> str:
    """Say by how much a process is over its limit, "" where it isn't."""
    taken_mb = (held_bytes - base_bytes) / MIB
    if taken_mb <= limit_mb:
        return ""
    return f"the model takes {taken_mb:.0f} MiB, more than its memory limit of {limit_mb} MiB"


def limit_threads(count: int) -> None:
    """Have linear algebra use so many threads: in libraries loaded already, and in later ones."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(count)))
    with suppress(ImportError):  # scikit-learn's; a model's own environment need not have it
        from threadpoolctl import threadpool_limits

        threadpool_limits(limits=count)


def process_bytes(pid: int | None = None) -> int:
    """Return what a process holds that no file backs, this one for None; 0 if nobody knows."""
    return held_bytes({os.getpid() if pid is None else pid})


def usage_of(
    pids: Sequence[int], processes: Mapping[int, Process], *, base_bytes: int, limit_mb: int | None
) -> tuple[int, str]:
    """Return the bytes that the family of a model's processes takes beyond its base, 0 if nobody
    knows, and what it has too much of. What they share counts once only if it is over the limit.
    """
    family = family_of(pids, processes)
    if crowd := crowd_of(family, processes):
        return 0, crowd
    held, excess = held_bytes(family), ""
    if limit_mb is not None and excess_of(held, base_bytes=base_bytes, limit_mb=limit_mb):
        held = shared_once_bytes(pids, family)
        excess = excess_of(held, base_bytes=base_bytes, limit_mb=limit_mb)
    return max(held - base_bytes, 1) if family else 0, excess


def _data_bytes() -> int:
    """Return what the kernel compares with RLIMIT_DATA."""
    found = re.search(r"(?m)^VmData:\s*(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0
