"""One bad input, and one input that breaks the model, fail alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from serving.container.errors import WarmUpFailed
from serving.container.predictor import Predictor
from serving.rpc.frames import Answer, AnswerStatus

OK, INVALID, FAILED = AnswerStatus


class Doubling:
    """A model that doubles sums, counts its calls, and breaks on negative numbers."""

    def __init__(self, *, n_features: int | None = 1) -> None:
        self.n_features = n_features
        self.sizes: list[int] = []

    def predict(self, inputs: Any) -> Any:
        self.sizes.append(len(inputs))
        sums = [float(sum(row)) for row in inputs]
        if min(sums) < 0:
            inputs[:] = 0  # leaves a mess behind, as models do
            raise ValueError("negative")
        return np.array(sums) * 2

    def warm_up(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to give up."""


class Fixed(Doubling):
    """A model that returns what it is told, whatever the inputs."""

    def __init__(self, outputs: Any) -> None:
        super().__init__()
        self.outputs = outputs

    def predict(self, inputs: Any) -> Any:
        return self.outputs


class Raising(Doubling):
    def __init__(self, error: Callable[[], Exception]) -> None:
        super().__init__()
        self.error = error

    def predict(self, inputs: Any) -> Any:
        self.sizes.append(len(inputs))
        raise self.error()


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_inputs_are_answered_in_order() -> None:
    predictor = Predictor(Doubling(), input_type="doubles")
    assert predictor.answer_batch([b"[1]", b"[2.5]"]) == [(OK, b"2.0"), (OK, b"5.0")]
    assert predictor.answer_batch([]) == []


def test_a_bad_input_fails_alone() -> None:
    model = Doubling()
    answers = Predictor(model, input_type="doubles").answer_batch([b"[1]", b"[1,2]", b"[3]"])
    assert answers == [(OK, b"2.0"), (INVALID, b"expected 1 numbers, got 2"), (OK, b"6.0")]
    assert model.sizes == [2]


def test_the_model_is_not_asked_about_bad_inputs_only() -> None:
    model = Doubling()
    answers = Predictor(model, input_type="doubles").answer_batch([b"x", b"[]"])
    assert [answer.status for answer in answers] == [INVALID, INVALID]
    assert model.sizes == []


def test_an_input_that_breaks_the_model_fails_alone() -> None:
    model = Doubling()
    inputs = [b"[%d]" % n for n in range(64)]
    inputs[13] = b"[-1]"
    inputs[40] = b"oops"
    answers = Predictor(model, input_type="doubles").answer_batch(inputs)
    assert answers.pop(40).status is INVALID
    assert answers.pop(13) == (FAILED, b"ValueError: negative")
    assert answers == [(OK, b"%d.0" % (2 * n)) for n in range(64) if n not in (13, 40)]
    assert len(model.sizes) <= 2 * 6 + 1


def test_a_model_that_always_raises_is_asked_a_bounded_number_of_times() -> None:
    model = Raising(lambda: OSError("gone"))
    answers = Predictor(model, input_type="doubles").answer_batch([b"[1]"] * 8)
    assert answers == [(FAILED, b"OSError: gone")] * 8
    assert len(model.sizes) == 15


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (lambda: KeyError("a"), b"KeyError: 'a'"),
        (MemoryError, b"MemoryError"),
        (Unspeakable, b"Unspeakable"),
    ],
)
def test_whatever_a_model_raises_is_its_answer(
    error: Callable[[], Exception], message: bytes
) -> None:
    predictor = Predictor(Raising(error), input_type="doubles")
    assert predictor.answer_batch([b"[1]"]) == [(FAILED, message)]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([1], b"expected 2 outputs for 2 inputs, got 1"),
        (np.zeros(3), b"expected 2 outputs for 2 inputs, got 3"),
        (None, b"expected a sequence of 2 outputs, got NoneType"),
        ("ab", b"expected a sequence of 2 outputs, got str"),
        ({1: 2, 3: 4}, b"expected a sequence of 2 outputs, got dict"),
        (np.float64(3), b"expected a sequence of 2 outputs, got float"),
    ],
)
def test_wrong_outputs_fail_the_batch(outputs: Any, message: bytes) -> None:
    predictor = Predictor(Fixed(outputs), input_type="doubles")
    assert predictor.answer_batch([b"[1]", b"[2]"]) == [Answer(FAILED, message)] * 2


def test_a_generator_of_outputs_is_read() -> None:
    predictor = Predictor(Fixed(n for n in (1, "a")), input_type="doubles")
    assert predictor.answer_batch([b"[1]", b"[2]"]) == [(OK, b"1"), (OK, b'"a"')]


def test_warming_up_answers_one_row_and_a_small_batch() -> None:
    model = Doubling(n_features=3)
    Predictor(model, input_type="floats").warm_up()
    assert model.sizes == [1, 8, 1, 8]


def test_a_model_that_cannot_answer_fails_to_warm_up() -> None:
    predictor = Predictor(Raising(lambda: OSError("gone")), input_type="doubles")
    with pytest.raises(WarmUpFailed, match="failed to answer 1 zeros: OSError: gone"):
        predictor.warm_up()


def test_a_model_that_rejects_zeros_only_warms_up() -> None:
    class Logarithm(Doubling):
        def predict(self, inputs: Any) -> Any:
            if not np.all(inputs):
                raise ValueError("zero")
            return np.log(inputs).sum(axis=1)

    Predictor(Logarithm(n_features=2), input_type="doubles").warm_up()


def test_the_number_of_features_is_not_asked_of_texts() -> None:
    assert Predictor(Doubling(), input_type="strings").n_features is None
