"""Feedback on queries with features: by receipt they come along, by input they are sent again."""

import pytest
from msgspec import Raw
from redis.asyncio import Redis

from core.specs import ApplicationSpec
from selection.feedback.events import FeedbackItem, FeedbackResult, parse_item
from selection.receipts import ArmRecord
from serving.testing import application_spec
from tests.selection.caller import Caller, sums

ARMS = {"svm:2": 1.0, "tree:1": 1.0}
APP = application_spec(policy="auto", policy_params={"dimensions": 2})
LEARNED = (1.0, 1.0, 1.0, 0.5, -2.0, 0.25, -1.0, 4.0, 1.0, 0.5, -2.0)
NOTHING = (0.0,) * 11


async def both_right(application: ApplicationSpec, text: bytes) -> dict[str, bytes]:
    return dict.fromkeys(ARMS, b"7")


async def send(
    caller: Caller, item: FeedbackItem, *, application: ApplicationSpec = APP
) -> FeedbackResult:
    return await caller.send(item, application=application, predict_arms=both_right, arms=ARMS)


async def label(caller: Caller, *, features: tuple[float, ...]) -> FeedbackResult:
    records = (ArmRecord("svm:2", 0.9, b"7"),)
    return await send(caller, caller.label(records=records, features=features))


async def test_a_label_on_a_receipt_teaches_the_regression_of_its_arm(
    caller: Caller, aredis: Redis
) -> None:
    assert (await label(caller, features=(0.5, -2.0))).accepted == 1
    assert await sums(aredis, "reg3") == {"svm:2": LEARNED, "tree:1": NOTHING}


async def test_a_labelled_input_with_features_teaches_every_arm(
    caller: Caller, aredis: Redis
) -> None:
    item = parse_item(b'{"input": [1], "label": 7, "features": [0.5, -2]}')
    assert (await send(caller, item)).accepted == 1
    assert await sums(aredis, "reg3") == {"svm:2": LEARNED, "tree:1": LEARNED}


@pytest.mark.parametrize(
    ("features", "application"),
    [((), APP), ((1.0,), APP), ((1.0,), application_spec(policy="exp4"))],
)
async def test_a_labelled_input_with_other_features_is_rejected(
    caller: Caller, aredis: Redis, features: tuple[float, ...], application: ApplicationSpec
) -> None:
    item = FeedbackItem(input=Raw(b"[1]"), label=Raw(b"7"), features=features)
    (rejected,) = (await send(caller, item, application=application)).rejected
    assert rejected.error.startswith("features: ")
    assert await aredis.keys("*") == []


async def test_a_receipt_of_another_policy_teaches_rewards_alone(
    caller: Caller, aredis: Redis
) -> None:
    await label(caller, features=())
    assert (await sums(aredis, "rew"))["svm:2"] == (1.0, 1.0, 1.0)
    assert (await sums(aredis, "reg3")).get("svm:2", NOTHING) == NOTHING
