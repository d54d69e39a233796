"""Check that labels keep coming while queries go on, by the hour of the week."""

import math
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from selection.evaluation.health.finding import ALARM, GOOD, UNKNOWN, Finding

HOUR_S, DAY_S, WEEK_H = 3600.0, 86_400.0, 168
# When an hour of the week comes round again, its earlier counts weigh this much.
KEEP = 0.7


def _empty_week() -> list[float]:
    return [0.0] * WEEK_H


class Silence(msgspec.Struct):
    """Calls and labels by hour of the week, of which old ones fade, and the longest pauses.

    `missed` is how many labels the calls since the last one usually bring at these hours; `unsure`
    are those of hours that are still new.
    """

    calls_by_hour: list[float] = msgspec.field(default_factory=_empty_week)
    labels_by_hour: list[float] = msgspec.field(default_factory=_empty_week)
    hour: int = 0
    since_last: float = 0.0
    missed: float = 0.0
    unsure: float = 0.0
    most_missed: float = 0.0
    overdue: bool = False
    first_at: float = 0.0
    last_at: float = 0.0
    longest_s: float = 0.0

    def look(self, *, calls: int, labels_at: Sequence[float], now: float) -> None:
        """Take what happened since the last look: calls to arms, and when labels came."""
        hour = int(now // HOUR_S)
        place = hour % WEEK_H
        if hour != self.hour:
            self.hour = hour
            self.calls_by_hour[place] *= KEEP
            self.labels_by_hour[place] *= KEEP
        self.calls_by_hour[place] += calls
        self.since_last += calls
        missed = calls * min(self._rates(hour), default=0.0)
        # In the first week it isn't known yet how the labels of this hour end.
        if self.calls_by_hour[(hour + 1) % WEEK_H]:
            self.missed += missed
            self.overdue = self.overdue or self.missed > self._tolerated()
        else:
            self.unsure += missed
        if labels_at:
            self.labels_by_hour[place] += len(labels_at)
            self._end_pause(labels_at)

    def _end_pause(self, labels_at: Sequence[float]) -> None:
        latest = max(labels_at)
        self.first_at = self.first_at or min(labels_at)
        times = [self.last_at or self.first_at, *labels_at]
        pause_s = max(later - earlier for earlier, later in pairwise(times))
        # In four weeks the longest pauses count half.
        keep = 0.5 ** (max(latest - times[0], 0.0) / (28 * DAY_S))
        # Pauses that alarm become usual little by little, if they come again and again.
        missed = self._tolerated() / 2.0 if self.overdue else self.missed + self.unsure
        self.most_missed = max(missed, self.most_missed * keep)
        self.longest_s = max(pause_s, self.longest_s * keep)
        self.last_at = latest
        self.since_last = self.missed = self.unsure = 0.0
        self.overdue = False

    def _rates(self, hour: int) -> list[float]:
        """Return labels per call of an hour of the week and of those beside it, if known.

        The least of them is what can be relied on: offices open earlier or later, clocks change.
        """
        around = [place % WEEK_H for place in (hour - 1, hour, hour + 1)]
        return [
            self.labels_by_hour[place] / self.calls_by_hour[place]
            for place in around
            if self.calls_by_hour[place]
        ]

    def _tolerated(self) -> float:
        """Return how many labels may be missed.

        Of n labels by chance, the longest pause misses log(100 n) in one week of a hundred. Labels
        that come in bursts leave longer pauses: N bursts one that is three times as long as the
        longest of N before with a chance of 6 / N**2.
        """
        return max(math.log(100.0 * max(sum(self.labels_by_hour), 1.0)), 3.0 * self.most_missed)

    def finding(self, *, now: float) -> Finding:
        if not self.last_at:
            return Finding(UNKNOWN, None, "No label has come yet")
        pause_s = max(now - self.last_at, 0.0)
        labels, calls = sum(self.labels_by_hour), sum(self.calls_by_hour)
        # Labels from which the usual pace is known.
        if labels < 30.0:
            return Finding(UNKNOWN, pause_s, "Too few labels so far to know what is usual")
        missed = self.missed if self.overdue else self.since_last * labels / calls if calls else 0.0
        if self.overdue or (missed > self._tolerated() and self._is_long(pause_s)):
            return Finding(
                ALARM,
                pause_s,
                f"No label for {duration(pause_s)}, while queries went on that usually bring about "
                f"{missed:,.0f}; the longest pause so far was {duration(self.longest_s)}",
            )
        return Finding(GOOD, pause_s, f"The last label came {duration(pause_s)} ago, as usual")

    def _is_long(self, pause_s: float) -> bool:
        """Return if a pause is long whatever the hour: longer than weekends, or than a week."""
        known_s = self.last_at - self.first_at
        usual_s = 3 * DAY_S if known_s > 3 * DAY_S else 8 * DAY_S
        return pause_s > max(usual_s, 2.0 * self.longest_s)


def duration(seconds: float) -> str:
    """Return 0.4 s, 12 s, 3 min, 5 h, 2 days."""
    if seconds < 10:
        return f"{max(seconds, 0.01):.2g} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"
