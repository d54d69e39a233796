"""One query's life: whom it asks, what it makes of the answers, and what it says without any."""

import asyncio
import json
from time import monotonic
from typing import Any

import pytest

from core.errors import DeadlineExceeded, InvalidInput, Saturated
from serving.endpoints.predictions.predict import render
from serving.engine.batching.planner import RESERVE
from serving.query.fallback import OVERLOADED
from serving.rpc.frames.codec import Answer, AnswerStatus
from serving.testing import (
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


@pytest.fixture
def serving() -> type[PlayedServing]:
    return PlayedServing


async def test_the_receipt_names_each_arm_with_its_output(serving: type[PlayedServing]) -> None:
    it = serving(application_spec())
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin(context="anna")
    await turn()
    for number, replica in enumerate(replicas):
        replica.answer({b"[1]": b"%d" % number})
    receipt = it.signer.verify(query.prediction().query_id)
    assert receipt.window_s == it.application.feedback_window_s
    assert receipt.application_id == 1
    assert receipt.context == "anna"
    assert [(a.arm, a.output) for a in receipt.arms] == [
        ("m1:1", b"0"),
        ("m2:1", b"1"),
        ("m3:1", b"2"),
    ]
    assert not receipt.forced


async def test_at_the_deadline_it_answers_with_what_arrived_and_less_confidence(
    serving: type[PlayedServing],
) -> None:
    it = serving(application_spec(slo_ms=300.0))
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin()
    await turn()
    replicas[0].answer({b"[1]": b"7"})
    await asyncio.wait_for(query.settled(), timeout=30)
    prediction = query.prediction()
    assert prediction.output == b"7"
    assert prediction.confidence == pytest.approx(1 / 3)
    assert prediction.models == {"m1:1": b"7"}


async def test_no_answer_in_time_gives_the_default_with_its_explanation(
    serving: type[PlayedServing],
) -> None:
    it = serving(application_spec(slo_ms=20.0))
    for n in (1, 2, 3):
        connect(it.engine, version_id=n)
    query = it.begin()
    await query.settled()
    prediction = query.prediction()
    assert prediction.output == b"-1"
    assert prediction.default_explanation == "none answered within the objective"
    assert it.metrics.applications["digits"].timed_out == 1


async def test_no_answer_in_time_without_a_default_is_an_error(
    serving: type[PlayedServing],
) -> None:
    it = serving(application_spec(slo_ms=20.0, default_output=None))
    for n in (1, 2, 3):
        connect(it.engine, version_id=n)
    query = it.begin()
    await query.settled()
    with pytest.raises(DeadlineExceeded):
        query.prediction()
    assert it.metrics.applications["digits"].errors == 1


async def test_without_any_replica_no_model_is_connected(serving: type[PlayedServing]) -> None:
    it = serving(application_spec(slo_ms=20.0))
    query = it.begin()
    await query.settled()
    assert query.prediction().default_explanation == "no model is connected"


async def test_an_application_without_routes_says_so_at_once(serving: type[PlayedServing]) -> None:
    it = serving(application_spec(routes=()))
    query = it.begin()
    assert query.gather.answered
    assert query.prediction().default_explanation == "no model is connected"


async def test_low_confidence_gives_the_default(serving: type[PlayedServing]) -> None:
    it = serving(application_spec(confidence_threshold=0.9))
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin()
    await turn()
    for number, replica in enumerate(replicas):
        replica.answer({b"[1]": b"%d" % (number % 2)})
    prediction = query.prediction()
    assert prediction.output == b"-1"
    assert prediction.default_explanation == "confidence 0.667 below the threshold 0.9"
    assert it.metrics.applications["digits"].unsure == 1


async def test_low_confidence_without_a_default_is_answered_all_the_same(
    serving: type[PlayedServing],
) -> None:
    it = serving(application_spec(confidence_threshold=0.9, default_output=None))
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin()
    await turn()
    for number, replica in enumerate(replicas):
        replica.answer({b"[1]": b"%d" % (number % 2)})
    assert query.prediction().output == b"0"


async def test_a_failing_model_explains_the_default(serving: type[PlayedServing]) -> None:
    it = serving(application_spec())
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin()
    await turn()
    for replica in replicas:
        replica.answer_with(Answer(AnswerStatus.MODEL_FAILED, b"ValueError: no such digit"))
    assert query.prediction().default_explanation == "the model failed: ValueError: no such digit"
    assert it.metrics.applications["digits"].failed == 1


async def test_an_input_that_the_models_refuse_is_the_callers_mistake(
    serving: type[PlayedServing],
) -> None:
    it = serving(application_spec())
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin()
    await turn()
    for replica in replicas:
        replica.answer_with(Answer(AnswerStatus.INVALID_INPUT, b"expected 64 numbers, got 1"))
    with pytest.raises(InvalidInput, match="expected 64 numbers, got 1"):
        query.prediction()


async def test_a_timeout_shortens_the_objective_but_never_lengthens_it(
    serving: type[PlayedServing],
) -> None:
    it = serving(application_spec(slo_ms=100.0))
    now = monotonic()
    assert it.begin(arrived=now, timeout_ms=10.0).deadline == pytest.approx(now + 0.008)
    assert it.begin(arrived=now, timeout_ms=500.0).deadline == pytest.approx(now + 0.098)


async def test_an_explicit_version_is_the_only_one_asked(serving: type[PlayedServing]) -> None:
    it = serving(application_spec())
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin(version=version_spec(2))
    await turn()
    assert not replicas[0].batches
    replicas[1].answer({b"[1]": b"9"})
    prediction = query.prediction()
    assert prediction.models == {"m2:1": b"9"}
    assert it.signer.verify(prediction.query_id).forced


async def test_the_answer_is_json_with_the_contracts_fields(serving: type[PlayedServing]) -> None:
    it = serving(application_spec())
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin()
    await turn()
    for replica in replicas:
        replica.answer({b"[1]": b'"seven"'})
    body = json.loads(render(query.prediction()))
    assert body["output"] == "seven"
    assert body["default"] is False
    assert body["models"] == {"m1:1": "seven", "m2:1": "seven", "m3:1": "seven"}
    assert body.keys() == {
        "query_id",
        "output",
        "default",
        "confidence",
        "models",
        "asked",
        "answered",
        "latency_ms",
    }


async def test_feedback_by_input_asks_every_arm(serving: type[PlayedServing]) -> None:
    it = serving(application_spec(policy="exp3"))
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    asking = asyncio.create_task(it.processor.answers_of_all_arms(it.application, b"[1]"))
    await turn()
    for replica in replicas:
        replica.answer({b"[1]": b"3"})
    assert await asking == {"m1:1": b"3", "m2:1": b"3", "m3:1": b"3"}


async def test_an_overloaded_model_gives_the_default_at_once(serving: type[PlayedServing]) -> None:
    it = busy()
    queries = [it.begin(input=b"[%d]" % n) for n in range(20)]
    assert [query.gather.answered for query in queries] == [n >= FIT for n in range(20)]
    prediction = queries[-1].prediction()
    assert prediction.output == b"-1"
    assert prediction.default_explanation == OVERLOADED
    assert it.metrics.applications["digits"].overloaded == 1
    await turn()


async def test_an_overloaded_model_without_a_default_says_when_to_come_back(
    serving: type[PlayedServing],
) -> None:
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
