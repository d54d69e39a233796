from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engine.service_time import ServiceTime


def observe(
    service: ServiceTime,
    *,
    fixed: float,
    per_row: float,
    sizes: list[int],
    noise: float = 0.0,
    seed: int = 1,
) -> None:
    chance = random.Random(seed)
    for size in sizes:
        seconds = (fixed + per_row * size) * max(0.3, chance.gauss(1.0, noise))
        service.record(size=size, seconds=seconds)


def mixed(count: int, *, largest: int = 100, seed: int = 2) -> list[int]:
    chance = random.Random(seed)
    return [chance.randint(1, largest) for _ in range(count)]


def calibrated(*, fixed: float = 0.005, per_row: float = 0.0001, noise: float = 0.1) -> ServiceTime:
    service = ServiceTime()
    observe(service, fixed=fixed, per_row=per_row, sizes=mixed(200), noise=noise)
    return service


def test_it_knows_nothing_before_the_first_batch() -> None:
    service = ServiceTime()
    assert not service.calibrated
    assert service.predict(100) == 0.0
    assert service.fitting(0.02) >= 4096


def test_a_handful_of_batches_calibrate_it() -> None:
    service = ServiceTime()
    observe(service, fixed=0.005, per_row=0.0001, sizes=mixed(8))
    assert service.calibrated


@pytest.mark.parametrize(
    ("fixed", "per_row"), [(0.005, 0.0001), (0.02, 0.00001), (0.0, 0.0001), (0.0005, 0.004)]
)
def test_it_tells_the_fixed_cost_from_that_of_a_row(fixed: float, per_row: float) -> None:
    service = calibrated(fixed=fixed, per_row=per_row, noise=0.05)
    for size in (10, 50, 100):
        assert service.predict(size) == pytest.approx(fixed + per_row * size, rel=0.1)


def test_what_fits_a_budget_is_predicted_to_take_no_longer() -> None:
    service = calibrated()
    size = service.fitting(0.02)
    assert service.predict(size) <= 0.02 < service.predict(size + 1)
    assert size == pytest.approx(150, rel=0.15)


def test_nothing_fits_a_budget_below_the_fixed_cost() -> None:
    assert calibrated().fitting(0.001) == 0


def test_batches_of_one_size_are_predicted_as_measured_and_others_in_proportion() -> None:
    service = ServiceTime()
    observe(service, fixed=0.0, per_row=0.001, sizes=[20] * 100)
    assert service.predict(20) == pytest.approx(0.02)
    assert service.predict(40) == pytest.approx(0.04)


def test_larger_batches_that_took_less_never_make_a_row_cost_less_than_nothing() -> None:
    service = ServiceTime()
    for size in mixed(200):
        service.record(size=size, seconds=0.02 / size)
    assert service.per_row > 0.0
    assert service.fixed >= 0.0


def test_a_steeper_rise_than_through_the_origin_has_no_negative_fixed_cost() -> None:
    service = ServiceTime()
    for size in mixed(200):
        service.record(size=size, seconds=0.00001 * size * size)
    assert service.fixed == pytest.approx(0.0, abs=1e-12)
    assert service.predict(1) > 0.0


def test_one_pause_of_the_machine_hardly_shows() -> None:
    service = calibrated()
    before = service.predict(50)
    service.record(size=50, seconds=3.0)
    assert service.predict(50) == pytest.approx(before, rel=0.1)


@pytest.mark.parametrize("factor", [3.0, 1.0 / 3.0])
def test_it_follows_a_model_that_changed_within_tens_of_batches(factor: float) -> None:
    service = calibrated()
    observe(
        service, fixed=0.005 * factor, per_row=0.0001 * factor, sizes=mixed(40, seed=3), noise=0.1
    )
    assert service.predict(50) == pytest.approx(0.01 * factor, rel=0.2)
    observe(
        service, fixed=0.005 * factor, per_row=0.0001 * factor, sizes=mixed(60, seed=4), noise=0.1
    )
    assert service.predict(50) == pytest.approx(0.01 * factor, rel=0.1)


def test_a_light_load_that_becomes_heavy_is_predicted_after_a_few_batches() -> None:
    service = ServiceTime()
    observe(service, fixed=0.005, per_row=0.0001, sizes=mixed(300, largest=3), noise=0.1)
    observe(service, fixed=0.005, per_row=0.0001, sizes=[60, 70, 80, 90, 100] * 2)
    assert service.predict(80) == pytest.approx(0.013, rel=0.1)
    assert service.predict(1) == pytest.approx(0.005, rel=0.1)


@given(
    st.lists(st.tuples(st.integers(1, 4096), st.floats(0, 100)), min_size=1, max_size=200),
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
        assert service.predict(1) <= service.predict(4096)
        assert service.fitting(budget) >= 0
