"""A wait that is switched on where trials show that the replica answers more with it."""

from __future__ import annotations

from dataclasses import dataclass, field

# Never longer than this, nor than this share of what a batch may take.
LONGEST = 0.004
LONGEST_SHARE = 0.1
# What of a batch's fixed cost a fuller batch is worth waiting for.
SHARE_OF_FIXED = 0.2
# The first wait tried, as a share of a whole batch: its fixed cost isn't known yet.
SHARE_OF_BATCH = 0.1

# Below these waiting can't pay: there is nobody to wait for, or nothing to share.
LEAST_ROWS = 3.0
LEAST_FIXED_SHARE = 0.2
# The mean batch size follows the last few batches, so that a lone query soon waits no more.
ROWS_MEMORY = 1.0 / 5

# An epoch: the first batches still show what was before it, and are left out.
SETTLING = 4
EPOCH_BATCHES = 12
EPOCH_ROWS = 200
EPOCH_SECONDS = 0.05
# A trial: epochs in turn without and with waiting, beginning and ending without, so that a load
# that grows or shrinks meanwhile favours neither. Whether what pays still does takes fewer.
TRIAL_EPOCHS = 7
CHECK_EPOCHS = 3
# More rows per second than this times as many switch it on, and less than that off.
CLEARLY_BETTER = 1.05
# A trial that is so much worse ends at once: without that, a replica whose batches shared a cost no
# more answered 40 % fewer rows in simulation.
CLEARLY_WORSE = 0.9
# Trials pause this many times as long as they take, twice as long each time nothing has changed.
SHORTEST_REST = 8.0
LONGEST_REST = 128.0
# They don't pause where batches or throughput are not what they were since the last one, up to
# this factor.
SAME_LOAD = 1.6


@dataclass(slots=True)
class Tally:
    """What a number of batches amounted to."""

    batches: int = 0
    rows: int = 0
    elapsed: float = 0.0
    busy: float = 0.0

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.rows / self.elapsed if self.elapsed else 0.0

    @property
    def mean_rows(self) -> float:
        return self.rows / self.batches

    @property
    def mean_busy(self) -> float:
        return self.busy / self.batches

    def add(self, other: Tally) -> None:
        self.batches += other.batches
        self.rows += other.rows
        self.elapsed += other.elapsed
        self.busy += other.busy


@dataclass(slots=True)
class WaitTrial:
    """Epochs without waiting and with it, in turn."""

    length: int
    epochs: list[Tally] = field(default_factory=list)
    without: Tally = field(default_factory=Tally)
    waited: Tally = field(default_factory=Tally)

    @property
    def waiting(self) -> bool:
        """Whether the epoch that is running is one with waiting."""
        return len(self.epochs) % 2 == 1

    @property
    def over(self) -> bool:
        return len(self.epochs) == self.length or self._hopeless

    @property
    def elapsed(self) -> float:
        return self.without.elapsed + self.waited.elapsed

    @property
    def gain(self) -> float:
        """How many times as many rows were answered in a second with waiting as without."""
        if self._hopeless:
            return 0.0
        return self.waited.rate / self.without.rate if self.without.rate else 0.0

    @property
    def _hopeless(self) -> bool:
        """Whether the epoch with waiting just over was clearly worse than the one before it."""
        if len(self.epochs) < 2 or self.waiting:
            return False
        before, waited = self.epochs[-2:]
        return waited.rate < CLEARLY_WORSE * before.rate

    def add(self, epoch: Tally) -> None:
        (self.waited if self.waiting else self.without).add(epoch)
        self.epochs.append(epoch)

    def fixed_cost(self) -> float | None:
        """Seconds of a batch whatever its size, where waiting made batches fuller; else None."""
        without, waited = self.without, self.waited
        if not waited.batches or waited.mean_rows <= without.mean_rows:
            return None
        per_row = (waited.mean_busy - without.mean_busy) / (waited.mean_rows - without.mean_rows)
        return without.mean_busy - max(0.0, per_row) * without.mean_rows

    def pays(self) -> bool:
        """Whether waiting answered clearly more rows, and by sharing a fixed cost."""
        fixed = self.fixed_cost()
        if fixed is None or self.gain < CLEARLY_BETTER:
            return False
        return fixed >= LEAST_FIXED_SHARE * self.without.mean_busy


@dataclass(slots=True)
class AutoWait:
    """Waits where waiting has been seen to pay: where batches share a large fixed cost.

    From time to time a trial compares a few batches with waiting and a few without. Only clearly
    more rows per second switch waiting on; a load too light to fill batches switches it off.
    """

    budget: float
    _on: bool = False
    _wait: float = 0.0
    _mean_rows: float = 1.0
    _epoch: Tally = field(default_factory=Tally)
    _settling: int = SETTLING
    _trial: WaitTrial | None = None
    _rest: float = SHORTEST_REST
    _rested: float = 0.0
    _rest_ends_after: float = 0.0
    _usual: Tally | None = None

    @property
    def seconds(self) -> float:
        trial = self._trial
        if not (self._on if trial is None else trial.waiting) or self._mean_rows < LEAST_ROWS:
            return 0.0
        return min(self._wait, LONGEST, LONGEST_SHARE * self.budget)

    def record(self, *, size: int, elapsed: float, busy: float) -> None:
        self._mean_rows += (size - self._mean_rows) * ROWS_MEMORY
        self._rested += elapsed
        if self._mean_rows < LEAST_ROWS:
            self._stop()
            return
        if self._settling:
            self._settling -= 1
            return
        epoch = self._epoch
        epoch.batches += 1
        epoch.rows += size
        epoch.elapsed += elapsed
        epoch.busy += busy
        if (
            epoch.batches >= EPOCH_BATCHES
            and epoch.rows >= EPOCH_ROWS
            and epoch.elapsed >= EPOCH_SECONDS
        ):
            self._end_epoch(epoch)

    def _stop(self) -> None:
        """Wait no more, and begin afresh once there is a load again."""
        self._on = False
        self._trial = None
        self._usual = None
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._epoch = Tally()
        self._settling = SETTLING

    def _end_epoch(self, epoch: Tally) -> None:
        self._begin_epoch()
        if self._trial is not None:
            self._try(epoch, trial=self._trial)
        elif self._rested >= self._rest_ends_after or self._load_changed(epoch):
            self._trial = WaitTrial(CHECK_EPOCHS if self._on else TRIAL_EPOCHS)
        else:
            self._settling = 0

    def _load_changed(self, epoch: Tally) -> bool:
        if self._usual is None:
            self._usual = epoch
            return False
        if _same(epoch.mean_rows, self._usual.mean_rows) and _same(epoch.rate, self._usual.rate):
            return False
        self._rest = SHORTEST_REST
        return True

    def _try(self, epoch: Tally, *, trial: WaitTrial) -> None:
        trial.add(epoch)
        fixed = trial.fixed_cost()
        if fixed is not None:
            self._wait = SHARE_OF_FIXED * max(0.0, fixed)
        elif trial.waiting:
            self._wait = SHARE_OF_BATCH * epoch.mean_busy
        if trial.over:
            self._conclude(trial)

    def _conclude(self, trial: WaitTrial) -> None:
        pays = trial.pays()
        self._rest = SHORTEST_REST if pays != self._on else min(2.0 * self._rest, LONGEST_REST)
        self._on = pays
        self._trial = None
        self._usual = None
        self._rested = 0.0
        self._rest_ends_after = self._rest * trial.elapsed


def _same(now: float, before: float) -> bool:
    return before <= SAME_LOAD * now and now <= SAME_LOAD * before
