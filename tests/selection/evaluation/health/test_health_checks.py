"""Checks of an experiment's health: what each takes for usual, and what it alarms at."""

from collections.abc import Sequence

import pytest

from selection.evaluation.health.delay import Delay
from selection.evaluation.health.exploration import Exploration
from selection.evaluation.health.exposure import Exposure
from selection.evaluation.health.silence import Silence
from selection.policies import make_policy

EVEN = {"svm:1": 1.0, "knn:1": 1.0}


# --- exposure -------------------------------------------------------------------------------


def test_a_key_with_two_arms_is_exposed_however_often_it_was_labelled() -> None:
    exposure = Exposure()
    for context in range(99):
        assert exposure.note(f"user-{context}", arm="svm:1")
        assert not exposure.note(f"user-{context}", arm="svm:1")
    assert exposure.finding(may_move=False)[:2] == ("good", 0.0)

    for context in range(4):
        exposure.note(f"user-{context}", arm="knn:1")
        exposure.note(f"user-{context}", arm="svm:1")
    assert exposure.finding(may_move=False)[:2] == ("good", 4 / 99)
    exposure.note("user-4", arm="knn:1")
    found = exposure.finding(may_move=False)
    assert found.state == "alarm"
    assert exposure.finding(may_move=True).state == "good"
    assert found.reason.startswith("5 of 99 keys have labels of more than one arm")


def test_of_many_keys_a_bounded_sample_is_followed() -> None:
    exposure = Exposure()
    for context in range(10_000):
        exposure.note(f"user-{context}", arm="svm:1")
    assert 500 < len(exposure.arms) <= 2_000
    for context in range(10_000):
        if context % 10 == 0:
            exposure.note(f"user-{context}", arm="knn:1")
    found = exposure.finding(may_move=False)
    assert found.state == "alarm"
    assert found.value == pytest.approx(0.1, abs=0.03)


# --- silence --------------------------------------------------------------------------------


def spoken(silence: Silence, *, rounds: int, calls: int, labels: int, begin: float = 0.0) -> float:
    """Let labels come evenly in rounds of ten seconds; return when they ended."""
    for number in range(rounds):
        at = begin + 10.0 * number
        silence.look(calls=calls, labels_at=[at + 10.0 * (n + 1) / labels for n in range(labels)])
    return begin + 10.0 * rounds


def quiet(silence: Silence, *, rounds: int, calls: int) -> None:
    for _ in range(rounds):
        silence.look(calls=calls, labels_at=())


def test_labels_that_stop_while_queries_go_on_are_missed() -> None:
    silence = Silence()
    assert silence.finding(now=0.0).state == "unknown"
    ended = spoken(silence, rounds=20, calls=50, labels=5)
    assert silence.finding(now=ended).state == "good"

    quiet(silence, rounds=1, calls=50)
    assert silence.finding(now=ended + 10).state == "good"
    quiet(silence, rounds=2, calls=50)
    found = silence.finding(now=ended + 30)
    assert (found.state, found.value) == ("alarm", 30.0)
    assert found.reason.startswith("No label for 30 s, while queries went on that usually bring")

    spoken(silence, rounds=1, calls=50, labels=1, begin=ended + 30)
    assert silence.finding(now=ended + 40).state == "good"


def test_where_queries_stop_too_nothing_is_missed() -> None:
    silence = Silence()
    ended = spoken(silence, rounds=20, calls=50, labels=5)
    quiet(silence, rounds=500, calls=0)
    assert silence.finding(now=ended + 5000).state == "good"


def test_labels_that_always_come_together_are_not_missed_in_between() -> None:
    silence = Silence()
    at = 0.0
    for _night in range(5):
        quiet(silence, rounds=100, calls=50)
        at = spoken(silence, rounds=1, calls=50, labels=500, begin=at + 1000)
    quiet(silence, rounds=150, calls=50)
    assert silence.finding(now=at + 1500).state == "good"
    quiet(silence, rounds=100, calls=50)
    assert silence.finding(now=at + 2500).state == "alarm"


# --- exploration ----------------------------------------------------------------------------


def explored(shares: Sequence[int], *, policy: str, **params: float) -> tuple[str, float | None]:
    exploration = Exploration()
    for _ in range(40):
        exploration.look(dict(zip(EVEN, shares, strict=True)))
    return exploration.finding(make_policy(policy, params), weights=EVEN)[:2]


@pytest.mark.parametrize(
    ("policy", "params", "shares", "state"),
    [
        ("exp3", {"floor": 0.1}, (950, 50), "good"),
        ("exp3", {"floor": 0.1}, (990, 10), "alarm"),
        ("epsilon_greedy", {"epsilon": 0.1}, (990, 10), "alarm"),
        ("ucb1", {"floor": 0}, (999, 1), "good"),
        ("ucb1", {"floor": 0}, (1000, 0), "alarm"),
        ("ab_split", {}, (500, 500), "good"),
        ("ab_split", {}, (900, 100), "alarm"),
        ("exp4", {}, (500, 500), "good"),
    ],
)
def test_an_arm_has_collapsed_where_it_gets_much_less_than_is_kept_for_it(
    policy: str, params: dict[str, float], shares: tuple[int, int], state: str
) -> None:
    found, share = explored(shares, policy=policy, **params)
    assert found == state
    assert share == pytest.approx(shares[1] / 1000)


def test_one_arm_and_few_calls_say_nothing() -> None:
    exploration = Exploration()
    exploration.look({"svm:1": 10})
    policy = make_policy("exp3", {})
    assert exploration.finding(policy, weights={"svm:1": 1.0}).state == "unknown"
    assert exploration.finding(policy, weights=EVEN).state == "unknown"


# --- delay ----------------------------------------------------------------------------------


def test_it_tells_how_long_labels_take_within_two_fifths() -> None:
    delay = Delay()
    for seconds in range(1, 101):
        delay.note(float(seconds))
    assert 50.0 <= delay.quantile(0.5) <= 50.0 * 1.42
    assert 95.0 <= delay.quantile(0.95) <= 95.0 * 1.42
    assert delay.finding(window_s=3600.0)[:2] == ("good", 0.0)


def test_labels_after_the_window_are_told_and_alarm() -> None:
    delay = Delay()
    for _ in range(191):
        delay.note(3.0)
    delay.look(too_late=9)
    assert delay.finding(window_s=3600.0)[:2] == ("good", 9 / 200)
    delay.look(too_late=1)
    found = delay.finding(window_s=3600.0)
    assert found.state == "alarm"
    assert found.reason.endswith("5.0 % after the window of 60 min")
