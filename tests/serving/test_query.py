import asyncio
import json
from time import monotonic

import pytest
from redis.asyncio import Redis

from registry.errors import DeadlineExceeded, InvalidInput, ModelFailed, NotReady, Saturated
from registry.specs import ApplicationSpec, ModelSpec, RouteSpec, Snapshot, VersionSpec
from selection.outputs import OutputStore
from selection.receipts import ReceiptSigner
from selection.state import SelectionStore
from serving.api.predict import render
from serving.engine.engine import Engine, EngineSpec
from serving.metrics import Metrics
from serving.query import QueryProcessor
from serving.routing import Router
from serving.rpc.frames import Answer, AnswerStatus
from tests.serving.engine.doubles import connect
from tests.serving.engine.test_engine import turn


def version(id: int) -> VersionSpec:
    return VersionSpec(
        id=id,
        model_id=id,
        model=f"m{id}",
        version="1",
        runtime="sklearn",
        input_type="doubles",
        digest="0" * 64,
        device="cpu",
        replicas=1,
        allow_pickle=False,
        generation=1,
    )


def application(**changes) -> ApplicationSpec:
    fields = {
        "id": 7,
        "name": "digits",
        "input_type": "doubles",
        "slo_ms": 1000.0,
        "slo_target": 0.99,
        "default_output": b"-1",
        "policy": "exp4",
        "policy_params": {},
        "combine": "vote",
        "confidence_threshold": 0.0,
        "public": False,
        "feedback_window_s": 3600,
        "routes": tuple(
            RouteSpec(model_id=n, model=f"m{n}", role="arm", weight=1.0, pinned_version_id=None)
            for n in (1, 2, 3)
        ),
    }
    return ApplicationSpec(**(fields | changes))


class Serving:
    """A query processor over an engine whose replicas the test plays."""

    def __init__(self, spec: ApplicationSpec) -> None:
        self.application = spec
        self.engine = Engine(EngineSpec(queue_capacity=2))
        self.router = Router(connected=self.engine.connected)
        self.signer = ReceiptSigner(b"secret")
        redis = Redis(unix_socket_path="/nonexistent")
        self.metrics = Metrics(process_id="test", pid=1)
        self.processor = QueryProcessor(
            engine=self.engine,
            router=self.router,
            store=SelectionStore(redis),
            outputs=OutputStore(redis),
            signer=self.signer,
            metrics=self.metrics,
        )
        self.router.apply(
            Snapshot(
                applications={spec.name: spec},
                models={
                    n: ModelSpec(id=n, name=f"m{n}", input_type="doubles", live_version_id=n)
                    for n in (1, 2, 3)
                },
                versions={n: version(n) for n in (1, 2, 3)},
                versions_by_arm={f"m{n}:1": version(n) for n in (1, 2, 3)},
            )
        )
        self.engine.expect(self.router.expected_versions())

    def begin(self, **changes):
        return self.processor.begin(
            self.application, **({"input": b"[1]", "arrived": monotonic()} | changes)
        )


@pytest.fixture
def serving():
    return Serving


async def test_all_arms_agree(serving):
    it = serving(application())
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin()
    await turn()
    for replica in replicas:
        replica.answer({b"[1]": b"7"})
    await query.settled()
    prediction = query.prediction()
    assert prediction.output == b"7"
    assert prediction.confidence == 1.0
    assert prediction.models == {"m1:1": b"7", "m2:1": b"7", "m3:1": b"7"}
    assert prediction.default_explanation is None


async def test_the_receipt_names_each_arm_with_its_output(serving):
    it = serving(application())
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin(context="anna")
    await turn()
    for number, replica in enumerate(replicas):
        replica.answer({b"[1]": b"%d" % number})
    receipt = it.signer.verify(query.prediction().query_id)
    assert receipt.application_id == 7
    assert receipt.context == "anna"
    assert [(a.arm, a.output) for a in receipt.arms] == [
        ("m1:1", b"0"),
        ("m2:1", b"1"),
        ("m3:1", b"2"),
    ]
    assert not receipt.forced


async def test_at_the_deadline_it_answers_with_what_arrived_and_less_confidence(serving):
    it = serving(application(slo_ms=30.0))
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin()
    await turn()
    replicas[0].answer({b"[1]": b"7"})
    await asyncio.wait_for(query.settled(), timeout=5)
    prediction = query.prediction()
    assert prediction.output == b"7"
    assert prediction.confidence == pytest.approx(1 / 3)
    assert prediction.models == {"m1:1": b"7"}


async def test_no_answer_in_time_gives_the_default_with_its_explanation(serving):
    it = serving(application(slo_ms=20.0))
    for n in (1, 2, 3):
        connect(it.engine, version_id=n)
    query = it.begin()
    await query.settled()
    prediction = query.prediction()
    assert prediction.output == b"-1"
    assert prediction.default_explanation == "none answered within the objective"


async def test_no_answer_in_time_without_a_default_is_an_error(serving):
    it = serving(application(slo_ms=20.0, default_output=None))
    for n in (1, 2, 3):
        connect(it.engine, version_id=n)
    query = it.begin()
    await query.settled()
    with pytest.raises(DeadlineExceeded):
        query.prediction()
    assert it.metrics.applications["digits"].errors == 1


async def test_without_any_replica_no_model_is_connected(serving):
    it = serving(application(slo_ms=20.0))
    query = it.begin()
    await query.settled()
    assert query.prediction().default_explanation == "no model is connected"


async def test_an_application_without_routes_says_so_at_once(serving):
    it = serving(application(routes=()))
    query = it.begin()
    assert query.question.answered
    assert query.prediction().default_explanation == "no model is connected"


async def test_no_model_and_no_default_is_not_ready(serving):
    it = serving(application(routes=(), default_output=None))
    with pytest.raises(NotReady):
        it.begin().prediction()


async def test_low_confidence_gives_the_default(serving):
    it = serving(application(confidence_threshold=0.9))
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin()
    await turn()
    for number, replica in enumerate(replicas):
        replica.answer({b"[1]": b"%d" % (number % 2)})
    prediction = query.prediction()
    assert prediction.output == b"-1"
    assert prediction.default_explanation == "confidence 0.667 below the threshold 0.9"


async def test_low_confidence_without_a_default_is_answered_all_the_same(serving):
    it = serving(application(confidence_threshold=0.9, default_output=None))
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin()
    await turn()
    for number, replica in enumerate(replicas):
        replica.answer({b"[1]": b"%d" % (number % 2)})
    assert query.prediction().output == b"0"


async def test_a_failing_model_explains_the_default(serving):
    it = serving(application())
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin()
    await turn()
    for replica in replicas:
        replica.answer_with(Answer(AnswerStatus.MODEL_FAILED, b"ValueError: no such digit"))
    assert query.prediction().default_explanation == "the model failed: ValueError: no such digit"


async def test_a_failing_model_without_a_default_is_an_error(serving):
    it = serving(application(default_output=None))
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin()
    await turn()
    for replica in replicas:
        replica.answer_with(Answer(AnswerStatus.MODEL_FAILED, b"ValueError: no"))
    with pytest.raises(ModelFailed, match="ValueError: no"):
        query.prediction()


async def test_one_failing_arm_does_not_fail_the_query(serving):
    it = serving(application())
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin()
    await turn()
    replicas[0].answer_with(Answer(AnswerStatus.MODEL_FAILED, b"ValueError: no"))
    for replica in replicas[1:]:
        replica.answer({b"[1]": b"4"})
    assert query.prediction().output == b"4"


async def test_an_input_that_the_models_refuse_is_the_callers_mistake(serving):
    it = serving(application())
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin()
    await turn()
    for replica in replicas:
        replica.answer_with(Answer(AnswerStatus.INVALID_INPUT, b"expected 64 numbers, got 1"))
    with pytest.raises(InvalidInput, match="expected 64 numbers, got 1"):
        query.prediction()


async def test_full_queues_without_a_default_are_saturated(serving):
    it = serving(application(default_output=None))
    for n in (1, 2, 3):
        connect(it.engine, version_id=n)
    queries = [it.begin(input=b"[%d]" % n) for n in range(3)]
    with pytest.raises(Saturated):
        queries[2].prediction()
    await turn()


async def test_a_timeout_shortens_the_objective_but_never_lengthens_it(serving):
    it = serving(application(slo_ms=100.0))
    now = monotonic()
    assert it.begin(arrived=now, timeout_ms=10.0).deadline == pytest.approx(now + 0.008)
    assert it.begin(arrived=now, timeout_ms=500.0).deadline == pytest.approx(now + 0.098)


async def test_an_explicit_version_is_the_only_one_asked(serving):
    it = serving(application())
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin(version=version(2))
    await turn()
    assert not replicas[0].batches
    replicas[1].answer({b"[1]": b"9"})
    prediction = query.prediction()
    assert prediction.models == {"m2:1": b"9"}
    assert it.signer.verify(prediction.query_id).forced


async def test_the_answer_is_json_with_the_contracts_fields(serving):
    it = serving(application())
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
        "latency_ms",
    }


async def test_feedback_by_input_asks_every_arm(serving):
    it = serving(application(policy="exp3"))
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    asking = asyncio.create_task(it.processor.answers_of_all_arms(it.application, b"[1]"))
    await turn()
    for replica in replicas:
        replica.answer({b"[1]": b"3"})
    assert await asking == {"m1:1": b"3", "m2:1": b"3", "m3:1": b"3"}
