import pytest

from serving.engine.batching.aimd import Aimd


@pytest.mark.parametrize(("latency", "cap"), [(0.001, 3), (0.0185, 1)])
def test_a_full_batch_adds_two_unless_it_took_nine_tenths_of_the_budget(
    latency: float, cap: int
) -> None:
    controller = Aimd(budget=0.02)
    controller.record(size=1, latency=latency)
    assert controller.cap == cap


def test_a_batch_over_the_budget_backs_off_by_a_tenth() -> None:
    controller = _grown()
    before = controller.cap
    controller.record(size=before, latency=0.03)
    assert controller.cap == int(before * 0.9)


def test_a_maximum_that_is_lowered_holds_at_once() -> None:
    controller = _grown()
    controller.max_size = 10
    assert controller.cap == 10
    controller.record(size=10, latency=0.03)
    assert controller.cap == 9


def test_a_maximum_that_is_raised_is_grown_into() -> None:
    controller = Aimd(budget=0.02, max_size=4)
    for _ in range(10):
        controller.record(size=controller.cap, latency=0.001)
    controller.max_size = 100
    assert controller.cap == 4
    controller.record(size=4, latency=0.001)
    assert controller.cap == 6


def _grown(*, batches: int = 50) -> Aimd:
    controller = Aimd(budget=0.02)
    for _ in range(batches):
        controller.record(size=controller.cap, latency=0.001)
    return controller
