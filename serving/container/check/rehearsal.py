"""The report of a check: answers to sample inputs, and the time of batches."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import msgspec

from serving.container.check.agreement import Agreement
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

Text = Annotated[str, msgspec.Meta(max_length=2 * SHOWN_CHARACTERS)]


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An input and what the model made of it, as JSON; or why it made nothing of it."""

    input: Text
    output: Text = ""
    error: Text = ""


class BatchTime(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds that batches of a size took."""

    size: int
    batches: int
    p50_ms: float
    p99_ms: float


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
