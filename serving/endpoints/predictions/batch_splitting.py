"""Splits a large body into its inputs piece by piece; parsing 16 MB at once takes 30 to 60 ms."""

import re
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import msgspec

from core.decoding import LARGE_BODY_BYTES, decoded
from core.errors import BadRequest
from core.loop.loop_slices import Slice
from serving.endpoints.predictions.predict_request import BOUNDS, MAX_BATCH, NUMBERS

# Where the inputs have to begin, and how much may follow them.
_ENVELOPE_BYTES = 4 << 10

_START = re.compile(rb'"input_batch"\s*:\s*\[\s*')
_BETWEEN = re.compile(rb"\s*([,\]])\s*")
_valid = msgspec.json.Decoder(msgspec.Raw).decode


class WithBatch(Protocol):
    """A struct of msgspec for a request that may name several inputs."""

    __struct_fields__: ClassVar[tuple[str, ...]]
    input_batch: Any


R = TypeVar("R", bound=WithBatch)


class Split(NamedTuple):
    """A body whose `input_batch` is empty, and the inputs that were in it."""

    envelope: bytes
    inputs: list[msgspec.Raw]


def has_batch(body: bytes) -> bool:
    """Return whether the body begins as one of several inputs does."""
    return _START.search(body, 0, _ENVELOPE_BYTES) is not None


async def parse(
    decoder: msgspec.json.Decoder[R], body: bytes, *, input_type: str, slice: Slice
) -> R:
    """Return what a body asks, having held the loop for a slice at a time if it is large."""
    parts = await split(body, input_type=input_type, slice=slice)
    if parts is not None:
        request = decoded(decoder, parts.envelope)
        # With rows in it, it would have been cut in the wrong place.
        if request.input_batch == []:
            request.input_batch = parts.inputs
            return request
    BOUNDS.check(body)
    return decoded(decoder, body)


async def split(body: bytes, *, input_type: str, slice: Slice) -> Split | None:
    """Return the body's inputs, each valid JSON; None if it has to be parsed as a whole.

    Only arrays of numbers are split, at their first bracket. If that was the wrong place, the
    envelope's `input_batch` isn't empty.
    """
    start = _START.search(body, 0, _ENVELOPE_BYTES)
    if len(body) < LARGE_BODY_BYTES or input_type not in NUMBERS or start is None:
        return None
    inputs: list[msgspec.Raw] = []
    at, more = start.end(), True
    while more:
        await slice.pause()
        end = body.find(b"]", at) + 1
        input = body[at:end]
        between = _BETWEEN.match(body, end)
        if not _is_array(input) or between is None:
            return None
        inputs.append(msgspec.Raw(input))
        if len(inputs) > MAX_BATCH:
            raise BadRequest(f"input_batch: expected 1 to {MAX_BATCH} inputs, got more.")
        at, more = between.end(), between[1] == b","
    if len(body) - at > _ENVELOPE_BYTES:
        return None
    return Split(body[: start.end()] + b"]" + body[at:], inputs)


def _is_array(text: bytes) -> bool:
    if not text.startswith(b"["):
        return False
    try:
        _valid(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True
