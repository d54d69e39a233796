"""A loaded model behind one call: raw JSON inputs in, one Answer each out, no exceptions."""

import logging
from collections.abc import Sequence
from itertools import islice
from time import perf_counter
from typing import Any, Protocol, runtime_checkable

from serving.container.adapters.encoding import encode_outputs, rows_of_frame
from serving.container.failures.container_errors import (
    WarmUpFailed,
    explain,
    let_interrupts_through,
    words_of,
)
from serving.container.failures.recent_failures import RecentFailures, with_last_traceback
from serving.container.inputs.bisect import Bisection
from serving.container.inputs.examples import completed, made_up
from serving.container.inputs.nulls import without_nulls
from serving.container.inputs.parsing import parse_batch, row_parser
from serving.container.inputs.rows import InvalidRow, Rows
from serving.container.inputs.signature import COLUMNS, Signature, signature_of
from serving.rpc.frames.codec import Answer, AnswerStatus, failed

logger = logging.getLogger(__name__)

# The name of the exception by which a model refuses an input.
INVALID_INPUT = "InvalidInput"
NOT_ASKED = "the model failed on a batch, and finding out on which of its inputs took too long"


class LoadedModel(Protocol):
    """A model that a runtime has loaded: the paper's batch interface.

    Two attributes are optional: its `signature` says more of its inputs than their number, and
    `null_is_declared` is true if null is a value only where the signature says so, as the model
    makes an answer of NaN whether it knows of it or not.
    """

    @property
    def n_features(self) -> int | None:
        """The numbers in an input, if the model knows."""

    def predict(self, inputs: Rows) -> Any:
        """Return as many outputs as inputs, in their order."""

    def warm_up(self) -> None:
        """Do what makes the first query slow."""

    def close(self) -> None:
        """Give up what loading took: files, import paths."""


class BatchPredictor(Protocol):
    """Answers batches for a server."""

    def answer_batch(self, inputs: Sequence[bytes]) -> list[Answer]:
        """Answer each input's raw JSON, in order."""


@runtime_checkable
class Predictor(BatchPredictor, Protocol):
    """One model that is loaded, in this process or in another that it is the front of.

    Two attributes are optional: its `signature` says more of its inputs than `n_features`, and
    `concurrency` how many batches it may be asked at once, each in a thread.
    """

    input_type: str
    # How many numbers an input has; None where that isn't known.
    n_features: int | None
    failures: RecentFailures

    def warm_up(self) -> None:
        """Raises WarmUpFailed where the model can't answer."""

    def close(self) -> None:
        """Give up what loading took."""


class WrongOutputs(Exception):
    """The model returned something else than one output for each input."""


class ModelPredictor:
    """Answers one batch at a time; what breaks the model or JSON fails alone. Not thread-safe."""

    def __init__(
        self,
        model: LoadedModel,
        *,
        input_type: str,
        search_s: float = 2.0,
        signature: Signature | None = None,
        example: str | bytes = b"",
    ) -> None:
        """Once a batch has failed, look for `search_s` for the inputs that break the model.

        `signature` is the model's own where none is given; `example` is an input in JSON.
        """
        self.input_type = input_type
        signature = signature or signature_of(model, input_type=input_type)
        signature = completed(signature, example=example)
        declared = getattr(model, "null_is_declared", False)
        self.signature = without_nulls(signature) if declared else signature
        self.n_features = self.signature.length
        self.failures = RecentFailures()
        self._example = example.encode() if isinstance(example, str) else example
        self._search_s = search_s
        self._model = model
        self._parser = row_parser(self.signature, nulls=not declared)

    def answer_batch(self, inputs: Sequence[bytes]) -> list[Answer]:
        """Answer each input's raw JSON, in order."""
        started = perf_counter()
        try:
            return self._answer(inputs)
        except BaseException as error:  # whatever a model raises is its answer
            let_interrupts_through(error)
            blamed = self._blame(error)
            took_s = perf_counter() - started
        if len(inputs) == 1:
            return [blamed]
        return self._answer_in_pieces(inputs, blamed=blamed, took_s=took_s)

    def warm_up(self) -> None:
        """Warm the model up on its example, or on zeros and ones; raises WarmUpFailed."""
        try:
            self._model.warm_up()
        except BaseException as error:
            let_interrupts_through(error)
            raise WarmUpFailed(f"the model failed to warm up: {explain(error)}") from error
        if self._example:
            if failure := self._try_row(self._example):
                raise self._unanswered(f"the model failed to answer its example: {failure}")
            return
        failures = [self._try_row(row) for row in made_up(self.signature)]
        # A row that was made up need not make sense.
        if failures and all(failures) and self.input_type != COLUMNS:
            inputs = f"{self.n_features} zeros" if self.n_features is not None else "zeros"
            raise self._unanswered(f"the model failed to answer {inputs}: {failures[0]}")

    def close(self) -> None:
        try:
            self._model.close()
        except BaseException as error:
            let_interrupts_through(error)
            logger.warning("model failed to close: %s", explain(error))

    def _unanswered(self, reason: str) -> WarmUpFailed:
        return with_last_traceback(WarmUpFailed(reason), noted=self.failures)

    def _try_row(self, row: bytes) -> str | None:
        for size in (1, 8):
            for answer in self.answer_batch([row] * size):
                if answer.status is not AnswerStatus.OK:
                    return answer.payload.decode()
        return None

    def _answer(self, inputs: Sequence[bytes]) -> list[Answer]:
        """Ask the model once; raises whatever it raises."""
        batch = parse_batch(self._parser, inputs)
        answers = self._ask(batch.rows, count=batch.count)
        if not batch.refusals:
            return answers
        good = iter(answers)
        return [
            refusal if (refusal := batch.refusals.get(position)) is not None else next(good)
            for position in range(len(inputs))
        ]

    def _ask(self, rows: Rows, *, count: int) -> list[Answer]:
        if not count:
            return []
        try:
            outputs = as_list(self._model.predict(rows), count=count)
        except WrongOutputs as error:
            self.failures.note_message(str(error))
            return [failed(str(error))] * count
        return encode_outputs(outputs, on_failure=self.failures.note_message)

    def _answer_in_pieces(
        self, inputs: Sequence[bytes], *, blamed: Answer, took_s: float
    ) -> list[Answer]:
        """Find the inputs that break the model, as far as time allows, and answer the others."""
        bisection = Bisection(rows=len(inputs), took_s=took_s, seconds=self._search_s)
        answers: list[Answer] = []
        while size := bisection.next_size():
            started = perf_counter()
            try:
                answers += self._answer(inputs[len(answers) : len(answers) + size])
            except BaseException as error:
                let_interrupts_through(error)
                blamed = self._blame(error)
                bisection.failed(seconds=perf_counter() - started)
                if size == 1:
                    answers.append(blamed)
            else:
                bisection.succeeded(seconds=perf_counter() - started)
        left = len(inputs) - len(answers)
        return answers + [failed(f"{NOT_ASKED}: {blamed.payload.decode()}")] * left

    def _blame(self, error: BaseException) -> Answer:
        """Turn an exception of the model into an answer: the caller's fault, or its own."""
        named = any(kind.__name__ == INVALID_INPUT for kind in type(error).__mro__)
        if named or isinstance(error, InvalidRow):
            return Answer(AnswerStatus.INVALID_INPUT, words_of(error).encode())
        self.failures.note(error)
        return failed(explain(error))


def as_list(outputs: Any, *, count: int) -> list[Any]:
    """Return outputs, one for each of count inputs, as Python values; raises WrongOutputs."""
    outputs = rows_of_frame(outputs)
    if hasattr(outputs, "tolist"):
        outputs = outputs.tolist()
    if (
        outputs is None
        or isinstance(outputs, str | bytes | dict)
        or not hasattr(outputs, "__iter__")
    ):
        raise WrongOutputs(f"expected a sequence of {count} outputs, got {type(outputs).__name__}")
    values = list(islice(outputs, count + 1))  # a model may make outputs without end
    if len(values) != count:
        got = len(outputs) if isinstance(outputs, list | tuple) else len(values)
        raise WrongOutputs(f"expected {count} outputs for {count} inputs, got {got}")
    return values
