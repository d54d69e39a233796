"""The memory of the stack's processes, read every other second while the load runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import psutil

from benchmarks.processes import MIB, processes_by_role, read_memory

EVERY_SECONDS = 2.0


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Resident memory in MiB (`pss`: shared pages divided) when `queries` had been asked.

    Of the web process that answers, by its id; of all processes of the CPU worker together, which
    are the replicas and the slots without one; and of Redis.
    """

    at: float
    queries: int
    pid: int
    web: float
    web_pss: float
    worker_pss: float
    redis: float


@contextmanager
def watching(
    root: int, *, web: Callable[[], list[psutil.Process]], queries: Callable[[], int]
) -> Iterator[list[Reading]]:
    """Append readings of the processes below `root` as long as the block runs."""
    readings: list[Reading] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(EVERY_SECONDS):
            reading = _read(root, web=web, queries=queries)
            if reading is not None:
                readings.append(reading)

    thread = threading.Thread(target=watch, name="soak.memory")
    thread.start()
    try:
        yield readings
    finally:
        ended.set()
        thread.join()


def _read(
    root: int, *, web: Callable[[], list[psutil.Process]], queries: Callable[[], int]
) -> Reading | None:
    """Nothing while there is no web process, as after it was killed."""
    try:
        serving = web()[0]
        own = serving.memory_full_info()
        roles = read_memory(processes_by_role(root, replicas={}))
    except (IndexError, psutil.NoSuchProcess):
        return None
    return Reading(
        at=time.monotonic(),
        queries=queries(),
        pid=serving.pid,
        web=own.rss / MIB,
        web_pss=getattr(own, "pss", own.rss) / MIB,
        worker_pss=roles["worker"].pss if "worker" in roles else 0.0,
        redis=roles["redis"].rss if "redis" in roles else 0.0,
    )
