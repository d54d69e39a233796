"""The request that a replica drains."""

import asyncio
import threading
from collections.abc import Callable


class DrainRequest:
    """Set by any threads, at any time; wakes the event loop that serves, as long as it waits."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._waking = threading.Lock()
        self._wake: Callable[[], object] | None = None

    @property
    def is_set(self) -> bool:
        return self._asked.is_set()

    def set(self) -> None:
        with self._waking:  # so that the loop isn't closed meanwhile
            self._asked.set()
            if self._wake is not None:
                self._wake()

    async def wait(self) -> None:
        woken = asyncio.Event()
        loop = asyncio.get_running_loop()
        try:
            with self._waking:
                self._wake = lambda: loop.call_soon_threadsafe(woken.set)
            if not self._asked.is_set():  # asked before there was a loop to wake
                await woken.wait()
        finally:
            with self._waking:
                self._wake = None
