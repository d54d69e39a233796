"""Labelled inputs: every arm is asked, and one that is sent again under its key counts once."""

import asyncio
from dataclasses import replace

from msgspec import Raw
from redis.asyncio import Redis

from core.errors import InvalidInput
from core.specs import ApplicationSpec
from selection.feedback.events import FeedbackItem
from selection.feedback.intake.joining import mark_of
from tests.selection.caller import ANN, APP, Caller, events, losses


async def test_a_labelled_input_asks_every_arm_and_has_no_double(
    caller: Caller, aredis: Redis
) -> None:
    async def answers(application: ApplicationSpec, text: bytes) -> dict[str, bytes]:
        assert (application, text) == (APP, b"[1, 2]")
        return {"svm:2": b"7", "knn:1": b"1"}

    item = FeedbackItem(input=Raw(b"[1, 2]"), label=Raw(b"7"), context="ann")
    assert (await caller.send(item, item, predict_arms=answers)).accepted == 2
    assert await losses(aredis, ANN) == {"svm:2": 0.0, "tree:1": 0.0, "knn:1": 2.0}
    assert {event.kind for event in await events(aredis)} == {"input"}


async def test_one_that_is_sent_again_under_its_key_counts_once(
    caller: Caller, aredis: Redis
) -> None:
    """Also where the answer to the first was lost, and whatever the second one says."""

    async def answers(application: ApplicationSpec, text: bytes) -> dict[str, bytes]:
        return {"svm:2": b"7", "knn:1": b"1"}

    def labelled(key: str, *, label: bytes = b"7") -> FeedbackItem:
        return FeedbackItem(input=Raw(b"1"), label=Raw(label), idempotency_key=key)

    first = await caller.send(labelled("a"), labelled("b"), predict_arms=answers)
    assert (first.accepted, first.duplicates) == (2, 0)
    left = await losses(aredis)
    again = labelled("a", label=b"1")
    second = await caller.send(again, labelled("c"), labelled("c"), predict_arms=answers)
    assert (second.accepted, second.duplicates) == (1, 2)
    assert len(await events(aredis)) == 3
    assert await losses(aredis) == {arm: 1.5 * lost for arm, lost in left.items()}


async def test_of_one_that_has_counted_no_arm_is_asked_so_none_has_to_answer(
    caller: Caller, aredis: Redis
) -> None:
    async def answers(application: ApplicationSpec, text: bytes) -> dict[str, bytes]:
        return {"svm:2": b"7"}

    item = FeedbackItem(input=Raw(b"1"), label=Raw(b"7"), context="ann", idempotency_key="a")
    await caller.send(item, predict_arms=answers)
    assert (await caller.send(item)).duplicates == 1
    assert len(await events(aredis)) == 1


def test_of_two_applications_one_key_is_two() -> None:
    item = FeedbackItem(input=Raw(b"1"), label=Raw(b"7"), idempotency_key="a")
    marks = {mark_of(item, application=app) for app in (APP, replace(APP, id=APP.id + 1))}
    assert len(marks) == 2


async def test_an_input_that_no_model_takes_is_refused_alone(caller: Caller, aredis: Redis) -> None:
    async def answers(application: ApplicationSpec, text: bytes) -> dict[str, bytes]:
        if text == b"1":
            raise InvalidInput("expected an array")
        return {} if text == b"2" else {"svm:2": b"7"}

    items = [FeedbackItem(input=Raw(t), label=Raw(b"7")) for t in (b"1", b"2", b"3")]
    result = await caller.send(*items, predict_arms=answers)
    assert result.accepted == 1
    assert [(r.index, r.code) for r in result.rejected] == [(0, "invalid_input"), (1, "not_ready")]


async def test_inputs_are_predicted_a_bounded_number_at_a_time(caller: Caller) -> None:
    running, most = 0, 0

    async def answers(application: ApplicationSpec, text: bytes) -> dict[str, bytes]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return {"svm:2": b"7"}

    items = [FeedbackItem(input=Raw(b"1"), label=Raw(b"7"))] * 100
    assert (await caller.send(*items, predict_arms=answers)).accepted == 100
    assert most == 16
