"""Check that labels keep coming while queries go on."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from selection.evaluation.health.finding import ALARM, GOOD, UNKNOWN, Finding

# With each look in which labels came, what was usual counts for so much less.
KEEP = 0.999


class Silence(msgspec.Struct):
    """Calls and labels so far, both fading, and the longest pauses: in calls and in seconds."""

    labels: float = 0.0
    calls: float = 0.0
    since_last: float = 0.0
    last_at: float = 0.0
    longest_calls: float = 0.0
    longest_s: float = 0.0

    def look(self, *, calls: int, labels_at: Sequence[float]) -> None:
        """Take what happened since the last look: calls to arms, and when labels came."""
        self.since_last += calls
        if not labels_at:
            return
        times = [self.last_at or labels_at[0], *labels_at]
        pause_s = max(later - earlier for earlier, later in pairwise(times))
        self.longest_calls = max(self.since_last, self.longest_calls * KEEP)
        self.longest_s = max(pause_s, self.longest_s * KEEP)
        self.labels = self.labels * KEEP + len(labels_at)
        self.calls = self.calls * KEEP + self.since_last
        self.since_last = 0.0
        self.last_at = max(times)

    def finding(self, *, now: float) -> Finding:
        if not self.last_at:
            return Finding(UNKNOWN, None, "No label has come yet")
        pause_s = max(now - self.last_at, 0.0)
        # Labels from which the usual pace is known.
        if self.labels < 30:
            return Finding(UNKNOWN, pause_s, "Too few labels so far to know what is usual")
        # Calls may be counted later than their labels, of which each brings one at most.
        usual = min(self.labels / self.calls, 1.0) if self.calls else 0.0
        missed = self.since_last * usual
        if self._is_long(pause_s=pause_s, missed=missed):
            return Finding(
                ALARM,
                pause_s,
                f"No label for {duration(pause_s)}, while queries went on that usually bring about "
                f"{missed:,.0f}; the longest pause so far was {duration(self.longest_s)}",
            )
        return Finding(GOOD, pause_s, f"The last label came {duration(pause_s)} ago, as usual")

    def _is_long(self, *, pause_s: float, missed: float) -> bool:
        # Of labels by chance at a steady rate, a pause of 10 has a chance of e**-10; the longest
        # pause seen grows with their number too: twice that is one in n after n labels.
        return (
            missed >= 10.0
            and self.since_last > 2.0 * self.longest_calls
            and pause_s > 2.0 * self.longest_s
        )


def duration(seconds: float) -> str:
    """Return 0.4 s, 12 s, 3 min, 5 h, 2 days."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"
