from hypothesis import given
from hypothesis import strategies as st

from serving.engine.batching import Aimd


def test_it_starts_with_single_queries():
    assert Aimd(budget=0.02).cap == 1


def test_a_full_batch_within_the_budget_adds_two():
    controller = Aimd(budget=0.02)
    controller.record(size=1, latency=0.001)
    assert controller.cap == 3


def test_a_batch_that_was_not_full_proves_nothing():
    controller = Aimd(budget=0.02)
    controller.record(size=1, latency=0.001)
    controller.record(size=2, latency=0.001)
    assert controller.cap == 3


def test_within_a_tenth_of_the_budget_nothing_changes():
    controller = Aimd(budget=0.02)
    controller.record(size=1, latency=0.0185)
    assert controller.cap == 1


def test_a_batch_over_the_budget_backs_off_by_a_tenth():
    controller = Aimd(budget=0.02)
    for _ in range(50):
        controller.record(size=controller.cap, latency=0.001)
    before = controller.cap
    controller.record(size=before, latency=0.03)
    assert controller.cap == int(before * 0.9)


def test_it_settles_where_a_linear_model_fills_the_budget():
    controller = Aimd(budget=0.02)
    for _ in range(500):
        controller.record(size=controller.cap, latency=0.001 + 0.0001 * controller.cap)
    assert 150 <= controller.cap <= 190


@given(
    st.lists(st.tuples(st.integers(1, 5000), st.floats(0, 10)), max_size=300),
    st.integers(1, 5000),
)
def test_the_cap_stays_between_one_and_its_maximum(batches, max_size):
    controller = Aimd(budget=0.02, max_size=max_size)
    for size, latency in batches:
        controller.record(size=size, latency=latency)
        assert 1 <= controller.cap <= max_size
