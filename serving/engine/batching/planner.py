"""Planner of one replica's batches: size, wait and expected times."""

from core.specs import BatchingSpec
from serving.engine.batching import UNBATCHED, new_controller
from serving.engine.batching.base import BatchController

# The share of the objective that a batch may take: a query that just misses one waits for it and
# then for its own. With half of it, 4 % more were late at three times the capacity.
BATCH_SHARE = 0.36
# Deadlines are kept with this margin over the mean time of a batch. With 1.1, 10 % of what was
# refused at three times the capacity had waited before.
RESERVE = 1.15
# Queries are admitted without a look at their deadline while what waits takes less than this share
# of the objective: the look costs 1 µs.
AMPLE_SHARE = 0.3
# One batch in so many holds a row more than is predicted to fit, or a prediction that is too
# pessimistic would never be corrected.
TRY_EVERY = 64
# A free replica waits for more rows for this share of what a batch costs whatever its size: 0.93
# to 0.98 of the throughput with the best fixed wait, in simulation.
WAIT_SHARE = 0.2
# The weight of a batch halves after about 22 later ones.
DECAY = 1 - 1 / 32
# The first batches warm a model up: fewer than this say nothing.
CALIBRATED_AFTER = 8


class ServiceTime:
    """Mean seconds of a batch as `fixed + per_row * size`, by exponentially decayed least squares.

    Neither coefficient is negative. While sizes hardly differ the slope stays what it was.
    """

    __slots__ = ("_s", "_ss", "_st", "_t", "_weight", "calibrated", "fixed", "per_row", "recorded")

    def __init__(self) -> None:
        self.fixed = 0.0
        self.per_row = 0.0
        self.recorded = 0
        self.calibrated = False
        self._weight = self._s = self._ss = self._t = self._st = 0.0

    def predict(self, rows: int) -> float:
        """Return the mean seconds of a batch of `rows`, 0 if none was seen."""
        return self.fixed + self.per_row * rows

    def fitting(self, budget: float, *, most: int) -> int:
        """Return how many rows are predicted to take `budget` seconds or less, up to `most`."""
        if self.predict(most) <= budget:
            return most
        return max(0, min(most, int((budget - self.fixed) / self.per_row)))

    def record(self, *, size: int, seconds: float) -> None:
        """Learn that a batch of `size` rows, at least one, took `seconds`."""
        self.recorded += 1
        decay = DECAY
        if self.calibrated:
            predicted = self.predict(size)
            # A pause of the machine counts as a batch four times as slow. One four times as quick
            # is no accident: half of what was known is forgotten.
            if 4.0 * seconds < predicted:
                decay = 0.5
            seconds = min(seconds, 4.0 * predicted)
        self.calibrated = self.recorded >= CALIBRATED_AFTER
        weight = self._weight = self._weight * decay + 1.0
        s = self._s = self._s * decay + size
        ss = self._ss = self._ss * decay + size * size
        t = self._t = self._t * decay + seconds
        st = self._st = self._st * decay + size * seconds
        rate = t / s
        square = s * s / weight
        # The slope so far counts like sizes that vary by a tenth of their mean.
        kept = 0.01 * square
        slope = (st - s * t / weight + kept * (self.per_row or rate)) / (ss - square + kept)
        self.per_row = min(max(slope, 0.01 * rate), rate)
        self.fixed = max(0.0, (t - self.per_row * s) / weight)


class BatchPlanner:
    """Learns batch size, wait and expected times from one replica's batches.

    `answer_within` is the tightest objective of the applications served, in seconds; a
    `fixed_budget` replaces a batch's share of it. `common` has the times of all replicas of the
    version, for one without any. `cap` is the largest batch to send now; up to `ample_rows` may
    wait before a query's deadline is checked.
    """

    def __init__(
        self,
        *,
        batching: BatchingSpec,
        answer_within: float,
        max_batch: int,
        common: ServiceTime,
        fixed_budget: float | None = None,
    ) -> None:
        self._max_batch = max_batch
        self._common = common
        self._own = ServiceTime()
        self._service = common
        self._fixed_budget = fixed_budget
        self._rows = 1.0
        self._bulk = 1
        self._single_s = 0.0
        self._batching = batching
        self._set_objective(answer_within)
        self.controller: BatchController = self._new_controller()
        self._plan()

    def configure(self, *, batching: BatchingSpec, answer_within: float) -> None:
        """Follow changed settings; what was learned stays unless its learner is replaced."""
        changed = batching.controller != self._batching.controller
        self._batching = batching
        self._set_objective(answer_within)
        if changed:
            self.controller = self._new_controller()
        self.controller.max_size = self._max_size
        self.controller.budget = self.budget
        self._plan()

    def record(self, *, rows: int, seconds: float, failed: bool = False) -> None:
        """Learn that a batch of `rows` took `seconds`; if it `failed`, its time says nothing."""
        self.controller.record(size=rows, latency=seconds)
        self._rows += (rows - self._rows) / 5
        if not failed:
            self._note_bulk(rows, seconds=seconds)
            self._own.record(size=rows, seconds=seconds)
            self._common.record(size=rows, seconds=seconds)
        self._plan()

    @property
    def holds(self) -> bool:
        """Return whether a batch may be held back at all."""
        return self._batching.wait_ms != 0.0

    @property
    def bulk_cap(self) -> int:
        """Return the largest batch of rows in no hurry, found by doubling."""
        return max(self.cap, min(self._bulk, self.controller.max_size))

    @property
    def wait_s(self) -> float:
        """Return how long a free replica waits for a fuller batch (paper §4.3.2).

        Unless set, it is a share of a batch's fixed cost, if that is a third of its time or more
        and several rows share it.
        """
        if self._batching.wait_ms is not None:
            return self._batching.wait_ms / 1e3
        fixed = self._service.fixed
        if self._rows < 3 or 3 * fixed < self._service.predict(int(self._rows)):
            return 0.0
        return min(WAIT_SHARE * fixed, self.budget / 10)

    def _note_bulk(self, rows: int, *, seconds: float) -> None:
        """Allow twice the rows of a batch that took half of the budget, or as long as two rows."""
        if rows == 1:
            self._single_s = seconds
        within = seconds <= max(self.budget / 2, 2 * self._single_s)
        if within and rows >= self._bulk:
            self._bulk = 2 * rows
        elif not within and 2 * rows >= self._bulk:
            self._bulk = max(1, rows // 2)

    def batch_seconds(self, rows: int) -> float:
        """Return the expected seconds of a batch of `rows`."""
        if not self._service.calibrated:
            return rows * 1e-6  # enough to tell a long queue from a short one
        return self._service.predict(rows) * RESERVE

    def queue_seconds(self, rows: int) -> float:
        """Return the expected seconds of `rows` queued rows, in full batches."""
        if self._service is self._common:
            self._plan()  # the other replicas may have learned since
        full, rest = divmod(rows, self._reach)
        seconds = full * self._reach_seconds
        return seconds + self.batch_seconds(rest) if rest else seconds

    def last_seconds(self, rows: int) -> float:
        """Return the seconds until the last of `rows` queued rows, if others fill up its batch."""
        if self._service is self._common:
            self._plan()
        if rows <= self._reach:
            return self.batch_seconds(rows)
        return -(-rows // self._reach) * self._reach_seconds

    def _plan(self) -> None:
        """Set the cap, the size full batches may reach, and how many rows are let in unseen."""
        self._service = service = self._own if self._own.calibrated else self._common
        most = self.controller.max_size
        cap, fitting = self.controller.cap, 1
        if service.calibrated:
            fitting = max(1, service.fitting(self.budget, most=most))
            if fitting < cap and self._batching.controller != "static":
                cap = fitting + (service.recorded % TRY_EVERY == 0)
        self.cap = cap
        self._reach = min(most, max(cap, fitting))
        self._reach_seconds = self.batch_seconds(self._reach)
        self.ample_rows = max(
            1, int(self._answer_within * AMPLE_SHARE / self._reach_seconds * self._reach)
        )
        if cap < most and self.batch_seconds(cap) < self.budget / 2:
            # Nobody knows yet what larger batches take: the queue's bounds are enough.
            self.ample_rows = 50 * self.ample_rows

    def _set_objective(self, answer_within: float) -> None:
        self._answer_within = answer_within
        self.budget = self._fixed_budget or BATCH_SHARE * answer_within

    @property
    def _max_size(self) -> int:
        if self._batching.controller == UNBATCHED:
            return 1
        return min(self._batching.max_size or self._max_batch, self._max_batch)

    def _new_controller(self) -> BatchController:
        return new_controller(
            self._batching.controller, budget=self.budget, max_size=self._max_size
        )
