"""What is known of one replica's speed, and what follows from it. Pure: no clock, no waiting."""

from __future__ import annotations

from core.specs import BatchingSpec
from serving.engine.batching import BatchController, new_controller
from serving.engine.batching.wait import Wait, new_wait
from serving.engine.service_time import ServiceTime

# However short the objective, a batch of one may take this long.
SHORTEST_BUDGET_S = 0.001
# A query that comes just after a batch has left waits for that one before its own, so a batch gets
# less than half of the objective, with room for the noise in both; under load, where queries wait
# longer, down to a third.
MOST_OF_OBJECTIVE = 0.4
LEAST_OF_OBJECTIVE = 1 / 3
# How much of the measured time in the queue the latest batch decides.
QUEUEING_GAIN = 0.05
# An expected time is a mean: what is planned up to a deadline needs a little more.
RESERVE = 1.1
# Rows that take up to this share of the objective leave ample time for one more.
AMPLE = 0.3
# As long as batches take less than this share of their budget and may still grow, nobody knows what
# larger ones would take: so many times as many rows are let in, to show it.
UNTRIED_SHARE = 0.5
UNTRIED_AMPLE = 50.0
# How fast it's forgotten how long the longest of the last few batches took.
LONGEST_MEMORY = 0.8
# A batch that was held for more goes this share of its budget early: timers are late at times.
HOLD_RESERVE = 1 / 4
# Where the controller tries larger batches than are predicted to fit the budget, one in so many has
# a row more than that: it may show that the prediction is wrong.
TRIED_NEVERTHELESS = 64
# A batch of rows in no hurry may be twice as large as one that took up to this share of the budget;
# or where a single row takes longer, up to so many times that.
BULK_SHARE, BULK_OF_SINGLE = 1 / 2, 2.0
# Where nothing is known yet: next to nothing, just enough to tell a long queue from a short one.
UNKNOWN_ROW_S = 1e-6


def batch_budget(*, answer_within: float, queueing: float) -> float:
    """Return what a batch may take, in seconds: what the objective leaves after queueing."""
    left = max(answer_within - queueing, answer_within * LEAST_OF_OBJECTIVE)
    return max(SHORTEST_BUDGET_S, min(left, answer_within * MOST_OF_OBJECTIVE))


class BatchPlanner:
    """Batch size, wait and expected times of one replica, learned from its batches.

    `answer_within` is the tightest objective of the applications it serves, in seconds; a
    `fixed_budget` replaces the batch's share of it. `common` is what all replicas of the version
    have shown together: it stands in for a replica that has shown nothing yet.
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
        self._batching = batching
        self._answer_within = answer_within
        self._max_batch = max_batch
        self._common = common
        self._fixed_budget = fixed_budget
        self._queueing = 0.0
        self._own = ServiceTime()
        self._service = common
        self._restrains = False
        self._restrained = 0
        self._longest = 0.0
        self._bulk = 1
        self._single = 0.0
        self.controller = self._new_controller()
        self.wait: Wait = new_wait(batching.wait_ms, budget=self.budget)
        self._note_reach()

    @property
    def budget(self) -> float:
        """The seconds that a batch may take."""
        if self._fixed_budget is not None:
            return self._fixed_budget
        return batch_budget(answer_within=self._answer_within, queueing=self._queueing)

    @property
    def bulk_cap(self) -> int:
        """The largest batch to send of rows that are in no hurry.

        There are plenty of them, so that it is found by doubling. The controller's steps would take
        hundreds of batches, each of which pays what a batch costs whatever its size: a data frame.
        """
        return max(self.cap, min(self._bulk, self.controller.max_size))

    @property
    def holds(self) -> bool:
        """Whether a batch may be held back at all: with a wait of 0 none is."""
        return self._batching.wait_ms != 0.0

    def configure(self, *, batching: BatchingSpec, answer_within: float) -> None:
        """Follow changed settings; what was learned stays unless its learner is replaced."""
        before, self._batching = self._batching, batching
        self._answer_within = answer_within
        if batching.controller != before.controller:
            self.controller = self._new_controller()
        if batching.wait_ms != before.wait_ms:
            self.wait = new_wait(batching.wait_ms, budget=self.budget)
        self.controller.max_size = self._largest()
        self._apply_budget()
        self._note_reach()

    def record(
        self, *, rows: int, queued: float, seconds: float, elapsed: float, failed: bool = False
    ) -> None:
        """Learn from an answered batch of `rows`.

        `queued` is how long its first query waited for the replica, `seconds` what the batch took
        by itself, `elapsed` the time since the answer before it. A batch that `failed` whole says
        nothing of how long answers take: who fails quickly must not look quick.
        """
        self._queueing += QUEUEING_GAIN * (queued - self._queueing)
        self._apply_budget()
        self.controller.record(size=rows, latency=seconds)
        self.wait.record(size=rows, elapsed=elapsed, busy=seconds)
        if not failed:
            self._note_bulk(rows, seconds=seconds)
            self._longest = max(seconds, LONGEST_MEMORY * self._longest)
            self._own.record(size=rows, seconds=seconds)
            self._common.record(size=rows, seconds=seconds)
        self._service = self._own if self._own.calibrated else self._common
        self._restrained += self._restrains
        self._note_reach()

    def _note_bulk(self, rows: int, *, seconds: float) -> None:
        if rows == 1:
            self._single = seconds
        within = seconds <= max(BULK_SHARE * self.budget, BULK_OF_SINGLE * self._single)
        if within and rows >= self._bulk:
            self._bulk = 2 * rows
        elif not within and 2 * rows >= self._bulk:
            self._bulk = max(1, rows // 2)

    def batch_seconds(self, rows: int) -> float:
        """Return how long a batch of `rows` may be expected to take."""
        if not self._service.calibrated:
            return rows * UNKNOWN_ROW_S
        return self._service.predict(rows) * RESERVE

    def seconds_to_keep(self, rows: int) -> float:
        """Return how long before the first deadline a held batch of `rows` has to go at last."""
        if not self._service.calibrated:
            return self.budget
        return self.batch_seconds(rows) + HOLD_RESERVE * self.budget

    def queue_seconds(self, rows: int) -> float:
        """Return how long `rows` queued rows may be expected to take, in full batches."""
        if self._service is self._common:
            self._note_reach()  # the other replicas may have learned since
        full, rest = divmod(rows, self._reach)
        seconds = full * self._reach_seconds
        return seconds + self.batch_seconds(rest) if rest else seconds

    def last_seconds(self, rows: int) -> float:
        """Return how long until the last of `rows` queued rows, if others fill up its batch.

        They will where more waits than a batch holds.
        """
        if self._service is self._common:
            self._note_reach()
        if rows <= self._reach:
            return self.batch_seconds(rows)
        return -(-rows // self._reach) * self._reach_seconds

    def _note_reach(self) -> None:
        """Remember what batches may come to: one that still grows is not held to its start.

        The `cap` is the largest batch to send now. What the controller tries would be answered
        too late, with others behind it, where a few rows are all that fits.
        """
        self.cap = self.controller.cap
        fitting = 1
        if self._service.calibrated:
            fitting = max(1, self._service.fitting(self.budget))
        static = self._batching.controller == "static"
        self._restrains = self._service.calibrated and fitting < self.cap and not static
        if self._restrains:
            tried = self._restrained % TRIED_NEVERTHELESS == TRIED_NEVERTHELESS - 1
            self.cap = fitting + tried
        self._reach = min(self.controller.max_size, max(self.cap, fitting))
        self._reach_seconds = self.batch_seconds(self._reach)
        ample = self._answer_within * AMPLE / self._reach_seconds * self._reach
        growing = self.cap < self.controller.max_size
        if growing and self._longest < UNTRIED_SHARE * self.budget:
            ample *= UNTRIED_AMPLE
        # An idle replica is always tried: refused for good, it could never show that it mended.
        self.ample_rows = max(1, int(ample))

    def _apply_budget(self) -> None:
        self.controller.budget = self.wait.budget = self.budget

    def _new_controller(self) -> BatchController:
        return new_controller(
            self._batching.controller, budget=self.budget, max_size=self._largest()
        )

    def _largest(self) -> int:
        if self._batching.controller == "none":
            return 1
        return min(self._batching.max_size or self._max_batch, self._max_batch)
