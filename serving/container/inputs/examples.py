"""Signatures from examples, and made-up inputs for versions without one."""

from collections.abc import Iterable
from math import prod
from typing import Any

import msgspec
from msgspec.structs import replace

from serving.container.inputs.signature import (
    ARRAY_DTYPES,
    COLUMNS,
    TENSOR,
    DType,
    InputPart,
    InvalidSignature,
    Signature,
)

# The levels of an example: others read it level by level.
MOST_NESTED = 64


def completed(signature: Signature, *, example: str | bytes) -> Signature:
    """The signature, and what it leaves open as the example has it. "" is no example."""
    if not example:
        return signature
    value = _decoded(example)
    if not signature.inputs:
        return replace(signature, inputs=_parts_of(value, input_type=signature.input_type))
    if signature.input_type != COLUMNS or not isinstance(value, dict):
        return signature
    parts = tuple(
        part if part.dtype else replace(part, dtype=_dtype_of(value.get(part.name)))
        for part in signature.inputs
    )
    return replace(signature, inputs=parts)


def made_up(signature: Signature) -> tuple[bytes, ...]:
    """Inputs of zeros and of ones, where their shape is known; none where it isn't."""
    if signature.input_type == COLUMNS and signature.inputs:
        return (msgspec.json.encode({part.name: _made_up_cell(part) for part in signature.inputs}),)
    if signature.input_type not in (*ARRAY_DTYPES, TENSOR) or not signature.inputs:
        return ()
    shapes = [_made_up_shape(part) for part in signature.inputs]
    if None in shapes or sum(map(_weight, shapes)) > 1 << 20:
        return ()
    return tuple(_tensors(signature, digit=digit) for digit in (b"0", b"1"))


def _decoded(example: str | bytes) -> Any:
    try:
        value = msgspec.json.decode(example)
    except (ValueError, RecursionError) as error:
        raise InvalidSignature(f"expected an example in JSON: {error}") from None
    if is_nested_deep(value):
        raise InvalidSignature(f"expected an example of at most {MOST_NESTED} levels")
    return value


def is_nested_deep(value: Any) -> bool:
    """Return whether JSON has more than MOST_NESTED levels."""
    level, depth = [value], 0
    while level and depth <= MOST_NESTED:
        depth += 1
        level = [inner for outer in level for inner in _members(outer)]
    return depth > MOST_NESTED


def _members(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _parts_of(value: Any, *, input_type: str) -> tuple[InputPart, ...]:
    if input_type == COLUMNS and isinstance(value, dict):
        return tuple(InputPart(name=name, dtype=_dtype_of(of)) for name, of in value.items())
    if input_type in ARRAY_DTYPES and isinstance(value, list):
        return (InputPart(dtype=ARRAY_DTYPES[input_type], shape=(len(value),)),)
    if input_type != TENSOR:
        return ()
    if isinstance(value, dict):
        return tuple(_tensor_of(of, name=name) for name, of in value.items())
    return (_tensor_of(value, name=""),)


def _tensor_of(value: Any, *, name: str) -> InputPart:
    sizes: list[int] = []
    while isinstance(value, list):
        sizes.append(len(value))
        value = value[0] if value else None
    return InputPart(name=name, dtype=_dtype_of(value), shape=tuple(sizes))


def _dtype_of(value: Any) -> DType:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "float64"  # 31 may be an age of which another is 31.5
    return "string" if isinstance(value, str) else ""


def _made_up_cell(part: InputPart) -> Any:
    if part.categories:
        return part.categories[0]
    if part.dtype.startswith("datetime"):
        return "2000-01-01T00:00:00"
    if part.dtype in ("string", "category"):
        return ""
    return False if part.dtype == "bool" else 0


def _made_up_shape(part: InputPart) -> tuple[int, ...] | None:
    if part.shape is None or part.dtype in ("bool", "string", "category"):
        return None
    return tuple(1 if size is None else size for size in part.shape)


def _weight(shape: tuple[int, ...] | None) -> int:
    """Return how much there is to write of a shape: an empty array takes room too."""
    return prod(max(size, 1) for size in shape or ())


def _tensors(signature: Signature, *, digit: bytes) -> bytes:
    texts = [_nested(_made_up_shape(part) or (), digit=digit) for part in signature.inputs]
    if len(texts) == 1:
        return texts[0]
    members = {
        part.name: msgspec.Raw(text) for part, text in zip(signature.inputs, texts, strict=True)
    }
    return msgspec.json.encode(members)


def _nested(shape: tuple[int, ...], *, digit: bytes) -> bytes:
    text = digit
    for size in reversed(shape):
        text = b"[" + b",".join([text] * size) + b"]"
    return text
