"""Features of a query, and contexts that keep their version: from the request to the receipt."""

import asyncio
import json
from time import monotonic
from typing import Any

import msgspec
import pytest

from core.errors import BadRequest
from selection.policies import make_policy
from selection.receipts import Receipt
from serving.endpoints.predictions.predict import answer
from serving.endpoints.predictions.predict_request import PredictRequest, parse_predict
from serving.testing import PlayedServing, application_spec, connect, turn, version_spec

BY_FEATURES = {"policy": "auto", "policy_params": {"dimensions": 2}}


class Client:
    """Asks an application whose three models answer 1, 2 and 3."""

    def __init__(self, **changes: Any) -> None:
        self.serving = PlayedServing(
            application_spec(slo_ms=60_000.0, **changes), queue_capacity=1000
        )
        self.replicas = [connect(self.serving.engine, version_id=n) for n in (1, 2, 3)]

    async def ask(self, **fields: Any) -> dict[str, Any]:
        if "input_batch" in fields:
            fields["input_batch"] = [msgspec.Raw(raw) for raw in fields["input_batch"]]
        else:
            fields["input"] = msgspec.Raw(b"[1]")
        version = fields.pop("forced", None)
        sent = asyncio.create_task(
            answer(
                self.serving.runtime,
                application=self.serving.application,
                request=PredictRequest(version=version and version.arm, **fields),
                arrived=monotonic(),
            )
        )
        await self.answer_all()
        async with asyncio.timeout(30):
            return json.loads(await sent)

    async def answer_all(self) -> None:
        await turn()
        for number, replica in enumerate(self.replicas, start=1):
            while replica.batches:
                replica.answer(dict.fromkeys(replica.batches[0][1], b"%d" % number))
                await turn()

    async def answer_for_ever(self) -> None:
        while True:
            await self.answer_all()

    def receipt(self, answered: dict[str, Any]) -> Receipt:
        return self.serving.signer.verify(answered["query_id"])


async def test_features_are_in_the_receipt() -> None:
    client = Client(**BY_FEATURES)
    receipt = client.receipt(await client.ask(features=(0.5, -2.0)))
    assert receipt.features == (0.5, -2.0)
    (asked,) = receipt.arms
    assert asked.propensity == pytest.approx(1 / 3)


@pytest.mark.parametrize("given", [(), (1.0,), (1.0, 2.0, 3.0)])
@pytest.mark.parametrize("batch", [{}, {"input_batch": [b"[1]", b"[2]"]}])
async def test_another_number_of_features_fails_the_whole_request(
    given: tuple[float, ...], batch: dict[Any, Any]
) -> None:
    with pytest.raises(BadRequest, match=f"features: expected an array of 2 .*got {len(given)}"):
        await Client(**BY_FEATURES).ask(features=given, **batch)


async def test_a_policy_that_takes_no_features_refuses_them() -> None:
    with pytest.raises(BadRequest, match="features: policy 'exp4' takes none"):
        await Client().ask(features=(1.0,))


async def test_a_query_that_asks_one_version_needs_no_features() -> None:
    client = Client(**BY_FEATURES)
    receipt = client.receipt(await client.ask(forced=version_spec(2)))
    assert receipt.forced
    assert receipt.features == ()


@pytest.mark.parametrize(
    "features", ['"a"', "1", "[1, null]", '["1"]', "[1e999]", "[NaN]", "[[1]]", "null"]
)
def test_features_that_are_no_array_of_numbers_are_refused(features: str) -> None:
    policy = make_policy("auto", {"dimensions": 2})
    with pytest.raises(BadRequest):
        policy.encode(parse_predict(b'{"input": [1], "features": %b}' % features.encode()).features)


async def test_under_a_split_a_context_is_answered_by_the_same_version_every_time() -> None:
    client = Client(policy="ab_split")
    asked = {
        context: {client.receipt(await client.ask(context=context)).arms[0].arm for _ in range(5)}
        for context in map(str, range(12))
    }
    assert all(len(arms) == 1 for arms in asked.values())
    assert len(set.union(*asked.values())) > 1


@pytest.mark.parametrize("policy", ["ab_split", "thompson"])
async def test_a_key_is_kept_with_one_version_whatever_context_it_asks_in(policy: str) -> None:
    client = Client(policy=policy)
    for key in map(str, range(8)):
        asked = [
            client.receipt(await client.ask(key=key, context=context))
            for context in ("", "ann", "bob", "ann")
        ]
        assert {receipt.key for receipt in asked} == {key}
        assert [receipt.context for receipt in asked] == ["", "ann", "bob", "ann"]
        assert len({receipt.arms[0].arm for receipt in asked}) == 1


async def test_a_key_stands_before_the_context_under_a_split() -> None:
    client = Client(policy="ab_split")
    asked = {
        client.receipt(await client.ask(key=key, context="ann")).arms[0].arm
        for key in map(str, range(20))
    }
    assert len(asked) > 1


@pytest.mark.parametrize(("key", "words"), [("x" * 257, "at most 256"), ("a\\u0000", "NUL")])
def test_a_key_is_short_text(key: str, words: str) -> None:
    with pytest.raises(BadRequest, match=f"^key: expected .*{words}"):
        parse_predict(b'{"input": [1], "key": "%b"}' % key.encode())


async def test_under_a_split_a_query_without_a_context_is_drawn() -> None:
    client = Client(policy="ab_split")
    asked = {client.receipt(await client.ask()).arms[0].arm for _ in range(40)}
    assert asked == {"m1:1", "m2:1", "m3:1"}
