"""Nested arrays become tensors of the shape and the type that the model takes, or are refused."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.container.inputs import tensors
from serving.container.inputs.parsing import parse_batch, row_parser
from serving.container.inputs.rows import InvalidRow
from serving.container.inputs.signature import InputPart, Signature


def of(*parts: InputPart) -> Signature:
    return Signature(input_type="tensor", inputs=parts)


PAIRS = of(InputPart(dtype="float32", shape=(2, 2)))
NAMED = of(
    InputPart(name="ids", dtype="int64", shape=(None,)),
    InputPart(name="mask", dtype="bool", shape=(2,)),
)


def parsed(signature: Signature, value: Any) -> Any:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return row_parser(signature).parse(raw)


def refusal(signature: Signature, value: Any) -> str:
    with pytest.raises(InvalidRow) as caught:
        parsed(signature, value)
    return str(caught.value)


@given(
    shape=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    known=st.booleans(),
    dtype=st.sampled_from(["", "float32", "float16", "int32", "uint8", "bool"]),
)
def test_any_regular_shape_is_read(shape: list[int], known: bool, dtype: Any) -> None:
    array = np.arange(np.prod(shape)).reshape(shape) % 2
    array = array.astype(dtype or "float64")
    if 0 in shape:  # lists have no shape beyond an empty one
        shape = shape[: shape.index(0) + 1]
        array = array.reshape(shape)
    part = InputPart(dtype=dtype, shape=tuple(shape) if known else (None,) * len(shape))
    parser = row_parser(of(part))
    for _ in range(2):  # the second one is nested like the one before
        row = parser.parse(json.dumps(array.tolist()).encode())
        assert row.dtype == array.dtype
        np.testing.assert_array_equal(row, array)


def test_a_batch_of_one_shape_is_one_array() -> None:
    batch = parse_batch(row_parser(PAIRS), [b"[[1,2],[3,4]]"] * 3 + [b"[[1],[2]]"])
    assert batch.rows.shape == (3, 2, 2)
    assert batch.refusals[3].payload == (
        b"expected a tensor of the shape [2, 2], got one of [2, 1]"
    )


def test_a_batch_of_several_shapes_is_a_list() -> None:
    batch = parse_batch(row_parser(of(InputPart(shape=(None,)))), [b"[1]", b"[1,2]"])
    assert [row.shape for row in batch.rows] == [(1,), (2,)]
    assert batch.count == 2


def test_named_tensors_are_arrays_by_name() -> None:
    raws = [b'{"ids": [1, 2, 3], "mask": [true, false]}'] * 2
    batch = parse_batch(row_parser(NAMED), raws)
    assert {name: (rows.shape, str(rows.dtype)) for name, rows in batch.rows.items()} == {
        "ids": ((2, 3), "int64"),
        "mask": ((2, 2), "bool"),
    }
    assert batch.count == 2


def test_one_tensor_with_a_name_may_be_called_by_it() -> None:
    signature = of(InputPart(name="x", dtype="int64", shape=(2,)))
    for value in ([1, 2], {"x": [1, 2]}):
        assert parsed(signature, value).tolist() == [1, 2]


def test_null_is_nan_where_the_model_takes_it() -> None:
    row = parsed(of(InputPart(dtype="float32", nullable=True)), [[1, None]])
    np.testing.assert_array_equal(row, np.array([[1, np.nan]], dtype=np.float32))
    assert refusal(of(InputPart(dtype="int64", nullable=True)), [None]).endswith("got NaN (null)")


@pytest.mark.parametrize(
    ("signature", "value", "message"),
    [
        (PAIRS, [[1, 2], [3]], "expected arrays of equal lengths"),
        (PAIRS, [[1, 2], 3], "expected arrays of equal lengths"),
        (PAIRS, [[1, [2]], [3, 4]], "expected arrays of equal lengths"),
        (PAIRS, [1, 2], "expected a tensor of the shape [2, 2], got one of [2]"),
        (PAIRS, 5, "expected a tensor of the shape [2, 2], got one of []"),
        (PAIRS, [[1, "a"], [3, 4]], "expected numbers, got a string"),
        (PAIRS, [[1, None], [3, 4]], "expected numbers, got NaN (null)"),
        (PAIRS, [[1, True], [3, 4]], "expected numbers, got a boolean"),
        (PAIRS, [[1e39, 1], [3, 4]], "expected numbers that float32 holds, got 1e39"),
        (PAIRS, b"[[1e400, 1], [3, 4]]", "invalid JSON"),
        (PAIRS, {"x": [[1, 2], [3, 4]]}, "expected numbers, got an object"),
        (PAIRS, b"[[1,2],[3,4]", "invalid JSON"),
        (PAIRS, b"[[1,2],[3,4]],[1]", "invalid JSON"),
        (of(InputPart(dtype="uint8")), [256], "expected numbers that uint8 holds, got 256"),
        (of(InputPart(dtype="uint8")), [-1], "expected numbers that uint8 holds, got -1"),
        (of(InputPart(dtype="int64")), [2**63], "expected numbers that int64 holds, got 92233"),
        (of(InputPart(dtype="int8")), [1.5], "expected integers, got 1.5"),
        (of(), [10**400], "of 64 bits, got a larger one"),
        (of(), [[], [1]], "expected arrays of equal lengths"),
        (of(), [[1], []], "expected arrays of equal lengths"),
        (NAMED, {"ids": [1]}, 'expected an object with ids, mask, got none of the name "mask"'),
        (NAMED, {"ids": [1], "m": 1}, 'expected an object with ids, mask, got "m"'),
        (NAMED, [1], "expected an object with ids, mask, got an array"),
        (NAMED, {"ids": [1], "mask": [1, 0]}, 'expected booleans in "mask", got 1'),
        (NAMED, {"ids": ["1"], "mask": [True, True]}, 'expected integers in "ids", got a string'),
    ],
)
def test_what_is_wrong_is_said(signature: Signature, value: Any, message: str) -> None:
    assert message in refusal(signature, value)


def test_nesting_without_end_is_refused() -> None:
    for raw in (b"[" * 100_000, b"[" * 60 + b"1" + b"]" * 60):
        assert refusal(of(), raw).startswith("expected")
    many = b"[" * 31 + b"1" + b"]" * 30 + b",1" * 100_000 + b"," + b"[" * 30 + b"1" + b"]" * 31
    assert refusal(of(), many).startswith("expected arrays of equal lengths")


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=12,
)


@given(
    values=st.lists(NESTED, max_size=4),
    parts=st.lists(
        st.builds(
            InputPart,
            name=st.sampled_from("ab"),
            dtype=st.sampled_from(["", "float32", "int8", "uint64", "bool", "string"]),
            shape=st.none() | st.lists(st.none() | st.integers(0, 3), max_size=3).map(tuple),
            nullable=st.sampled_from([None, True, False]),
        ),
        max_size=2,
        unique_by=lambda part: part.name,
    ),
)
def test_any_values_are_stacked_or_refused(values: list[Any], parts: list[InputPart]) -> None:
    raws = [json.dumps(value).encode() for value in values]
    batch = parse_batch(row_parser(of(*parts)), raws)
    assert batch.count + len(batch.refusals) == len(values)
    for answer in batch.refusals.values():
        assert answer.payload.startswith(b"expected")


@given(NESTED, NESTED)
def test_what_is_read_quickly_is_what_json_says(before: Any, value: Any) -> None:
    """A tensor that is nested like the one before is read in another way."""
    parser = row_parser(of())
    for each in (before, value):
        try:
            row = parser.parse(json.dumps(each).encode())
        except InvalidRow:
            continue
        if not isinstance(row, dict):
            assert row.tolist() == each


def test_tensors_of_two_shapes_in_turn_are_read_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("simdjson")
    # Used by the reader of one number after the other, and by messages.
    monkeypatch.delattr(tensors, "decode_json")
    parser = row_parser(of(InputPart(shape=(None, None))))
    for value in ([[1.0, 2.0]], [[3.0], [4.0]]) * 2:
        assert parser.parse(json.dumps(value).encode()).tolist() == value


@pytest.mark.parametrize("value", [[[1], [2, 3]], [[[1]], [2]], [[], []], [[1], []], ["[1],[2]"]])
def test_nothing_else_passes_for_the_tensor_before(value: Any) -> None:
    parser = row_parser(of())
    assert parser.parse(b"[[1],[2]]").shape == (2, 1)
    try:
        assert parser.parse(json.dumps(value).encode()).tolist() == value
    except InvalidRow:
        assert value != [[], []]
