"""Nested arrays of numbers, straight from text into NumPy: one, or several by their names."""

from math import prod
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from serving.container.inputs.rows import (
    InvalidRow,
    RowParser,
    Rows,
    decode_json,
    describe,
    document_reader,
    listed,
    quoted,
)
from serving.container.inputs.signature import MOST_DIMENSIONS, InputPart, Signature, shown_shape

ANY = InputPart()
# All but these: what is left of nested arrays of numbers is how they are nested.
_NUMBERS = bytes(set(range(256)) - set(b"[],"))
# As which type simdjson reads numbers of a kind.
_READ_AS: dict[str, tuple[str, str]] = {
    "f": ("d", "float64"),
    "i": ("i", "int64"),
    "u": ("u", "uint64"),
}


def tensor_parser(signature: Signature) -> RowParser:
    parts = signature.inputs
    if len(parts) > 1:
        return NamedTensorsParser(parts)
    return TensorParser(parts[0]) if parts else AnyTensorsParser()


class TensorParser:
    """One tensor an input. Where it has a name, an object with that one member will do too."""

    def __init__(self, part: InputPart) -> None:
        self._part = part
        self._array = ArrayReader(part)

    def parse(self, raw: bytes) -> NDArray[Any]:
        if self._part.name and raw.lstrip()[:1] == b"{":
            return self._array.read(_members(raw, names=(self._part.name,))[self._part.name])
        return self._array.read(raw)

    def stack(self, rows: list[NDArray[Any]]) -> Rows:
        return _stacked(rows)


class NamedTensorsParser:
    """Several tensors an input; what a model is given are arrays by name."""

    def __init__(self, parts: tuple[InputPart, ...]) -> None:
        self._names = tuple(part.name for part in parts)
        self._arrays = {part.name: ArrayReader(part, name=part.name) for part in parts}

    def parse(self, raw: bytes) -> dict[str, NDArray[Any]]:
        members = _members(raw, names=self._names)
        return {name: self._arrays[name].read(members[name]) for name in self._names}

    def stack(self, rows: list[dict[str, NDArray[Any]]]) -> Rows:
        return {name: _stacked([row[name] for row in rows]) for name in self._names}


class AnyTensorsParser:
    """Inputs of which nothing is known: one tensor of numbers, or an object of several."""

    def __init__(self) -> None:
        self._array = ArrayReader(ANY)

    def parse(self, raw: bytes) -> NDArray[Any] | dict[str, NDArray[Any]]:
        if raw.lstrip()[:1] != b"{":
            return self._array.read(raw)
        members = _members(raw, names=None)
        return {name: ArrayReader(ANY, name=name).read(part) for name, part in members.items()}

    def stack(self, rows: list[Any]) -> Rows:
        """As one batch where all have the same tensors; else a list."""
        names = {tuple(row) if isinstance(row, dict) else None for row in rows}
        if names == {None}:
            return _stacked(rows)
        if len(names) > 1:
            return rows
        return {name: _stacked([row[name] for row in rows]) for name in rows[0]}


class ArrayReader:
    """Reads one tensor of this dtype and shape; float64 of any shape where nothing is known."""

    def __init__(self, part: InputPart, *, name: str = "") -> None:
        self._where = f" in {quoted(name)}" if name else ""
        self._dtype = np.dtype({"": "float64", "string": "object"}.get(part.dtype, part.dtype))
        self._nullable = bool(part.nullable) and self._dtype.kind == "f"
        self._shape = part.shape
        # The nesting and the shape of the last tensor: most models are asked for one shape only.
        self._last_brackets = b""
        self._last_shape: tuple[int, ...] = ()
        self._read = document_reader()

    def read(self, raw: bytes) -> NDArray[Any]:
        array = self._fast(raw)
        return self._slow(raw) if array is None else array

    def _fast(self, raw: bytes) -> NDArray[Any] | None:
        """Have simdjson flatten the numbers; brackets and commas tell how they are nested."""
        if self._read is None or self._dtype.kind not in _READ_AS:
            return None
        code, parsed = _READ_AS[self._dtype.kind]
        try:
            buffer = self._read(raw).as_buffer(of_type=code)
        except (ValueError, TypeError, RuntimeError, AttributeError):
            return None
        flat = np.frombuffer(buffer, dtype=parsed)
        brackets = raw.translate(None, _NUMBERS)
        shape = self._last_shape if brackets == self._last_brackets else _shape_of(brackets)
        # "[]" is nested like "[1]".
        if shape is None or prod(shape) != flat.size or not self._fits(shape):
            return None
        self._last_brackets, self._last_shape = brackets, shape
        return self._narrowed(flat).reshape(shape)

    def _slow(self, raw: bytes) -> NDArray[Any]:
        """Read what simdjson can't, or explain what is wrong."""
        values = decode_json(raw, expected=f"nested arrays of {self._words}{self._where}")
        try:
            array = np.array(values, dtype=object)
        except ValueError:
            raise self._ragged() from None
        flat = array.ravel().tolist()
        if array.ndim > MOST_DIMENSIONS or any(isinstance(value, list) for value in flat):
            raise self._ragged()
        for value in flat:
            if not self._is_element(value):
                came = describe(value, number=self._words != "strings")
                raise InvalidRow(f"expected {self._words}{self._where}, got {came}")
        if not self._fits(array.shape):
            raise InvalidRow(
                f"expected a tensor of the shape {shown_shape(self._shape or ())}{self._where}, "
                f"got one of {shown_shape(array.shape)}"
            )
        if self._dtype.kind in "iu":
            limits = np.iinfo(self._dtype)
            for value in flat:
                if not limits.min <= value <= limits.max:
                    raise self._not_held(value)
        try:
            return self._narrowed(
                array.astype(np.float64 if self._dtype.kind == "f" else self._dtype)
            )
        except OverflowError:
            raise InvalidRow(
                f"expected {self._words} of 64 bits{self._where}, got a larger one"
            ) from None

    def _ragged(self) -> InvalidRow:
        return InvalidRow(
            f"expected arrays of equal lengths, {MOST_DIMENSIONS} deep at most{self._where}"
        )

    def _fits(self, shape: tuple[int, ...]) -> bool:
        return self._shape is None or (
            len(shape) == len(self._shape)
            and all(size in (None, got) for size, got in zip(self._shape, shape, strict=True))
        )

    def _is_element(self, value: Any) -> bool:
        kind = self._dtype.kind
        if kind == "O":
            return isinstance(value, str)
        if kind == "b" or isinstance(value, bool):
            return kind == "b" and isinstance(value, bool)
        if value is None:
            return self._nullable
        return isinstance(value, int) or (isinstance(value, float) and kind == "f")

    def _narrowed(self, flat: NDArray[Any]) -> NDArray[Any]:
        """Convert to the tensor's dtype, or raise InvalidRow."""
        if flat.dtype == self._dtype:
            return flat
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            narrow = flat.astype(self._dtype)
        lost = np.isinf(narrow) if self._dtype.kind == "f" else narrow != flat
        if lost.any():
            raise self._not_held(flat.flat[int(np.argmax(lost))].item())
        return narrow

    def _not_held(self, value: Any) -> InvalidRow:
        return InvalidRow(
            f"expected numbers that {self._dtype} holds{self._where}, got {quoted(value)}"
        )

    @property
    def _words(self) -> str:
        words = {"f": "numbers", "b": "booleans", "O": "strings"}
        return words.get(self._dtype.kind, "integers")


def _members(raw: bytes, *, names: tuple[str, ...] | None) -> dict[str, bytes]:
    """Return an object's members as text; raises InvalidRow for other names."""
    expected = "an object of tensors" if names is None else f"an object with {listed(names)}"
    try:
        members = _raw_members.decode(raw)
    except (ValueError, RecursionError):
        value = decode_json(raw, expected=expected)
        raise InvalidRow(f"expected {expected}, got {describe(value)}") from None
    for name in members if names is not None else ():
        if name not in names:  # type: ignore[operator]  # it isn't None here
            raise InvalidRow(f"expected {expected}, got {quoted(name)}")
    for name in names or ():
        if name not in members:
            raise InvalidRow(f"expected {expected}, got none of the name {quoted(name)}")
    return {name: bytes(part) for name, part in members.items()}


def _stacked(rows: list[NDArray[Any]]) -> Rows:
    """Return one array with the batch first; a list if the shapes differ."""
    shape = rows[0].shape
    if any(row.shape != shape for row in rows):
        return rows
    return np.stack(rows)


def _shape_of(brackets: bytes) -> tuple[int, ...] | None:
    """Return the shape of nested arrays of numbers by their brackets; None if they are ragged."""
    depth = len(brackets) - len(brackets.lstrip(b"["))
    if not 0 < depth <= MOST_DIMENSIONS:
        return None
    sizes: list[int] = []
    unit = b""
    for begin in range(depth, 0, -1):
        end = brackets.find(unit + b"]", begin)
        if end < 0:
            return None
        size = brackets.count(b",", begin, end) // (unit.count(b",") + 1) + 1
        sizes.insert(0, size)
        if (len(unit) + 1) * size > len(brackets):
            return None
        unit = b"[" + b",".join([unit] * size) + b"]"
    return tuple(sizes) if unit == brackets else None


_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
