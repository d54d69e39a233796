"""Counts of the last few seconds, from counters that only grow."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from core.counters import growth

# Rates and quantiles look back this many publications (seconds).
WINDOW = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """Counts within `seconds`, and of each histogram by bucket."""

    seconds: float
    counts: Mapping[str, int]
    histograms: Mapping[str, list[int]]

    def rate(self, name: str) -> float:
        return self.counts[name] / self.seconds if self.seconds > 0 else 0.0


class _Reading(NamedTuple):
    at: float
    counts: tuple[int, ...]
    histograms: tuple[tuple[int, ...], ...]


class RateWindow:
    """The last few readings of one object's counters and histograms, by their names."""

    def __init__(self, *, counters: Sequence[str], histograms: Sequence[str]) -> None:
        self._counters = counters
        self._histograms = histograms
        self._readings: deque[_Reading] = deque(maxlen=WINDOW + 1)

    def delta(self, stats: Any, *, now: float) -> Delta:
        """Take a reading; return what has come since the oldest one remembered."""
        reading = _Reading(
            now,
            tuple(getattr(stats, name) for name in self._counters),
            tuple(tuple(getattr(stats, name).counts) for name in self._histograms),
        )
        self._readings.append(reading)
        oldest = self._readings[0]
        return Delta(
            seconds=now - oldest.at,
            counts=dict(zip(self._counters, growth(oldest.counts, reading.counts), strict=True)),
            histograms={
                name: growth(old, new)
                for name, new, old in zip(
                    self._histograms, reading.histograms, oldest.histograms, strict=True
                )
            },
        )
