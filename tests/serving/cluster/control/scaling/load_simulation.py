"""A model whose replicas answer at a constant rate, second by second, and what it would count."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from serving.cluster.control.scaling.autoscaler import Autoscaler, Situation
from serving.cluster.control.scaling.version_load import Counters
from serving.engine.stats import LATENCY_BOUNDS

WEB = "web-1"


@dataclass
class Simulation:
    """`rate` queries a second arrive; each replica answers `capacity`, after `load_s` to start.

    Whoever would wait for longer than the budget is lost. `sizes` is how many replicas there were
    in each second.
    """

    rate: Callable[[int], float]
    capacity: float = 100.0
    load_s: int = 2
    situation: Situation = field(
        default_factory=lambda: Situation(wanted=1, ready=1, fewest=1, most=16, budget_s=0.1)
    )
    autoscaler: Autoscaler = field(default_factory=Autoscaler)
    now: int = 0
    sizes: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._counters = Counters(at=0.0, waits=(0,) * (len(LATENCY_BOUNDS) + 1))
        self._backlog = 0.0
        self._starting: list[int] = []

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            self._work()
            self._scale()
            self.sizes.append(self.situation.wanted)

    def _work(self) -> None:
        ready, budget = self.situation.ready, self.situation.budget_s or 1.0
        able = ready * self.capacity
        offered = self._backlog + self.rate(self.now)
        served = min(offered, able)
        left = offered - served
        self._backlog = min(left, able * budget)
        lost = left - self._backlog
        # Even with room to spare some wait for the one before them.
        delay = self._backlog / able + 0.2 * served / able / self.capacity
        waits = list(self._counters.waits)
        waits[bisect_left(LATENCY_BOUNDS, delay)] += round(served)
        self._counters = Counters(
            at=float(self.now),
            waits=tuple(waits),
            lost=self._counters.lost + round(lost),
            busy_s=self._counters.busy_s + served / self.capacity,
            waiting=round(self._backlog),
        )

    def _scale(self) -> None:
        self._starting = [left - 1 for left in self._starting]
        arrived = sum(left <= 0 for left in self._starting)
        self._starting = [left for left in self._starting if left > 0]
        self.situation = replace(self.situation, ready=self.situation.ready + arrived)
        decision = self.autoscaler.decide(
            {WEB: self._counters}, situation=self.situation, now=float(self.now)
        )
        if decision is None:
            return
        self.reasons.append(decision.reason)
        more = decision.replicas - self.situation.wanted
        self._starting += [self.load_s] * max(0, more)
        ready = min(self.situation.ready, decision.replicas)
        self.situation = replace(self.situation, wanted=decision.replicas, ready=ready)
