"""Rows: the interface of parsers, refusals and the words for them."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

try:
    import simdjson
except ImportError:  # an environment need not have it
    simdjson = None  # type: ignore[assignment]  # it isn't there

# The inputs of a model: arrays of numbers, tensors by name, a data frame, or a list.
Rows = Any

# How much of an offending value, or of a name, is quoted back.
QUOTED = 40
# A hint for an input that holds several.
ONE_BY_ONE = "; several inputs go into input_batch, in Python into predict_batch"


class InvalidRow(Exception):
    """One input is not what the model takes; the message says what was expected and what came."""


class RowParser(Protocol):
    """Turns the raw JSON of single inputs into rows, and rows into what the model is given."""

    def parse(self, raw: bytes) -> Any:
        """Return one row, or raise InvalidRow."""

    def stack(self, rows: list[Any]) -> Rows:
        """Join parsed rows into one batch."""


def decode_json(raw: bytes, *, expected: str) -> Any:
    try:
        return msgspec.json.decode(raw)
    except RecursionError:
        raise InvalidRow(f"expected {expected}, got JSON that is nested too deep") from None
    except ValueError as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        raise InvalidRow(f"expected {expected}, got invalid JSON: {error}") from None


def describe(value: Any, *, number: bool = False) -> str:
    """Name a JSON value in an explanation; null is NaN to callers that send a `number`."""
    if value is None:
        return "NaN (null)" if number else "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return quoted(value)
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"


def quoted(value: Any) -> str:
    """A value as JSON has it, as far as it is short."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}..."


def listed(names: tuple[str, ...]) -> str:
    """Return the first twelve names, and how many more there are."""
    shown = [name if len(name) <= QUOTED else f"{name[:QUOTED]}..." for name in names[:12]]
    return ", ".join(shown) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def document_reader() -> Callable[[bytes], Any] | None:
    """Return simdjson's `parse`, None without it; a document must not outlive its expression."""
    return None if simdjson is None else simdjson.Parser().parse
