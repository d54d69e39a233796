"""The measurement of stopping: who is called the best and when, and the row of the table."""

from __future__ import annotations

from benchmarks.learning.stopping import Trial, gains_told, row, settled


def test_the_better_of_two_arms_is_found_and_equal_ones_are_not_told_apart() -> None:
    apart = Trial(name="far apart", right=(0.3, 0.95), labels=400)
    equal = Trial(name="equal", right=(0.9, 0.9), labels=400)

    found = settled(apart, seed=1)

    assert found is not None
    assert found[0] == 1
    assert 20 <= found[1] < 400
    assert settled(equal, seed=1) is None
    assert not gains_told(2, seed=1, labels=200)


def test_a_row_tells_apart_who_was_called_best_and_who_was_called_so_wrongly() -> None:
    apart = Trial(name="two", right=(0.9, 0.8), labels=100)
    equal = Trial(name="alike", right=(0.9, 0.9), labels=100)

    assert row(apart, [(0, 40), (1, 80), None, (0, 60)]) == (
        "| two | track_and_stop | 75.0% | 25.0% | 60 |"
    )
    assert row(equal, [None, (1, 20)]) == "| alike | track_and_stop | 50.0% | 50.0% | 20 |"
