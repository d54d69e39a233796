"""Labels that come as the arms' chances say never alarm for long; such that don't are found."""

import math
import random
from collections.abc import Sequence

import pytest

from selection.evaluation.health.mismatch import STAKES, Mismatch

TWO = ("svm:1", "knn:1")


def labelled(
    mismatch: Mismatch,
    *,
    chances: Sequence[float],
    kept: Sequence[float],
    labels: int,
    seed: int = 1,
) -> None:
    """Let labels come of arms drawn by their chances, of each with what is `kept` of its own."""
    drawn = random.Random(seed)
    weights = [chance * share for chance, share in zip(chances, kept, strict=True)]
    for _ in range(labels):
        (index,) = drawn.choices(range(len(chances)), weights)
        mismatch.note(TWO[index], propensity=chances[index])


def test_the_money_of_each_stake_is_what_its_bets_came_to() -> None:
    # All on one of two even arms: each label makes 1 + stake of the stake on it, 1 - stake of the
    # other's. The mean of all of them has to reach 100.
    mismatch = Mismatch()

    def capital(labels: int) -> float:
        return math.fsum((1 + s) ** labels + (1 - s) ** labels for s in STAKES) / len(STAKES) / 2

    needed = next(n for n in range(1, 100) if capital(n) >= 100)
    for _ in range(needed - 1):
        mismatch.note("svm:1", propensity=0.5)
    assert mismatch.finding(TWO).state != "alarm"
    mismatch.note("svm:1", propensity=0.5)
    assert mismatch.finding(TWO).state == "alarm"


@pytest.mark.parametrize("chances", [(0.5, 0.5), (0.03, 0.97)])
def test_sound_experiments_are_hardly_ever_called_mismatched(chances: Sequence[float]) -> None:
    alarmed = 0
    for seed in range(40):
        mismatch = Mismatch()
        for look in range(20):
            labelled(mismatch, chances=chances, kept=(1, 1), labels=50, seed=100 * seed + look)
            if mismatch.finding(TWO).state == "alarm":
                alarmed += 1
                break
    assert alarmed <= 2


def test_an_arm_that_loses_a_third_of_its_labels_is_found_and_named() -> None:
    mismatch = Mismatch()
    labelled(mismatch, chances=(0.5, 0.5), kept=(1, 0.67), labels=1500)

    found = mismatch.finding(TWO)

    assert found.state == "alarm"
    assert found.reason.startswith("svm:1 has ")
    assert "of 1,500 labels, where its chances come to about 750" in found.reason


def test_it_is_over_once_as_many_labels_as_found_it_have_come_as_they_should() -> None:
    mismatch = Mismatch()
    labelled(mismatch, chances=(0.5, 0.5), kept=(1, 0.5), labels=600)
    words = mismatch.finding(TWO).reason
    labelled(mismatch, chances=(0.5, 0.5), kept=(1, 1), labels=599, seed=2)
    assert mismatch.finding(TWO)[::2] == ("alarm", words)
    labelled(mismatch, chances=(0.5, 0.5), kept=(1, 1), labels=1, seed=3)
    assert mismatch.finding(TWO).state == "unknown"


def test_it_lasts_while_labels_still_get_lost() -> None:
    mismatch = Mismatch()
    for look in range(6):
        labelled(mismatch, chances=(0.5, 0.5), kept=(1, 0.5), labels=600, seed=look)
        assert mismatch.finding(TWO).state == "alarm"


def test_labels_count_once_the_window_of_their_query_is_over() -> None:
    mismatch = Mismatch()
    for second in range(1_000):
        mismatch.wait("svm:1", propensity=0.5, issued_at=float(second), window_s=800.0)
    mismatch.look(now=1_000.0, window_s=800.0)
    assert (mismatch.labels, mismatch.finding(TWO).state) == (200, "alarm")
    assert sum(tally.labels for tally in mismatch.waiting.values()) == 800
    mismatch.look(now=2_000.0, window_s=800.0)
    assert not mismatch.waiting


def test_labels_that_come_later_for_one_arm_are_sound() -> None:
    mismatch, drawn, window_s = Mismatch(), random.Random(7), 3600.0
    due: list[tuple[float, float, str]] = []
    for second in range(0, 6 * 3600, 5):
        arm = drawn.choice(TWO)
        # Half of the window, or none of it.
        due.append((second + (1800.0 if arm == "knn:1" else 0.0), float(second), arm))
    looked_at = 0.0
    for received_at, issued_at, arm in sorted(due):
        mismatch.wait(arm, propensity=0.5, issued_at=issued_at, window_s=window_s)
        if received_at > looked_at + 60.0:
            looked_at = received_at
            mismatch.look(now=looked_at, window_s=window_s)
            assert mismatch.finding(TWO).state != "alarm"
    assert mismatch.labels > 2_000
