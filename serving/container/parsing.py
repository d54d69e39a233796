"""Raw JSON inputs to what a model takes, item by item, so that one bad input fails alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
import simdjson
from numpy.typing import NDArray

from serving.container.errors import UnknownInputType
from serving.rpc.frames import Answer, AnswerStatus

Rows = NDArray[Any] | list[Any]

# How much of an offending value is quoted back.
QUOTED = 40


class InvalidRow(Exception):
    """One input is not what the model takes; the message says what was expected and what came."""


class RowParser(Protocol):
    """Turns the raw JSON of single inputs into rows, and rows into what the model is given."""

    def parse(self, raw: bytes) -> Any:
        """Return one row, or raise InvalidInput."""

    def stack(self, rows: list[Any]) -> Rows:
        """Join parsed rows into one batch."""


@dataclass(frozen=True, slots=True)
class ParsedBatch:
    rows: Rows
    refusals: dict[int, Answer]  # by the position of the input that has no row


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberType:
    code: Literal["d", "i"]  # what simdjson calls it
    parsed: type[Any]
    dtype: type[Any]
    name: str


NUMBER_TYPES = {
    "doubles": NumberType(code="d", parsed=np.float64, dtype=np.float64, name="numbers"),
    "floats": NumberType(code="d", parsed=np.float64, dtype=np.float32, name="numbers"),
    "integers": NumberType(code="i", parsed=np.int64, dtype=np.int64, name="integers"),
}


class NumbersParser:
    """Arrays of numbers, straight from text into NumPy; no Python number is made on the way."""

    def __init__(self, number_type: NumberType, *, length: int | None) -> None:
        self._type = number_type
        self._length = length
        self._narrow = number_type.dtype is not number_type.parsed
        self._read: Callable[[bytes], Any] = simdjson.Parser().parse
        self._expected = number_type.name if length is None else f"{length} {number_type.name}"

    def parse(self, raw: bytes) -> NDArray[Any]:
        row = self._fast(raw)
        if row is None:
            row = self._slow(raw)
        if self._length is not None and row.size != self._length:
            raise InvalidRow(f"expected {self._expected}, got {row.size}")
        return self._narrowed(row) if self._narrow else row

    def stack(self, rows: list[NDArray[Any]]) -> Rows:
        """One 2-D array; a list of rows where their lengths differ and the model's is unknown."""
        size = rows[0].size
        if self._length is None and any(row.size != size for row in rows):
            return rows
        return np.concatenate(rows).reshape(len(rows), size)

    def _fast(self, raw: bytes) -> NDArray[Any] | None:
        # simdjson flattens nested arrays without a word: a second bracket needs the careful way.
        if raw.find(b"[", raw.find(b"[") + 1) >= 0:
            return None
        try:
            # The document must not outlive this line, or the parser refuses to be used again.
            buffer = self._read(raw).as_buffer(of_type=self._type.code)
        except (ValueError, TypeError, RuntimeError, AttributeError):
            return None
        return np.frombuffer(buffer, dtype=self._type.parsed)

    def _slow(self, raw: bytes) -> NDArray[Any]:
        """Explain what is wrong, or read what simdjson cannot: integers beyond 64 bits."""
        values = decode_json(raw, expected=f"an array of {self._expected}")
        if not isinstance(values, list):
            raise InvalidRow(f"expected an array of {self._expected}, got {describe(values)}")
        for index, value in enumerate(values):
            if not self._is_element(value):
                came = describe(value)
                raise InvalidRow(f"expected {self._type.name}, got {came} at index {index}")
        try:
            return np.array(values, dtype=self._type.parsed)
        except OverflowError:
            raise InvalidRow(f"expected {self._type.name} of 64 bits, got a larger one") from None

    def _is_element(self, value: Any) -> bool:
        if isinstance(value, bool):
            return False
        return isinstance(value, int) or (isinstance(value, float) and self._type.code == "d")

    def _narrowed(self, row: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(over="ignore", under="ignore"):
            narrow = row.astype(self._type.dtype)
        if not np.isfinite(narrow).all():
            index = int(np.argmin(np.isfinite(narrow)))
            raise InvalidRow(
                f"expected numbers within 32-bit floats, got {float(row[index])!r} at index {index}"
            )
        return narrow


class StringParser:
    """One JSON string an input."""

    def parse(self, raw: bytes) -> str:
        value = decode_json(raw, expected="a string")
        if not isinstance(value, str):
            raise InvalidRow(f"expected a string, got {describe(value)}")
        return value

    def stack(self, rows: list[str]) -> Rows:
        return rows


class BytesParser:
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

    def stack(self, rows: list[bytes]) -> Rows:
        return rows


class AnyJsonParser:
    """Any JSON value, as Python objects."""

    def parse(self, raw: bytes) -> Any:
        return decode_json(raw, expected="a JSON value")

    def stack(self, rows: list[Any]) -> Rows:
        return rows


def _of_numbers(number_type: NumberType) -> Callable[[int | None], RowParser]:
    return lambda length: NumbersParser(number_type, length=length)


# Makes the parser of each input type; what isn't an array has no length.
PARSERS: dict[str, Callable[[int | None], RowParser]] = {
    **{name: _of_numbers(number_type) for name, number_type in NUMBER_TYPES.items()},
    "strings": lambda length: StringParser(),
    "bytes": lambda length: BytesParser(),
    "json": lambda length: AnyJsonParser(),
}
INPUT_TYPES = tuple(PARSERS)


def row_parser(input_type: str, *, length: int | None = None) -> RowParser:
    """Return the parser of an input type; length is the array length that the model needs."""
    if make := PARSERS.get(input_type):
        return make(length)
    raise UnknownInputType(f"expected one of {', '.join(INPUT_TYPES)}, got {input_type!r}")


def parse_batch(parser: RowParser, raws: Sequence[bytes]) -> ParsedBatch:
    """Parse what can be parsed; each bad input has its own refusal."""
    rows: list[Any] = []
    refusals: dict[int, Answer] = {}
    for position, raw in enumerate(raws):
        try:
            rows.append(parser.parse(raw))
        except InvalidRow as error:
            refusals[position] = Answer(AnswerStatus.INVALID_INPUT, str(error).encode())
    return ParsedBatch(parser.stack(rows) if rows else [], refusals)


def decode_json(raw: bytes, *, expected: str) -> Any:
    try:
        return msgspec.json.decode(raw)
    except RecursionError:
        raise InvalidRow(f"expected {expected}, got JSON that is nested too deep") from None
    except ValueError as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        raise InvalidRow(f"expected {expected}, got invalid JSON: {error}") from None


def describe(value: Any) -> str:
    """Name a JSON value in an explanation; numbers are quoted, as far as they are short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        text = msgspec.json.encode(value).decode()
        return text if len(text) <= QUOTED else f"{text[:QUOTED]}..."
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"
