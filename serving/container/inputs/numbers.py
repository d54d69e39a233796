"""Arrays of numbers, straight from text into NumPy."""

from dataclasses import dataclass
from typing import Any, Literal

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
        if self._read is None:
            return None
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
