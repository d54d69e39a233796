"""The frames that web processes and replicas exchange: a codec without I/O.

A frame is a 12-byte little-endian header (magic, protocol version, type, request id, body length)
and a body. ``docs/reference/container-protocol.md`` describes every body byte by byte.
"""

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from functools import partial
from itertools import accumulate, pairwise
from typing import NamedTuple

from serving.rpc.errors import ProtocolError
from serving.rpc.frames.outputs import are_json, json_fault
from serving.rpc.text import safe_text

MAGIC = b"CL"
PROTOCOL_VERSION = 1
MAX_BODY = 64 * 1024 * 1024
# For one input. A web process reads all of it in one turn of its loop, and gives it to each caller.
MAX_OUTPUT = MAX_BODY // 16
HEADER = struct.Struct("<2sBBII")

_COUNT = struct.Struct("<I")
_COUNT_AND_TIME = struct.Struct("<II")
# Bytes of an ANSWER body before its answers; and of each answer beside its payload.
_ANSWERS_HEAD, _ANSWER_HEAD = 8, 5


class FrameType(IntEnum):
    HELLO = 1
    PREDICT = 2
    ANSWER = 3
    DRAIN = 4
    ERROR = 5
    CHALLENGE = 6
    PROOF = 7
    PART = 8


class AnswerStatus(IntEnum):
    OK = 0
    INVALID_INPUT = 1
    MODEL_FAILED = 2


class Answer(NamedTuple):
    """One input's outcome: a JSON value if OK, else a UTF-8 message for the caller."""

    status: int
    payload: bytes


# Makes an answer of the two without the class's own constructor, which is written in Python.
_answer = partial(tuple.__new__, Answer)


def failed(message: str) -> Answer:
    """Return the answer of a model that failed; the message is made printable, and bounded."""
    return Answer(AnswerStatus.MODEL_FAILED, safe_text(message).encode())


class Frame(NamedTuple):
    type: FrameType
    request_id: int
    body: bytes


_TYPES = {int(member): member for member in FrameType}
_STATUSES = tuple(AnswerStatus)


class FrameDecoder:
    """Cuts a byte stream into frames; of no further use after a ProtocolError."""

    def __init__(self) -> None:
        self._head: tuple[FrameType, int] | None = None  # of the frame whose body is arriving
        self._wanted = HEADER.size  # bytes of that body, or of a header
        self._chunks: list[bytes | bytearray] = []
        self._size = 0

    @property
    def pending(self) -> int:
        """Bytes of a frame that has begun and is not complete."""
        return self._size if self._head is None else HEADER.size + self._size

    @property
    def wanted(self) -> int:
        """Bytes that the next step needs in all: a header, or the whole frame it announced."""
        return self._wanted if self._head is None else HEADER.size + self._wanted

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next chunk; return the frames it completes, in order."""
        frames: list[Frame] = []
        if self._size or self._head is not None:
            missing = self._wanted - self._size
            if len(data) < missing:
                self._keep(data)
                return frames
            head = self._head
            whole = self._join(data[:missing])
            if head is None:
                data = whole + data[missing:]
            else:
                # Straight into a body: a second buffer of its size costs more than the copy.
                frames.append(Frame(*head, whole))
                data = data[missing:]
        self._cut(data, into=frames)
        return frames

    def _cut(self, data: bytes, *, into: list[Frame]) -> None:
        start, end = 0, len(data)
        while end - start >= HEADER.size:
            frame_type, request_id, length = _read_header(data, start=start)
            start += HEADER.size
            if start + length > end:
                self._head = (frame_type, request_id)
                self._wanted = length
                break
            into.append(Frame(frame_type, request_id, data[start : start + length]))
            start += length
        if start < end:
            self._keep(data[start:])

    def _join(self, last: bytes) -> bytes:
        whole = b"".join((*self._chunks, last))
        self._chunks.clear()
        self._size = 0
        self._head = None
        self._wanted = HEADER.size
        return whole

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        # Small chunks are copied together, so that a dribbling peer costs bytes, not objects.
        if len(data) >= 64 * 1024:
            self._chunks.append(data)
        elif self._chunks and isinstance(self._chunks[-1], bytearray):
            self._chunks[-1] += data
        else:
            self._chunks.append(bytearray(data))


def first_frame(data: bytes, *, max_body: int) -> tuple[Frame, bytes] | None:
    """Cut the first frame off and return it with the rest; None while it is not complete."""
    if len(data) < HEADER.size:
        return None
    frame_type, request_id, length = _read_header(data, start=0)
    if length > max_body:
        raise ProtocolError(
            f"expected a body of at most {max_body} bytes here, got one of {length}"
        )
    end = HEADER.size + length
    if len(data) < end:
        return None
    return Frame(frame_type, request_id, data[HEADER.size : end]), data[end:]


def encode_frame(frame_type: FrameType, request_id: int, body: bytes = b"") -> bytes:
    return b"".join((_header(frame_type, request_id, len(body)), body))


def encode_predict(request_id: int, inputs: Sequence[bytes]) -> bytes:
    """Encode one batch; each input is the raw JSON text of one input."""
    lengths = [len(raw) for raw in inputs]
    count = len(lengths)
    size = 4 + 4 * count + sum(lengths)
    header = _header(FrameType.PREDICT, request_id, size)
    return b"".join((header, struct.pack(f"<I{count}I", count, *lengths), *inputs))


def decode_predict(body: bytes) -> list[bytes]:
    (count,) = _unpack(_COUNT, body, what="PREDICT")
    lengths_end = 4 + 4 * count
    lengths = _lengths(body, count=count, start=4, what="PREDICT")
    return _cut(body, lengths=lengths, start=lengths_end, what="PREDICT")


def fitting(answer: Answer) -> Answer:
    """Return the answer, or a failure if it is too large for an output."""
    size = len(answer[1])
    if size <= MAX_OUTPUT:
        return answer
    return failed(f"expected an output of at most {MAX_OUTPUT} bytes, got one of {size}")


def encode_in_parts(
    request_id: int, answers: Sequence[Answer], *, compute_us: int
) -> Iterator[bytes]:
    """Encode answers as PART frames as full as may be, and a last ANSWER."""
    first, size = 0, _ANSWERS_HEAD
    for position, answer in enumerate(answers):
        needed = _ANSWER_HEAD + len(answer[1])
        if size + needed > MAX_BODY and position > first:
            part = answers[first:position]
            yield encode_answers(request_id, part, compute_us=compute_us, frame_type=FrameType.PART)
            first, size = position, _ANSWERS_HEAD
        size += needed
    yield encode_answers(request_id, answers[first:], compute_us=compute_us)


def encode_answers(
    request_id: int,
    answers: Sequence[Answer],
    *,
    compute_us: int,
    frame_type: FrameType = FrameType.ANSWER,
) -> bytes:
    """Encode one batch's answers, as many as it had inputs and in their order."""
    payloads = [answer[1] for answer in answers]
    lengths = [len(payload) for payload in payloads]
    count = len(lengths)
    size = _ANSWERS_HEAD + _ANSWER_HEAD * count + sum(lengths)
    header = _header(frame_type, request_id, size)
    return b"".join(
        (
            header,
            _COUNT_AND_TIME.pack(count, min(compute_us, 0xFFFF_FFFF)),
            bytes([answer[0] for answer in answers]),
            struct.pack(f"<{count}I", *lengths),
            *payloads,
        )
    )


def decode_answers(body: bytes) -> tuple[list[Answer], int]:
    """Return checked answers of another process, and the microseconds spent on them."""
    count, compute_us = _unpack(_COUNT_AND_TIME, body, what="ANSWER")
    statuses = body[8 : 8 + count]
    lengths = _lengths(body, count=count, start=8 + count, what="ANSWER")
    payloads = _cut(body, lengths=lengths, start=8 + 5 * count, what="ANSWER")
    fits = len(body) <= MAX_OUTPUT or max(lengths) <= MAX_OUTPUT
    try:
        known = [_STATUSES[status] for status in statuses]
    except IndexError:
        worst = max(statuses)
        raise ProtocolError(f"expected a status from 0 to 2 in an ANSWER, got {worst}") from None
    answers = list(map(_answer, zip(known, payloads, strict=True)))
    if statuses.count(0) < count or not fits or not are_json(payloads):
        answers = list(map(_checked, answers))
    return answers, compute_us


def _checked(answer: Answer) -> Answer:
    if answer.status != AnswerStatus.OK:
        message = safe_text(answer.payload[:MAX_OUTPUT].decode(errors="replace"))
        return Answer(answer.status, message.encode())
    if len(answer.payload) > MAX_OUTPUT:
        return fitting(answer)
    if fault := json_fault(answer.payload):
        return failed(f"expected one JSON value as output, got something else: {fault}")
    return answer


def _read_header(data: bytes, *, start: int) -> tuple[FrameType, int, int]:
    magic, version, number, request_id, length = HEADER.unpack_from(data, start)
    if magic != MAGIC:
        raise ProtocolError(f"expected a frame starting with {MAGIC!r}, got {magic!r}")
    if version != PROTOCOL_VERSION:
        raise ProtocolError(f"expected protocol version {PROTOCOL_VERSION}, got {version}")
    frame_type = _TYPES.get(number)
    if frame_type is None:
        raise ProtocolError(f"expected a frame type from 1 to {max(_TYPES)}, got {number}")
    _check_length(length)
    return frame_type, request_id, length


def _header(frame_type: FrameType, request_id: int, length: int) -> bytes:
    _check_length(length)
    return HEADER.pack(MAGIC, PROTOCOL_VERSION, frame_type, request_id, length)


def _check_length(length: int) -> None:
    if length > MAX_BODY:
        raise ProtocolError(f"expected a body of at most {MAX_BODY} bytes, got one of {length}")


def _unpack(layout: struct.Struct, body: bytes, *, what: str) -> tuple[int, ...]:
    if len(body) < layout.size:
        raise ProtocolError(
            f"expected at least {layout.size} bytes in a {what} body, got {len(body)}"
        )
    return layout.unpack_from(body)


def _lengths(body: bytes, *, count: int, start: int, what: str) -> tuple[int, ...]:
    if len(body) < start + 4 * count:
        raise ProtocolError(
            f"expected the lengths of {count} items in a {what} body, "
            f"got {len(body)} bytes where they alone need {start + 4 * count}"
        )
    return struct.unpack_from(f"<{count}I", body, start)


def _cut(body: bytes, *, lengths: tuple[int, ...], start: int, what: str) -> list[bytes]:
    ends = list(accumulate(lengths, initial=start))
    if ends[-1] != len(body):
        raise ProtocolError(
            f"expected a {what} body of {ends[-1]} bytes for {len(lengths)} items, got {len(body)}"
        )
    return [body[begin:end] for begin, end in pairwise(ends)]
