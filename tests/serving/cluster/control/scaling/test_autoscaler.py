"""The number of replicas follows the load: quickly up, slowly down, never to and fro."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.cluster.control.scaling.autoscaler import (
    SETTLE_S,
    WINDOW_DOWN_S,
    Autoscaler,
    Decision,
    Situation,
)
from serving.cluster.control.scaling.version_load import Counters, Reading
from serving.engine.stats import LATENCY_BOUNDS
from tests.serving.cluster.control.scaling.load_simulation import Simulation

BUDGET_S = 0.1
LATE, EARLY = LATENCY_BOUNDS.index(min(b for b in LATENCY_BOUNDS if b > BUDGET_S)), 3


def situation(**changes: Any) -> Situation:
    fields: dict[str, Any] = {"wanted": 2, "ready": 2, "fewest": 1, "most": 8, "budget_s": BUDGET_S}
    return Situation(**(fields | changes))


class Counting:
    """A web process that counts; each second of it is one reading."""

    def __init__(self, autoscaler: Autoscaler | None = None) -> None:
        self.autoscaler = autoscaler or Autoscaler()
        self.now = 1000.0
        self._counters = Counters(at=self.now, waits=(0,) * (len(LATENCY_BOUNDS) + 1))

    def second(self, *, late: int = 0, early: int = 0, lost: int = 0, busy_s: float = 0.0) -> None:
        self.now += 1
        waits = list(self._counters.waits)
        waits[LATE] += late
        waits[EARLY] += early
        old = self._counters
        self._counters = Counters(
            at=self.now, waits=tuple(waits), lost=old.lost + lost, busy_s=old.busy_s + busy_s
        )

    @property
    def reading(self) -> Reading:
        return {"web-1": self._counters}

    def decide(self, reading: Reading | None = None, **changes: Any) -> Decision | None:
        return self.autoscaler.decide(
            self.reading if reading is None else reading,
            situation=situation(**changes),
            now=self.now,
        )

    def decisions(self, seconds: int, *, of: dict[str, Any], **changes: Any) -> list[int | None]:
        """Return the decision of each of these seconds, all alike."""
        found = []
        for _ in range(seconds):
            self.second(**of)
            decision = self.decide(**changes)
            found.append(None if decision is None else decision.replicas)
        return found


PRESSED: dict[str, Any] = {"late": 100, "busy_s": 1.9}
AT_EASE: dict[str, Any] = {"early": 100, "busy_s": 0.5}
SETTLED = int(SETTLE_S) + 1


def test_waiting_queries_get_more_replicas_after_three_readings() -> None:
    counting = Counting()
    counting.decisions(SETTLED - 1, of=PRESSED)

    assert counting.decisions(3, of=PRESSED) == [None, None, 4]


def test_a_single_bad_second_changes_nothing() -> None:
    counting = Counting()
    counting.decisions(SETTLED + 3, of=AT_EASE)

    counting.decisions(1, of=PRESSED)

    assert counting.decisions(4, of=AT_EASE) == [None] * 4


def test_lost_queries_are_pressure_too_and_the_step_is_in_proportion() -> None:
    counting = Counting()

    found = counting.decisions(
        SETTLED + 3, of={"early": 90, "lost": 10, "busy_s": 8.0}, wanted=8, ready=8, most=20
    )

    assert [number for number in found if number] == [9, 9]  # 8 / 0.9, rounded up


def test_queries_that_wait_for_idle_replicas_need_no_more_of_them() -> None:
    counting = Counting()

    found = counting.decisions(SETTLED + 6, of={"late": 100, "busy_s": 0.4})

    assert set(found) == {None}


def test_an_easy_half_minute_takes_one_replica_away() -> None:
    found = Counting().decisions(SETTLED + int(WINDOW_DOWN_S), of=AT_EASE)

    assert found[:-1] == [None] * (len(found) - 1)
    assert found[-1] == 1


@pytest.mark.parametrize(("wanted", "expected"), [(0, 1), (9, 8)])
def test_a_number_outside_the_bounds_is_brought_inside(wanted: int, expected: int) -> None:
    decision = Counting().decide(wanted=wanted, ready=0)

    assert decision == Decision(replicas=expected, reason="outside its bounds")


def test_a_rate_that_was_too_much_is_not_tried_again() -> None:
    counting = Counting()
    assert 4 in counting.decisions(SETTLED + 2, of=PRESSED)

    # The same rate, which three replicas seem to bear with ease: but two have failed at it.
    found = counting.decisions(SETTLED + 40, of=AT_EASE, wanted=3, ready=3)
    assert set(found) == {None}
    lighter = counting.decisions(80, of={"early": 50, "busy_s": 0.3}, wanted=3, ready=3)
    assert 2 in lighter


# A whole system in time.


def test_a_surge_is_met_within_seconds_and_given_back_in_minutes() -> None:
    simulation = Simulation(rate=lambda now: 650.0 if 60 <= now < 240 else 50.0)

    simulation.run(59)
    assert set(simulation.sizes) == {1}
    simulation.run(60)
    peak = simulation.sizes[-1]
    assert 7 <= peak <= 11
    simulation.run(120)
    simulation.run(600)
    assert simulation.sizes[-1] == 1
    falling = simulation.sizes[250:]
    assert all(before >= after for before, after in pairwise(falling))


@settings(deadline=None, max_examples=15)
@given(
    rate=st.floats(0, 2500),
    capacity=st.floats(20, 400),
    load_s=st.integers(1, 20),
    start=st.integers(1, 16),
)
def test_a_constant_load_leads_to_a_constant_number(
    rate: float, capacity: float, load_s: int, start: int
) -> None:
    simulation = Simulation(rate=lambda _: rate, capacity=capacity, load_s=load_s)
    simulation.situation = replace(simulation.situation, wanted=start, ready=start)

    simulation.run(900)

    assert len(set(simulation.sizes[-250:])) == 1
    turns = [(a, b) for a, b in pairwise(_changes(simulation.sizes)) if (a > 0) != (b > 0)]
    assert len(turns) <= 2, "at most one excess, taken back once"


@settings(deadline=None, max_examples=25)
@given(rates=st.lists(st.floats(0, 3000), min_size=1, max_size=12), most=st.integers(1, 12))
def test_the_number_never_leaves_its_bounds_nor_more_than_doubles(
    rates: list[float], most: int
) -> None:
    fewest = (most + 1) // 2
    simulation = Simulation(rate=lambda now: rates[now // 40 % len(rates)])
    simulation.situation = Situation(
        wanted=fewest, ready=fewest, fewest=fewest, most=most, budget_s=BUDGET_S
    )

    simulation.run(480)

    assert all(fewest <= size <= most for size in simulation.sizes)
    assert all(after <= 2 * before for before, after in pairwise(simulation.sizes))


def _changes(sizes: list[int]) -> list[int]:
    return [after - before for before, after in pairwise(sizes) if after != before]
