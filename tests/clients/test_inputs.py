"""Inputs as people have them, and as they go over the wire."""

import json
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from clipper_client import ClipperError
from clipper_client.inputs import encoded, first_of, input_type_of, pieces_of

FRAME = pd.DataFrame(
    {
        "age": [31.0, np.nan],
        "city": ["Rome", None],
        "since": pd.to_datetime(["2026-01-02", None]),
        "seats": pd.array([1, None], dtype="Int64"),
        "kind": pd.Categorical(["a", None]),
    }
)
FIRST = {"age": 31.0, "city": "Rome", "since": "2026-01-02T00:00:00", "seats": 1, "kind": "a"}
SECOND = dict.fromkeys(FIRST)


def sent(value: Any) -> Any:
    return json.loads(encoded(value))


def test_a_row_of_a_frame_is_an_object_with_nulls_where_nothing_is() -> None:
    assert sent(FRAME.iloc[0]) == FIRST
    assert sent(FRAME.iloc[[1]]) == SECOND
    assert [sent(row) for piece in pieces_of(FRAME, size=1) for row in piece] == [FIRST, SECOND]


def test_a_frame_of_polars_is_one_of_pandas() -> None:
    frame = pl.from_dicts([FIRST | {"age": None}, FIRST | {"age": 1.5}])
    rows = [FIRST | {"age": None}, FIRST | {"age": 1.5}]
    assert [sent(row) for piece in pieces_of(frame, size=1) for row in piece] == rows
    assert sent(frame[1]) == rows[1]
    assert input_type_of(frame) == "columns"
    assert first_of(frame) == rows[0]
    assert sent({"ages": frame["age"]}) == {"ages": [None, 1.5]}
    assert list(pieces_of(frame["city"], size=5)) == [["Rome", "Rome"]]
    with pytest.raises(ValueError, match="2 rows: predict_batch"):
        encoded(frame)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64("nan"), None),
        (pd.NA, None),
        (pd.NaT, None),
        (pd.Timestamp("2026-01-02", tz="UTC"), "2026-01-02T00:00:00+00:00"),
        (Decimal("1.5"), 1.5),
        ({"a": {np.int8(1)}}, {"a": [1]}),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.bool_(True), True),
    ],
)
def test_a_value_becomes_json(value: Any, expected: Any) -> None:
    assert sent(value) == expected


def test_what_json_cannot_hold_is_refused_with_its_type() -> None:
    with pytest.raises(TypeError, match="object"):
        encoded([object()])


@pytest.mark.parametrize(
    "value", ["a\udcff", {"\ud800": 1}, [["\udfff"]], pd.Series({"a": "\udcff"})]
)
def test_text_that_utf_8_cannot_hold_is_an_error_like_any_other(value: Any) -> None:
    with pytest.raises(ClipperError, match=r"UTF-8 can hold, got '\\ud") as caught:
        encoded({"input": value})
    assert (caught.value.code, caught.value.status) == ("invalid_input", 0)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_rows_are_cut_into_pieces_in_order(size: int) -> None:
    for rows in (np.arange(10).reshape(5, 2), [[n] for n in range(5)], iter([[1], [2]])):
        expected = [list(row) for row in rows] if not hasattr(rows, "__next__") else [[1], [2]]
        pieces = list(pieces_of(rows, size=size))
        assert [list(row) for piece in pieces for row in piece] == expected
        assert all(len(piece) <= size for piece in pieces)


@pytest.mark.parametrize(
    "many", [(bytes(1 << 20) for _ in range(40)), np.zeros((40, 1 << 17)), ["x" * (1 << 20)] * 40]
)
def test_large_rows_are_cut_into_shorter_pieces(many: Any) -> None:
    assert [len(piece) for piece in pieces_of(many, size=256)] == [8] * 5


def test_one_input_is_not_many() -> None:
    for one in ("text", b"bytes", {"age": 31}):
        with pytest.raises(TypeError):
            list(pieces_of(one, size=5))


@pytest.mark.parametrize(
    ("example", "input_type", "first"),
    [
        (np.ones((5, 2)), "doubles", [1.0, 1.0]),
        (np.ones(2), "doubles", [1.0, 1.0]),
        (np.ones((5, 2), dtype=np.int64), "doubles", [1, 1]),
        (np.ones((5, 2), dtype=np.float32), "floats", [1.0, 1.0]),
        (np.ones((5, 2, 1)), "tensor", [[1.0], [1.0]]),
        (FRAME, "columns", FIRST),
        (FRAME.iloc[0], "columns", FIRST),
        ({"age": 31}, "columns", {"age": 31}),
        ([{"age": 31}, {"age": 32}], "columns", {"age": 31}),
        ([1.0, 2], "doubles", [1.0, 2]),
        ([[1.0], [2.0]], "doubles", [1.0]),
        ("text", "strings", "text"),
        (["text", "more"], "strings", "text"),
        (b"\x00", "bytes", "AA=="),
        ([np.ones(2), np.ones(2)], "doubles", [1.0, 1.0]),
        (None, "doubles", None),
    ],
)
def test_an_example_tells_the_input_type_and_an_input(
    example: Any, input_type: str, first: Any
) -> None:
    assert input_type_of(example) == input_type
    if example is not None:
        assert sent(first_of(example)) == first


def test_a_model_that_knows_columns_takes_columns() -> None:
    class Fitted:
        feature_names_in_ = np.array(["age"])

    assert input_type_of(None, model=Fitted()) == "columns"
