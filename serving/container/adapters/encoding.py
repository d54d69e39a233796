"""A model's outputs to one JSON value each; an output that is no JSON value fails alone."""

import json
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import repeat
from typing import Any

import msgspec

from serving.container.failures.container_errors import explain, let_interrupts_through
from serving.rpc.frames.codec import Answer, AnswerStatus, failed

NOT_FINITE = failed("expected a finite output, the model returned NaN or infinity")

_SCALARS = frozenset({int, float, bool})
_NULL = b"null"


def encode_outputs(
    outputs: Sequence[Any], *, on_failure: Callable[[str], None] = lambda reason: None
) -> list[Answer]:
    """Encode Python values in order; call `on_failure` with the reason if one can't be."""
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
    """Return whether no float within is NaN or infinite; of lists, tuples and dictionaries."""
    if isinstance(output, float):
        return math.isfinite(output)
    if isinstance(output, dict):
        return all(map(is_finite, output.values()))
    return not isinstance(output, list | tuple) or all(map(is_finite, output))


def rows_of_frame(value: Any) -> Any:
    """Return the rows of a data frame as dictionaries, a series as a list, else the value."""
    if hasattr(value, "itertuples"):
        return value.to_dict("records")
    for name in ("to_dicts", "to_list"):
        if hasattr(value, name) and not hasattr(value, "tolist"):
            return getattr(value, name)()
    return value


def to_python(value: Any) -> Any:
    """Unwrap values of NumPy, pandas and whatever has tolist(); raises TypeError for others."""
    if isinstance(value, bool):  # the key of a dictionary; anywhere else JSON has it
        return json.dumps(value)
    if (rows := rows_of_frame(value)) is not value:
        return rows
    if hasattr(value, "tolist"):
        return value.tolist()
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"got {type(value).__module__}.{type(value).__qualname__}")


_encoder = msgspec.json.Encoder(enc_hook=to_python)
