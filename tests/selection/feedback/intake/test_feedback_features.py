"""Feedback on queries with features: by receipt they come along, by input they are sent again."""

from __future__ import annotations

import os
import time

import pytest
from msgspec import Raw
from redis.asyncio import Redis

from core.errors import BadRequest
from core.specs import ApplicationSpec
from selection.feedback.events import FeedbackItem, FeedbackResult, parse_item
from selection.feedback.intake.service import FeedbackService
from selection.receipts import ArmRecord, Receipt, ReceiptSigner
from selection.store.large_outputs import OutputStore
from selection.store.redis_keys import unpack_vector
from selection.store.selection_store import SelectionStore
from serving.testing import application_spec

ARMS = {"svm:2": 1.0, "tree:1": 1.0}
APP = application_spec(policy="auto", policy_params={"dimensions": 2})
GLOBAL = "clipper:selection:1:"


@pytest.fixture
def service(
    aredis: Redis, signer: ReceiptSigner, store: SelectionStore, outputs: OutputStore
) -> FeedbackService:
    return FeedbackService(aredis, signer=signer, store=store, outputs=outputs)


def receipt(
    *, arm: str = "svm:2", output: bytes = b"7", features: tuple[float, ...] = (0.5, -2.0)
) -> Receipt:
    return Receipt(
        nonce=os.urandom(12),
        issued_at_ms=int(time.time() * 1000),
        application_id=1,
        context="",
        arms=(ArmRecord(arm, 0.9, output),),
        features=features,
    )


async def both_right(application: ApplicationSpec, text: bytes) -> dict[str, bytes]:
    return dict.fromkeys(ARMS, b"7")


async def send(
    service: FeedbackService, *items: FeedbackItem, application: ApplicationSpec = APP
) -> FeedbackResult:
    return await service.submit(application, items, arms=ARMS, predict_arms=both_right)


async def sums(aredis: Redis, name: str) -> dict[str, tuple[float, ...]]:
    fields = await aredis.hgetall(GLOBAL)
    prefix = f"{name}:".encode()
    return {
        key.removeprefix(prefix).decode(): unpack_vector(value)
        for key, value in fields.items()
        if key.startswith(prefix)
    }


async def test_a_label_on_a_receipt_teaches_the_regression_of_its_arm(
    service: FeedbackService, signer: ReceiptSigner, aredis: Redis
) -> None:
    token = signer.sign(receipt())
    result = await send(service, FeedbackItem(query_id=token, label=Raw(b"7")))
    assert result.accepted == 1
    learned = await sums(aredis, "reg3")
    assert learned["svm:2"] == (1.0, 1.0, 1.0, 0.5, -2.0, 0.25, -1.0, 4.0, 1.0, 0.5, -2.0)
    assert learned["tree:1"] == (0.0,) * 11


async def test_a_labelled_input_with_features_teaches_every_arm(
    service: FeedbackService, aredis: Redis
) -> None:
    item = parse_item(b'{"input": [1], "label": 7, "features": [0.5, -2]}')
    assert (await send(service, item)).accepted == 1
    learned = await sums(aredis, "reg3")
    assert (
        learned["svm:2"]
        == learned["tree:1"]
        == (1.0, 1.0, 1.0, 0.5, -2.0, 0.25, -1.0, 4.0, 1.0, 0.5, -2.0)
    )


async def test_a_labelled_input_with_other_features_is_rejected(
    service: FeedbackService, aredis: Redis
) -> None:
    for text, got in ((b"", 0), (b', "features": [1]', 1)):
        item = parse_item(b'{"input": [1], "label": 7%b}' % text)
        result = await send(service, item)
        assert [r.error for r in result.rejected] == [
            f"features: expected an array of 2 numbers, got {got}."
        ]
    plain = application_spec(policy="exp4")
    result = await send(service, item, application=plain)
    assert [r.error for r in result.rejected] == ["features: policy 'exp4' takes none."]
    assert await aredis.keys("*") == []


async def test_a_receipt_of_another_policy_teaches_rewards_alone(
    service: FeedbackService, signer: ReceiptSigner, aredis: Redis
) -> None:
    token = signer.sign(receipt(features=()))
    await send(service, FeedbackItem(query_id=token, label=Raw(b"7")))
    assert (await sums(aredis, "rew"))["svm:2"] == (1.0, 1.0, 1.0)
    assert (await sums(aredis, "reg3")).get("svm:2", (0.0,) * 11) == (0.0,) * 11


def test_features_beside_a_receipt_are_refused_as_it_has_them() -> None:
    with pytest.raises(BadRequest, match="query_id stands for input, context and features"):
        parse_item(b'{"query_id": "abc", "label": 7, "features": [1]}')
