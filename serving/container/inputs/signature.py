"""Signatures: the inputs and outputs of a version, by its artifact, upload or example."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Annotated, Any, Literal

import msgspec
from msgspec.structs import replace

from serving.container.inputs.rows import listed

# As many numbers as one input may be long: a query has at most 16 MiB.
MOST_FEATURES = 1 << 23
MOST_DIMENSIONS = 32
# Each is an argument of a process, of which Linux takes 128 KiB.
MOST_SIGNATURE_BYTES = MOST_EXAMPLE_BYTES = 100_000

Size = Annotated[int, msgspec.Meta(ge=0, le=MOST_FEATURES)]
Shape = Annotated[tuple[Size | None, ...], msgspec.Meta(max_length=MOST_DIMENSIONS)]
# fmt: off
DType = Literal[
    "", "float16", "float32", "float64", "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64", "bool", "string", "category", "datetime", "datetime_utc",
]
# fmt: on
Category = str | int | float | bool
# The input types of arrays of numbers, and what those numbers are.
ARRAY_DTYPES: dict[str, DType] = {"doubles": "float64", "floats": "float32", "integers": "int64"}
COLUMNS, TENSOR = "columns", "tensor"
# All that there are; `serving.container.inputs.parsing` has a parser of each.
INPUT_TYPES = (*ARRAY_DTYPES, "strings", "bytes", "json", COLUMNS, TENSOR)


class InvalidSignature(ValueError):
    """Two that are said of one version contradict each other, or one is none."""


class InputPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A column, a tensor, or all numbers of an array.

    `shape` is that of one input, without the batch; None in it is any size. `nullable`: whether
    null, and a column that is missing, is a value for the model; None where that isn't known.
    `categories` are all values there are. `minimum` and `maximum` are what it was trained with;
    other numbers are taken too.
    """

    name: str = ""
    dtype: DType = ""
    shape: Shape | None = None
    nullable: bool | None = None
    categories: tuple[Category, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


class OutputShape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The kind of an output in JSON, the size of an array, and a classifier's labels."""

    kind: Literal["number", "boolean", "text", "array", "object", "null", "mixed"]
    shape: tuple[Size, ...] = ()
    classes: tuple[Category, ...] = ()


class Signature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Columns or tensors by name or one nameless part, and the names of an array's numbers."""

    input_type: str = ""
    inputs: tuple[InputPart, ...] = ()
    names: tuple[str, ...] = ()
    output: OutputShape | None = None

    @classmethod
    def of(cls, input_type: str, *, length: int | None = None) -> Signature:
        """Return a signature that knows the type alone, and the `length` of arrays of numbers."""
        if length is None or input_type not in ARRAY_DTYPES:
            return cls(input_type=input_type)
        part = InputPart(dtype=ARRAY_DTYPES[input_type], shape=(length,))
        return cls(input_type=input_type, inputs=(part,))

    @property
    def length(self) -> int | None:
        """Return the numbers in an array, if there are always as many."""
        if self.input_type not in ARRAY_DTYPES or not self.inputs:
            return None
        shape = self.inputs[0].shape
        return shape[0] if shape and len(shape) == 1 else None

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a row's columns; none where it may have any."""
        return tuple(part.name for part in self.inputs) if self.input_type == COLUMNS else ()

    def encoded(self) -> str:
        return msgspec.json.encode(self).decode()


def read_signature(text: str | bytes, *, input_type: str) -> Signature:
    """Read one from JSON; raises InvalidSignature saying what was expected. "" is an empty one."""
    if not text:
        return Signature(input_type=input_type)
    size = len(text.encode() if isinstance(text, str) else text)
    if size > MOST_SIGNATURE_BYTES:
        raise InvalidSignature(f"expected at most {MOST_SIGNATURE_BYTES} bytes, got {size}")
    try:
        signature = _decoder.decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidSignature(f"expected a signature: {error}") from None
    signature = replace(signature, input_type=signature.input_type or input_type)
    _check(signature, input_type=input_type)
    return signature


def read_reported(reported: object, *, input_type: str) -> Signature:
    """Return the signature that a model's process reported, an empty one if it is invalid."""
    try:
        return read_signature(msgspec.json.encode(reported), input_type=input_type)
    except (InvalidSignature, TypeError, ValueError, RecursionError):
        return Signature(input_type=input_type)


def storable(signature: Signature) -> Signature:
    """Return the signature, without its inputs if it is too long to store."""
    if len(signature.encoded().encode()) <= MOST_SIGNATURE_BYTES:
        return signature
    return Signature(input_type=signature.input_type, output=signature.output)


def reported_features(reported: object) -> int | None:
    """Return a reported number of features; None if it can't be one."""
    fits = type(reported) is int and 0 <= reported <= MOST_FEATURES
    return reported if fits else None  # type: ignore[return-value]  # it is an int where it fits


def joined(said: Signature, found: Signature) -> Signature:
    """Join the signature of an upload with the model's own; raises InvalidSignature."""
    return replace(
        said,
        inputs=_joined_parts(said, found),
        names=said.names or found.names,
        output=said.output or found.output,
    )


def signature_of(loaded: Any, *, input_type: str) -> Signature:
    """Return the `signature` of a model or predictor, or one of its `n_features` alone."""
    signature = getattr(loaded, "signature", None)
    if isinstance(signature, Signature):
        return signature
    features = getattr(loaded, "n_features", None)
    return Signature.of(input_type, length=features if isinstance(features, int) else None)


def output_shape(outputs: Iterable[Any]) -> OutputShape | None:
    """Return the common shape of outputs in JSON; None for no outputs."""
    shapes = {_shape_of(output) for output in outputs}
    if len(shapes) == 1:
        return shapes.pop()
    kinds = {shape.kind for shape in shapes}
    if len(kinds) == 1:
        return OutputShape(kind=kinds.pop())
    return OutputShape(kind="mixed") if kinds else None


def _check(signature: Signature, *, input_type: str) -> None:
    if signature.input_type != input_type:
        raise InvalidSignature(f"expected the input type {input_type}, got {signature.input_type}")
    named = [part.name for part in signature.inputs if part.name]
    if len(set(named)) < len(named):
        raise InvalidSignature("expected each name once among the inputs")
    many = len(signature.inputs) > 1
    if input_type == COLUMNS or (input_type == TENSOR and many):
        if len(named) < len(signature.inputs):
            raise InvalidSignature("expected a name for each of the inputs")
    elif many or (named and input_type != TENSOR):
        raise InvalidSignature(f"expected one input without a name with {input_type}")
    for part in signature.inputs:
        _check_part(part, input_type=input_type)


def _check_part(part: InputPart, *, input_type: str) -> None:
    array = ARRAY_DTYPES.get(input_type)
    if input_type == TENSOR and part.dtype in ("category", "datetime", "datetime_utc"):
        raise InvalidSignature(f"expected no dtype {part.dtype} with {input_type}")
    if array and part.dtype not in ("", array):
        raise InvalidSignature(f"expected the dtype {array} with {input_type}, got {part.dtype}")
    if array and part.shape is not None and len(part.shape) != 1:
        raise InvalidSignature(f"expected a shape of one size with {input_type}")
    if input_type == COLUMNS and part.shape:
        raise InvalidSignature("expected no shape of a column, which has one value")


def _joined_parts(said: Signature, found: Signature) -> tuple[InputPart, ...]:
    if not said.inputs or not found.inputs:
        return said.inputs or found.inputs
    if len(said.inputs) == len(found.inputs) == 1 and said.input_type != COLUMNS:
        return (_joined_part(said.inputs[0], found.inputs[0]),)
    by_name = {part.name: part for part in said.inputs}
    names = [part.name for part in found.inputs]
    if other := sorted(by_name.keys() ^ set(names)):
        raise InvalidSignature(
            f"expected the inputs that the model has, {listed(tuple(names))}; "
            f"the signature differs in {listed(tuple(other))}"
        )
    return tuple(_joined_part(by_name[part.name], part) for part in found.inputs)


def _joined_part(said: InputPart, found: InputPart) -> InputPart:
    if said.shape is not None and found.shape is not None and not _fit(said.shape, found.shape):
        name = f" of {said.name}" if said.name else ""
        raise InvalidSignature(
            f"expected the shape{name} that the model takes, {shown_shape(found.shape)}, "
            f"got {shown_shape(said.shape)}"
        )
    unset = InputPart()
    known = {
        name: value
        for name in InputPart.__struct_fields__
        if (value := getattr(said, name)) != getattr(unset, name)
    }
    return replace(found, **known)


def _fit(said: tuple[int | None, ...], found: tuple[int | None, ...]) -> bool:
    return len(said) == len(found) and all(
        None in pair or pair[0] == pair[1] for pair in zip(said, found, strict=True)
    )


def _shape_of(output: Any) -> OutputShape:
    if isinstance(output, list):
        return OutputShape(kind="array", shape=_sizes(output))
    kinds: tuple[tuple[type | tuple[type, ...], Any], ...] = (
        (bool, "boolean"),
        ((int, float), "number"),
        (str, "text"),
        (dict, "object"),
    )
    return OutputShape(kind=next((kind for of, kind in kinds if isinstance(output, of)), "null"))


def _sizes(value: Any, *, most: int = 8) -> tuple[int, ...]:
    """Return the shape of nested lists, as far as they are regular and not too deep."""
    if not isinstance(value, list) or not most:
        return ()
    inner = zip(*(_sizes(each, most=most - 1) for each in value), strict=False)
    common = takewhile(lambda sizes: len(set(sizes)) == 1, inner)
    return (len(value), *(sizes[0] for sizes in common))


def shown_shape(shape: Sequence[int | None]) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in shape)}]"


_decoder = msgspec.json.Decoder(Signature)
