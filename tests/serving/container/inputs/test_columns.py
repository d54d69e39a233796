"""A row by the names of its columns becomes a row of a data frame, or is refused by its column."""

import json
from typing import Any, get_args

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.container.failures.container_errors import LoadFailed
from serving.container.inputs import data_frames
from serving.container.inputs.columns import MOST_UNKNOWN
from serving.container.inputs.parsing import parse_batch, row_parser
from serving.container.inputs.rows import InvalidRow
from serving.container.inputs.signature import DType, InputPart, Signature
from serving.container.predictor import ModelPredictor
from serving.container.runtimes import base as inputs

AGE = InputPart(name="age", dtype="float64", nullable=False)
CITY = InputPart(name="city", dtype="string", nullable=True)
PEOPLE = Signature(input_type="columns", inputs=(AGE, CITY))
ODD = 'q"u\\o\n'


def of(*parts: InputPart) -> Signature:
    return Signature(input_type="columns", inputs=parts)


def frame(signature: Signature, *rows: Any) -> Any:
    batch = parse_batch(row_parser(signature), [json.dumps(row).encode() for row in rows])
    assert batch.refusals == {}
    assert batch.count == len(rows)
    return batch.rows


def refusal(signature: Signature, raw: Any) -> str:
    raw = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    with pytest.raises(InvalidRow) as caught:
        row_parser(signature).parse(raw)
    return str(caught.value)


def test_rows_become_a_frame_in_the_order_of_the_columns() -> None:
    rows = frame(PEOPLE, {"city": "Rome", "age": 31}, {"age": 4.5})
    expected = pd.DataFrame({"age": [31.0, 4.5], "city": pd.Series(["Rome", np.nan], dtype=object)})
    pd.testing.assert_frame_equal(rows, expected, check_column_type=False)


def test_a_bad_row_fails_alone() -> None:
    raws = [b'{"age": 1, "city": "Rome"}', b'{"age": "old"}', b'{"age": 3}']
    batch = parse_batch(row_parser(PEOPLE), raws)
    assert batch.refusals[1].payload == b'expected numbers in the column "age", got a string'
    assert batch.rows["age"].tolist() == [1.0, 3.0]


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint8"])
@pytest.mark.parametrize("twice", [False, True], ids=["at once", "with care"])
def test_a_boolean_is_a_number_for_a_model_that_has_no_booleans(dtype: DType, twice: bool) -> None:
    """As XGBoost, LightGBM, CatBoost and scikit-learn take it from a frame."""
    parts = tuple(InputPart(name=name, dtype=dtype, nullable=False) for name in ("member", "age"))
    # Another spelling of a whole number is what takes a careful look.
    raw = b'{"member": true, "age": 3e0}' if twice else b'{"member": true, "age": 3}'
    batch = parse_batch(row_parser(Signature(input_type="columns", inputs=parts)), [raw])
    assert batch.rows.to_numpy().tolist() == [[1, 3]]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"[1]", "expected an object with a member for each column, got an array"),
        (b"null", "expected an object with a member for each column, got null"),
        (b'{"age": ', "expected an object with a member for each column, got invalid JSON"),
        (b'{"age": 1, "agee": 2}', 'expected the columns age, city, got "agee"'),
        (b"{}", 'expected the column "age", got a row without it'),
        (b'{"age": null}', 'expected numbers in the column "age", got NaN (null)'),
        (b'{"age": 1e400}', "expected an object with a member for each column, got invalid JSON"),
        (b'{"age": [1]}', 'expected numbers in the column "age", got an array'),
        (b'{"age": 1, "city": 5}', 'expected strings in the column "city", got 5'),
        (b"[" * 100_000, "nested too deep"),
    ],
)
def test_what_is_wrong_is_said_with_the_column(raw: bytes, message: str) -> None:
    assert message in refusal(PEOPLE, raw)


def test_of_two_members_of_one_name_the_last_counts() -> None:
    assert row_parser(PEOPLE).parse(b'{"age": 1, "age": 2}') == (2.0, None)


@pytest.mark.parametrize("name", ["é", "日本", " ", "", ODD, "a.b", "c0", "class"])
def test_a_column_may_have_any_name(name: str) -> None:
    rows = frame(of(InputPart(name=name, dtype="int64", nullable=False)), {name: 3})
    assert rows.columns.tolist() == [name]
    assert rows[name].tolist() == [3]


@pytest.mark.parametrize(
    ("part", "value", "expected"),
    [
        (InputPart(dtype="int64", nullable=False), 3, np.int64(3)),
        (InputPart(dtype="int64", nullable=False), 3.0, np.int64(3)),
        (InputPart(dtype="int32", nullable=False), -3, np.int32(-3)),
        (InputPart(dtype="uint64", nullable=False), 2**64 - 1, np.uint64(2**64 - 1)),
        (InputPart(dtype="int64", nullable=True), 3, np.float64(3)),
        (InputPart(dtype="float32"), 0.1, np.float32(0.1)),
        (InputPart(dtype="bool", nullable=False), True, np.bool_(True)),
        (InputPart(dtype="datetime"), "2026-11-26", pd.Timestamp("2026-11-26")),
        (InputPart(dtype="datetime"), "2026-11-26T03:00+01:00", pd.Timestamp("2026-11-26T02:00")),
        (InputPart(dtype="datetime_utc"), "2026-11-26T03:00Z", pd.Timestamp("2026-11-26T03:00Z")),
        (InputPart(dtype="category", categories=(1, 2)), 2.0, np.int64(2)),
        (InputPart(), 7, np.float64(7)),
        (InputPart(), "seven", "seven"),
        (InputPart(), [1, 2], [1, 2]),
    ],
)  # fmt: skip
def test_a_value_is_what_its_column_holds(part: InputPart, value: Any, expected: Any) -> None:
    named = InputPart(**{n: getattr(part, n) for n in part.__struct_fields__} | {"name": "x"})
    rows = frame(of(named), {"x": value})
    assert rows["x"][0] == expected
    assert isinstance(rows["x"][0], type(expected))


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        (InputPart(name="x", dtype="int8"), 128, "expected integers from -128 to 127"),
        (InputPart(name="x", dtype="int64"), 1.5, "expected integers in"),
        (InputPart(name="x", dtype="int64"), 2**63, "expected integers in"),
        (InputPart(name="x", dtype="uint8"), -1, "expected integers from 0 to 255"),
        (InputPart(name="x", dtype="float32"), 1e39, "expected numbers up to 3.40282e+38"),
        (InputPart(name="x", dtype="bool"), 1, "expected booleans in"),
        (InputPart(name="x", dtype="datetime"), "yesterday", "expected times in ISO 8601"),
        (InputPart(name="x", dtype="datetime"), 5, "expected times in ISO 8601"),
        (
            InputPart(name="x", dtype="string", categories=("a", "b")),
            "c",
            'expected one of "a", "b" in the column "x", got "c"',
        ),
        (
            InputPart(name="x", dtype="category", categories=("a",), nullable=False),
            "c",
            'expected one of "a" in the column "x", got "c"',
        ),
    ],
)
def test_a_value_that_its_column_cannot_hold_is_refused(
    part: InputPart, value: Any, message: str
) -> None:
    assert message in refusal(of(part), {"x": value})


def test_a_category_it_was_not_trained_with_is_no_value() -> None:
    part = InputPart(name="x", dtype="category", categories=("a", "b"))
    rows = frame(of(part), {"x": "b"}, {"x": "c"}, {})
    assert rows["x"].cat.codes.tolist() == [1, -1, -1]


def test_rows_of_unknown_columns_have_those_that_came() -> None:
    rows = frame(of(), {"a": 1, "b": "x"}, {"c": True})
    assert rows.columns.tolist() == ["a", "b", "c"]
    assert rows["a"].isna().tolist() == [False, True]
    assert rows["c"].tolist()[1] is True


def test_rows_of_unknown_columns_have_so_many_at_most_together_too() -> None:
    signature = Signature(input_type="columns")
    many = {f"column{number}": 1 for number in range(MOST_UNKNOWN + 1)}
    assert refusal(signature, many) == "expected at most 20000 columns, got 20001"
    other = {f"other{number}": 2 for number in range(MOST_UNKNOWN // 2)}
    half = dict(list(many.items())[: MOST_UNKNOWN // 2 + 1])
    inputs = [json.dumps(row).encode() for row in (half, other, half)]

    class Counts:
        n_features = None

        def predict(self, inputs: Any) -> Any:
            return [int(inputs.shape[1])] * len(inputs)

        def warm_up(self) -> None: ...
        def close(self) -> None: ...

    predictor = ModelPredictor(Counts(), input_type="columns", search_s=30.0)
    answers = predictor.answer_batch(inputs)
    assert [answer.payload for answer in answers] == [b"10001", b"10000", b"10001"]


def test_an_empty_row_has_no_values() -> None:
    assert frame(of(CITY), {}, {}).isna().all(axis=None)
    assert len(frame(of(), {}, {})) == 2


def test_categories_take_pandas_and_say_so_before_a_version_is_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inputs, "pandas_here", lambda: None)
    known = {"city": ["Rome", "Bonn"]}
    with pytest.raises(LoadFailed, match="categories take pandas, which isn't installed: name it"):
        inputs.of_features("columns", length=2, names=["age", "city"], categories=known)
    assert inputs.of_features("doubles", length=2, categories=known).length == 2
    assert inputs.of_features("columns", length=1, names=["age"]).columns == ("age",)


def test_without_pandas_numbers_are_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_frames, "pandas_here", lambda: None)
    numbers = of(AGE, InputPart(name="n", dtype="int64"))
    rows = frame(numbers, {"n": 2, "age": 1}, {"age": 3})
    assert isinstance(rows, np.ndarray)
    np.testing.assert_array_equal(rows, [[1.0, 2.0], [3.0, np.nan]])
    assert frame(PEOPLE, {"age": 1}) == [{"age": 1.0, "city": None}]
    assert frame(of(), {"a": 1}) == [{"a": 1}]


CELLS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=2)
)
PARTS = st.builds(
    InputPart,
    name=st.sampled_from(["a", "b", "c", ODD]),
    dtype=st.sampled_from(get_args(DType)),
    nullable=st.sampled_from([None, True, False]),
    categories=st.just(()) | st.tuples(st.sampled_from(["a", "x"])),
)  # fmt: skip


@given(
    parts=st.lists(PARTS, max_size=3, unique_by=lambda part: part.name),
    rows=st.lists(st.dictionaries(st.sampled_from(["a", "b", "c", ODD, "d"]), CELLS), max_size=4),
    tail=st.sampled_from([b"", b"}", b"\xff", b"{"]),
)
def test_any_rows_are_stacked_or_refused(
    parts: list[InputPart], rows: list[dict[str, Any]], tail: bytes
) -> None:
    raws = [json.dumps(row).encode() + (tail if not at else b"") for at, row in enumerate(rows)]
    batch = parse_batch(row_parser(of(*parts)), raws)
    assert batch.count + len(batch.refusals) == len(rows)
    assert len(batch.rows) == batch.count
    for answer in batch.refusals.values():
        assert answer.payload.startswith(b"expected")


@given(age=CELLS, city=CELLS)
def test_a_column_of_an_odd_name_takes_what_another_takes(age: Any, city: Any) -> None:
    """msgspec reads the one by itself, and can't name the other."""
    odd = of(msgspec.structs.replace(AGE, name=ODD), CITY)
    plain, other = {"age": age, "city": city}, {ODD: age, "city": city}
    batches = [
        parse_batch(row_parser(signature), [json.dumps(row).encode()])
        for signature, row in ((PEOPLE, plain), (odd, other))
    ]
    assert batches[0].refusals.keys() == batches[1].refusals.keys()
