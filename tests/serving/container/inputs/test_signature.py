"""Signatures of inputs: read, completed and compared; refused if not understood."""

import tracemalloc

import msgspec
import pytest

from serving.container.inputs.examples import completed, made_up
from serving.container.inputs.parsing import checked_inputs, parse_batch, row_parser
from serving.container.inputs.signature import (
    MOST_FEATURES,
    InputPart,
    InvalidSignature,
    OutputShape,
    Signature,
    joined,
    output_shape,
    read_reported,
    read_signature,
    reported_features,
    storable,
)


@pytest.mark.parametrize("told", [None, -1, MOST_FEATURES + 1, 64.0, True, "64", [64]])
def test_anything_else_counts_as_not_told(told: object) -> None:
    assert reported_features(told) is None


AGE = InputPart(name="age", dtype="float64", nullable=True)
CITY = InputPart(name="city", dtype="string")


def columns(*parts: InputPart) -> Signature:
    return Signature(input_type="columns", inputs=parts)


def test_a_signature_survives_its_text() -> None:
    signature = columns(AGE, CITY)
    assert read_signature(signature.encoded(), input_type="columns") == signature
    assert read_reported(msgspec.to_builtins(signature), input_type="columns") == signature


@pytest.mark.parametrize(
    ("input_type", "text", "message"),
    [
        ("columns", "{", "expected a signature"),
        ("columns", '{"input_type": "json"}', "expected the input type columns, got json"),
        ("columns", '{"inputs": [{"name": "a"}, {"name": "a"}]}', "each name once"),
        ("columns", '{"inputs": [{"name": "a", "shape": [2]}]}', "no shape of a column"),
        ("columns", '{"inputs": [{"name": "a", "dtype": "complex"}]}', "Invalid enum value"),
        ("tensor", '{"inputs": [{"name": "a"}, {}]}', "a name for each"),
        ("tensor", '{"inputs": [{"shape": [-1]}]}', ">= 0"),
        ("tensor", '{"inputs": [{"dtype": "datetime"}]}', "no dtype datetime with tensor"),
        ("doubles", '{"inputs": [{"dtype": "int64"}]}', "expected the dtype float64 with doubles"),
        ("doubles", '{"inputs": [{"shape": [2, 2]}]}', "a shape of one size"),
        ("doubles", '{"inputs": [{}, {}]}', "one input without a name"),
        ("doubles", " " * 100_001, "expected at most 100000 bytes"),
        ("doubles", "[" * 50_000, "expected a signature"),
    ],
)
def test_what_is_no_signature_is_refused(input_type: str, text: str, message: str) -> None:
    with pytest.raises(InvalidSignature, match=message):
        read_signature(text, input_type=input_type)
    assert read_reported(text, input_type=input_type) == Signature(input_type=input_type)


def test_what_was_said_is_completed_by_what_the_model_knows() -> None:
    said = columns(InputPart(name="city", categories=("Rome",)), InputPart(name="age"))
    assert joined(said, columns(AGE, CITY)) == columns(
        AGE, msgspec.structs.replace(CITY, categories=("Rome",))
    )


@pytest.mark.parametrize(
    ("said", "found", "message"),
    [
        (columns(AGE), columns(AGE, CITY), "the inputs that the model has, age, city; .* in city"),
        (
            Signature.of("doubles", length=3),
            Signature.of("doubles", length=4),
            r"the shape that the model takes, \[4\], got \[3\]",
        ),
    ],
)
def test_what_the_model_contradicts_is_refused(
    said: Signature, found: Signature, message: str
) -> None:
    with pytest.raises(InvalidSignature, match=message):
        joined(said, found)


def test_an_example_tells_what_nobody_said() -> None:
    example = '{"age": 31, "city": "Rome", "paid": true, "seen": null}'
    assert completed(columns(), example=example).inputs == (
        InputPart(name="age", dtype="float64"),
        InputPart(name="city", dtype="string"),
        InputPart(name="paid", dtype="bool"),
        InputPart(name="seen"),
    )
    tensor = completed(Signature(input_type="tensor"), example="[[1.5, 2], [3, 4]]")
    assert tensor.inputs == (InputPart(dtype="float64", shape=(2, 2)),)
    assert completed(Signature(input_type="doubles"), example="[1, 2]").length == 2


@pytest.mark.parametrize(
    "signature",
    [
        Signature.of("integers", length=3),
        columns(AGE, CITY, InputPart(name="when", dtype="datetime")),
        columns(InputPart(name="x", dtype="category", categories=(3, 4), nullable=False)),
        Signature(input_type="tensor", inputs=(InputPart(dtype="uint8", shape=(2, None)),)),
        Signature(
            input_type="tensor",
            inputs=(InputPart(name="a", shape=(1,)), InputPart(name="b", shape=())),
        ),
    ],
)
def test_inputs_that_are_made_up_are_of_their_signature(signature: Signature) -> None:
    inputs = made_up(signature)
    assert inputs
    assert parse_batch(row_parser(signature), inputs).refusals == {}


def test_outputs_have_a_shape_in_common() -> None:
    assert output_shape([1, 2.5]) == OutputShape(kind="number")
    assert output_shape([[1, 2], [3, 4]]) == OutputShape(kind="array", shape=(2,))
    assert output_shape([[1], [3, 4]]) == OutputShape(kind="array")
    assert output_shape([[[1, 2], [3]]]) == OutputShape(kind="array", shape=(2,))
    assert output_shape([[[[1, 2]], [[3], [4]]]]) == OutputShape(kind="array", shape=(2,))
    assert output_shape([[[[1, 2]], [[3]]]]) == OutputShape(kind="array", shape=(2, 1))
    assert output_shape([1, "a"]) == OutputShape(kind="mixed")
    assert output_shape([]) is None


def test_a_signature_that_is_too_long_says_nothing_of_the_inputs() -> None:
    short = columns(*(InputPart(name=f"column {number}") for number in range(100)))
    assert storable(short) == short
    output = OutputShape(kind="number")
    parts = tuple(InputPart(name=f"column {number}", dtype="float64") for number in range(5000))
    long = Signature(input_type="columns", inputs=parts, output=output)
    assert storable(long) == Signature(input_type="columns", output=output)


@pytest.mark.parametrize(
    "parts",
    [
        tuple(InputPart(name=f"part{n}", shape=(MOST_FEATURES,)) for n in range(2000)),
        (InputPart(shape=(0, MOST_FEATURES, MOST_FEATURES)),),
        (InputPart(shape=(MOST_FEATURES, MOST_FEATURES, 0)),),
    ],
)
def test_a_signature_of_vast_tensors_costs_no_more_than_its_text(
    parts: tuple[InputPart, ...],
) -> None:
    signature = Signature(input_type="tensor", inputs=parts)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="the example is no input"):
            checked_inputs("tensor", signature=signature.encoded(), example="[[[1]]]")
        assert made_up(signature) == ()
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_no_inputs_are_made_up_that_are_large_together() -> None:
    parts = tuple(InputPart(name=f"part{n}", shape=(1000,)) for n in range(2000))
    assert made_up(Signature(input_type="tensor", inputs=parts[:1]))
    assert made_up(Signature(input_type="tensor", inputs=parts)) == ()
