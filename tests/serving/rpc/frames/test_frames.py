"""Frames survive the trip whatever their chunks, and bytes that are no frame are explained."""

import json
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.rpc.errors import ProtocolError
from serving.rpc.frames.codec import (
    HEADER,
    MAX_BODY,
    Answer,
    AnswerStatus,
    Frame,
    FrameDecoder,
    FrameType,
    decode_answers,
    decode_predict,
    encode_answers,
    encode_frame,
    encode_predict,
    fitting,
)
from serving.rpc.frames.hello import decode_hello

U32 = st.integers(0, 2**32 - 1)
FRAMES = st.builds(Frame, st.sampled_from(FrameType), U32, st.binary(max_size=200))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
).map(lambda value: json.dumps(value, ensure_ascii=False).encode())
MESSAGES = st.text("abc é.", max_size=50).map(str.encode)
ANSWERS = st.lists(
    st.builds(Answer, st.just(AnswerStatus.OK), JSON)
    | st.builds(Answer, st.sampled_from(list(AnswerStatus)[1:]), MESSAGES)
)


def chunked(data: bytes, *, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


def body_of(data: bytes) -> bytes:
    (frame,) = FrameDecoder().feed(data)
    return frame.body


@given(frames=st.lists(FRAMES, max_size=8), cuts=st.lists(st.integers(0, 5000), max_size=30))
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    frames: list[Frame], cuts: list[int]
) -> None:
    data = b"".join(encode_frame(*frame) for frame in frames)
    decoder = FrameDecoder()
    received = [frame for chunk in chunked(data, cuts=cuts) for frame in decoder.feed(chunk)]
    assert received == frames
    assert decoder.pending == 0


@given(inputs=st.lists(st.binary(max_size=50)), request_id=U32)
def test_a_batch_comes_out_as_it_went_in(inputs: list[bytes], request_id: int) -> None:
    (frame,) = FrameDecoder().feed(encode_predict(request_id, inputs))
    assert (frame.type, frame.request_id) == (FrameType.PREDICT, request_id)
    assert decode_predict(frame.body) == inputs


@given(answers=ANSWERS, compute_us=U32)
def test_answers_come_out_as_they_went_in(answers: list[Answer], compute_us: int) -> None:
    (frame,) = FrameDecoder().feed(encode_answers(9, answers, compute_us=compute_us))
    assert (frame.type, frame.request_id) == (FrameType.ANSWER, 9)
    assert decode_answers(frame.body) == (answers, compute_us)


@pytest.mark.parametrize(
    "output",
    [
        *(b"NaN", b"-Infinity", b"1e999", b"plain text", b"", b" ", b"1 2", b"[1", b"1]", b"\0"),
        *(b'1,"query_id":"forged"', b'1}\n{"a":1', b'"\xff"', b'"\\ud800"', b"01", b"'a'"),
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_what_is_not_one_json_value_is_no_output_and_its_neighbours_are(output: bytes) -> None:
    good = Answer(AnswerStatus.OK, b'{"a": [1.5e-7, "\xc3\xa9"]}')
    sent = encode_answers(1, [good, Answer(AnswerStatus.OK, output), good], compute_us=1)

    answers, _ = decode_answers(body_of(sent))

    assert answers[0] == answers[2] == good
    assert answers[1].status is AnswerStatus.MODEL_FAILED
    assert answers[1].payload.startswith(b"expected one JSON value as output, got")


@pytest.mark.parametrize("output", [b"1" * 40_000_000, b'"%b"' % (b"x" * 30_000_000)])
def test_an_output_that_is_too_large_fails_alone(output: bytes) -> None:
    good = Answer(AnswerStatus.OK, b"1")
    sent = encode_answers(1, [good, Answer(AnswerStatus.OK, output), good], compute_us=1)

    answers, _ = decode_answers(body_of(sent))

    assert answers[0] == answers[2] == good
    assert answers[1].status is AnswerStatus.MODEL_FAILED
    assert fitting(Answer(AnswerStatus.OK, output)) == answers[1]


@given(st.lists(st.text('1,[]"{}: \n', max_size=4).map(str.encode), min_size=1, max_size=4))
def test_every_output_that_is_let_through_is_json_by_itself(outputs: list[bytes]) -> None:
    sent = encode_answers(1, [Answer(AnswerStatus.OK, raw) for raw in outputs], compute_us=1)

    answers, _ = decode_answers(body_of(sent))

    for answer in answers:
        if answer.status is AnswerStatus.OK:
            json.loads(answer.payload)


def test_a_message_of_another_process_is_made_fit_to_be_shown() -> None:
    message = Answer(AnswerStatus.INVALID_INPUT, b"head\0\x1b[2J\xff" + b"x" * 1_000_000)

    ((status, payload),), _ = decode_answers(body_of(encode_answers(1, [message], compute_us=1)))

    assert status == AnswerStatus.INVALID_INPUT
    assert payload.startswith("head\\x00\\x1b[2J\ufffdx".encode())
    assert len(payload) < 2500


def test_a_compute_time_beyond_32_bits_is_capped() -> None:
    assert decode_answers(body_of(encode_answers(1, [], compute_us=2**40))) == ([], 2**32 - 1)


def test_the_bytes_on_the_wire_are_those_of_the_description() -> None:
    assert encode_frame(FrameType.DRAIN, 5) == b"CL\x01\x04\x05\x00\x00\x00\x00\x00\x00\x00"
    assert encode_predict(1, [b"[1]", b"2"])[12:] == (
        b"\x02\x00\x00\x00\x03\x00\x00\x00\x01\x00\x00\x00[1]2"
    )
    answers = [Answer(AnswerStatus.OK, b"7"), Answer(AnswerStatus.MODEL_FAILED, b"no")]
    assert encode_answers(1, answers, compute_us=258)[12:] == (
        b"\x02\x00\x00\x00\x02\x01\x00\x00\x00\x02\x01\x00\x00\x00\x02\x00\x00\x007no"
    )


@pytest.mark.parametrize(
    ("header", "explanation"),
    [
        ((b"XX", 1, 2, 0, 0), r"expected a frame starting with b'CL', got b'XX'"),
        ((b"CL", 9, 2, 0, 0), r"expected protocol version 1, got 9"),
        ((b"CL", 1, 77, 0, 0), r"expected a frame type from 1 to 8, got 77"),
        ((b"CL", 1, 2, 0, MAX_BODY + 1), rf"at most {MAX_BODY} bytes, got one of {MAX_BODY + 1}"),
    ],
)
def test_a_bad_header_is_refused_before_its_body_arrives(
    header: tuple[object, ...], explanation: str
) -> None:
    with pytest.raises(ProtocolError, match=explanation):
        FrameDecoder().feed(HEADER.pack(*header))


@pytest.mark.parametrize(
    ("body", "explanation"),
    [
        (b"", "expected at least 4 bytes in a PREDICT body, got 0"),
        (struct.pack("<I", 2**32 - 1), "expected the lengths of 4294967295 items"),
        (struct.pack("<II", 1, 5) + b"[1]", "a PREDICT body of 13 bytes for 1 items, got 11"),
        (struct.pack("<II", 1, 1) + b"[1]", "a PREDICT body of 9 bytes for 1 items, got 11"),
    ],
)
def test_a_bad_batch_is_explained(body: bytes, explanation: str) -> None:
    with pytest.raises(ProtocolError, match=explanation):
        decode_predict(body)


@pytest.mark.parametrize(
    ("body", "explanation"),
    [
        (b"1234567", "expected at least 8 bytes in a ANSWER body, got 7"),
        (struct.pack("<II", 3, 0) + b"\0\0\0", "expected the lengths of 3 items"),
        (struct.pack("<IIBI", 1, 0, 0, 4) + b"7", "a ANSWER body of 17 bytes for 1 items, got 14"),
        (struct.pack("<IIBI", 1, 0, 3, 1) + b"7", "expected a status from 0 to 2 .* got 3"),
    ],
)
def test_bad_answers_are_explained(body: bytes, explanation: str) -> None:
    with pytest.raises(ProtocolError, match=explanation):
        decode_answers(body)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"replica": 3}', b"\xff", b"[" * 100_000])
def test_a_bad_hello_is_explained(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="expected a HELLO body"):
        decode_hello(body)


def test_a_body_over_the_limit_is_not_encoded() -> None:
    with pytest.raises(ProtocolError, match="at most"):
        encode_predict(1, [bytes(MAX_BODY)])


def test_a_large_frame_that_dribbles_in_is_joined_once() -> None:
    body = bytes(range(256)) * 4096
    data = encode_frame(FrameType.PREDICT, 1, body)
    decoder = FrameDecoder()
    frames = [frame for i in range(0, len(data), 7) for frame in decoder.feed(data[i : i + 7])]
    assert [frame.body for frame in frames] == [body]
