"""Something that goes on in a thread at a steady pace, as long as a load runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

import psutil

T = TypeVar("T")


def every(seconds: float, *, stop: threading.Event) -> Iterator[None]:
    """Go on at this pace until told to stop; a turn that took longer delays none but the next."""
    due = time.monotonic()
    while not stop.is_set():
        yield
        due = max(due + seconds, time.monotonic())
        stop.wait(due - time.monotonic())


@contextmanager
def meanwhile(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Have it work in a thread until the block is left; its failure is the block's."""
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="meanwhile") as threads:
        working = threads.submit(work, stop)
        try:
            yield
        finally:
            stop.set()
        working.result()


@contextmanager
def read_often(read: Callable[[], T | None], *, seconds: float) -> Iterator[list[T]]:
    """Append what is read to the list, as long as the block runs; nothing for None."""
    readings: list[T] = []

    def watch(stop: threading.Event) -> None:
        while not stop.wait(seconds):
            with suppress(psutil.NoSuchProcess):
                if (reading := read()) is not None:
                    readings.append(reading)

    with meanwhile(watch):
        yield readings
