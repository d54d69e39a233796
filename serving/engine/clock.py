"""What an engine reads the time from: a monotonic clock, in seconds."""

from __future__ import annotations

from collections.abc import Callable

Clock = Callable[[], float]
