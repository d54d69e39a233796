"""One bad input, and one input that breaks the model, fail alone."""

import asyncio
import itertools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from serving.container.failures.container_errors import WarmUpFailed
from serving.container.predictor import ModelPredictor
from serving.rpc.frames.codec import Answer, AnswerStatus

OK, INVALID, FAILED = AnswerStatus
ROOT = Path(__file__).parents[3]


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
    def __init__(self, error: Callable[[], BaseException]) -> None:
        super().__init__()
        self.error = error

    def predict(self, inputs: Any) -> Any:
        self.sizes.append(len(inputs))
        raise self.error()


class Panic(BaseException):
    """The error of a Rust extension, which derives from no Exception."""


@pytest.fixture
def no_ctrl_c() -> Iterator[None]:
    """As in a replica, where no KeyboardInterrupt can be a signal's."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_a_bad_input_fails_alone() -> None:
    model = Doubling()
    answers = ModelPredictor(model, input_type="doubles").answer_batch([b"[1]", b"[1,2]", b"[3]"])
    assert answers == [(OK, b"2.0"), (INVALID, b"expected 1 numbers, got 2"), (OK, b"6.0")]
    assert model.sizes == [2]


def test_the_model_is_not_asked_about_bad_inputs_only() -> None:
    model = Doubling()
    answers = ModelPredictor(model, input_type="doubles").answer_batch([b"x", b"[]"])
    assert [answer.status for answer in answers] == [INVALID, INVALID]
    assert model.sizes == []


def test_an_input_that_breaks_the_model_fails_alone() -> None:
    model = Doubling()
    inputs = [b"[%d]" % n for n in range(64)]
    inputs[13] = b"[-1]"
    inputs[40] = b"oops"
    answers = ModelPredictor(model, input_type="doubles").answer_batch(inputs)
    assert answers.pop(40).status is INVALID
    assert answers.pop(13) == (FAILED, b"ValueError: negative")
    assert answers == [(OK, b"%d.0" % (2 * n)) for n in range(64) if n not in (13, 40)]
    assert len(model.sizes) <= 20


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (lambda: KeyError("a"), b"KeyError: 'a'"),
        (MemoryError, b"MemoryError"),
        (Unspeakable, b"Unspeakable"),
        (lambda: Panic("index out of bounds"), b"Panic: index out of bounds"),
        (lambda: SystemExit(3), b"SystemExit: 3"),
        (GeneratorExit, b"GeneratorExit"),
        (asyncio.CancelledError, b"CancelledError"),
        (KeyboardInterrupt, b"KeyboardInterrupt"),
        (RecursionError, b"RecursionError"),
    ],
)
def test_whatever_a_model_raises_is_its_answer(
    error: Callable[[], BaseException], message: bytes, no_ctrl_c: None
) -> None:
    predictor = ModelPredictor(Raising(error), input_type="doubles")
    assert predictor.answer_batch([b"[1]"]) == [(FAILED, message)]


def test_a_real_ctrl_c_still_ends_the_process() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    class Interrupted(Doubling):
        def predict(self, inputs: Any) -> Any:
            signal.raise_signal(signal.SIGINT)
            return super().predict(inputs)

    with pytest.raises(KeyboardInterrupt):
        ModelPredictor(Interrupted(), input_type="doubles").answer_batch([b"[1]"])


def test_an_input_that_a_model_calls_invalid_is_its_callers_fault() -> None:
    class InvalidInput(ValueError): ...

    class TooOld(InvalidInput): ...

    predictor = ModelPredictor(Raising(lambda: TooOld("expected 0 or more")), input_type="doubles")
    assert predictor.answer_batch([b"[1]"]) == [(INVALID, b"expected 0 or more")]
    assert predictor.failures.take() == []


def test_outputs_without_an_end_are_a_failure() -> None:
    predictor = ModelPredictor(Fixed(itertools.count()), input_type="doubles")
    assert predictor.answer_batch([b"[1]"]) == [(FAILED, b"expected 1 outputs for 1 inputs, got 2")]


class Slow(Doubling):
    """Counts the time it would take, and breaks on more than `most` rows or negative numbers."""

    def __init__(self, *, most: int = 10_000) -> None:
        super().__init__()
        self.most = most

    def predict(self, inputs: Any) -> Any:
        self.sizes.append(len(inputs))
        if len(inputs) > self.most or min(row[0] for row in inputs) < 0:
            raise ValueError("no")
        return [row[0] for row in inputs]


@pytest.mark.parametrize(
    ("rows", "bad", "most", "answered"),
    [
        (1024, {700}, 10_000, 1023),
        (200, set(), 1, 200),
        (1024, set(range(1024)), 10_000, 0),
        (1024, set(range(0, 1024, 128)), 10_000, 1016),
    ],
    ids=["one bad", "single rows only", "all bad", "eight bad"],
)
def test_a_batch_that_fails_costs_a_bounded_number_of_calls(
    rows: int, bad: set[int], most: int, answered: int
) -> None:
    model = Slow(most=most)
    inputs = [b"[-1]" if position in bad else b"[1]" for position in range(rows)]

    answers = ModelPredictor(model, input_type="doubles").answer_batch(inputs)

    assert len(answers) == rows
    assert sum(answer.status is OK for answer in answers) == answered
    assert len(model.sizes) < 2 * rows


def test_what_the_search_has_no_time_for_fails_with_the_reason() -> None:
    predictor = ModelPredictor(Slow(), input_type="doubles", search_s=0.0)

    answers = predictor.answer_batch([b"[1]", b"[-1]"])

    assert {answer.status for answer in answers} == {FAILED}
    assert b"finding out on which of its inputs took too long: ValueError: no" in answers[0].payload


def test_what_a_model_raised_is_noted_with_its_own_lines_and_a_count() -> None:
    predictor = ModelPredictor(Doubling(), input_type="doubles")

    for _ in range(3):
        predictor.answer_batch([b"[-1]"])

    (noted,) = predictor.failures.take()
    assert (noted.error, noted.count) == ("ValueError: negative", 3)
    assert f'File "{__file__}", line ' in noted.traceback
    assert 'raise ValueError("negative")' in noted.traceback
    assert f"{ROOT}/serving/container/predictor.py" not in noted.traceback
    assert predictor.failures.take() == []


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([1], b"expected 2 outputs for 2 inputs, got 1"),
        (np.zeros(3), b"expected 2 outputs for 2 inputs, got 3"),
        (None, b"expected a sequence of 2 outputs, got NoneType"),
        ("ab", b"expected a sequence of 2 outputs, got str"),
        (np.float64(3), b"expected a sequence of 2 outputs, got float"),
    ],
)
def test_wrong_outputs_fail_the_batch(outputs: Any, message: bytes) -> None:
    predictor = ModelPredictor(Fixed(outputs), input_type="doubles")
    assert predictor.answer_batch([b"[1]", b"[2]"]) == [Answer(FAILED, message)] * 2


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_the_rows_of_a_frame_are_outputs(kind: Any) -> None:
    frame = kind({"label": ["a", "b"], "p": [0.5, 1.0]})
    predictor = ModelPredictor(Fixed(frame), input_type="doubles")
    first, second = predictor.answer_batch([b"[1]", b"[2]"])
    assert first == (OK, b'{"label":"a","p":0.5}')
    assert second == (OK, b'{"label":"b","p":1.0}')
    predictor = ModelPredictor(Fixed(frame["p"]), input_type="doubles")
    assert predictor.answer_batch([b"[1]", b"[2]"]) == [(OK, b"0.5"), (OK, b"1.0")]


def test_warming_up_answers_one_row_and_a_small_batch() -> None:
    model = Doubling(n_features=3)
    ModelPredictor(model, input_type="floats").warm_up()
    assert model.sizes == [1, 8, 1, 8]


def test_a_model_that_cannot_answer_fails_to_warm_up() -> None:
    predictor = ModelPredictor(Raising(lambda: OSError("gone")), input_type="doubles")
    with pytest.raises(WarmUpFailed, match="failed to answer 1 zeros: OSError: gone"):
        predictor.warm_up()


def test_a_model_that_rejects_zeros_only_warms_up() -> None:
    class Logarithm(Doubling):
        def predict(self, inputs: Any) -> Any:
            if not np.all(inputs):
                raise ValueError("zero")
            return np.log(inputs).sum(axis=1)

    ModelPredictor(Logarithm(n_features=2), input_type="doubles").warm_up()


@pytest.mark.parametrize("output", [float("nan"), object()])
def test_an_output_that_json_cannot_hold_is_among_the_failures_that_are_kept(output: Any) -> None:
    predictor = ModelPredictor(Fixed([1.0, output]), input_type="doubles")
    good, bad = predictor.answer_batch([b"[1]", b"[2]"])
    (failure,) = predictor.failures.take()
    assert (good.status, bad.status) == (OK, FAILED)
    assert failure.error == bad.payload.decode()
