"""The report of a check: sample answers, times of batches, and agreement with another model."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from serving.container.inputs.examples import made_up
from serving.container.inputs.signature import Signature
from serving.rpc.frames.codec import AnswerStatus, fitting
from serving.rpc.text import safe_text

if TYPE_CHECKING:
    from serving.container.predictor import BatchPredictor

# Asked in a check alone, not by each replica's warm-up: nobody knows whether it makes sense.
MADE_UP_TEXT = b'"a text"'
# An input or an output is shown as far as this.
SHOWN_CHARACTERS = 2000

# A model that is slower answers fewer of the inputs that another model was asked.
AGREEMENT_S = 5.0

# Such an input, and the output of the other model as JSON.
Row = tuple[bytes, bytes]
Count = Annotated[int, msgspec.Meta(ge=0)]
Text = Annotated[str, msgspec.Meta(max_length=2 * SHOWN_CHARACTERS)]


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An input and what the model made of it, as JSON; or why it made nothing of it."""

    input: Text
    output: Text = ""
    error: Text = ""


class BatchTime(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds that batches of a size took."""

    size: int
    batches: int
    p50_ms: float
    p99_ms: float


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of inputs asked, answered and answered alike, and the largest difference."""

    inputs: Count
    answered: Count
    same: Count
    largest_difference: Annotated[float, msgspec.Meta(ge=0.0, le=sys.float_info.max)] | None


class CheckReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    samples: Annotated[tuple[Sample, ...], msgspec.Meta(max_length=8)] = ()
    latency: Annotated[tuple[BatchTime, ...], msgspec.Meta(max_length=8)] = ()
    kept: Agreement | None = None


def inputs_for(signature: Signature, *, example: str) -> tuple[bytes, ...]:
    """The example, or what is made up where its shape is known, or where it is a text."""
    if not example and signature.input_type == "strings":
        return (MADE_UP_TEXT,)
    return (example.encode(),) if example else made_up(signature)


def answered(
    predictor: BatchPredictor, inputs: Sequence[bytes]
) -> tuple[list[bytes], list[Sample]]:
    """The outputs that there are, as JSON, and each input with what came of it."""
    answers = [fitting(predictor.answer_batch([raw])[0]) for raw in inputs]
    outputs = [answer.payload for answer in answers if answer.status is AnswerStatus.OK]
    samples = []
    for raw, answer in zip(inputs, answers, strict=True):
        text = _shown(answer.payload)
        result = {"output": text} if answer.status is AnswerStatus.OK else {"error": text}
        samples.append(Sample(input=_shown(raw), **result))
    return outputs, samples


def timed(predictor: BatchPredictor, raw: bytes, *, largest: int) -> tuple[BatchTime, ...]:
    """Return the times of batches of one, of eight and of the largest size, unless too long."""
    found: list[BatchTime] = []
    for size in sorted({size for size in (1, 8) if size < largest} | {largest}):
        # The fewest batches of a size would take over 20 s, by those of the size before.
        if found and 3 * size * found[-1].p50_ms / found[-1].size > 20_000:
            break
        found.append(_timed(predictor, [raw] * size))
    return tuple(found)


def _timed(predictor: BatchPredictor, batch: list[bytes]) -> BatchTime:
    # Processes that only read a report do without its memory.
    import numpy as np

    times: list[float] = []
    while len(times) < 100 and (sum(times) < 0.2 or len(times) < 3):
        started = perf_counter()
        predictor.answer_batch(batch)
        times.append(perf_counter() - started)
    p50, p99 = np.quantile(times, [0.5, 0.99]) * 1000
    return BatchTime(
        size=len(batch),
        batches=len(times),
        p50_ms=round(float(p50), 3),
        p99_ms=round(float(p99), 3),
    )


def read_report(report: object) -> CheckReport:
    """The report of a process that ran somebody's code, as far as it is one."""
    try:
        return msgspec.convert(report, CheckReport)
    except (msgspec.ValidationError, TypeError):
        return CheckReport()


def _shown(text: bytes) -> str:
    return safe_text(text.decode(errors="replace"), most=SHOWN_CHARACTERS)


def read_rows(descriptor: int) -> list[Row]:
    """Read the file that this process has been given."""
    with open(descriptor, "rb") as file:
        return msgspec.msgpack.decode(file.read(), type=list[Row])


def agreement(
    predictor: BatchPredictor, rows: Iterable[Row], *, seconds: float = AGREEMENT_S
) -> Agreement:
    """Have the model answer as many of the inputs as there is time for, one after another."""
    until = monotonic() + seconds
    inputs = 0
    differences: list[float | None] = []
    for raw, other in rows:
        if monotonic() >= until:
            break
        inputs += 1
        answer = predictor.answer_batch([raw])[0]
        if answer.status is AnswerStatus.OK:
            output = msgspec.json.decode(answer.payload)
            differences.append(difference(output, msgspec.json.decode(other)))
    comparable = [found for found in differences if found is not None]
    return Agreement(
        inputs=inputs,
        answered=len(differences),
        same=comparable.count(0.0),
        largest_difference=max(comparable) if any(comparable) else None,
    )


def difference(one: Any, other: Any) -> float | None:
    """Return the largest difference of numbers in two JSON values, None if they differ in kind."""
    if _is_number(one) and _is_number(other):
        return _distance(one, other)
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        one, other = list(one.values()), [other[name] for name in one]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        found = [difference(*pair) for pair in zip(one, other, strict=True)]
        comparable = [each for each in found if each is not None]
        return max(comparable, default=0.0) if len(comparable) == len(found) else None
    return 0.0 if type(one) is type(other) and one == other else None


def _distance(one: float, other: float) -> float:
    """Bound the distance: JSON has no infinity, and integers larger than any float."""
    if one == other:
        return 0.0
    try:
        found = abs(float(one) - float(other))
    except OverflowError:
        return sys.float_info.max
    return found if math.isfinite(found) else sys.float_info.max


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
