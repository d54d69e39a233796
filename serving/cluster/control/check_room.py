"""Memory for checks that run side by side in one control worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.memory import available_bytes

# Of the memory that is available: the rest stays for replicas that grow or start meanwhile.
SHARE = 0.5
# Other processes may have given memory back.
LOOK_S = 1.0


class CheckRoom:
    """Lets checks run as long as what they may take together fits; one fits always.

    They come in one after the other, so that a large one isn't overtaken for ever.
    """

    def __init__(self, available: Callable[[], int] = available_bytes) -> None:
        self._available = available
        self._changed = threading.Condition()
        self._waiting: list[object] = []
        self._running: dict[object, int] = {}

    @contextmanager
    def hold(self, needed: int, *, wait: Callable[[], object]) -> Iterator[None]:
        """Run the block once there are `needed` bytes; `wait` is called each second until then,
        and what it raises ends the waiting.
        """
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                while not self._fits(ticket, needed):
                    wait()
                    self._changed.wait(LOOK_S)
                self._running[ticket] = needed
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                del self._running[ticket]
                self._changed.notify_all()

    def _fits(self, ticket: object, needed: int) -> bool:
        if self._waiting[0] is not ticket:
            return False
        together = needed + sum(self._running.values())
        return not self._running or together <= SHARE * self._available()
