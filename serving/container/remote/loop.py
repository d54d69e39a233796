"""An event loop in a thread of its own, for a process whose other loop runs the model."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

ENDED_WITHIN_S = 5.0


class LoopThread:
    """Runs coroutines for the thread that made it, one after the other."""

    def __init__(self) -> None:
        self._loop = _new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="remote", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], *, within_s: float) -> T:
        """Return or raise what the work does; TimeoutError, and the work is cancelled, if late."""
        asked = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return asked.result(within_s)
        except concurrent.futures.TimeoutError:
            asked.cancel()
            raise TimeoutError(f"no answer within {within_s:g} s") from None

    def close(self, last: Callable[[], None]) -> None:
        """Call `last` on the loop, then end it."""

        def stop() -> None:
            last()
            self._loop.call_soon(self._loop.stop)

        self._loop.call_soon_threadsafe(stop)
        self._thread.join(ENDED_WITHIN_S)
        if not self._thread.is_alive():
            self._loop.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    with suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()
