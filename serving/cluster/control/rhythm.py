"""A job of the control worker that is repeated, in a thread of its own.

By the monotonic clock, so that setting the wall clock neither stops nor hurries anything.
"""

import logging
import threading
from collections.abc import Callable
from time import monotonic

from django.db import connections

logger = logging.getLogger(__name__)


class Rhythm:
    """Calls `work` every `interval_s` until it is stopped; never twice at a time.

    What takes longer than its interval is called again at once, and nothing is made up for. An
    exception is logged, once for each that follows another of its kind, and the next call comes.
    The database is left open from call to call, as opening it costs more than many a call does,
    and opened anew after an exception.
    """

    def __init__(
        self,
        work: Callable[[], object],
        *,
        interval_s: float,
        name: str,
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        """`prepare` is called first, in the thread."""
        self._work = work
        self._prepare = prepare
        self._interval_s = interval_s
        self._name = name
        self._over = threading.Event()
        self._last_error = ""
        self._thread = threading.Thread(target=self._run, name=f"rhythm.{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Call no more; what is under way goes on."""
        self._over.set()

    def join(self, *, within_s: float) -> None:
        self._thread.join(timeout=within_s)

    def _run(self) -> None:
        self._prepare()
        due = monotonic()
        while not self._over.wait(max(0.0, due - monotonic())):
            self._call()
            due = max(due + self._interval_s, monotonic())
        connections.close_all()

    def _call(self) -> None:
        try:
            self._work()
            self._last_error = ""
        except Exception as error:  # whatever it is, the next call may succeed
            text = f"{type(error).__name__}: {error}"
            if text != self._last_error:
                logger.exception("failed, will go on job=%s", self._name)
            self._last_error = text
            connections.close_all()
            self._over.wait(1.0)  # work without an interval would be tried as fast as it fails
