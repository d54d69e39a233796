"""An arm that gives no answer pays for it at once, and its queries are answered by others."""

import asyncio
from typing import Any

import pytest

from core.errors import ClipperError, DeadlineExceeded, InvalidInput, Saturated
from selection.policies import Prepared
from serving.metrics.published import ApplicationStats
from serving.query.other_arms import AT_FIRST, SHARE
from serving.query.prediction import Prediction
from serving.rpc.frames.codec import Answer, AnswerStatus, failed
from serving.testing import (
    PlayedReplica,
    PlayedServing,
    application_spec,
    connect,
    routes_to,
    turn,
    version_spec,
)

TWO = routes_to(1, 2)
REFUSAL = Answer(AnswerStatus.INVALID_INPUT, b"expected 32 numbers, got 64")
ANSWER = Answer(AnswerStatus.OK, b"7")
# What a replica answers each input with; None: nothing, ever.
Behaviour = Answer | None


class World:
    """An application over two models; what they do with any input can be changed."""

    def __init__(self, first: Behaviour, second: Behaviour, **changes: Any) -> None:
        spec = {"policy": "exp3", "routes": TWO, "cache": False} | changes
        self.serving = PlayedServing(application_spec(**spec), queue_capacity=1000)
        self.behaviours = [first, second]
        self.replicas: list[PlayedReplica] = [
            connect(self.serving.engine, version_id=n) for n in (1, 2)
        ]

    @property
    def stats(self) -> ApplicationStats:
        return self.serving.metrics.of_application("digits")

    @property
    def selection(self) -> Prepared:
        it = self.serving
        arms = it.router.arms(it.application).weights
        return it.processor.resources.store.peek(it.application, context="", arms=arms)

    def trust(self, arm: str = "m1:1") -> float:
        return max(self.selection.weights[arm], self.selection.probabilities[arm])

    def replies(self) -> None:
        for replica, behaviour in zip(self.replicas, self.behaviours, strict=True):
            while replica.batches and behaviour is not None:
                replica.answer_with(*[behaviour] * replica.sizes[0])

    async def ask(self, **changes: Any) -> Prediction:
        query = self.serving.begin(**changes)
        ended = asyncio.ensure_future(query.settled())
        while not ended.done():
            await turn()
            self.replies()
            if any(replica.batches for replica in self.replicas):
                await asyncio.wait([ended])  # nobody answers: its time passes
        await ended
        return query.prediction()

    async def ask_many(self, count: int, **changes: Any) -> list[Prediction | ClipperError]:
        ended: list[Prediction | ClipperError] = []
        for number in range(count):
            try:
                ended.append(await self.ask(input=b"[%d]" % number, **changes))
            except ClipperError as error:
                ended.append(error)
        return ended


async def test_queries_that_one_arm_refuses_are_answered_by_the_other_and_it_loses_them() -> None:
    world = World(REFUSAL, ANSWER)
    ended = await world.ask_many(200)
    assert [type(one) for one in ended] == [Prediction] * 200
    assert {one.output for one in ended if isinstance(one, Prediction)} == {b"7"}
    assert world.trust() < 0.1
    assert (world.stats.errors, world.stats.defaults) == (0, 0)


async def test_an_arm_that_is_late_loses_its_traffic_without_any_feedback() -> None:
    world = World(None, ANSWER, slo_ms=10.0, default_output=None)
    ended = await world.ask_many(80)
    late = [one for one in ended if isinstance(one, DeadlineExceeded | Saturated)]
    assert late
    assert world.stats.errors == world.stats.timed_out + world.stats.overloaded == len(late)
    assert world.trust() < 0.1


async def test_an_arm_that_fails_loses_its_traffic_and_is_found_again_once_mended() -> None:
    world = World(failed("ValueError: no"), ANSWER)
    await world.ask_many(200)
    assert world.trust() < 0.1
    world.behaviours[0] = ANSWER
    await world.ask_many(3000)
    assert world.trust() > 0.25


async def test_an_input_that_all_arms_refuse_is_the_callers_mistake_and_charges_nobody() -> None:
    world = World(REFUSAL, REFUSAL)
    ended = await world.ask_many(30)
    assert [type(one) for one in ended] == [InvalidInput] * 30
    assert world.trust() == world.trust("m2:1") == 0.5
    assert world.stats.refused == world.stats.errors == 30


async def test_a_flood_of_bad_inputs_asks_little_more_than_itself() -> None:
    world = World(REFUSAL, REFUSAL)
    await world.ask_many(1000)
    asked = sum(counts["asked"] for counts in world.stats.arms().values())
    assert 1000 < asked <= 1000 + AT_FIRST + 1000 * SHARE


async def test_the_receipt_of_a_second_opinion_names_who_answered_with_its_chance() -> None:
    world = World(REFUSAL, ANSWER)
    for number in range(20):
        prediction = await world.ask(input=b"[%d]" % number)
        receipt = world.serving.signer.verify(prediction.query_id)
        (record,) = receipt.arms
        assert (record.arm, record.output) == ("m2:1", b"7")
        if prediction.asked == 2:
            assert record.propensity == 1.0
            assert prediction.confidence == 1.0
            break
    else:
        pytest.fail("the arm that refuses was never asked")


async def test_a_second_opinion_that_does_not_come_in_time_is_the_default_with_the_reason() -> None:
    world = World(REFUSAL, None, slo_ms=20.0)
    ended = await world.ask_many(30)
    predictions = [one for one in ended if isinstance(one, Prediction)]
    words = "a model refused the input, and none other answered in time"
    explained = [one for one in predictions if (one.default_explanation or "").startswith(words)]
    assert explained
    # Where a busy machine left no time to ask another one, the refusal is the answer.
    refused = [one for one in ended if isinstance(one, InvalidInput)]
    assert world.stats.refused == len(explained) + len(refused)


async def test_where_some_of_those_asked_refuse_they_are_charged() -> None:
    world = World(REFUSAL, ANSWER, policy="exp4")
    ended = await world.ask_many(30)
    assert all(isinstance(one, Prediction) for one in ended)
    assert world.trust("m2:1") > 0.9
    assert world.selection.weights["m1:1"] < 0.1


async def test_a_deadline_that_the_caller_cut_short_is_held_against_nobody() -> None:
    world = World(None, ANSWER, slo_ms=5000.0)
    await world.ask_many(40, timeout_ms=10.0)
    assert world.trust() == 0.5


async def test_a_version_that_its_caller_chose_is_not_charged() -> None:
    world = World(failed("ValueError: no"), ANSWER)
    await world.ask_many(40, version=version_spec(1))
    assert world.trust() == 0.5


async def test_what_a_probe_misses_is_not_charged_again_by_feedback() -> None:
    world = World(failed("ValueError: no"), ANSWER)
    while "m1:1" not in world.selection.down:
        await world.ask_many(10)
    for number in range(5000):
        prediction = await world.ask(input=b"[%d]" % number)
        if prediction.default_explanation is not None:
            break
    else:
        pytest.fail("the arm that is down was never probed")
    receipt = world.serving.signer.verify(prediction.query_id)
    assert [record.arm for record in receipt.arms] == ["m1:1"]
    assert receipt.arms[0].propensity == pytest.approx(0.01)
    assert receipt.excused == ("m1:1",)
