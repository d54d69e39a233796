"""At the deadline a query is answered with what came; what comes later isn't lost (§5.2.2)."""

import json
from typing import Any

import pytest

from core.errors import ModelFailed
from serving.endpoints.predictions.predict import render
from serving.query.prediction import Prediction
from serving.testing import PlayedServing, application_spec, connect, turn


class Ensemble:
    """An application with three models, each of which answers when the test says so."""

    def __init__(self, **changes: Any) -> None:
        self.serving = PlayedServing(application_spec(**changes), queue_capacity=100)
        self.replicas = [connect(self.serving.engine, version_id=n) for n in (1, 2, 3)]

    async def ask(self, *answers: bytes | None, input: bytes = b"[1]", **fields: Any) -> Prediction:
        """Return the prediction made when those arms have answered whose answer isn't None."""
        query = self.serving.begin(input=input, **fields)
        await turn()
        for replica, answer in zip(self.replicas, answers, strict=True):
            if answer is not None:
                replica.answer({input: answer})
        await query.settled()
        return query.prediction()


def body(prediction: Prediction) -> dict[str, Any]:
    return json.loads(render(prediction))


async def test_a_late_answer_reaches_the_cache_and_the_statistics() -> None:
    it = Ensemble(slo_ms=100.0)
    assert body(await it.ask(b"7", b"7", None))["answered"] == 2
    it.replicas[2].answer({b"[1]": b"7"})
    again = it.serving.begin()
    assert again.gather.answered
    assert body(again.prediction())["answered"] == 3
    assert sum(it.serving.engine.stats[3].model_seconds.counts) == 1


@pytest.mark.parametrize(("combine", "expected"), [("mean", 5.0), ("median", 2.0)])
async def test_an_average_stands_in_for_what_is_late_and_is_trusted_no_more(
    combine: str, expected: float
) -> None:
    it = Ensemble(slo_ms=100.0, combine=combine)
    for number, late in enumerate((b"8", b"12")):
        await it.ask(b"1", b"1", late, input=b"[%d]" % number)
    told = body(await it.ask(b"2", b"2" if combine == "median" else b"3", None, input=b"[9]"))
    assert told["output"] == pytest.approx(expected)
    assert told["confidence"] == pytest.approx(0.6667)
    assert told["models"] == {"m1:1": 2, "m2:1": 2 if combine == "median" else 3}


async def test_scores_stand_in_too_and_the_receipt_holds_what_really_came() -> None:
    it = Ensemble(slo_ms=100.0, combine="scores")
    await it.ask(b"[1,0]", b"[0,1]", b"[0.1,0.9]", input=b"[0]")
    prediction = await it.ask(b"[1,0]", b"[0.4,0.6]", None, input=b"[9]")
    told = body(prediction)
    # 1 + 0.4 + 0.1 for the first class, 0.6 + 0.9 for the second: a tie, the first wins.
    assert told["output"] == 0
    assert told["confidence"] == pytest.approx(0.3333)
    receipt = it.serving.signer.verify(prediction.query_id)
    assert [arm.output for arm in receipt.arms] == [b"[1,0]", b"[0.4,0.6]", None]


async def test_outputs_that_cannot_be_combined_are_the_models_failure() -> None:
    it = Ensemble(combine="scores", default_output=None)
    with pytest.raises(ModelFailed, match="scores: numbers from 0 up, m2:1 answered"):
        await it.ask(b"[1,0]", b'"cat"', b"[0,1]")


async def test_only_an_application_with_a_default_reward_keeps_receipts() -> None:
    it = Ensemble()
    await it.ask(b"7", b"7", b"7")
    assert not it.serving.processor.resources.due.waiting
    it = Ensemble(default_reward=0.5, feedback_window_s=60)
    prediction = await it.ask(b"7", b"7", b"7")
    (kept,) = it.serving.processor.resources.due.waiting
    issued_at_ms = it.serving.signer.verify(prediction.query_id).issued_at_ms
    assert kept == (prediction.query_id, issued_at_ms + 60_000)
