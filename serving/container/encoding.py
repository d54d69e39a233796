"""A model's outputs to one JSON value each; an output that is no JSON value fails alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import repeat
from typing import Any

import msgspec

from serving.container.errors import explain, let_interrupts_through
from serving.rpc.frames import Answer, AnswerStatus, failed

NOT_FINITE = failed("expected a finite output, the model returned NaN or infinity")

_SCALARS = frozenset({int, float, bool})
_NULL = b"null"


def encode_outputs(
    outputs: Sequence[Any], *, on_failure: Callable[[str], None] = lambda reason: None
) -> list[Answer]:
    """Encode Python values, in order; tolist() of an array has made them of NumPy's.

    `on_failure` is told why one can't be.
    """
    if outputs and _SCALARS.issuperset(map(type, outputs)):
        with suppress(ValueError):  # an integer of thousands of digits: which one?
            texts = msgspec.json.encode(outputs)[1:-1].split(b",")
            if _NULL not in texts:
                return list(map(Answer, repeat(AnswerStatus.OK), texts))
    answers = [encode_output(output) for output in outputs]
    for answer in answers:
        if answer.status is AnswerStatus.MODEL_FAILED:
            on_failure(answer.payload.decode())
    return answers


def encode_output(output: Any) -> Answer:
    """Encode one value; what is none of JSON's, or cannot even be looked at, is a failure."""
    try:
        text = _encoder.encode(output)
        # msgspec writes null for what JSON cannot say: look closer, but only then.
        if _NULL in text and not is_finite(msgspec.to_builtins(output, enc_hook=to_python)):
            return NOT_FINITE
    except BaseException as error:  # encoding calls methods of the model's own objects
        let_interrupts_through(error)
        return failed(f"expected outputs that JSON can hold: {explain(error)}")
    return Answer(AnswerStatus.OK, text)


def is_finite(output: Any) -> bool:
    """Whether no float within is NaN or infinite; of lists, tuples and dictionaries."""
    if isinstance(output, float):
        return math.isfinite(output)
    if isinstance(output, dict):
        return all(map(is_finite, output.values()))
    return not isinstance(output, list | tuple) or all(map(is_finite, output))


def to_python(value: Any) -> Any:
    """Unwrap NumPy scalars and arrays, and whatever else (tensors, series) has tolist()."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"got {type(value).__module__}.{type(value).__qualname__}")


_encoder = msgspec.json.Encoder(enc_hook=to_python)
