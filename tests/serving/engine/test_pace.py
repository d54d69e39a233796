"""What one replica's batches may take, and what is expected of it."""

from __future__ import annotations

from itertools import pairwise
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.specs import BatchingSpec
from serving.engine.batch_planner import (
    AMPLE,
    LEAST_OF_OBJECTIVE,
    MOST_OF_OBJECTIVE,
    RESERVE,
    TRIED_NEVERTHELESS,
    BatchPlanner,
    batch_budget,
)
from serving.engine.service_time import ServiceTime


def new_pace(*, common: ServiceTime | None = None, **batching: Any) -> BatchPlanner:
    return BatchPlanner(
        batching=BatchingSpec(**batching),
        answer_within=0.060,
        max_batch=4096,
        common=common or ServiceTime(),
    )


def work(
    planner: BatchPlanner,
    *,
    per_row: float = 0.001,
    fixed: float = 0.0,
    batches: int = 30,
    rows: int | None = None,
    queued: float = 0.0,
) -> None:
    """Let the replica answer batches as large as it wants them, or of `rows`."""
    for _ in range(batches):
        size = rows or planner.cap
        seconds = fixed + per_row * size
        planner.record(rows=size, queued=queued, seconds=seconds, elapsed=seconds)


def test_however_short_the_queue_a_batch_gets_no_more_than_its_share() -> None:
    most = MOST_OF_OBJECTIVE * 0.060
    assert batch_budget(answer_within=0.060, queueing=0.0) == pytest.approx(most)
    assert batch_budget(answer_within=0.060, queueing=0.060 - most) == pytest.approx(most)


def test_behind_others_a_batch_gets_what_they_leave_of_the_objective() -> None:
    left = (MOST_OF_OBJECTIVE + LEAST_OF_OBJECTIVE) / 2 * 0.060
    assert batch_budget(answer_within=0.060, queueing=0.060 - left) == pytest.approx(left)


def test_however_long_the_queue_a_batch_gets_its_least_share() -> None:
    least = LEAST_OF_OBJECTIVE * 0.060
    assert batch_budget(answer_within=0.060, queueing=0.061 - least) == pytest.approx(least)
    assert batch_budget(answer_within=0.060, queueing=inf) == pytest.approx(least)


def test_the_tightest_objective_leaves_a_batch_a_millisecond() -> None:
    assert batch_budget(answer_within=0.0004, queueing=0.0) == 0.001


@given(st.floats(0.0001, 100.0), st.floats(0.0, 100.0), st.floats(0.0, 100.0))
def test_more_queueing_never_gives_a_batch_more(
    answer_within: float, queueing: float, more: float
) -> None:
    before = batch_budget(answer_within=answer_within, queueing=queueing)
    assert batch_budget(answer_within=answer_within, queueing=queueing + more) <= before


def test_measured_queueing_narrows_the_budget_of_controller_and_wait() -> None:
    planner = new_pace()
    assert planner.budget == pytest.approx(MOST_OF_OBJECTIVE * 0.060)
    work(planner, queued=0.060, batches=200)
    assert planner.budget == pytest.approx(LEAST_OF_OBJECTIVE * 0.060)
    assert planner.controller.budget == planner.wait.budget == planner.budget


def test_a_fixed_budget_overrules_objective_and_queueing() -> None:
    planner = BatchPlanner(
        batching=BatchingSpec(),
        answer_within=0.060,
        max_batch=64,
        common=ServiceTime(),
        fixed_budget=0.007,
    )
    work(planner, queued=1.0)
    assert planner.budget == planner.controller.budget == 0.007


def test_a_new_objective_keeps_what_was_learned() -> None:
    planner = new_pace()
    work(planner)
    cap, expected, controller = planner.cap, planner.batch_seconds(8), planner.controller
    assert cap > 10
    planner.configure(batching=BatchingSpec(), answer_within=0.080)
    assert (planner.cap, planner.batch_seconds(8)) == (cap, expected)
    assert planner.controller is controller
    assert planner.controller.budget == pytest.approx(MOST_OF_OBJECTIVE * 0.080)


def test_a_lower_bound_holds_at_once_and_a_higher_one_later() -> None:
    planner = new_pace()
    work(planner)
    cap = planner.cap
    planner.configure(batching=BatchingSpec(max_size=4), answer_within=0.060)
    assert planner.cap == 4
    assert planner.queue_seconds(8) == pytest.approx(2 * planner.batch_seconds(4))
    planner.configure(batching=BatchingSpec(), answer_within=0.060)
    assert planner.cap == cap


def test_another_controller_starts_anew_but_expected_times_stay() -> None:
    planner = new_pace()
    work(planner)
    expected, wait = planner.batch_seconds(8), planner.wait
    planner.configure(batching=BatchingSpec(controller="static", max_size=16), answer_within=0.060)
    assert planner.cap == 16
    assert planner.batch_seconds(8) == expected
    assert planner.wait is wait


def test_another_wait_leaves_the_controller_alone() -> None:
    planner = new_pace()
    work(planner)
    controller = planner.controller
    planner.configure(batching=BatchingSpec(wait_ms=2.0), answer_within=0.060)
    assert planner.wait.seconds == 0.002
    assert planner.controller is controller
    planner.configure(batching=BatchingSpec(wait_ms=0.0), answer_within=0.060)
    assert planner.wait.seconds == 0.0


@pytest.mark.parametrize("controller", ["aimd", "quantile_regression", "static", "none"])
def test_no_version_gets_larger_batches_than_the_engine_allows(controller: str) -> None:
    planner = BatchPlanner(
        batching=BatchingSpec(controller=controller, max_size=4096),
        answer_within=60.0,
        max_batch=32,
        common=ServiceTime(),
    )
    work(planner, batches=200)
    assert 1 <= planner.cap <= 32


def test_a_batch_that_still_grows_is_expected_to_reach_what_fits() -> None:
    planner = new_pace()
    work(planner, batches=8, fixed=0.005, per_row=0.0005)
    assert planner.cap < 20
    in_batches_like_now = 10 * planner.batch_seconds(20)
    assert planner.queue_seconds(200) < 0.9 * in_batches_like_now


def test_without_batching_every_row_is_expected_to_go_alone() -> None:
    planner = new_pace(controller="none")
    work(planner, batches=10, fixed=0.001)
    assert planner.queue_seconds(10) == pytest.approx(10 * planner.batch_seconds(1))


def test_a_static_size_is_not_expected_to_grow() -> None:
    planner = new_pace(controller="static", max_size=4)
    work(planner, batches=10, per_row=0.0001, fixed=0.001)
    assert planner.queue_seconds(40) == pytest.approx(10 * planner.batch_seconds(4))


def test_nothing_is_predicted_before_enough_batches_were_seen() -> None:
    planner = new_pace()
    work(planner, batches=2)
    assert planner.batch_seconds(1) < 0.001
    work(planner, batches=10)
    assert planner.batch_seconds(1) == pytest.approx(0.0011, rel=0.2)


def test_rows_that_take_a_small_part_of_the_objective_leave_ample_time() -> None:
    planner = new_pace(controller="static", max_size=4)
    work(planner, per_row=0.001, batches=20)
    assert planner.ample_rows == int(AMPLE * 0.060 / (RESERVE * 0.001))


def test_one_row_is_always_tried_however_slow_the_replica_was() -> None:
    planner = new_pace(controller="static", max_size=4)
    work(planner, per_row=10.0, batches=20)
    assert planner.ample_rows == 1


def test_where_nothing_is_known_a_long_queue_still_counts_more() -> None:
    planner = new_pace()
    assert 0.0 < planner.queue_seconds(1) < planner.queue_seconds(100) < 0.001


def test_of_a_replica_that_has_shown_nothing_the_same_is_expected_as_of_the_others() -> None:
    common = ServiceTime()
    veteran = new_pace(common=common, controller="static", max_size=4)
    work(veteran, batches=20)
    newcomer = new_pace(common=common, controller="static", max_size=4)
    assert newcomer.queue_seconds(10) == pytest.approx(veteran.queue_seconds(10))


def test_a_replica_that_is_idle_while_the_others_learn_learns_with_them() -> None:
    common = ServiceTime()
    idle, busy = (new_pace(common=common, controller="static", max_size=4) for _ in range(2))
    work(busy, batches=20)
    assert idle.queue_seconds(10) == pytest.approx(busy.queue_seconds(10))


def test_what_a_replica_has_shown_itself_counts_more_than_what_the_others_have() -> None:
    common = ServiceTime()
    slow, fast = new_pace(common=common), new_pace(common=common)
    work(slow, per_row=0.010, batches=20)
    work(fast, per_row=0.001, batches=20)
    assert slow.batch_seconds(1) > 5 * fast.batch_seconds(1)


histories = st.lists(
    st.tuples(st.integers(1, 200), st.floats(0.0, 0.1), st.floats(0.0, 0.2)), max_size=40
)


@given(
    history=histories,
    controller=st.sampled_from(["aimd", "quantile_regression", "static", "none"]),
    rows=st.lists(st.integers(1, 5000), min_size=2, max_size=8),
)
def test_a_longer_queue_never_takes_less(
    history: list[tuple[int, float, float]], controller: str, rows: list[int]
) -> None:
    planner = new_pace(controller=controller, max_size=64)
    for size, seconds, queued in history:
        planner.record(rows=size, queued=queued, seconds=seconds, elapsed=seconds)
    expected = [planner.queue_seconds(one) for one in sorted(rows)]
    assert all(a <= b * (1 + 1e-9) for a, b in pairwise(expected))


def test_no_batch_is_larger_than_is_predicted_to_fit_the_budget() -> None:
    """A controller that tries two rows more where few fit would have the next ones come late."""
    planner = new_pace()
    work(planner, per_row=0.006, rows=1, batches=10)
    work(planner, per_row=0.006, batches=10)
    caps = set()
    for _ in range(TRIED_NEVERTHELESS - 12):
        work(planner, per_row=0.006, batches=1)
        caps.add(planner.cap)
    assert max(caps) <= 4


def test_a_prediction_that_is_too_slow_is_put_to_the_test_now_and_then() -> None:
    planner = new_pace()
    work(planner, fixed=0.0, per_row=0.013, rows=1, batches=100)
    work(planner, fixed=0.012, per_row=0.0001, batches=2 * TRIED_NEVERTHELESS)
    assert planner.cap > 10


def test_a_static_size_is_sent_whatever_it_takes() -> None:
    planner = new_pace(controller="static", max_size=16)
    work(planner, per_row=0.010)
    assert planner.cap == 16


def test_what_waits_beyond_a_batch_is_expected_in_full_ones() -> None:
    planner = new_pace(controller="static", max_size=4)
    work(planner, per_row=0.001)
    assert planner.last_seconds(3) == pytest.approx(0.003 * RESERVE)
    assert planner.last_seconds(4) == pytest.approx(0.004 * RESERVE)
    assert planner.last_seconds(5) == planner.last_seconds(8) == pytest.approx(0.008 * RESERVE)


def test_far_more_are_let_in_where_only_small_batches_have_been_seen() -> None:
    untried, tried = new_pace(), new_pace()
    work(untried, fixed=0.001, per_row=0.0, rows=1)
    work(tried)
    assert untried.ample_rows >= 500
    assert tried.ample_rows <= 0.060 / 0.001
    one_by_one = new_pace(controller="none")
    work(one_by_one)
    assert one_by_one.ample_rows <= 0.060 / 0.001
