"""The planner of one replica: how large its batches are, when they leave, how long they take."""

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.specs import BatchingSpec
from serving.engine.batching.planner import BatchPlanner, ServiceTime

WITHIN_S = 0.060


def new_planner(
    *, common: ServiceTime | None = None, max_batch: int = 4096, **batching: Any
) -> BatchPlanner:
    return BatchPlanner(
        batching=BatchingSpec(**batching),
        answer_within=WITHIN_S,
        max_batch=max_batch,
        common=common or ServiceTime(),
    )


def work(
    planner: BatchPlanner,
    *,
    per_row: float = 0.001,
    fixed: float = 0.0,
    batches: int = 30,
    rows: int | None = None,
) -> None:
    """Let the replica answer batches as large as it wants them, or of `rows`."""
    for _ in range(batches):
        size = rows or planner.cap
        planner.record(rows=size, seconds=fixed + per_row * size)


def observe(
    service: ServiceTime,
    *,
    sizes: list[int],
    fixed: float = 0.005,
    per_row: float = 0.0001,
    noise: float = 0.1,
) -> None:
    chance = random.Random(1)
    for size in sizes:
        seconds = (fixed + per_row * size) * max(0.3, chance.gauss(1.0, noise))
        service.record(size=size, seconds=seconds)


def mixed(count: int, *, largest: int = 100) -> list[int]:
    chance = random.Random(2)
    return [chance.randint(1, largest) for _ in range(count)]


# --- how long a batch takes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fixed", "per_row"), [(0.005, 0.0001), (0.02, 0.00001), (0.0, 0.0001), (0.0005, 0.004)]
)
def test_it_tells_the_fixed_cost_from_that_of_a_row(fixed: float, per_row: float) -> None:
    service = ServiceTime()
    observe(service, sizes=mixed(200), fixed=fixed, per_row=per_row, noise=0.05)
    for size in (10, 50, 100):
        assert service.predict(size) == pytest.approx(fixed + per_row * size, rel=0.1)


def test_what_fits_a_budget_is_predicted_to_take_no_longer() -> None:
    service = ServiceTime()
    observe(service, sizes=mixed(200))
    size = service.fitting(0.02, most=4096)
    assert service.predict(size) <= 0.02 < service.predict(size + 1)
    assert service.fitting(0.001, most=4096) == 0
    assert service.fitting(0.02, most=7) == 7


def test_batches_of_one_size_are_predicted_as_measured_and_others_in_proportion() -> None:
    service = ServiceTime()
    observe(service, fixed=0.0, per_row=0.001, sizes=[20] * 100, noise=0.0)
    assert service.predict(20) == pytest.approx(0.02)
    assert service.predict(40) == pytest.approx(0.04)


def test_one_pause_of_the_machine_hardly_shows() -> None:
    service = ServiceTime()
    observe(service, sizes=mixed(200))
    before = service.predict(50)
    service.record(size=50, seconds=3.0)
    assert service.predict(50) == pytest.approx(before, rel=0.15)


@pytest.mark.parametrize("factor", [3.0, 1.0 / 3.0, 0.01])
def test_it_follows_a_model_that_changed(factor: float) -> None:
    service = ServiceTime()
    observe(service, sizes=mixed(200))
    observe(service, fixed=0.005 * factor, per_row=0.0001 * factor, sizes=mixed(100))
    assert service.predict(50) == pytest.approx(0.01 * factor, rel=0.15)


@given(
    st.lists(
        st.tuples(st.integers(1, 4096), st.floats(0, 100, allow_subnormal=False)),
        min_size=1,
        max_size=200,
    ),
    st.floats(0, 10),
)
def test_times_are_never_negative_and_never_shrink_with_the_size(
    batches: list[tuple[int, float]], budget: float
) -> None:
    service = ServiceTime()
    for size, seconds in batches:
        service.record(size=size, seconds=seconds)
        assert service.fixed >= 0.0
        assert service.per_row >= 0.0
        assert 0 <= service.fitting(budget, most=4096) <= 4096


# --- how large a batch may be --------------------------------------------------------------------


def test_a_new_objective_keeps_what_was_learned() -> None:
    planner = new_planner()
    work(planner)
    cap, expected, controller = planner.cap, planner.batch_seconds(8), planner.controller
    assert cap > 10
    planner.configure(batching=BatchingSpec(), answer_within=0.080)
    assert (planner.cap, planner.batch_seconds(8)) == (cap, expected)
    assert planner.controller is controller
    assert planner.controller.budget == planner.budget == pytest.approx(0.36 * 0.080)


def test_a_fixed_budget_overrules_the_objective() -> None:
    planner = BatchPlanner(
        batching=BatchingSpec(),
        answer_within=WITHIN_S,
        max_batch=64,
        common=ServiceTime(),
        fixed_budget=0.007,
    )
    assert planner.budget == planner.controller.budget == 0.007


def test_a_lower_bound_holds_at_once_and_a_higher_one_later() -> None:
    planner = new_planner()
    work(planner)
    cap = planner.cap
    planner.configure(batching=BatchingSpec(max_size=4), answer_within=WITHIN_S)
    assert planner.cap == 4
    planner.configure(batching=BatchingSpec(), answer_within=WITHIN_S)
    assert planner.cap == cap


def test_another_controller_starts_anew_but_expected_times_stay() -> None:
    planner = new_planner()
    work(planner)
    expected = planner.batch_seconds(8)
    planner.configure(
        batching=BatchingSpec(controller="static", max_size=16), answer_within=WITHIN_S
    )
    assert planner.cap == 16
    assert planner.batch_seconds(8) == expected


@pytest.mark.parametrize("controller", ["aimd", "quantile_regression", "static", "none"])
def test_no_version_gets_larger_batches_than_the_engine_allows(controller: str) -> None:
    planner = new_planner(max_batch=32, controller=controller, max_size=4096)
    work(planner, per_row=0.0001, batches=200)
    assert 1 <= planner.cap <= 32


def test_no_batch_is_larger_than_is_predicted_to_fit_the_budget() -> None:
    """A controller that tries two rows more where few fit would have the next ones come late."""
    planner = new_planner()
    work(planner, per_row=0.006, rows=1, batches=10)
    caps = set()
    for _ in range(50):
        work(planner, per_row=0.006, batches=1)
        caps.add(planner.cap)
    assert max(caps) <= 3


def test_a_prediction_that_is_too_slow_is_put_to_the_test_now_and_then() -> None:
    planner = new_planner()
    work(planner, fixed=0.0, per_row=0.013, rows=1, batches=100)
    work(planner, fixed=0.012, per_row=0.0001, batches=300)
    assert planner.cap > 10


def test_a_static_size_is_sent_whatever_it_takes() -> None:
    planner = new_planner(controller="static", max_size=16)
    work(planner, per_row=0.010)
    assert planner.cap == 16


# --- how long a queue takes ----------------------------------------------------------------------


def test_a_batch_that_still_grows_is_expected_to_reach_what_fits() -> None:
    planner = new_planner()
    work(planner, batches=9, fixed=0.005, per_row=0.0005)
    assert planner.cap < 20
    assert planner.queue_seconds(200) < 0.95 * 10 * planner.batch_seconds(20)


def test_what_waits_beyond_a_batch_is_expected_in_full_ones() -> None:
    planner = new_planner(controller="static", max_size=4)
    work(planner)
    full = planner.batch_seconds(4)
    assert planner.last_seconds(3) < planner.last_seconds(4) == pytest.approx(full)
    assert planner.last_seconds(5) == planner.last_seconds(8) == pytest.approx(2 * full)


def test_a_replica_that_has_shown_nothing_is_judged_by_the_others() -> None:
    common = ServiceTime()
    idle, busy = (new_planner(common=common, controller="static", max_size=4) for _ in range(2))
    work(busy, batches=20)
    assert idle.queue_seconds(10) == pytest.approx(busy.queue_seconds(10))


def test_what_a_replica_has_shown_itself_counts_more_than_what_the_others_have() -> None:
    common = ServiceTime()
    slow, fast = new_planner(common=common), new_planner(common=common)
    work(slow, per_row=0.010, batches=20)
    work(fast, per_row=0.001, batches=20)
    assert slow.batch_seconds(1) > 5 * fast.batch_seconds(1)


@given(
    history=st.lists(st.tuples(st.integers(1, 200), st.floats(0.0, 0.1)), max_size=40),
    controller=st.sampled_from(["aimd", "quantile_regression", "static", "none"]),
    rows=st.lists(st.integers(1, 5000), min_size=2, max_size=8),
)
def test_a_longer_queue_never_takes_less(
    history: list[tuple[int, float]], controller: str, rows: list[int]
) -> None:
    planner = new_planner(controller=controller, max_size=64)
    for size, seconds in history:
        planner.record(rows=size, seconds=seconds)
    expected = [planner.queue_seconds(one) for one in sorted(rows)]
    assert all(a <= b * (1 + 1e-9) for a, b in pairwise(expected))


def test_rows_are_let_in_unseen_while_they_take_a_small_part_of_the_objective() -> None:
    planner = new_planner(controller="static", max_size=4)
    work(planner)
    assert planner.ample_rows == int(0.3 * WITHIN_S / planner.batch_seconds(1))
    work(planner, per_row=10.0, batches=100)
    assert planner.ample_rows == 1


def test_far_more_are_let_in_where_only_small_batches_have_been_seen() -> None:
    untried, tried = new_planner(), new_planner()
    work(untried, fixed=0.001, per_row=0.0, rows=1)
    work(tried)
    assert untried.ample_rows >= 500
    assert tried.ample_rows <= WITHIN_S / 0.001


# --- whether to wait for a fuller batch ----------------------------------------------------------


def test_it_waits_where_several_rows_share_a_cost() -> None:
    planner = new_planner()
    assert planner.wait_s == 0.0
    work(planner, fixed=0.010, per_row=0.0001, batches=100)
    assert 0.0005 <= planner.wait_s <= 0.0025
    work(planner, fixed=0.010, per_row=0.0001, batches=20, rows=1)
    assert planner.wait_s == 0.0


def test_it_does_not_wait_where_rows_share_nothing() -> None:
    planner = new_planner()
    work(planner, per_row=0.001, batches=100)
    assert planner.wait_s == 0.0
