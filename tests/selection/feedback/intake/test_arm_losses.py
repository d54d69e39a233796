"""Losses of each arm: by a label, by rewards of its own, and by having been too late."""

from typing import Any

import pytest
from msgspec import Raw
from redis.asyncio import Redis

from selection.feedback.events import FeedbackItem
from selection.receipts import ArmRecord, Spent
from serving.testing import application_spec
from tests.selection.caller import ARMS, EXACT, GLOBAL, Caller, events, losses


@pytest.mark.parametrize(("missing", "lost"), [(1.0, 1.0), (0.5, 0.5), (None, 0.0)])
async def test_an_arm_that_did_not_answer_is_as_wrong_as_the_application_says(
    caller: Caller, aredis: Redis, missing: float | None, lost: float
) -> None:
    application = application_spec(missing_loss=missing, policy_params=EXACT)
    await caller.send(caller.label(b"7", outputs=(b"1", b"7", None)), application=application)
    assert await losses(aredis) == {"svm:2": 1.0, "tree:1": 0.0, "knn:1": lost}
    assert await aredis.hget(GLOBAL, "n:knn:1") == (b"1" if lost else None)


# --- rewards of single arms -------------------------------------------------------------------


def rewarded(caller: Caller, rewards: dict[str, float], **changes: Any) -> FeedbackItem:
    return FeedbackItem(query_id=caller.signer.sign(caller.receipt(**changes)), rewards=rewards)


async def test_rewards_move_the_arms_they_name(caller: Caller, aredis: Redis) -> None:
    result = await caller.send(rewarded(caller, {"svm:2": 0.5, "knn:1": 0.0}))
    assert result.accepted == 1
    assert await losses(aredis) == {"svm:2": 0.5, "tree:1": 0.0, "knn:1": 1.0}
    assert await aredis.hget(GLOBAL, "n:tree:1") is None
    (event,) = await events(aredis)
    assert (event.label, event.reward) == (None, 0.25)
    assert [a.loss for a in event.arms] == [0.5, None, 1.0]


async def test_a_reward_of_an_arm_that_was_not_asked_is_refused_with_those_that_were(
    caller: Caller,
) -> None:
    asked = (ArmRecord("svm:2", 0.5, b"7"),)
    result = await caller.send(rewarded(caller, {"svm:2": 1.0, "knn:1": 1.0}, records=asked))
    (rejected,) = result.rejected
    assert rejected.code == "invalid_input"
    assert rejected.error == "rewards: 'knn:1' was not asked; expected arms out of svm:2"


# --- losses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "label", "expected"),
    [
        ({"combine": "mean", "loss_scale": 10.0}, b"8", [0.1, 0.0, 0.7]),
        ({"loss": "squared", "loss_scale": 10.0}, b"8", [0.01, 0.0, 0.49]),
        ({"loss": "expression", "loss_expression": "output > label"}, b"7", [0.0, 1.0, 0.0]),
        ({"combine": "median"}, b"7", [0.0, 1.0, 1.0]),
    ],
)
async def test_answers_are_judged_as_the_application_says(
    caller: Caller, aredis: Redis, settings: dict[str, Any], label: bytes, expected: list[float]
) -> None:
    application = application_spec(policy_params=EXACT, **settings)
    item = caller.label(label, outputs=(b"7", b"8", b"1"))
    assert (await caller.send(item, application=application)).accepted == 1
    (event,) = await events(aredis)
    assert [a.loss for a in event.arms] == pytest.approx(expected)


# --- what an answer took ---------------------------------------------------------------------

PRICED = application_spec(lateness_price=0.5, cost_price=0.01, policy_params=EXACT)
SPENT = (Spent(0.2, 0.0), Spent(0.0, 30.0), Spent(1.0, 40.0))


async def test_seconds_and_cost_go_off_each_arms_reward(caller: Caller, aredis: Redis) -> None:
    label = caller.label(b"7", outputs=(b"7", b"7", b"7"), spent=SPENT)
    await caller.send(label, application=PRICED)
    (event,) = await events(aredis)
    assert [(a.loss, a.lateness, a.cost) for a in event.arms] == [
        (pytest.approx(0.1), pytest.approx(0.1), 0.0),
        (pytest.approx(0.3), 0.0, pytest.approx(0.3)),
        (pytest.approx(0.9), 0.5, pytest.approx(0.4)),
    ]
    assert await losses(aredis) == pytest.approx({"svm:2": 0.1, "tree:1": 0.3, "knn:1": 0.9})


async def test_a_labelled_input_is_charged_its_cost_as_nobody_waited_for_it(
    caller: Caller, aredis: Redis
) -> None:
    async def all_right(*_: object) -> dict[str, bytes]:
        return dict.fromkeys(ARMS, b"7")

    item = FeedbackItem(input=Raw(b"[1]"), label=Raw(b"7"))
    await caller.service.submit(
        PRICED, [item], arms=ARMS, predict_arms=all_right, costs={"tree:1": 30.0}
    )
    (event,) = await events(aredis)
    assert [(a.loss, a.lateness) for a in event.arms] == [
        (0.0, 0.0),
        (pytest.approx(0.3), 0.0),
        (0.0, 0.0),
    ]


@pytest.mark.parametrize(
    ("label", "got"),
    [
        (b'"7"', "a text"),
        (b"true", "true or false"),
        (b'{"class": 7}', "an object"),
        (b"[7]", "an array"),
    ],
)
async def test_a_label_of_another_kind_than_all_answers_is_refused(
    caller: Caller, aredis: Redis, label: bytes, got: str
) -> None:
    result = await caller.send(caller.label(label, outputs=(b"1", b"7", None)))
    (rejected,) = result.rejected
    assert (result.accepted, rejected.code) == (0, "invalid_input")
    assert rejected.error == f"label: expected a number, as the models answered, got {got}"
    assert await events(aredis) == []


@pytest.mark.parametrize(
    ("label", "answers"), [(b'"7"', (b"7", b'"7"', b"1")), (b"7.0", (b"7", b"1", b"1"))]
)
async def test_one_of_the_kind_of_any_answer_is_taken(
    caller: Caller, label: bytes, answers: tuple[bytes, ...]
) -> None:
    assert (await caller.send(caller.label(label, outputs=answers))).accepted == 1
