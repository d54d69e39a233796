"""Raw JSON inputs to what a model takes, item by item, so that one bad input fails alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from serving.container.failures.container_errors import UnknownInputType
from serving.container.inputs.columns import columns_parser
from serving.container.inputs.examples import completed
from serving.container.inputs.numbers import NUMBER_TYPES, NumbersParser
from serving.container.inputs.rows import (
    ONE_BY_ONE,
    InvalidRow,
    RowParser,
    Rows,
    decode_json,
    describe,
)
from serving.container.inputs.signature import (
    INPUT_TYPES,
    MOST_EXAMPLE_BYTES,
    Signature,
    read_signature,
)
from serving.container.inputs.tensors import tensor_parser
from serving.rpc.frames.codec import Answer, AnswerStatus


@dataclass(frozen=True, slots=True)
class ParsedBatch:
    rows: Rows
    count: int
    refusals: dict[int, Answer]  # by the position of the input that has no row


class ListParser:
    """A parser of rows that a model is given in a list."""

    def stack(self, rows: list[Any]) -> Rows:
        return rows


class StringParser(ListParser):
    """One JSON string an input."""

    def parse(self, raw: bytes) -> str:
        value = decode_json(raw, expected="a string")
        if not isinstance(value, str):
            hint = ONE_BY_ONE if isinstance(value, list) else ""
            raise InvalidRow(f"expected a string, got {describe(value)}{hint}")
        return value


class BytesParser(ListParser):
    """One JSON string of base64 an input."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(bytes).decode

    def parse(self, raw: bytes) -> bytes:
        try:
            return self._decode(raw)
        except (ValueError, RecursionError):
            value = decode_json(raw, expected="a string of base64")
        came = "a string that is not base64" if isinstance(value, str) else describe(value)
        raise InvalidRow(f"expected a string of base64, got {came}")


class AnyJsonParser(ListParser):
    """Any JSON value, as Python objects; without `nulls` none that has null within."""

    def __init__(self, *, nulls: bool) -> None:
        self._nulls = nulls

    def parse(self, raw: bytes) -> Any:
        value = decode_json(raw, expected="a JSON value")
        if not self._nulls and b"null" in raw and _has_null(value):
            raise InvalidRow("expected a value without null, got null")
        return value


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return value is None or (isinstance(value, list) and any(map(_has_null, value)))


def _numbers_parser(signature: Signature, _nulls: bool) -> RowParser:
    nullable = any(part.nullable for part in signature.inputs)
    kind = NUMBER_TYPES[signature.input_type]
    return NumbersParser(kind, length=signature.length, nullable=nullable)


# Makes the parser of each input type; without nulls, null has to be declared in the signature.
PARSERS: dict[str, Callable[[Signature, bool], RowParser]] = {
    **dict.fromkeys(NUMBER_TYPES, _numbers_parser),
    "strings": lambda signature, nulls: StringParser(),
    "bytes": lambda signature, nulls: BytesParser(),
    "json": lambda signature, nulls: AnyJsonParser(nulls=nulls),
    "columns": lambda signature, nulls: columns_parser(signature, nulls=nulls),
    "tensor": lambda signature, nulls: tensor_parser(signature),
}


def row_parser(signature: Signature, *, nulls: bool = True) -> RowParser:
    """Return the parser of a signature; without `nulls`, null has to be declared in it."""
    check_input_type(signature.input_type)
    return PARSERS[signature.input_type](signature, nulls)


def check_input_type(input_type: str) -> None:
    """Raise UnknownInputType where it is none of INPUT_TYPES."""
    if input_type not in PARSERS:
        raise UnknownInputType(f"expected one of {', '.join(INPUT_TYPES)}, got {input_type!r}")


def checked_inputs(input_type: str, *, signature: str = "", example: str = "") -> str:
    """Return the signature as it is stored, "" for none; raises ValueError."""
    said = read_signature(signature, input_type=input_type)
    if not example:
        return said.encoded() if signature else ""
    if (size := len(example.encode())) > MOST_EXAMPLE_BYTES:
        raise ValueError(f"expected an example of at most {MOST_EXAMPLE_BYTES} bytes, got {size}")
    parser = row_parser(completed(said, example=example))
    try:
        parser.parse(example.encode())
    except InvalidRow as error:
        raise ValueError(f"the example is no input: {error}") from error
    return said.encoded() if signature else ""


def parse_batch(parser: RowParser, raws: Sequence[bytes]) -> ParsedBatch:
    """Parse what can be parsed; each bad input has its own refusal."""
    rows: list[Any] = []
    refusals: dict[int, Answer] = {}
    for position, raw in enumerate(raws):
        try:
            rows.append(parser.parse(raw))
        except InvalidRow as error:
            refusals[position] = Answer(AnswerStatus.INVALID_INPUT, str(error).encode())
    return ParsedBatch(parser.stack(rows) if rows else [], len(rows), refusals)
