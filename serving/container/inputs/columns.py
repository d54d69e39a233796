"""Rows by the names of their columns: `{"age": 31, "city": "Rome"}`.

A column that is missing, or null, is NaN, as in pandas. In a column of numbers true is 1.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import numpy as np

from serving.container.inputs.data_frames import stack_columns, stack_objects
from serving.container.inputs.rows import (
    ONE_BY_ONE,
    InvalidRow,
    RowParser,
    Rows,
    decode_json,
    describe,
    listed,
    quoted,
)
from serving.container.inputs.signature import InputPart, Signature

ROW = "an object with a member for each column"
# Columns of a frame that nobody has named before: each costs microseconds, and every row room.
MOST_UNKNOWN = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnKind:
    """The JSON type of a column's values, and the conversion of one."""

    name: str
    types: Any
    accept: Callable[[Any], Any]


class Unaccepted(Exception):
    """A value that isn't of its column's kind."""


def columns_parser(signature: Signature, *, nulls: bool) -> RowParser:
    """`nulls`: whether a column of which the signature doesn't say it may be null."""
    if signature.inputs:
        return ColumnsParser(signature.inputs)
    return AnyColumnsParser(nulls=nulls)


class AnyColumnsParser:
    """Rows of which the columns aren't known: whatever each has, of a batch all together."""

    def __init__(self, *, nulls: bool) -> None:
        self._nulls = nulls

    def parse(self, raw: bytes) -> dict[str, Any]:
        row = _object(raw)
        _check_count(len(row))
        for name in () if self._nulls else row:
            if row[name] is None:
                raise InvalidRow(f"expected a value in the column {quoted(name)}, got null")
        return row

    def stack(self, rows: list[dict[str, Any]]) -> Rows:
        """Raises InvalidRow where rows that are fine alone have too little in common."""
        columns = set().union(*rows)
        _check_count(len(columns))
        if not self._nulls and any(row.keys() != columns for row in rows):
            raise InvalidRow("expected rows of the same columns")
        return stack_objects(rows)


class ColumnsParser:
    """Rows with these columns and no others, each in the order of the columns."""

    def __init__(self, parts: tuple[InputPart, ...]) -> None:
        self._parts = parts
        self._names = tuple(part.name for part in parts)
        self._known = frozenset(self._names)
        self._kinds = tuple(_kind(part) for part in parts)
        # Each as it was said: 3 where 3.0 came.
        self._categories = tuple({value: value for value in part.categories} for part in parts)
        # Positions that msgspec can't check by type.
        self._looked_at = tuple(
            i
            for i, part in enumerate(parts)
            if part.categories or part.dtype.startswith("datetime")
        )
        self._decode = self._fast_decoder()

    def parse(self, raw: bytes) -> tuple[Any, ...]:
        if self._decode is not None:
            try:
                row = msgspec.structs.astuple(self._decode(raw))
            except (ValueError, RecursionError):
                return self._careful(raw)
            return self._looked_through(row) if self._looked_at else row
        return self._careful(raw)

    def stack(self, rows: list[tuple[Any, ...]]) -> Rows:
        return stack_columns(rows, parts=self._parts)

    def _fast_decoder(self) -> Callable[[bytes], Any] | None:
        """Return a decoder into typed values; None if msgspec can't name a column."""
        fields: list[Any] = []
        for position, (part, kind) in enumerate(zip(self._parts, self._kinds, strict=True)):
            name = f"c{position}"
            fields.append(
                (name, kind.types) if part.nullable is False else (name, kind.types | None, None)
            )
        try:
            row = msgspec.defstruct(
                "Row",
                fields,
                rename={f"c{position}": name for position, name in enumerate(self._names)},
                forbid_unknown_fields=True,
                kw_only=True,
                gc=False,
            )
        except ValueError:
            return None
        return msgspec.json.Decoder(row).decode

    def _looked_through(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(row)
        for position in self._looked_at:
            values[position] = self._accepted(position, values[position])
        return tuple(values)

    def _careful(self, raw: bytes) -> tuple[Any, ...]:
        """Read a row value by value, or raise InvalidRow."""
        members = _object(raw)
        if not self._known.issuperset(members):
            unknown = next(name for name in members if name not in self._known)
            raise InvalidRow(f"expected the columns {listed(self._names)}, got {quoted(unknown)}")
        for part in self._parts:
            if part.name not in members and part.nullable is False:
                raise InvalidRow(f"expected the column {quoted(part.name)}, got a row without it")
        return tuple(
            self._accepted(position, members.get(name)) for position, name in enumerate(self._names)
        )

    def _accepted(self, position: int, value: Any) -> Any:
        part, kind = self._parts[position], self._kinds[position]
        if value is None and part.nullable is not False:
            return None
        try:
            value = kind.accept(value)
        except Unaccepted:
            came = describe(value, number=part.dtype.startswith(("float", "int", "uint")))
            raise InvalidRow(
                f"expected {kind.name} in the column {quoted(part.name)}, got {came}"
            ) from None
        return self._category(position, value) if part.categories else value

    def _category(self, position: int, value: Any) -> Any:
        part, categories = self._parts[position], self._categories[position]
        if value in categories:
            return categories[value]
        if part.dtype == "category" and part.nullable is not False:
            return None  # as pandas has it: a value that it wasn't trained with is none
        expected = listed(tuple(quoted(category) for category in part.categories))
        raise InvalidRow(
            f"expected one of {expected} in the column {quoted(part.name)}, got {quoted(value)}"
        )


def _check_count(columns: int) -> None:
    if columns > MOST_UNKNOWN:
        raise InvalidRow(f"expected at most {MOST_UNKNOWN} columns, got {columns}")


def _object(raw: bytes) -> dict[str, Any]:
    value = decode_json(raw, expected=ROW)
    if not isinstance(value, dict):
        hint = ONE_BY_ONE if isinstance(value, list) else ""
        raise InvalidRow(f"expected {ROW}, got {describe(value)}{hint}")
    return value


def _kind(part: InputPart) -> ColumnKind:
    dtype = part.dtype
    if dtype == "category" and part.categories:
        return _kind_of_categories(part.categories)
    if dtype.startswith("float"):
        return _floats(np.finfo(dtype).max)
    if dtype.startswith(("int", "uint")):
        return _integers(np.iinfo(dtype))
    return KINDS.get(dtype, ANYTHING)


def _kind_of_categories(categories: Iterable[Any]) -> ColumnKind:
    kinds = {type(category) for category in categories}
    if kinds == {str}:
        return STRINGS
    if kinds == {bool}:
        return BOOLEANS
    return _floats(np.finfo(np.float64).max) if kinds <= {int, float} else ANYTHING


def _floats(most: Any) -> ColumnKind:
    most = float(most)

    def accept(value: Any) -> Any:
        if not isinstance(value, int | float) or abs(value) > most:
            raise Unaccepted
        return float(value) if isinstance(value, bool) else value

    return ColumnKind(
        name="numbers" if most > 1e300 else f"numbers up to {most:.6g}",
        types=Annotated[float, msgspec.Meta(ge=-most, le=most)] | bool,
        accept=accept,
    )


def _integers(limits: Any) -> ColumnKind:
    low, high = int(limits.min), int(limits.max)

    def accept(value: Any) -> Any:
        # A whole number is an integer, however it is written: 3.0 too.
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if not whole or not low <= value <= high:
            raise Unaccepted
        return int(value)

    # Bounds of msgspec are within 64 bits and a sign, as what it reads without them is.
    bounds = msgspec.Meta(ge=low) if high >= 1 << 63 else msgspec.Meta(ge=low, le=high)
    return ColumnKind(
        name="integers" if high >= (1 << 63) - 1 else f"integers from {low} to {high}",
        types=Annotated[int, bounds] | bool,
        accept=accept,
    )


def _of_type(kind: type[Any], *, name: str) -> ColumnKind:
    def accept(value: Any) -> Any:
        if not isinstance(value, kind):
            raise Unaccepted
        return value

    return ColumnKind(name=name, types=kind, accept=accept)


def _times() -> ColumnKind:
    def accept(value: Any) -> Any:
        try:
            moment = datetime.fromisoformat(value)
        except (ValueError, TypeError):
            raise Unaccepted from None
        try:
            return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
        except OverflowError:
            raise Unaccepted from None

    return ColumnKind(name="times in ISO 8601", types=str, accept=accept)


STRINGS = _of_type(str, name="strings")
BOOLEANS = _of_type(bool, name="booleans")
ANYTHING = ColumnKind(name="values", types=Any, accept=lambda value: value)
KINDS = {
    "string": STRINGS,
    "bool": BOOLEANS,
    "datetime": _times(),
    "datetime_utc": _times(),
}
