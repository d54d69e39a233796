"""Arrays of numbers, straight from text into NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from serving.container.inputs.rows import (
    ONE_BY_ONE,
    InvalidRow,
    Rows,
    decode_json,
    describe,
    document_reader,
)

# Rows of up to so many bytes are read together, which takes 0.6 instead of 1.4 µs for each of 64
# numbers; of 256 numbers it takes longer than one after another. So many at most: the parser keeps
# some 14 bytes for each byte of the longest text that it has read.
SHORT_BYTES = 1024
TOGETHER = 64


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
    """Parses arrays of numbers without Python numbers; `nullable` takes null as NaN."""

    def __init__(
        self, number_type: NumberType, *, length: int | None, nullable: bool = False
    ) -> None:
        self._type = number_type
        self._length = length
        self._nullable = nullable and number_type.code == "d"
        self._narrow = number_type.dtype is not number_type.parsed
        self._read = document_reader()
        self._plain = msgspec.json.Decoder(list[float] if number_type.code == "d" else list[int])
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

    def parse_together(self, raws: Sequence[bytes]) -> Rows | None:
        """Return all rows stacked; None if each has to be parsed by itself."""
        parts: list[NDArray[Any]] = []
        for start in range(0, len(raws), TOGETHER):
            part = self._together(raws[start : start + TOGETHER])
            if part is None or part.shape[1] != (parts[0].shape[1] if parts else self._width(part)):
                return None
            parts.append(part)
        if len(parts) > 1:
            return np.concatenate(parts)
        return parts[0] if parts else None

    def _width(self, rows: NDArray[Any]) -> int:
        """Return the length that rows must have."""
        return int(rows.shape[1]) if self._length is None else self._length

    def _together(self, raws: Sequence[bytes]) -> NDArray[Any] | None:
        if self._read is None or max(map(len, raws)) > SHORT_BYTES:
            return None
        text = b"[%b]" % b",".join(raws)
        # Where each begins and ends with the only brackets that it has, the arrays in the text are
        # they. Else a part of one could pass for a row.
        if text.count(b"[") != len(raws) + 1 or text.count(b"]") != len(raws) + 1:
            return None
        if not all(raw.startswith(b"[") and raw.endswith(b"]") for raw in raws):
            return None
        try:
            document = self._read(text)
            sizes = set(map(len, document))
            if len(sizes) > 1:
                return None
            buffer = document.as_buffer(of_type=self._type.code)
            rows = np.frombuffer(buffer, dtype=self._type.parsed).reshape(len(raws), sizes.pop())
            return self._narrowed(rows) if self._narrow else rows
        except (ValueError, TypeError, RuntimeError, AttributeError, InvalidRow):
            return None

    def _fast(self, raw: bytes) -> NDArray[Any] | None:
        if self._read is None:
            return self._fast_without_simdjson(raw)
        # simdjson flattens nested arrays without a word: a second bracket needs the careful way.
        if raw.find(b"[", raw.find(b"[") + 1) >= 0:
            return None
        try:
            # The document must not outlive this line, or the parser refuses to be used again.
            buffer = self._read(raw).as_buffer(of_type=self._type.code)
        except (ValueError, TypeError, RuntimeError, AttributeError):
            return None
        return np.frombuffer(buffer, dtype=self._type.parsed)

    def _fast_without_simdjson(self, raw: bytes) -> NDArray[Any] | None:
        try:
            return np.array(self._plain.decode(raw), dtype=self._type.parsed)
        except (ValueError, OverflowError, RecursionError):
            return None

    def _slow(self, raw: bytes) -> NDArray[Any]:
        """Explain what is wrong, or read what simdjson cannot: null, integers beyond 64 bits."""
        values = decode_json(raw, expected=f"an array of {self._expected}")
        if not isinstance(values, list):
            raise InvalidRow(f"expected an array of {self._expected}, got {describe(values)}")
        for index, value in enumerate(values):
            if not self._is_element(value):
                came = f"{describe(value, number=True)} at index {index}"
                hint = ONE_BY_ONE if isinstance(value, list) else ""
                raise InvalidRow(f"expected {self._type.name}, got {came}{hint}")
        try:
            return np.array(values, dtype=self._type.parsed)
        except OverflowError:
            raise InvalidRow(f"expected {self._type.name} of 64 bits, got a larger one") from None

    def _is_element(self, value: Any) -> bool:
        if isinstance(value, bool):
            return False
        if value is None:
            return self._nullable
        return isinstance(value, int) or (isinstance(value, float) and self._type.code == "d")

    def _narrowed(self, row: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(over="ignore", under="ignore"):
            narrow = row.astype(self._type.dtype)
        fits = np.isfinite(narrow)
        if self._nullable:
            fits |= np.isnan(row)
        if not fits.all():
            index = int(np.argmin(fits))
            came = float(row.flat[index])
            raise InvalidRow(
                f"expected numbers within 32-bit floats, got {came!r} at index {index}"
            )
        return narrow
