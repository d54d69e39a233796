"""Universal Binary JSON as XGBoost writes it, read into Python's values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

DEEPEST = 64
# By the letter of a type: what NumPy calls it.
TYPES: Mapping[bytes, str] = {
    b"i": ">i1",
    b"U": ">u1",
    b"I": ">i2",
    b"l": ">i4",
    b"L": ">i8",
    b"d": ">f4",
    b"D": ">f8",
}
CONSTANTS: Mapping[bytes, Any] = {b"Z": None, b"T": True, b"F": False}


class InvalidUbjson(ValueError):
    """What is read is no UBJSON, or not all of it."""


def read_ubjson(content: bytes) -> Any:
    """The one value that this is; raises InvalidUbjson."""
    reader = _Reader(content)
    value = reader.value(reader.letter(), depth=0)
    if reader.at != len(content):
        raise InvalidUbjson("expected one value")
    return value


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.at = 0
        self._content = content

    def letter(self) -> bytes:
        return self._take(1)

    def value(self, kind: bytes, *, depth: int) -> Any:
        if depth > DEEPEST:
            raise InvalidUbjson(f"expected at most {DEEPEST} values within each other")
        if kind in TYPES:
            return self._numbers(kind, count=1)[0]
        if kind in CONSTANTS:
            return CONSTANTS[kind]
        if kind == b"S":
            return self._text()
        if kind == b"{":
            return self._members(depth=depth + 1)
        if kind == b"[":
            return self._elements(depth=depth + 1)
        raise InvalidUbjson(f"expected a type, got {kind!r}")

    def _members(self, *, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while self._peek() != b"}":
            name = self._text()
            members[name] = self.value(self.letter(), depth=depth)
        self.letter()
        return members

    def _elements(self, *, depth: int) -> list[Any]:
        kind = None
        if self._peek() == b"$":
            self.letter()
            kind = self.letter()
        if self._peek() == b"#":
            self.letter()
            count = self._length()
            if kind is not None:
                return self._numbers(kind, count=count)
            return [self.value(self.letter(), depth=depth) for _ in range(count)]
        elements: list[Any] = []
        while self._peek() != b"]":
            elements.append(self.value(self.letter(), depth=depth))
        self.letter()
        return elements

    def _numbers(self, kind: bytes, *, count: int) -> list[Any]:
        if kind not in TYPES:
            raise InvalidUbjson(f"expected a type of numbers, got {kind!r}")
        dtype = np.dtype(TYPES[kind])
        numbers = np.frombuffer(self._take(count * dtype.itemsize), dtype=dtype)
        if kind == b"d":
            # As few digits as tell it from other numbers of 32 bits: it is written in full later.
            return [float(text) for text in numbers.astype(str)]
        return list(numbers.tolist())

    def _text(self) -> str:
        # A name has its length at once, another text its type before it.
        return self._take(self._length()).decode()

    def _length(self) -> int:
        kind = self.letter()
        if kind not in TYPES or kind in b"dD":
            raise InvalidUbjson(f"expected a length, got {kind!r}")
        length: int = self._numbers(kind, count=1)[0]
        return length

    def _peek(self) -> bytes:
        return self._content[self.at : self.at + 1]

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if not 0 <= size <= len(self._content) - self.at:
            raise InvalidUbjson("it was cut off")
        taken = self._content[self.at : end]
        self.at = end
        return taken
