"""Keys held out of a policy are answered by the routes' weights, and teach the policy nothing."""

from dataclasses import replace
from typing import Any

from selection.receipts import Receipt
from serving.query.query import Query
from serving.testing import (
    PlayedServing,
    application_spec,
    connect,
    routes_to,
    snapshot_of,
    version_spec,
)

FIRST, SECOND = routes_to(1, 2)
PEOPLE = [f"person-{number}" for number in range(600)]


class Held:
    """An ensemble of two models, whose routes weigh 3 : 1, with a part of the keys held out."""

    def __init__(self, share: float, **changes: Any) -> None:
        routes = (replace(FIRST, weight=3.0), SECOND)
        spec = {"policy": "exp4", "routes": routes, "holdout_share": share}
        self.application = application_spec(**(spec | changes))
        self.it = PlayedServing(self.application, queue_capacity=10_000)
        self.it.apply(snapshot_of(self.application, versions=[version_spec(n) for n in (1, 2)]))
        for n in (1, 2):
            connect(self.it.engine, version_id=n)

    def query(self, key: str = "", **options: Any) -> Query:
        return self.it.begin(key=key, **options)

    def held_out(self) -> set[str]:
        return {key for key in PEOPLE if self.query(key).choice.held_out}


async def test_the_share_of_keys_that_is_held_out_stays_the_same() -> None:
    held = Held(0.2)
    found = held.held_out()
    assert 80 < len(found) < 160
    assert found == held.held_out()
    assert found < Held(0.4).held_out()
    assert Held(0.0).held_out() == set()


async def test_a_key_held_out_asks_one_arm_by_the_routes_weights() -> None:
    held = Held(0.5)
    asked = {key: held.query(key).choice.selection for key in held.held_out()}
    assert all(len(selection.arms) == 1 for selection in asked.values())
    first = [key for key, selection in asked.items() if selection.arms == ("m1:1",)]
    assert 0.65 < len(first) / len(asked) < 0.85
    assert asked == {key: held.query(key).choice.selection for key in asked}
    (key, *_) = first
    assert asked[key].propensities == (0.75,)
    others = set(PEOPLE) - set(asked)
    assert all(len(held.query(key).choice.selection.arms) == 2 for key in others)


async def test_a_context_stands_in_for_a_missing_key() -> None:
    held = Held(0.5)
    (key, *_) = held.held_out()
    choices = [held.query(context=key).choice for _ in range(20)]
    assert all(choice.held_out for choice in choices)
    assert len({choice.selection for choice in choices}) == 1


async def test_a_query_of_nobody_is_not_held_out() -> None:
    held = Held(0.5)
    assert not any(held.query().choice.held_out for _ in range(50))


async def test_its_receipt_says_so_and_that_the_policy_learns_nothing_of_it() -> None:
    held = Held(0.5)
    (key, *_) = held.held_out()
    receipt = receipt_of(held, held.query(key))
    assert (receipt.held_out, receipt.forced, receipt.key) == (True, True, key)
    (other, *_) = set(PEOPLE) - held.held_out()
    receipt = receipt_of(held, held.query(other))
    assert (receipt.held_out, receipt.forced) == (False, False)


async def test_an_arm_that_is_down_is_not_asked_for_those_held_out_either() -> None:
    held = Held(0.5)
    reliability = held.it.processor.resources.store.reliability(held.application)
    for _ in range(200):
        reliability.note("m1:1", answered=False)
        reliability.note("m2:1", answered=True)
    asked = [held.query(key).choice.selection.arms for key in held.held_out()]
    assert asked.count(("m2:1",)) > 0.9 * len(asked)


def receipt_of(held: Held, query: Query) -> Receipt:
    query.gather.abandon()
    return held.it.signer.verify(query.prediction().query_id)
