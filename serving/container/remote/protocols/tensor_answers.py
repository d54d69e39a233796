"""Tensors as the Open Inference Protocol writes them: JSON, or little-endian bytes behind it."""

import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.container.remote.failures import BrokenAnswer

DTYPES = {
    "BOOL": np.dtype("?"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
}
_LENGTH = struct.Struct("<I")
_BY_KIND = {"b": "BOOL", "i": "INT64", "u": "UINT64", "f": "FP64"}


def datatype_of(array: NDArray[Any]) -> str:
    return _BY_KIND.get(array.dtype.kind, "BYTES")


class TensorAnswer:
    """The outputs of one answer; every fault in it is a BrokenAnswer."""

    def __init__(self, answer: Any, *, tail: bytes) -> None:
        outputs = answer.get("outputs") if isinstance(answer, dict) else None
        if not isinstance(outputs, list) or not all(isinstance(o, dict) for o in outputs):
            raise BrokenAnswer("expected an array of outputs in the answer")
        self._outputs: list[dict[str, Any]] = outputs
        self._tail = tail

    def rows_of(self, name: str, *, count: int) -> list[Any]:
        """One value for each input, of the output with this name, or of the first one."""
        at, values = 0, None
        for output in self._outputs:
            size = self._binary_size(output)
            taken = self._tail[at : at + size]
            at += size
            if values is None and name in ("", output.get("name")):
                values = self._rows(output, content=taken if size else None, count=count)
        if values is None:
            names = [output.get("name") for output in self._outputs]
            raise BrokenAnswer(f"expected an output {name!r}, got {names}")
        return values

    def _rows(self, output: dict[str, Any], *, content: bytes | None, count: int) -> list[Any]:
        shape = output.get("shape")
        if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
            raise BrokenAnswer(f"expected a shape of an output, got {shape!r}")
        if shape[:1] != [count]:
            raise BrokenAnswer(f"expected an output for each of {count} inputs, got {shape}")
        array = _array(output, content=content)
        # Of an output without values its shape alone says how many arrays it is made of.
        if not array.size and math.prod(size or 1 for size in shape) > 1 << 20:
            raise BrokenAnswer(f"expected at most {1 << 20} empty arrays in an output")
        try:
            array = array.reshape(shape)
        except ValueError:
            raise BrokenAnswer(f"expected {shape} values in an output, got {array.size}") from None
        if array.ndim > 1 and array.size == count:
            array = array.reshape(count)
        rows: list[Any] = array.tolist()
        return rows

    def _binary_size(self, output: dict[str, Any]) -> int:
        parameters = output.get("parameters")
        size = parameters.get("binary_data_size", 0) if isinstance(parameters, dict) else 0
        if type(size) is not int or not 0 <= size <= len(self._tail):
            raise BrokenAnswer(f"expected at most {len(self._tail)} bytes in an output, got {size}")
        return size


def _array(output: dict[str, Any], *, content: bytes | None) -> NDArray[Any]:
    datatype = output.get("datatype")
    if content is None:
        return _of_json(output.get("data"))
    if datatype == "BYTES":
        return _of_texts(content)
    dtype = DTYPES.get(str(datatype))
    if dtype is None or len(content) % dtype.itemsize:
        raise BrokenAnswer(f"expected an output in bytes, got {len(content)} of {datatype}")
    return np.frombuffer(content, dtype=dtype)


def _of_json(values: Any) -> NDArray[Any]:
    if not isinstance(values, list):
        raise BrokenAnswer(f"expected data in an output, got {type(values).__name__}")
    try:
        # Objects keep what JSON says: an integer stays one, null differs from a number.
        return np.array(values, dtype=object).reshape(-1)
    except ValueError as error:
        raise BrokenAnswer(f"expected data of one shape in an output: {error}") from None


def _of_texts(content: bytes) -> NDArray[Any]:
    found: list[str] = []
    at = 0
    while at < len(content):
        if at + _LENGTH.size > len(content):
            raise BrokenAnswer("expected texts with their lengths in an output")
        (length,) = _LENGTH.unpack_from(content, at)
        at += _LENGTH.size
        text = content[at : at + length]
        if len(text) < length:
            raise BrokenAnswer(f"expected a text of {length} bytes in an output, got {len(text)}")
        found.append(text.decode(errors="replace"))
        at += length
    return np.array(found, dtype=object)
