"""A dear model is asked only where the cheap one is unsure, and learning knows what came of it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from core.specs import ApplicationSpec
from selection.receipts import ArmRecord, Receipt, Spent
from serving.endpoints.predictions.predict import render
from serving.engine.engine import Target
from serving.query.other_arms import dearest_other, sureness_of
from serving.query.query import Query
from serving.testing import (
    PlayedReplica,
    PlayedServing,
    application_spec,
    connect,
    routes_to,
    snapshot_of,
    turn,
    version_spec,
)

CHEAP, MIDDLE, DEAR = routes_to(1, 2, 3)
BEGINS_CHEAP = (CHEAP, replace(MIDDLE, weight=0.0), replace(DEAR, weight=0.0))
SURE, UNSURE = b"[0.95, 0.05]", b"[0.6, 0.4]"


@pytest.mark.parametrize(
    ("output", "sureness"),
    [
        (b"null", 0.0),
        (b"[0.2, 0.5, 0.3]", 0.5),
        (b"[2, 6]", 0.75),
        (b'{"cat": 0.9, "dog": 0.1}', 0.9),
        (b"7", 1.0),
        (b'"cat"', 1.0),
        (b"[-1, 2]", 1.0),
    ],
)
def test_an_answer_is_as_sure_as_its_best_class(output: bytes, sureness: float) -> None:
    assert sureness_of(output) == pytest.approx(sureness)


def test_it_goes_on_to_the_dearest_that_costs_more_and_can_be_asked() -> None:
    costs = enumerate((1.0, 5.0, 9.0, 1.0), start=1)
    targets = {f"m{n}:1": Target.of(version_spec(n, cost=cost)) for n, cost in costs}

    def dearest(asked: str, *gone: str) -> str | None:
        return dearest_other(targets, asked=asked, may_ask=lambda arm: arm not in gone)

    assert dearest("m1:1") == "m3:1"
    assert dearest("m1:1", "m3:1") == "m2:1"
    assert dearest("m3:1") is None
    assert dearest("m1:1", "m2:1", "m3:1") is None


class Cascade:
    """An application that begins with the cheapest of three models."""

    def __init__(self, **changes: Any) -> None:
        spec: dict[str, Any] = {"policy": "static", "routes": BEGINS_CHEAP, "cascade_below": 0.9}
        self.application: ApplicationSpec = application_spec(**(spec | changes))
        self.it = PlayedServing(self.application, queue_capacity=10)
        versions = [version_spec(n, cost=cost) for n, cost in enumerate((1.0, 5.0, 9.0), start=1)]
        self.it.apply(snapshot_of(self.application, versions=versions))
        self.replicas: dict[int, PlayedReplica] = {
            n: connect(self.it.engine, version_id=n) for n in (1, 2, 3)
        }

    async def asked(self, first: bytes, dear: bytes | None = b"[0, 1]", **options: Any) -> Query:
        """Return a query whose first model answers so, and the dear one where it is asked."""
        query = self.it.begin(**options)
        settled: list[None] = []
        query.when_settled(lambda: settled.append(None))
        await turn()
        self.replicas[1].answer({b"[1]": first})
        await turn()
        if dear is not None and self.replicas[3].batches:
            self.replicas[3].answer({b"[1]": dear})
            await turn()
        if dear is not None:
            assert settled == [None]
        return query

    def receipt(self, query: Query) -> tuple[Receipt, dict[str, Any]]:
        prediction = query.prediction()
        return self.it.signer.verify(prediction.query_id), json.loads(render(prediction))


async def test_a_sure_answer_is_given_and_nobody_else_asked() -> None:
    cascade = Cascade()
    receipt, answer = cascade.receipt(await cascade.asked(SURE))
    assert (answer["output"], list(answer["models"])) == ([0.95, 0.05], ["m1:1"])
    assert receipt.arms == (ArmRecord("m1:1", 1.0, SURE),)


async def test_where_it_is_unsure_the_dearest_ones_answer_is_given() -> None:
    cascade = Cascade()
    query = await cascade.asked(UNSURE, traced=True)
    receipt, answer = cascade.receipt(query)
    assert answer["output"] == [0, 1]
    assert answer["models"] == {"m1:1": [0.6, 0.4], "m3:1": [0, 1]}
    assert answer["explain"]["cascade"] == {"to": "m3:1", "sureness": 0.6}
    assert set(answer["explain"]["models"]) == {"m1:1", "m3:1"}
    # It began with the first, by the chance that this had; what came of it is what is judged.
    assert receipt.arms == (ArmRecord("m1:1", 1.0, b"[0, 1]"),)
    counts = cascade.it.metrics.of_application(cascade.application.name).arms()
    assert {arm: counted["answered"] for arm, counted in counts.items()} == {"m1:1": 1, "m3:1": 1}


async def test_whoever_it_began_with_pays_for_both() -> None:
    cascade = Cascade(cost_price=0.01)
    receipt, _ = cascade.receipt(await cascade.asked(UNSURE))
    assert receipt.spent == (Spent(0.0, 10.0),)
    receipt, _ = cascade.receipt(await Cascade(cost_price=0.01).asked(SURE))
    assert receipt.spent == (Spent(0.0, 1.0),)


async def test_where_the_dear_one_is_too_late_the_first_answer_stands() -> None:
    cascade = Cascade()
    receipt, answer = cascade.receipt(await cascade.asked(UNSURE, dear=None))
    assert (answer["output"], answer["default"]) == ([0.6, 0.4], False)
    assert receipt.arms == (ArmRecord("m1:1", 1.0, UNSURE),)


@pytest.mark.parametrize("below", [None, 0.6])
async def test_without_a_threshold_or_at_it_nobody_else_is_asked(below: float | None) -> None:
    cascade = Cascade(cascade_below=below)
    _, answer = cascade.receipt(await cascade.asked(UNSURE))
    assert list(answer["models"]) == ["m1:1"]


async def test_who_names_a_version_gets_that_one_alone() -> None:
    cascade = Cascade()
    version = cascade.it.snapshot.versions_by_arm["m1:1"]
    _, answer = cascade.receipt(await cascade.asked(UNSURE, version=version))
    assert list(answer["models"]) == ["m1:1"]


async def test_an_answer_out_of_the_cache_goes_on_as_well() -> None:
    cascade = Cascade()
    await cascade.asked(UNSURE)
    query = cascade.it.begin()
    settled: list[None] = []
    query.when_settled(lambda: settled.append(None))
    await turn()
    assert settled == [None]
    _, answer = cascade.receipt(query)
    assert answer["output"] == [0, 1]
