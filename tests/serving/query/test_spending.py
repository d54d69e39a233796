"""The cost of asking each arm, in the receipt if an application sets a price on it."""

from typing import Any

import pytest

from core.specs import VersionSpec
from selection.receipts import Receipt, Spent
from serving.endpoints.predictions.predict import render
from serving.engine.engine import Target
from serving.engine.gather import CACHED, Trace
from serving.query.charges import spent_on, together
from serving.testing import PlayedServing, application_spec, connect, turn, version_spec

TRACE = Trace("model", "r1", 16, 0.125, 0.25, 0.2)


def targets(*costs: float) -> dict[str, Target]:
    versions: list[VersionSpec] = [
        version_spec(id=n, model=f"m{n}", cost=cost) for n, cost in enumerate(costs, start=1)
    ]
    return {version.arm: Target.of(version) for version in versions}


def spent(*traces: Trace | None, arms: tuple[str, ...] = ("m1:1", "m2:1", "m3:1")) -> Any:
    return spent_on(
        arms, asked=("m1:1", "m2:1", "m3:1"), traces=traces, targets=targets(0, 2, 5), elapsed=1.5
    )


def test_an_answer_took_its_queue_and_batch_nothing_from_memory_and_all_the_time_if_missing() -> (
    None
):
    assert spent(TRACE, CACHED, None) == (Spent(0.375, 0), Spent(0.0, 2), Spent(1.5, 5))


def test_arms_asked_one_after_the_other_took_no_longer_than_all_was_waited_for() -> None:
    both, missing = (Spent(0.375, 1), Spent(0.5, 5)), (Spent(0.375, 1), Spent(1.5, 5))
    assert together(both, elapsed=1.5) == Spent(0.875, 6)
    assert together(missing, elapsed=1.5) == Spent(1.5, 6)


async def receipt_of(**prices: float) -> tuple[Receipt, bytes]:
    """Return the receipt of a query that all three models answer, and its answer."""
    it = PlayedServing(application_spec(**prices), queue_capacity=10)
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin()
    await turn()
    for replica in replicas:
        replica.answer({b"[1]": b"7"})
    prediction = query.prediction()
    return it.signer.verify(prediction.query_id), render(prediction)


async def test_a_query_notes_what_its_application_sets_a_price_on() -> None:
    receipt, answer = await receipt_of(lateness_price=1.0)
    assert len(receipt.spent) == len(receipt.arms) == 3
    assert all(spent.seconds > 0.0 for spent in receipt.spent)
    assert b"explain" not in answer


@pytest.mark.parametrize("prices", [{}, {"lateness_price": 0.0}])
async def test_without_a_price_nothing_is_noted(prices: dict[str, float]) -> None:
    receipt, _ = await receipt_of(**prices)
    assert receipt.spent == ()
