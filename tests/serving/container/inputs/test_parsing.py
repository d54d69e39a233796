"""Each input is parsed exactly, or refused with what was expected and what came."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.container.failures.container_errors import UnknownInputType
from serving.container.inputs.parsing import PARSERS, parse_batch, row_parser
from serving.container.inputs.rows import InvalidRow
from serving.container.inputs.signature import INPUT_TYPES, Signature


def refusal(input_type: str, raw: bytes, *, length: int | None = None) -> str:
    with pytest.raises(InvalidRow) as caught:
        row_parser(Signature.of(input_type, length=length)).parse(raw)
    return str(caught.value)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers()))
def test_doubles_are_exact(values: list[float]) -> None:
    try:
        expected = [float(value) for value in values]
    except OverflowError:
        return
    row = row_parser(Signature.of("doubles")).parse(json.dumps(values).encode())
    assert row.dtype == np.float64
    assert row.tolist() == expected


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_integers_are_exact(values: list[int]) -> None:
    row = row_parser(Signature.of("integers")).parse(json.dumps(values).encode())
    assert row.dtype == np.int64
    assert row.tolist() == values


def test_each_input_type_has_a_parser() -> None:
    assert tuple(PARSERS) == INPUT_TYPES


@given(raw=st.binary(max_size=40) | st.text(alphabet='[]{}",:0123456789.eE-+ntrue', max_size=20))
@pytest.mark.parametrize("input_type", INPUT_TYPES)
def test_no_text_raises_anything_but_invalid_input(input_type: str, raw: bytes | str) -> None:
    raw = raw.encode() if isinstance(raw, str) else raw
    batch = parse_batch(row_parser(Signature.of(input_type)), [raw])
    for answer in batch.refusals.values():
        assert answer.payload.startswith(b"expected")


def test_floats_have_32_bits() -> None:
    row = row_parser(Signature.of("floats")).parse(b"[0.1, 3]")
    assert row.dtype == np.float32
    assert row.tolist() == [float(np.float32(0.1)), 3.0]


@pytest.mark.parametrize(
    ("input_type", "raw", "message"),
    [
        ("doubles", b"[1, 2]", "expected 3 numbers, got 2"),
        ("doubles", b"[]", "expected 3 numbers, got 0"),
        ("integers", b"[1, 2, 3, 4]", "expected 3 integers, got 4"),
        ("doubles", b'[1, "a", 3]', "expected numbers, got a string at index 1"),
        ("doubles", b"[true, 2, 3]", "expected numbers, got a boolean at index 0"),
        ("doubles", b"[1, 2, null]", "expected numbers, got NaN (null) at index 2"),
        ("doubles", b"[[1, 2, 3]]", "expected numbers, got an array at index 0; several "),
        ("doubles", b"[1, 2, [3]]", "expected numbers, got an array at index 2"),
        ("doubles", b"[1, 2, {}]", "expected numbers, got an object at index 2"),
        ("doubles", b'"[["', "expected an array of 3 numbers, got a string"),
        ("doubles", b"{}", "expected an array of 3 numbers, got an object"),
        ("doubles", b"7", "expected an array of 3 numbers, got 7"),
        ("doubles", b"null", "expected an array of 3 numbers, got null"),
        ("integers", b"[1, 2.0, 3]", "expected integers, got 2.0 at index 1"),
        ("integers", b"[1, 2, 9223372036854775808]", "expected integers of 64 bits, got a larger"),
        ("floats", b"[1, 2, 1e39]", "expected numbers within 32-bit floats, got 1e+39 at index 2"),
        ("strings", b"7", "expected a string, got 7"),
        ("strings", b'["a"]', "expected a string, got an array"),
        ("bytes", b'"%%"', "expected a string of base64, got a string that is not base64"),
        ("bytes", b"[1]", "expected a string of base64, got an array"),
    ],
)
def test_the_refusal_says_what_was_expected_and_what_came(
    input_type: str, raw: bytes, message: str
) -> None:
    assert refusal(input_type, raw, length=3).startswith(message)


@pytest.mark.parametrize("raw", [b"[NaN]", b"[Infinity]", b"[-Infinity]", b"[1e999]", b"[1,", b""])
@pytest.mark.parametrize("input_type", ["doubles", "floats", "integers", "json"])
def test_what_is_not_json_or_not_finite_is_refused(input_type: str, raw: bytes) -> None:
    assert "got invalid JSON" in refusal(input_type, raw)


def test_nesting_without_end_is_refused() -> None:
    for input_type in INPUT_TYPES:
        assert "nested too deep" in refusal(input_type, b"[" * 100_000 + b"]" * 100_000)


def test_a_parser_goes_on_after_every_refusal() -> None:
    parser = row_parser(Signature.of("doubles"))
    for raw in (b'["a"]', b"{}", b"[[1]]", b"[1,", b"\xff", b"[NaN]", b'"x"'):
        with pytest.raises(InvalidRow):
            parser.parse(raw)
        assert parser.parse(b"[1.5]").tolist() == [1.5]


@pytest.mark.parametrize(
    ("input_type", "raw", "value"),
    [
        ("strings", b'"caf\\u00e9"', "café"),
        ("bytes", b'"AAEC"', b"\0\1\2"),
        ("json", b'{"a": [1, null]}', {"a": [1, None]}),
    ],
)
def test_other_types_become_python_values(input_type: str, raw: bytes, value: Any) -> None:
    assert row_parser(Signature.of(input_type)).parse(raw) == value


@pytest.mark.parametrize("raws", [[b"[1]"], [b"[1]"] * 200, [b"[1 ]", b"[2.0]", b" [3]"]])
def test_rows_may_be_written_to(raws: list[bytes]) -> None:
    batch = parse_batch(row_parser(Signature.of("doubles")), raws)
    assert isinstance(batch.rows, np.ndarray)
    assert batch.rows.shape == (len(raws), 1)
    assert batch.rows.flags.writeable


def test_an_unknown_input_type_is_refused() -> None:
    with pytest.raises(UnknownInputType, match=r"expected one of doubles, .* got 'pixels'"):
        row_parser(Signature.of("pixels"))
