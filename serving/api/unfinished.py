"""What has come of something that isn't there as a whole: its bytes, and whether it comes along."""

from __future__ import annotations

from serving.api.limits import Limits


class Unfinished:
    """What one connection holds of what its client has begun to send.

    Its bytes count among those that the process holds. Where more is awaited, each window of
    `Limits.body_s` has to bring `enough`; whoever has one looks when the window is over.
    """

    __slots__ = ("_brought", "_limits", "held", "since")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._brought = 0
        self.held = 0
        # When the window began, 0 where nothing is awaited.
        self.since = 0.0

    @property
    def until(self) -> float:
        """When the window is over."""
        return self.since + self._limits.body_s

    @property
    def enough(self) -> bool:
        """Whether the window has brought what it has to."""
        return self._brought >= self._limits.body_rate * self._limits.body_s

    def hold(self, size: int) -> None:
        """Count so many bytes as held, instead of those before.

        Raises Saturated, and leaves it at those, where the process would hold too many.
        """
        if size > self.held:
            self._limits.hold(size - self.held)
        else:
            self._limits.release(self.held - size)
        self.held = size

    def begin_window(self, *, now: float) -> None:
        self.since, self._brought = now, 0

    def bring(self, size: int) -> None:
        """So many bytes came within the window."""
        self._brought += size

    def await_nothing(self) -> None:
        self.since = 0.0

    def end(self) -> None:
        """It is there as a whole, or will never be."""
        self.hold(0)
        self.await_nothing()
