"""Checks of an experiment's health: what each takes for usual, and what it alarms at."""

from collections.abc import Callable, Sequence

import msgspec
import pytest

from selection.evaluation.health.delay import Delay
from selection.evaluation.health.drift import Drift
from selection.evaluation.health.exploration import Exploration
from selection.evaluation.health.exposure import Exposure
from selection.evaluation.health.one_sided import OneSided
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
    assert found.reason.startswith("5 of 99 keys have labels of more than one version")


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

HOUR, DAY = 3600, 86_400
# A Monday.
MONDAY = 1_767_571_200.0


def office(at: float) -> bool:
    """Return if offices are open: from 9 to 17 from Monday to Friday."""
    day, hour = divmod((at - MONDAY) / HOUR, 24)
    return day % 7 < 5 and 9 <= hour < 17


def always(at: float) -> bool:
    return True


def week(
    silence: Silence,
    *,
    begin: float,
    hours: float,
    open_at: Callable[[float], bool] = office,
    calls: int = 10,
) -> list[float]:
    """Look every minute; a label comes in each if `open_at`. Return when it alarmed."""
    alarms = []
    for minute in range(int(hours * 60)):
        now = begin + 60.0 * (minute + 1)
        silence.look(calls=calls, labels_at=[now - 30.0] if open_at(now - 30.0) else [], now=now)
        if silence.finding(now=now).state == "alarm":
            alarms.append(now)
    return alarms


def test_nights_and_weekends_without_labels_never_alarm() -> None:
    silence = Silence()
    assert silence.finding(now=MONDAY).state == "unknown"
    assert week(silence, begin=MONDAY + 10 * HOUR, hours=14 * 24) == []
    assert silence.finding(now=MONDAY + 14 * DAY + 10 * HOUR).state == "good"


def test_labels_that_stop_in_office_hours_are_missed_within_the_hour() -> None:
    silence = Silence()
    week(silence, begin=MONDAY, hours=9 * 24 + 11)
    stopped = MONDAY + 9 * DAY + 11 * HOUR

    alarms = week(silence, begin=stopped, hours=2, open_at=lambda _: False)

    assert stopped < alarms[0] < stopped + HOUR
    found = silence.finding(now=stopped + 2 * HOUR)
    assert found.reason.startswith("No label for 2 h, while queries went on that usually bring")
    assert week(silence, begin=stopped + 2 * HOUR, hours=1) == []


def test_where_queries_stop_too_nothing_is_missed() -> None:
    silence = Silence()
    week(silence, begin=MONDAY, hours=9 * 24 + 11)
    begin = MONDAY + 9 * DAY + 11 * HOUR
    assert week(silence, begin=begin, hours=5 * 24, open_at=lambda _: False, calls=0) == []


def test_labels_that_come_all_at_once_are_not_missed_in_between() -> None:
    silence = Silence()

    def once_a_day(at: float) -> bool:
        return (at - MONDAY) % DAY < HOUR

    assert week(silence, begin=MONDAY, hours=10 * 24, open_at=once_a_day) == []
    begin = MONDAY + 10 * DAY
    alarms = week(silence, begin=begin, hours=4 * 24, open_at=lambda _: False)
    assert begin + 2 * DAY < alarms[0] <= begin + 3 * DAY


def test_labels_on_both_sides_of_an_hours_end_once_a_week_are_not_missed() -> None:
    silence = Silence()

    def once_a_week(at: float) -> bool:
        return abs((at - MONDAY) % (7 * DAY) - 11 * HOUR) < 1200

    begin = MONDAY + 20 * HOUR
    assert week(silence, begin=begin, hours=14 * 24, open_at=once_a_week) == []


def test_in_the_first_week_more_than_a_weekend_is_missed() -> None:
    silence = Silence()
    week(silence, begin=MONDAY, hours=80, open_at=always)
    begin = MONDAY + 80 * HOUR
    alarms = week(silence, begin=begin, hours=80, open_at=lambda _: False)
    assert begin + 3 * DAY <= alarms[0] < begin + 3 * DAY + HOUR


def test_a_pause_that_alarmed_hardly_makes_the_next_one_usual() -> None:
    silence = Silence()
    week(silence, begin=MONDAY, hours=9 * 24 + 11)
    begin = MONDAY + 9 * DAY + 11 * HOUR
    week(silence, begin=begin, hours=24, open_at=lambda _: False)
    week(silence, begin=begin + DAY, hours=24)
    alarms = week(silence, begin=begin + 2 * DAY, hours=4, open_at=lambda _: False)
    assert alarms[0] < begin + 2 * DAY + 3 * HOUR


# --- exploration ----------------------------------------------------------------------------


def explored(
    shares: Sequence[int], *, policy: str, chance: float | None = None, **params: float
) -> tuple[str, float | None]:
    """Judge calls in thousandths, the second arm having had a chance, by default its share."""
    exploration = Exploration()
    second = shares[1] / 1000 if chance is None else chance
    chances = dict(zip(EVEN, (1.0 - second, second), strict=True))
    for _ in range(40):
        exploration.look(dict(zip(EVEN, shares, strict=True)), chances=chances)
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
    ],
)
def test_an_arm_has_collapsed_where_it_gets_much_less_than_is_kept_for_it(
    policy: str, params: dict[str, float], shares: tuple[int, int], state: str
) -> None:
    found, share = explored(shares, policy=policy, **params)
    assert found == state
    assert share == pytest.approx(shares[1] / 1000)


@pytest.mark.parametrize(
    ("policy", "params", "chance"), [("ab_split", {}, 0.5), ("ucb1", {"floor": 0}, 0.01)]
)
def test_few_keys_that_all_fell_to_one_arm_are_chance(
    policy: str, params: dict[str, float], chance: float
) -> None:
    assert explored((1000, 0), policy=policy, chance=chance, **params)[0] == "good"


def test_sums_of_before_which_have_no_chances_are_dropped() -> None:
    exploration = msgspec.convert({"calls": {"svm:1": 9000.0, "knn:1": 0.0}}, Exploration)
    exploration.look({"svm:1": 100, "knn:1": 0}, chances={"svm:1": 0.5, "knn:1": 0.5})
    assert exploration.calls == {"svm:1": 100, "knn:1": 0}


def test_few_calls_say_nothing() -> None:
    exploration = Exploration()
    policy = make_policy("exp3", {})
    assert exploration.finding(policy, weights=EVEN).state == "unknown"
    exploration.look({"svm:1": 10}, chances={"svm:1": 0.5, "knn:1": 0.5})
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


# --- one-sided labels -----------------------------------------------------------------------


def one_sided(*, labels: int, rewards: float, queries: int) -> OneSided:
    check = OneSided()
    check.look(queries=queries, labels=labels, rewards=rewards)
    return check


@pytest.mark.parametrize(
    ("labels", "rewards", "queries", "state"),
    [
        (0, 0, 1000, "unknown"),
        (40, 0, 1000, "unknown"),
        (200, 2, 1000, "alarm"),
        (200, 160, 1000, "good"),
        # Nearly all queries have a label: the arms are bad.
        (900, 9, 1000, "good"),
    ],
)
def test_labels_of_bad_answers_alone_are_noticed(
    labels: int, rewards: float, queries: int, state: str
) -> None:
    assert one_sided(labels=labels, rewards=rewards, queries=queries).finding().state == state


def test_it_offers_the_setting() -> None:
    found = one_sided(labels=200, rewards=2, queries=1000).finding()
    assert found.value == pytest.approx(0.01)
    assert found.reason.startswith("1.0 % of 200 labels call the answer good, and 80 % of the")
    assert "default_reward to 1" in found.reason


# --- drift ----------------------------------------------------------------------------------


def compared(drift: Drift, *, shares: Sequence[float], begin: float, looks: int) -> float:
    """Look every ten seconds at 10 comparisons, the given shares differing; return the end."""
    for number in range(looks):
        differed = round(10 * shares[number % len(shares)])
        drift.look((10, differed), arms=2, now=begin + 10.0 * (number + 1))
    return begin + 10.0 * looks


def test_arms_that_begin_to_disagree_are_found_within_minutes() -> None:
    drift = Drift()
    assert drift.finding().state == "not_applicable"
    end = compared(drift, shares=(0.1,), begin=MONDAY, looks=9)
    assert drift.finding().state == "unknown"
    end = compared(drift, shares=(0.0, 0.1, 0.2), begin=end, looks=1000)
    assert drift.finding().state == "good"

    end = compared(drift, shares=(0.9,), begin=end, looks=20)

    found = drift.finding()
    assert found.state == "alarm"
    assert found.value == pytest.approx(0.5, abs=0.2)
    assert found.reason.endswith("usually 10 %: inputs or a model have changed")
    compared(drift, shares=(0.1,), begin=end, looks=60)
    assert drift.finding().state == "good"


def test_a_quarter_of_an_hour_is_enough_to_know_what_is_usual() -> None:
    drift = Drift()
    end = compared(drift, shares=(0.0, 0.1, 0.1), begin=MONDAY, looks=90)
    assert drift.finding().state == "good"
    compared(drift, shares=(0.9,), begin=end, looks=20)
    assert drift.finding().state == "alarm"


def test_arms_that_begin_to_agree_always_are_found_too() -> None:
    drift = Drift()
    end = compared(drift, shares=(0.3, 0.4, 0.5), begin=MONDAY, looks=1000)
    assert drift.finding().state == "good"
    compared(drift, shares=(0.0,), begin=end, looks=100)
    assert drift.finding().state == "alarm"


def test_nights_that_differ_from_days_are_usual() -> None:
    drift, end = Drift(), MONDAY
    for _ in range(7):
        end = compared(drift, shares=(0.1,), begin=end, looks=3_600)
        assert drift.finding().state == "good"
        end = compared(drift, shares=(0.2, 0.3), begin=end, looks=5_040)
        assert drift.finding().state == "good"
    compared(drift, shares=(0.7,), begin=end, looks=60)
    assert drift.finding().state == "alarm"


def test_a_share_that_has_lasted_for_a_week_is_usual() -> None:
    drift = Drift()
    end = compared(drift, shares=(0.1,), begin=MONDAY, looks=1000)
    end = compared(drift, shares=(0.9,), begin=end, looks=100)
    assert not drift.has_become_usual(end + 6 * DAY)
    assert drift.has_become_usual(end + 8 * DAY)


def test_a_burst_of_one_query_does_not_alarm() -> None:
    drift = Drift()
    end = compared(drift, shares=(0.1,), begin=MONDAY, looks=1000)
    drift.look((500, 500), arms=2, now=end + 10.0)
    assert drift.finding().state == "good"


def test_arms_that_never_agree_tell_nothing() -> None:
    drift = Drift()
    compared(drift, shares=(1.0,), begin=MONDAY, looks=1000)
    assert drift.finding().state == "not_applicable"


def test_a_pace_without_calls_is_not_known() -> None:
    silence = Silence()
    silence.look(calls=0, labels_at=[float(second) for second in range(40)], now=40.0)
    assert silence.finding(now=50.0).state == "good"
