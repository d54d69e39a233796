"""Check of the delay of labels against the feedback window."""

import math

import msgspec

from selection.evaluation.health.finding import ALARM, GOOD, UNKNOWN, Finding
from selection.evaluation.health.silence import duration

# Times are counted by their size, each twice the one before in two steps, from a hundredth of a
# second on: a quantile is right within two fifths.
SHORTEST_S = 0.01


class Delay(msgspec.Struct):
    """Labels by how long they took, and those that came too late."""

    counts: list[float] = msgspec.field(default_factory=lambda: [0.0] * 64)
    too_late: float = 0.0

    def note(self, seconds: float) -> None:
        size = math.ceil(math.log(max(seconds, SHORTEST_S) / SHORTEST_S, math.sqrt(2.0)))
        self.counts[min(size, 63)] += 1.0

    def look(self, *, too_late: int) -> None:
        self.too_late += too_late
        # Beyond so many, all count half.
        if sum(self.counts) + self.too_late > 20_000:
            self.counts = [count / 2.0 for count in self.counts]
            self.too_late /= 2.0

    def quantile(self, share: float) -> float:
        """Return what this share of the labels in time took at most, rounded up, in seconds."""
        left = share * sum(self.counts)
        for size, count in enumerate(self.counts):
            left -= count
            if left <= 0.0 and count:
                return SHORTEST_S * math.sqrt(2.0) ** size
        return 0.0

    def finding(self, *, window_s: float) -> Finding:
        in_time = sum(self.counts)
        total = in_time + self.too_late
        if total < 30.0:
            return Finding(UNKNOWN, None, "Too few labels so far to tell")
        share = self.too_late / total
        half, most = duration(self.quantile(0.5)), duration(self.quantile(0.95))
        reason = (
            f"Half of the labels came within {half}, 95 % within {most}, "
            f"{share * 100:.1f} % after the window of {duration(window_s)}"
        )
        alarming = self.too_late >= 10.0 and share > 0.01
        return Finding(ALARM if alarming else GOOD, share, reason)
