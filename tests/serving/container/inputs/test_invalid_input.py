"""A model may say that an input is its caller's fault, in words for the caller."""

from __future__ import annotations

from typing import Any

from serving.container.predictor import ModelPredictor
from serving.rpc.frames.codec import AnswerStatus as S


class InvalidInput(ValueError):
    pass


class TooOld(InvalidInput):
    pass


class Picky:
    """Blames the caller for what is negative; what is above 100 breaks it."""

    n_features = 1

    def predict(self, inputs: Any) -> Any:
        for row in inputs:
            if row[0] < 0:
                raise TooOld(f"expected a number from 0, got {row[0]:g}")
            if row[0] > 100:
                raise ValueError("no idea")
        return [float(row[0]) for row in inputs]

    def warm_up(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_an_input_that_a_model_calls_invalid_is_its_callers_fault() -> None:
    predictor = ModelPredictor(Picky(), input_type="doubles")
    answers = predictor.answer_batch([b"[1]", b"[-1]", b"[101]", b"[2]"])
    assert [answer.status for answer in answers] == [S.OK, S.INVALID_INPUT, S.MODEL_FAILED, S.OK]
    assert answers[1].payload == b"expected a number from 0, got -1"
    assert [failure.error for failure in predictor.failures.take()] == ["ValueError: no idea"]
    assert predictor.answer_batch([b"[-2]"])[0] == answers[1]._replace(
        payload=b"expected a number from 0, got -2"
    )
