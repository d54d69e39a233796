"""What other files an ONNX model would have read, found without the library that reads them.

A tensor may say that its numbers lie in another file, at a path of the model's choice, and ONNX
Runtime takes them from anywhere below the model's folder: from an artifact beside it, for one.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from serving.container.errors import ArtifactInvalid

# By message and field: which messages hold others that in the end hold tensors.
HOLDS: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external"},
    "external": {},
}
KEY, VALUE = 1, 2  # the fields of an entry of `external`
# As deep as protobuf itself goes.
DEEPEST = 100
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class _Message:
    kind: str
    start: int
    end: int
    depth: int


def external_files(model: Path) -> set[str]:
    """The paths that a model's tensors name. Raises ArtifactInvalid where it is no protobuf."""
    if model.stat().st_size == 0:
        raise ArtifactInvalid("expected an ONNX model, got an empty file")
    with (
        model.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        try:
            return set(_locations(content))
        except (IndexError, UnicodeDecodeError) as error:
            raise ArtifactInvalid(f"expected an ONNX model, got a broken one: {error}") from error


def _locations(content: mmap.mmap) -> Iterator[str]:
    left = [_Message("model", 0, len(content), 0)]
    while left:
        message = left.pop()
        if message.depth > DEEPEST:
            raise IndexError("it is nested too deep")
        holds = HOLDS[message.kind]
        entry: dict[int, str] = {}
        for field, start, end in _fields(content, message):
            if field in holds:
                left.append(_Message(holds[field], start, end, message.depth + 1))
            elif message.kind == "external":
                entry[field] = content[start:end].decode()
        if entry.get(KEY) == "location":
            yield entry.get(VALUE, "")


def _fields(content: mmap.mmap, message: _Message) -> Iterator[tuple[int, int, int]]:
    """Each field's number, and where its bytes begin and end, of those that have some."""
    at = message.start
    while at < message.end:
        tag, at = _varint(content, at)
        kind = tag & 7
        if kind == _VARINT:
            _, at = _varint(content, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if kind == _EIGHT_BYTES else 4
        elif kind == _BYTES:
            length, at = _varint(content, at)
            if at + length > message.end:
                raise IndexError("it was cut off")
            yield tag >> 3, at, at + length
            at += length
        else:
            raise IndexError("it is no protobuf of today")
    if at > message.end:
        raise IndexError("it was cut off")


def _varint(content: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise IndexError("it is no protobuf")
