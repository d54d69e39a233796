from serving.engine.batching.aimd import Aimd


def test_a_full_batch_within_the_budget_adds_two() -> None:
    controller = Aimd(budget=0.02)
    controller.record(size=1, latency=0.001)
    assert controller.cap == 3


def test_within_a_tenth_of_the_budget_nothing_changes() -> None:
    controller = Aimd(budget=0.02)
    controller.record(size=1, latency=0.0185)
    assert controller.cap == 1


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
