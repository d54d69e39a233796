"""Decides how many replicas a version needs for its load: arithmetic, no clock, no I/O.

Up within seconds, when queries wait for a large part of their application's objective or are lost,
and the replicas are the reason. Down after half a minute in which one replica less would still
have been at leisure. A number that was too small for some load is not tried again for that load,
so that a constant load leads to a constant number.
"""

import math
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from serving.cluster.control.scaling.version_load import Load, Reading, load_between

WINDOW_DOWN_S = 30.0
# After a change of the replicas, the queue that had piled up before is worked off first.
SETTLE_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A version's replicas as they are, and what they are held to.

    `budget_s` is the tightest objective of the applications that ask it, None where none does.
    """

    wanted: int
    ready: int
    fewest: int
    most: int
    budget_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    replicas: int
    reason: str


class Autoscaler:
    """Decides for one version, from one reading per second; keeps half a minute of them."""

    def __init__(self) -> None:
        # By number of replicas: the rate (queries per second) that was too much for them, and until
        # when (unix seconds) that is remembered.
        self._too_few: dict[int, tuple[float, float]] = {}
        self._readings: deque[tuple[float, Reading]] = deque()
        self._supply: tuple[int, int] | None = None
        self._changed_at = 0.0

    def decide(self, reading: Reading, *, situation: Situation, now: float) -> Decision | None:
        """Take in the reading of this moment; None if all may stay."""
        within = min(max(situation.wanted, situation.fewest), situation.most)
        if within != situation.wanted:
            return Decision(replicas=within, reason="outside its bounds")
        if not self._take_in(reading, situation=situation, now=now):
            return None
        return self._up(situation, now=now) or self._down(situation, now=now)

    def _take_in(self, reading: Reading, *, situation: Situation, now: float) -> bool:
        """Return whether this reading is news, and belongs with those before it."""
        supply = (situation.wanted, situation.ready)
        if supply != self._supply:
            self._supply, self._changed_at = supply, now
            self._readings.clear()
        if self._readings and now - self._readings[-1][0] > 4.0:  # after a gap
            self._readings.clear()
        if not reading:
            self._readings.clear()
            return False
        if now - self._changed_at < SETTLE_S:
            return False
        if self._readings:
            last = self._readings[-1][1]
            if last.keys() == reading.keys() and not _all_newer(reading, last):
                return False  # not yet published again
            if load_between(last, reading) is None:
                self._readings.clear()
        self._readings.append((now, reading))
        while len(self._readings) > 2 and now - self._readings[1][0] >= WINDOW_DOWN_S:
            self._readings.popleft()
        return True

    def _up(self, situation: Situation, *, now: float) -> Decision | None:
        if situation.wanted >= situation.most or situation.ready < situation.wanted:
            return None
        # Readings come each second: three in a row must say the same.
        recent = [reading for _, reading in self._readings][-3:]
        if len(recent) < 3:
            return None
        if not all(
            _is_pressed(load_between(earlier, later), budget_s=situation.budget_s)
            for earlier, later in pairwise(recent)
        ):
            return None
        overall = load_between(recent[0], recent[-1])
        window = load_between(self._readings[0][1], recent[-1])
        if overall is None or window is None:
            return None
        # A batch counts when it is done, so a long one is not in each of the latest seconds.
        busy = max(overall.busy_replicas, window.busy_replicas) / situation.ready
        # Otherwise more replicas don't help: queries wait for a fuller batch, or the web process.
        if busy < 0.5 and overall.sent:
            return None
        replicas = more_replicas(
            situation.wanted,
            strain=strain(overall, budget_s=situation.budget_s),
            most=situation.most,
        )
        self._remember(situation.wanted, rate=overall.rate, now=now)
        return Decision(replicas=replicas, reason=_pressure(overall, situation=situation))

    def _down(self, situation: Situation, *, now: float) -> Decision | None:
        (since, first), (_, last) = self._readings[0], self._readings[-1]
        if situation.wanted <= situation.fewest or now - since < WINDOW_DOWN_S:
            return None
        load = load_between(first, last)
        if load is None:
            return None
        if load.is_idle:
            return Decision(replicas=situation.fewest, reason="idle")
        fewer = situation.wanted - 1
        if not is_slack(load, replicas=min(fewer, situation.ready), budget_s=situation.budget_s):
            return None
        if self._was_too_few(fewer, rate=load.rate, now=now):
            return None
        busy = load.busy_replicas / max(1, situation.ready)
        return Decision(replicas=fewer, reason=f"busy for {busy:.0%} of the time")

    def _remember(self, replicas: int, *, rate: float, now: float) -> None:
        known, until = self._too_few.get(replicas, (math.inf, 0.0))
        lowest = min(known, rate) if until > now else rate
        self._too_few[replicas] = (lowest, now + 1800.0)

    def _was_too_few(self, replicas: int, *, rate: float, now: float) -> bool:
        # A load that is lighter by a fifth may be tried on fewer replicas again.
        return any(
            number >= replicas and until > now and rate > 0.8 * too_much
            for number, (too_much, until) in self._too_few.items()
        )


def strain(load: Load, *, budget_s: float | None) -> float:
    """Return by which factor replicas are too few for this load, 2.0 at most.

    To wait for 0.4 of the objective, or to lose a hundredth of the queries, is too much.
    """
    delayed = 0.0
    if load.delay_s is not None and budget_s is not None:
        delayed = load.delay_s / (0.4 * budget_s)
    lost = 1.0 / max(1.0 - load.lost_share, 0.5) if load.lost_share > 0.01 else 0.0
    return min(2.0, max(delayed, lost))


def _is_pressed(load: Load | None, *, budget_s: float | None) -> bool:
    return load is not None and strain(load, budget_s=budget_s) > 1.0


def more_replicas(wanted: int, *, strain: float, most: int) -> int:
    """At least one more, in proportion to the strain, at most twice as many, never over `most`."""
    return min(most, max(wanted + 1, math.ceil(wanted * min(strain, 2.0))))


def is_slack(load: Load, *, replicas: int, budget_s: float | None) -> bool:
    """Return whether so many replicas would have had an easy time with this load."""
    if replicas < 1 or load.busy_replicas >= 0.6 * replicas:
        return False
    return strain(load, budget_s=budget_s) <= 0.5


def _all_newer(reading: Reading, last: Reading) -> bool:
    return all(reading[process].at > last[process].at for process in last)


def _pressure(load: Load, *, situation: Situation) -> str:
    waited = (
        "no query got through" if load.delay_s is None else f"waits {load.delay_s * 1e3:.0f} ms"
    )
    budget = "" if situation.budget_s is None else f" of {situation.budget_s * 1e3:.0f} ms"
    busy = load.busy_replicas / situation.ready
    return f"{waited}{budget}, {load.lost_share:.1%} lost, busy for {busy:.0%} of the time"
