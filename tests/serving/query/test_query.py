"""One query's life: whom it asks, what it makes of the answers, and what it says without any."""

import asyncio
import json
from time import monotonic
from typing import Any

import pytest

from core.errors import DeadlineExceeded, InvalidInput, Saturated
from selection.policies import make_policy
from selection.policies.arithmetic.answer_sums import AnswerSeen
from selection.policies.arithmetic.sums import State, learn_in
from serving.endpoints.predictions.predict import render
from serving.engine.batching.planner import RESERVE
from serving.query.fallback import NO_MODEL, OVERLOADED, TOO_LATE
from serving.query.prediction import Prediction
from serving.query.query import Query
from serving.rpc.frames.codec import Answer, AnswerStatus, failed
from serving.testing import (
    PlayedReplica,
    PlayedServing,
    application_spec,
    batch_by,
    connect,
    routes_to,
    teach,
    turn,
    version_spec,
)

ONE_ROUTE = routes_to(1)
# A replica that takes this long for a row answers two batches of four rows within the objective.
ROW_S, SLO_MS, FIT = 10.0, 100_000.0, 8


def busy(**changes: Any) -> PlayedServing:
    """An application with one replica that is as slow as its objective just allows."""
    it = PlayedServing(
        application_spec(**({"slo_ms": SLO_MS, "routes": ONE_ROUTE} | changes)), queue_capacity=1000
    )
    batch_by(it.engine, rows=4)
    teach(connect(it.engine), per_row=ROW_S)
    return it


def connected(**changes: Any) -> tuple[PlayedServing, list[PlayedReplica]]:
    """Return an application and the replicas of its three models."""
    it = PlayedServing(application_spec(**changes))
    return it, [connect(it.engine, version_id=n) for n in (1, 2, 3)]


async def answered(*answers: Answer, **changes: Any) -> tuple[PlayedServing, Query]:
    """Return an application and a query to it, which its models answer so."""
    it, replicas = connected(**changes)
    query = it.begin(context="anna")
    await turn()
    for replica, answer in zip(replicas, answers, strict=False):
        replica.answer_with(answer)
    await asyncio.wait_for(query.settled(), timeout=30)
    return it, query


def outputs(*values: int) -> list[Answer]:
    return [Answer(AnswerStatus.OK, b"%d" % value) for value in values]


async def test_the_receipt_names_each_arm_with_its_output() -> None:
    it, query = await answered(*outputs(0, 1, 2))
    receipt = it.signer.verify(query.prediction().query_id)
    assert receipt.window_s == it.application.feedback_window_s
    assert (receipt.application_id, receipt.context, receipt.forced) == (1, "anna", False)
    assert not receipt.defaulted
    assert {arm.arm: arm.output for arm in receipt.arms} == {
        "m1:1": b"0",
        "m2:1": b"1",
        "m3:1": b"2",
    }


async def test_at_the_deadline_it_answers_with_what_arrived_and_less_confidence() -> None:
    _, query = await answered(*outputs(7), slo_ms=300.0)
    prediction = query.prediction()
    assert (prediction.output, prediction.models) == (b"7", {"m1:1": b"7"})
    assert prediction.confidence == pytest.approx(1 / 3)


async def test_no_answer_in_time_gives_the_default_with_its_explanation() -> None:
    it, query = await answered(slo_ms=20.0)
    prediction = query.prediction()
    assert (prediction.output, prediction.default_explanation) == (b"-1", TOO_LATE)
    assert it.signer.verify(prediction.query_id).defaulted
    assert it.metrics.applications["digits"].timed_out == 1


async def test_no_answer_in_time_without_a_default_is_an_error() -> None:
    it, query = await answered(slo_ms=20.0, default_output=None)
    with pytest.raises(DeadlineExceeded):
        query.prediction()
    assert it.metrics.applications["digits"].errors == 1


async def test_without_any_replica_no_model_is_connected() -> None:
    query = PlayedServing(application_spec(slo_ms=20.0)).begin()
    await query.settled()
    assert query.prediction().default_explanation == NO_MODEL


async def test_an_application_without_routes_says_so_at_once() -> None:
    query = PlayedServing(application_spec(routes=())).begin()
    assert query.gather.answered
    assert query.prediction().default_explanation == NO_MODEL


@pytest.mark.parametrize(("default", "output"), [(b"-1", b"-1"), (None, b"0")])
async def test_low_confidence_gives_the_default_if_there_is_one(
    default: bytes | None, output: bytes
) -> None:
    it, query = await answered(*outputs(0, 1, 0), confidence_threshold=0.9, default_output=default)
    prediction = query.prediction()
    assert prediction.output == output
    assert (prediction.default_explanation is None) == (default is None)
    assert it.signer.verify(prediction.query_id).defaulted == (default is not None)
    assert it.metrics.applications["digits"].unsure == (default is not None)


async def answered_after(rewards: list[float], **changes: Any) -> tuple[PlayedServing, Prediction]:
    """Return what three models that agree are made of, after labels with these rewards."""
    it, replicas = connected(**changes)
    policy, states = make_policy("exp4", {}), dict[str, State]()
    for number, reward in enumerate(rewards):
        update = policy.update(
            losses=dict.fromkeys(("m1:1", "m2:1", "m3:1"), 1.0 - reward),
            propensities={},
            at_ms=number,
            answer=AnswerSeen((12.0, 12.0), (reward, reward), (3, 4)),
        )
        states |= learn_in("", update, states=states)
    it.processor.resources.store.learned(1, context="", state=states[""])
    query = it.begin()
    await turn()
    for replica in replicas:
        replica.answer_with(*outputs(0))
    await asyncio.wait_for(query.settled(), timeout=30)
    return it, query.prediction()


@pytest.mark.parametrize(("labels", "output"), [(50, b"-1"), (400, b"0")])
async def test_a_promise_gives_answers_once_labels_prove_it(labels: int, output: bytes) -> None:
    it, prediction = await answered_after([1.0] * labels, max_wrong_share=0.05)
    assert prediction.output == output
    assert it.metrics.applications["digits"].unsure == (output == b"-1")
    assert it.signer.verify(prediction.query_id).defaulted == (output == b"-1")
    assert ("of the promise" in (prediction.default_explanation or "")) == (output == b"-1")


async def test_models_that_are_right_as_often_as_a_coin_are_not_believed() -> None:
    _, prediction = await answered_after([0.0, 1.0] * 150)
    assert prediction.confidence == pytest.approx(0.5, abs=0.02)


async def test_a_failing_model_explains_the_default() -> None:
    it, query = await answered(*[failed("ValueError: no such digit")] * 3)
    assert "ValueError: no such digit" in (query.prediction().default_explanation or "")
    assert it.metrics.applications["digits"].failed == 1


async def test_an_input_that_the_models_refuse_is_the_callers_mistake() -> None:
    refusal = Answer(AnswerStatus.INVALID_INPUT, b"expected 64 numbers, got 1")
    _, query = await answered(*[refusal] * 3)
    with pytest.raises(InvalidInput, match="expected 64 numbers, got 1"):
        query.prediction()


async def test_a_timeout_shortens_the_objective_but_never_lengthens_it() -> None:
    it = PlayedServing(application_spec(slo_ms=100.0))
    now = monotonic()
    assert it.begin(arrived=now, timeout_ms=10.0).deadline == pytest.approx(now + 0.008)
    assert it.begin(arrived=now, timeout_ms=500.0).deadline == pytest.approx(now + 0.098)


async def test_an_explicit_version_is_the_only_one_asked() -> None:
    it, replicas = connected()
    query = it.begin(version=version_spec(2))
    await turn()
    assert not replicas[0].batches
    replicas[1].answer({b"[1]": b"9"})
    prediction = query.prediction()
    assert prediction.models == {"m2:1": b"9"}
    assert it.signer.verify(prediction.query_id).forced
    # It is not the policy's doing.
    assert not it.metrics.of_application("digits").arms()


async def test_the_answer_is_json_with_the_contracts_fields() -> None:
    _, query = await answered(*[Answer(AnswerStatus.OK, b'"seven"')] * 3)
    body = json.loads(render(query.prediction()))
    assert (body["output"], body["default"]) == ("seven", False)
    assert body["models"] == {"m1:1": "seven", "m2:1": "seven", "m3:1": "seven"}
    expected = "query_id output default confidence models asked answered latency_ms"
    assert body.keys() == set(expected.split())


async def test_feedback_by_input_asks_every_arm() -> None:
    it, replicas = connected(policy="exp3")
    asking = asyncio.create_task(it.processor.answers_of_all_arms(it.application, b"[1]"))
    await turn()
    for replica in replicas:
        replica.answer({b"[1]": b"3"})
    assert await asking == {"m1:1": b"3", "m2:1": b"3", "m3:1": b"3"}


async def test_arms_that_answer_fail_or_take_too_long_are_told_apart() -> None:
    it, query = await answered(*outputs(7), failed("ValueError: no"), slo_ms=300.0)
    query.prediction()
    arms = it.metrics.of_application("digits").arms()
    # Asked, answered, late, failed, refused.
    assert {arm: tuple(counts.values()) for arm, counts in arms.items()} == {
        "m1:1": (1, 1, 0, 0, 0),
        "m2:1": (1, 0, 0, 1, 0),
        "m3:1": (1, 0, 1, 0, 0),
    }


async def test_an_overloaded_model_gives_the_default_at_once() -> None:
    it = busy()
    queries = [it.begin(input=b"[%d]" % n) for n in range(20)]
    assert [query.gather.answered for query in queries] == [n >= FIT for n in range(20)]
    prediction = queries[-1].prediction()
    assert prediction.output == b"-1"
    assert prediction.default_explanation == OVERLOADED
    assert it.metrics.applications["digits"].overloaded == 1
    await turn()


async def test_an_overloaded_model_without_a_default_says_when_to_come_back() -> None:
    it = busy(default_output=None)
    queries = [it.begin(input=b"[%d]" % n) for n in range(20)]
    with pytest.raises(Saturated, match="every model asked is overloaded") as caught:
        queries[-1].prediction()
    assert caught.value.status == 503
    assert caught.value.code == "saturated"
    # When all that waits is answered, and the one that asks, with the reserve of the planner.
    expected = RESERVE * ROW_S * (FIT + 1)
    assert caught.value.retry_after_s == pytest.approx(expected)
    assert int(caught.value.headers()["Retry-After"]) == pytest.approx(expected, abs=1)
    assert it.metrics.applications["digits"].errors == 1
    await turn()


@pytest.mark.parametrize("keeps", [True, False])
async def test_an_input_is_kept_where_its_application_says_so(keeps: bool) -> None:
    it = PlayedServing(application_spec(routes=routes_to(1), keep_inputs=keeps))
    replica = connect(it.engine)
    query = it.begin()
    await turn()
    replica.answer({b"[1]": b"7"})
    await query.settled()
    query.prediction()
    assert it.processor.resources.store.input_samples.waiting == (1 if keeps else 0)


async def test_a_share_of_queries_is_captured_with_what_each_arm_did() -> None:
    it, query = await answered(*outputs(7, 8), slo_ms=300.0, capture_rate=1.0)
    query.prediction()
    (captured,) = it.processor.resources.captured.waiting
    assert (captured.outputs, captured.missing) == ({"m1:1": b"7", "m2:1": b"8"}, {"m3:1": "late"})
    it, query = await answered(*outputs(7, 8, 9))
    query.prediction()
    assert not it.processor.resources.captured.waiting


async def test_a_trial_is_counted_apart() -> None:
    it, replicas = connected(capture_rate=1.0, keep_inputs=True, default_reward=0.5)
    query = it.processor.begin(it.application, input=b"[1]", arrived=monotonic(), trial=True)
    await turn()
    for replica in replicas:
        replica.answer_with(Answer(AnswerStatus.OK, b"7"))
    await asyncio.wait_for(query.settled(), timeout=30)
    assert query.prediction().output == b"7"
    stats, resources = it.metrics.applications["digits"], it.processor.resources
    assert (stats.trials, stats.queries, stats.endings) == (1, 0, {})
    assert not resources.captured.waiting
    assert not resources.store.input_samples.waiting


async def test_a_query_that_fails_is_captured_and_a_bad_input_is_not() -> None:
    it, query = await answered(slo_ms=20.0, default_output=None, capture_rate=1.0)
    with pytest.raises(DeadlineExceeded):
        query.prediction()
    (captured,) = it.processor.resources.captured.waiting
    assert (captured.query_id, captured.cause) == ("", DeadlineExceeded.code)
    refusals = [Answer(AnswerStatus.INVALID_INPUT, b"no")] * 3
    it, query = await answered(*refusals, capture_rate=1.0)
    with pytest.raises(InvalidInput):
        query.prediction()
    assert not it.processor.resources.captured.waiting


async def test_answers_unlike_the_first_arms_are_counted() -> None:
    it, query = await answered(*outputs(7, 7, 8))
    query.prediction()
    stats = it.metrics.of_application("digits")
    assert (stats.compared, stats.disagreed) == (2, 1)


async def test_one_answer_alone_is_compared_with_none() -> None:
    it, query = await answered(*outputs(7), slo_ms=300.0)
    query.prediction()
    assert it.metrics.of_application("digits").compared == 0
