"""A large body is cut piece by piece into what parsing it as a whole would find."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.decoding import LARGE_BODY_BYTES
from core.errors import BadRequest, ClipperError
from core.loop.loop_slices import Slice, Turns
from serving.endpoints.predictions import batch_splitting
from serving.endpoints.predictions.batch_splitting import parse, split
from serving.endpoints.predictions.predict_request import (
    MAX_BATCH,
    PredictRequest,
    checked,
    decoder,
    parse_predict,
)

PADDING = [[0.25] * 8_000, [1] * 20_000]


def cut(body: bytes) -> PredictRequest:
    parsing = parse(decoder, body, input_type="doubles", slice=Slice(Turns()))
    return checked(asyncio.run(parsing))


def is_cut(body: bytes) -> bool:
    return asyncio.run(split(body, input_type="doubles", slice=Slice(Turns()))) is not None


def found(request: PredictRequest) -> tuple[object, ...]:
    inputs = [bytes(raw) for raw in request.inputs()]
    return inputs, request.context, request.timeout_ms, request.explain


values = st.recursive(
    st.integers() | st.floats(allow_nan=False) | st.text('ab"[]{},:\\é') | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=6,
)
batches = st.lists(st.lists(st.integers() | st.floats(allow_nan=False), max_size=4), max_size=5)
fields = st.fixed_dictionaries(
    {},
    optional={
        "context": st.text('ab"[]{}:,\\') | st.just('"input_batch":[[1]]'),
        "timeout_ms": st.floats(1, 1e6),
        "explain": st.booleans(),
    },
)


@settings(max_examples=50, deadline=None)
@given(fields, fields, batches | st.lists(values, max_size=4), st.sampled_from([None, 1]))
def test_it_finds_what_parsing_finds(
    before: dict[str, Any], after: dict[str, Any], batch: list[Any], indent: int | None
) -> None:
    body = json.dumps(before | {"input_batch": batch + PADDING} | after, indent=indent).encode()
    try:
        expected = found(parse_predict(body))
    except ClipperError as error:
        with pytest.raises(type(error)):
            cut(body)
    else:
        assert found(cut(body)) == expected


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 400), st.binary(max_size=3), st.integers(0, 3))
@example(0, b"", 1)
def test_it_refuses_what_parsing_refuses(at: int, insert: bytes, gone: int) -> None:
    """Whatever is wrong near either end."""
    whole = json.dumps({"input_batch": [[1, 2], *PADDING, [3, [4]]], "explain": True}).encode()
    place = at if at < 200 else len(whole) - (at - 200)
    body = whole[:place] + insert + whole[place + gone :]
    try:
        expected = found(parse_predict(body))
    except BadRequest:
        with pytest.raises(BadRequest):
            found(cut(body))
    else:
        assert found(cut(body)) == expected


def test_arrays_of_numbers_are_cut() -> None:
    assert is_cut(json.dumps({"input_batch": PADDING}).encode())
    assert is_cut(json.dumps({"explain": True, "input_batch": PADDING, "context": "a"}).encode())


@pytest.mark.parametrize(
    "body",
    [
        {"input_batch": [[1]]},
        {"input_batch": [*PADDING, [[1]]]},
        {"input": PADDING[1]},
    ],
)
def test_what_else_there_is_is_parsed(body: dict[str, list[Any]]) -> None:
    assert not is_cut(json.dumps(body).encode())


def test_too_many_inputs_are_refused_before_all_are_looked_at() -> None:
    body = json.dumps({"input_batch": [[1, 2]] * (MAX_BATCH + 1)}).encode()
    assert len(body) > LARGE_BODY_BYTES
    with pytest.raises(BadRequest, match="10000 inputs"):
        cut(body)


async def test_others_have_their_turns_between_inputs() -> None:
    body = json.dumps({"input_batch": [[1] * 40] * 1000}).encode()
    pieces = Slice(Turns(slice_s=0.0))
    cutting = asyncio.create_task(batch_splitting.split(body, input_type="doubles", slice=pieces))
    turns = 0
    while not cutting.done():
        await asyncio.sleep(0)
        turns += 1
    assert len(cutting.result().inputs) == 1000
    assert turns >= 1000
