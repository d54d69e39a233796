"""A loaded model behind one call: raw JSON inputs in, one Answer each out, no exceptions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Protocol

from serving.container.encoding import encode_outputs
from serving.container.errors import WarmUpFailed, explain
from serving.container.parsing import NUMBER_TYPES, Rows, parse_batch, row_parser
from serving.rpc.frames import Answer, AnswerStatus, failed

logger = logging.getLogger(__name__)

WARM_UP_SIZES = (1, 8)


class Model(Protocol):
    """What a runtime makes of an artifact: the paper's batch interface."""

    @property
    def n_features(self) -> int | None:
        """How many numbers an input has, where the model knows it."""

    def predict(self, inputs: Rows) -> Any:
        """Return as many outputs as inputs, in their order."""

    def warm_up(self) -> None:
        """Do what makes the first query slow."""

    def close(self) -> None:
        """Give up what loading took: files, import paths."""


class WrongOutputs(Exception):
    """The model returned something else than one output for each input."""


class Predictor:
    """Answers batches with one model, one batch at a time.

    A bad input, an input that breaks the model and an output that JSON cannot hold each fail
    alone. Not thread-safe: the JSON parser is reused.
    """

    def __init__(self, model: Model, *, input_type: str) -> None:
        self.input_type = input_type
        self.n_features = model.n_features if input_type in NUMBER_TYPES else None
        self._model = model
        self._parser = row_parser(input_type, length=self.n_features)

    def answer_batch(self, inputs: Sequence[bytes]) -> list[Answer]:
        """Answer each input's raw JSON, in order."""
        batch = parse_batch(self._parser, inputs)
        if not batch.refusals:
            return self._answer_rows(batch.rows, inputs=inputs)
        good = [position for position in range(len(inputs)) if position not in batch.refusals]
        answers = self._answer_rows(batch.rows, inputs=[inputs[position] for position in good])
        merged = batch.refusals | dict(zip(good, answers, strict=True))
        return [merged[position] for position in range(len(inputs))]

    def warm_up(self) -> None:
        """Warm the model, then have it answer made-up inputs where their shape is known.

        Raises WarmUpFailed. A model may reject zeros (a logarithm), hardly zeros and ones both.
        """
        try:
            self._model.warm_up()
        except Exception as error:
            raise WarmUpFailed(f"the model failed to warm up: {explain(error)}") from error
        if self.n_features is None:
            return
        failures = [self._try_row(digit) for digit in (b"0", b"1")]
        if all(failures):
            raise WarmUpFailed(f"the model failed to answer {self.n_features} zeros: {failures[0]}")

    def close(self) -> None:
        self._model.close()

    def _try_row(self, digit: bytes) -> str | None:
        row = b"[" + b",".join([digit] * (self.n_features or 0)) + b"]"
        for size in WARM_UP_SIZES:
            for answer in self.answer_batch([row] * size):
                if answer.status is not AnswerStatus.OK:
                    return answer.payload.decode()
        return None

    def _answer_rows(self, rows: Rows, *, inputs: Sequence[bytes]) -> list[Answer]:
        if not len(rows):
            return []
        try:
            outputs = as_list(self._model.predict(rows), count=len(rows))
        except WrongOutputs as error:
            return [failed(str(error))] * len(rows)
        except Exception as error:  # whatever a model raises is its answer
            if len(rows) > 1:
                return self._answer_halves(inputs)
            logger.debug("model failed", exc_info=True)
            return [failed(explain(error))]
        return encode_outputs(outputs)

    def _answer_halves(self, inputs: Sequence[bytes]) -> list[Answer]:
        """Find the inputs that break the model by halving: one among n costs about 2 log2(n) calls.

        They are parsed again, since the model may have written into its rows before it raised.
        """
        middle = len(inputs) // 2
        return self.answer_batch(inputs[:middle]) + self.answer_batch(inputs[middle:])


def as_list(outputs: Any, *, count: int) -> list[Any]:
    """Check that outputs are one for each of count inputs; return them as Python values."""
    if hasattr(outputs, "tolist"):
        outputs = outputs.tolist()
    if (
        outputs is None
        or isinstance(outputs, str | bytes | dict)
        or not hasattr(outputs, "__iter__")
    ):
        raise WrongOutputs(f"expected a sequence of {count} outputs, got {type(outputs).__name__}")
    values = list(outputs)
    if len(values) != count:
        raise WrongOutputs(f"expected {count} outputs for {count} inputs, got {len(values)}")
    return values
