"""Whether a replica still gets queries: ejected where it alone keeps failing, then let back in."""

from __future__ import annotations

# Batches in a row of which nothing was answered, while other replicas of the version succeeded.
FAILURES_TO_EJECT = 5
FIRST_EJECTION_S = 1.0
LONGEST_EJECTION_S = 30.0
# So often at most: where it fails for days, the number is too large for a float.
DOUBLINGS = 10


class Health:
    """One replica's record. Pure: times are those of a monotonic clock, handed in."""

    def __init__(self) -> None:
        self.back_at = 0.0
        self._failures = 0
        self._ejections = 0
        self._others_before = 0

    def succeeded(self) -> None:
        self._failures = 0
        self._ejections = 0

    def failed(self, *, successes: int) -> bool:
        """Note a batch that failed whole; return whether the replica has to go.

        `successes` counts what the version's replicas answered together: where none of the
        others succeeds either, the reason is the model or the input, and nothing is gained.
        """
        if self._failures == 0:
            self._others_before = successes
        self._failures += 1
        return self._failures >= FAILURES_TO_EJECT and successes > self._others_before

    def eject(self, *, now: float) -> None:
        """Set when it may come back; the time doubles while it does not mend."""
        doubled = FIRST_EJECTION_S * 2.0 ** min(self._ejections, DOUBLINGS)
        pause = min(LONGEST_EJECTION_S, doubled)
        self._ejections += 1
        self.back_at = now + pause

    def readmit(self, *, successes: int) -> None:
        """Let it back on probation: one more failed batch is enough, if others succeed since."""
        self._failures = FAILURES_TO_EJECT - 1
        self._others_before = successes
