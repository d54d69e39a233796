"""A gate bets fairly, counts what comes in any order, and says no more than is proved."""

from __future__ import annotations

import math
from itertools import product

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selection.evaluation.gates.among_failures import BOTH_WAYS, AmongFailures, LabelRatio, bet
from selection.evaluation.gates.gate import Gate, GateSeen
from selection.evaluation.gates.two_rates import (
    Counts,
    NoWorse,
    RatePair,
    Worse,
    alternatives,
    nearest_null,
)

chances = st.floats(0.001, 0.999)
losses = st.sampled_from([0.0, 0.25, 1.0])
observations = st.lists(
    st.builds(
        GateSeen, st.booleans(), st.sampled_from([0.01, 0.25, 0.5]), losses, st.integers(1, 9)
    ),
    max_size=12,
)
ALPHA = 0.0125


@given(observations, st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_gate_goes_on_as_it_was_stored(
    seen: list[GateSeen], by_failures: bool, by_person: bool
) -> None:
    gate = Gate(margin=0.02, by_failures=by_failures)
    for place, one in enumerate(seen):
        if by_person:
            gate.note_person(one, person=str(place % 3))
        else:
            gate.note(one)
    encode = msgspec.msgpack.encode
    stored = msgspec.msgpack.decode(encode(gate), type=Gate)
    assert stored == gate
    again = GateSeen(True, 0.25, 1.0)
    stored.note(again)
    gate.note(again)
    assert stored == gate
    assert msgspec.json.decode(msgspec.json.encode(gate), type=Gate) == gate


@given(observations)
@settings(deadline=None)
def test_observations_that_came_together_count_alike_in_any_order(seen: list[GateSeen]) -> None:
    one, other = (Gate(margin=0.02, by_failures=False) for _ in range(2))
    one.note(*seen)
    other.note(*reversed(seen))
    assert one.log_evidence == pytest.approx(other.log_evidence, abs=1e-9)
    assert [t.log_evidence for t in one.no_worse] == pytest.approx(
        [t.log_evidence for t in other.no_worse], abs=1e-9
    )


@given(st.lists(st.tuples(st.booleans(), chances), max_size=20))
def test_failures_count_alike_in_any_order(failures: list[tuple[bool, float]]) -> None:
    one, other = AmongFailures(), AmongFailures()
    for canary, chance in failures:
        one.note(canary=canary, chance=chance)
    for canary, chance in reversed(failures):
        other.note(canary=canary, chance=chance)
    assert one.log_evidence == pytest.approx(other.log_evidence, abs=1e-9)


@given(chances)
def test_no_bet_among_failures_gains_by_luck(chance: float) -> None:
    after = [bet([0.0] * 20, BOTH_WAYS, canary=a, chance=chance, count=1.0) for a in (True, False)]
    means = chance * np.exp(after[0]) + (1.0 - chance) * np.exp(after[1])
    assert means == pytest.approx(np.ones(20))


@given(chances, st.floats(0.001, 0.999), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_no_bet_on_worse_gains_by_luck_if_answers_are_alike(
    chance: float, live_rate: float, rate: float, loss: float
) -> None:
    """Given the loss, which does not depend on who was asked."""
    expected = 0.0
    for canary, share in ((True, chance), (False, 1.0 - chance)):
        bets = Worse()
        bets.note(canary=canary, chance=chance, loss=loss, count=1.0, live_rate=live_rate)
        expected += share * math.exp(bets.log_evidence)
    assert expected == pytest.approx(1.0)


@given(
    chances,
    st.sampled_from([0.005, 0.02, 0.1, 0.3]),
    st.integers(0, 50),
    st.integers(0, 500),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
)
@settings(max_examples=300, deadline=None)
def test_no_bet_on_no_worse_gains_by_luck(
    chance: float, margin: float, bad: int, good: int, share: float, at: float, beyond: float
) -> None:
    """If the canary loses the margin more, or still more than that, whatever the level."""
    canary, live = Counts(share * (bad + good), share * bad), Counts(bad + good, bad)
    bets = [
        (one, nearest_null(one, margin=margin, chance=chance))
        for one in alternatives(canary, live, margin=margin)
    ]
    low = at * (1.0 - margin)
    high = low + margin + beyond * (1.0 - low - margin)
    expected = 0.0
    for asked, loss in product((True, False), (0.0, 1.0)):
        rate = high if asked else low
        probability = (chance if asked else 1.0 - chance) * (rate if loss else 1.0 - rate)
        test = NoWorse(margin)
        test.note(bets, canary=asked, loss=loss, count=1.0)
        expected += probability * math.exp(test.log_evidence)
    assert expected <= 1.0 + 1e-6


def test_the_nearest_null_is_nearest() -> None:
    alternative, margin, chance = RatePair(0.1, 0.1), 0.02, 0.25
    null = nearest_null(alternative, margin=margin, chance=chance)

    def distance(live: float) -> float:
        return chance * divergence(0.1, live + margin) + (1.0 - chance) * divergence(0.1, live)

    assert null.canary - null.live == pytest.approx(margin)
    assert distance(null.live) <= min(distance(null.live + d) for d in (-1e-4, 1e-4))


def divergence(a: float, b: float) -> float:
    return a * math.log(a / b) + (1.0 - a) * math.log((1.0 - a) / (1.0 - b))


def test_the_largest_losses_are_excluded_first() -> None:
    gate = Gate(margin=0.02, by_failures=False, known=Counts(200.0, 20.0))
    excluded = []
    for _ in range(400):
        gate.note(
            *(
                GateSeen(bool(a), 0.25, y, n)
                for a, y, n in ((1, 1.0, 1), (1, 0.0, 9), (0, 1.0, 3), (0, 0.0, 27))
            )
        )
        excluded.append(gate.largest_loss_excluded() or 1.0)
    assert excluded == sorted(excluded, reverse=True)
    assert gate.verdict(alpha=ALPHA) == "no_worse"
    assert excluded[-1] <= 0.02


def test_the_calls_that_are_missing_become_fewer() -> None:
    gate = Gate(margin=0.05, by_failures=False, known=Counts(200.0, 20.0))
    assert gate.calls_wanted() is None
    wanted = []
    for _ in range(30):
        gate.note(GateSeen(True, 0.5, 1.0), GateSeen(True, 0.5, 0.0, 9))
        gate.note(GateSeen(False, 0.5, 1.0), GateSeen(False, 0.5, 0.0, 9))
        wanted.append(gate.calls_wanted() or 0.0)
    assert wanted[0] == pytest.approx(385, rel=0.5)
    assert wanted[0] > wanted[10] > wanted[29]


@pytest.mark.parametrize("chance", [0.0, 1.0, math.nan])
def test_what_was_not_drawn_by_chance_is_left_out(chance: float) -> None:
    gate = Gate(margin=0.02, by_failures=True)
    gate.note(GateSeen(True, chance, 1.0, 5))
    gate.note_person(GateSeen(True, chance, 1.0, 5), person="ada")
    assert gate.log_evidence == 0.0
    assert gate.canary.number == 0.0


def test_a_canary_that_always_fails_is_found_after_two_calls() -> None:
    gate = Gate(margin=0.02, by_failures=True)
    gate.note(GateSeen(False, 0.01, 0.0, 200))
    gate.note(GateSeen(True, 0.01, 1.0))
    assert gate.verdict(alpha=ALPHA) == "open"
    gate.note(GateSeen(True, 0.01, 1.0))
    assert gate.verdict(alpha=ALPHA) == "worse"


def test_a_person_fails_once() -> None:
    gate = Gate(margin=0.02, by_failures=True)
    for _ in range(100):
        gate.note_person(GateSeen(True, 0.05, 1.0), person="ada")
    assert gate.verdict(alpha=ALPHA) == "open"
    gate.note_person(GateSeen(True, 0.05, 1.0), person="bob")
    gate.note_person(GateSeen(True, 0.05, 1.0), person="cyd")
    assert gate.verdict(alpha=ALPHA) == "worse"
    assert gate.people_in_canary == 3


@pytest.mark.parametrize(
    ("people", "chance", "expected"),
    [(40, 0.5, "open"), (3000, 0.5, "no_worse"), (3000, 0.25, "open")],
)
def test_people_show_no_loss_if_many_are_drawn_evenly(
    people: int, chance: float, expected: str
) -> None:
    """None of them ever fails: few would have shown nothing else either if one in 50 always did."""
    gate = Gate(margin=0.02, by_failures=True)
    for place in range(people):
        gate.note_person(GateSeen(place % 2 == 0, chance, 0.0, 3), person=str(place))
    assert gate.verdict(alpha=ALPHA) == expected


def test_labels_that_come_by_version_are_found() -> None:
    ratio, even = LabelRatio(), LabelRatio()
    for canary, count in ((False, 90.0), (True, 30.0)):
        ratio.note(canary=canary, chance=0.1, count=count)
    for canary, count in ((False, 900.0), (True, 100.0)):
        even.note(canary=canary, chance=0.1, count=count)
    assert ratio.log_evidence > -math.log(ALPHA) > 0.0 > even.log_evidence
