"""How long a batch of a given size takes one replica: a fixed cost and a cost for each row."""

from __future__ import annotations

# The weight of a batch halves after about 44 later ones.
DECAY = 1.0 - 1.0 / 64
# Fewer batches than this may all have been slow ones: the first ones warm the model up.
CALIBRATED_AFTER = 8
# One batch that met a pause of the machine counts as at most this many times its prediction.
CLIP = 4.0
# Where sizes hardly differ the cost of a row can't be told from the fixed one: the slope is drawn
# to the mean rate as if by sizes that vary by a tenth.
SHRINKAGE = 0.01
# No model takes arbitrarily many rows for free.
LEAST_SHARE = 0.01
# A model this many times slower or faster than predicted, over some ten batches, has changed.
DRIFT = 1.5
DRIFT_MEMORY = 1.0 / 12
# The share of its weight that what was learnt before the change keeps.
KEPT = 0.2
# What fits where nothing is known: no limit of this model's making.
UNLIMITED = 1 << 31


class ServiceTime:
    """Mean seconds of a batch as `fixed + per_row * size`, by exponentially decayed least squares.

    Neither coefficient is ever negative. A model that became slower or faster all at once is
    recognised after about ten batches; what was learnt of its shape is kept.
    """

    __slots__ = ("_drift", "_s", "_ss", "_st", "_t", "_weight", "fixed", "per_row", "recorded")

    def __init__(self) -> None:
        self.fixed = 0.0
        self.per_row = 0.0
        self.recorded = 0
        self._weight = self._s = self._ss = self._t = self._st = 0.0
        self._drift = 1.0

    @property
    def calibrated(self) -> bool:
        """Whether enough batches were seen for a prediction to mean something."""
        return self.recorded >= CALIBRATED_AFTER

    def predict(self, size: int) -> float:
        """Seconds that a batch of `size` rows takes on average; 0 as long as none was seen."""
        return self.fixed + self.per_row * size

    def fitting(self, budget: float) -> int:
        """The most rows predicted to take `budget` seconds or less: 0 where not even one does."""
        if self.per_row == 0.0:
            return UNLIMITED
        return max(0, int(min((budget - self.fixed) / self.per_row, UNLIMITED)))

    def record(self, *, size: int, seconds: float) -> None:
        """Learn that a batch of `size` rows, at least one, took `seconds`."""
        self.recorded += 1
        if self.recorded > CALIBRATED_AFTER:
            seconds = self._clipped(size, seconds)
        self._weight = self._weight * DECAY + 1.0
        self._s = self._s * DECAY + size
        self._ss = self._ss * DECAY + size * size
        self._t = self._t * DECAY + seconds
        self._st = self._st * DECAY + size * seconds
        self._fit()

    def _clipped(self, size: int, seconds: float) -> float:
        predicted = self.fixed + self.per_row * size
        if predicted <= 0.0:
            return seconds
        seconds = min(seconds, CLIP * predicted)
        self._drift += (seconds / predicted - self._drift) * DRIFT_MEMORY
        if not 1.0 / DRIFT < self._drift < DRIFT:
            self._rescale()
        return seconds

    def _rescale(self) -> None:
        """Follow a change at once, and give what was learnt before it less weight.

        What makes a model slower, a busy machine or fewer threads, does so at every size.
        """
        self._weight *= KEPT
        self._s *= KEPT
        self._ss *= KEPT
        self._t *= KEPT * self._drift
        self._st *= KEPT * self._drift
        self._drift = 1.0

    def _fit(self) -> None:
        weight, s = self._weight, self._s
        square = s * s / weight
        shrinkage = SHRINKAGE * square
        rate = self._t / s
        slope = (self._st - s * self._t / weight + shrinkage * rate) / (
            self._ss - square + shrinkage
        )
        self.per_row = min(max(slope, LEAST_SHARE * rate), rate)
        self.fixed = max(0.0, (self._t - self.per_row * s) / weight)
