"""Limits of time and memory for requests that have not arrived as a whole."""

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from core.errors import Saturated

# The entry of a scope's state that holds the limits of the process.
LIMITS_KEY = "limits"
# Bounds of a request's head.
MAX_HEAD_BYTES = 64 << 10
MAX_FIELDS = 200


@dataclass(slots=True, kw_only=True)
class Limits:
    """The limits of a web process, and the bytes that it holds of unfinished requests.

    A head has to arrive within `head_s`. Each `body_s` has to bring the end of a body or at least
    `body_rate` bytes per second. A websocket has `authentication_s` to name a key.
    """

    head_s: float = 20.0
    body_s: float = 30.0
    body_rate: float = 1024.0
    authentication_s: float = 10.0
    idle_s: float = 75.0
    unfinished_bytes: int = 128 << 20
    held: int = field(default=0, init=False)

    def hold(self, size: int) -> None:
        """Add `size` to the bytes held, less than 0 to release; raise Saturated for too many."""
        if size > 0 and self.held + size > self.unfinished_bytes:
            raise Saturated(
                "Too much is held for requests that have not arrived as a whole.", retry_after_s=1.0
            )
        self.held += size


def limits_of(state: MutableMapping[str, Any]) -> Limits:
    """Return the limits in the state of a scope."""
    limits: Limits = state.setdefault(LIMITS_KEY, Limits())
    return limits


class Unfinished:
    """The part of one request or message that has arrived; each window has to bring `enough`."""

    __slots__ = ("_brought", "_limits", "held", "since")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._brought = 0
        self.held = 0
        # When the window began; 0 if nothing is awaited.
        self.since = 0.0

    @property
    def until(self) -> float:
        return self.since + self._limits.body_s

    @property
    def enough(self) -> bool:
        """Return whether the window has brought what it has to."""
        return self._brought >= self._limits.body_rate * self._limits.body_s

    def hold(self, size: int) -> None:
        """Count `size` bytes instead of those before; raise Saturated if they are too many."""
        self._limits.hold(size - self.held)
        self.held = size

    def begin_window(self, *, now: float) -> None:
        self.since, self._brought = now, 0

    def bring(self, size: int) -> None:
        self._brought += size

    def end(self) -> None:
        """Release the bytes, and await nothing."""
        self.hold(0)
        self.since = 0.0
