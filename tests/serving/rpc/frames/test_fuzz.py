r"""Whatever bytes arrive, in whatever pieces: frames, or a ProtocolError, and bounded memory.

A short run is part of the suite. The long one:

    pytest tests/serving/rpc/frames/test_fuzz.py \
        tests/serving/container/server/test_server_fuzz.py \
        --hypothesis-profile=fuzz --timeout=0
"""

import json
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serving.rpc.errors import ProtocolError
from serving.rpc.frames.codec import (
    HEADER,
    MAX_BODY,
    AnswerStatus,
    Frame,
    FrameDecoder,
    FrameType,
    decode_answers,
    decode_predict,
    encode_answers,
    encode_predict,
    first_frame,
)
from serving.rpc.frames.hello import decode_hello, encode_hello
from serving.rpc.tcp.handshake import (
    MAX_HANDSHAKE_BODY,
    ContainerHandshake,
    Handshake,
    WebHandshake,
)
from tests.serving.rpc.conftest import CREDENTIALS, HELLO, STRANGERS
from tests.serving.rpc.frames.mutations import ARRIVALS, U32, chunks, mutated

FRAMES = st.builds(
    Frame, st.sampled_from(FrameType), U32, st.one_of(st.binary(max_size=120), st.just(bytes(64)))
)


def one_by_one(data: bytes) -> tuple[list[Frame], bool]:
    """The frames of a stream, and whether it ends in bytes that are none."""
    frames: list[Frame] = []
    try:
        while cut := first_frame(data, max_body=MAX_BODY):
            frame, data = cut
            frames.append(frame)
    except ProtocolError:
        return frames, True
    return frames, False


@given(arriving=chunks())
def test_pieces_give_the_frames_of_the_whole(arriving: list[bytes]) -> None:
    expected, broken = one_by_one(b"".join(arriving))
    decoder = FrameDecoder()
    frames: list[Frame] = []
    try:
        for chunk in arriving:
            frames += decoder.feed(chunk)
    except ProtocolError:
        assert broken
        # The frames before the bad one, if they came in the same piece, are lost with it.
        assert frames == expected[: len(frames)]
        return
    assert not broken
    assert frames == expected


@given(arriving=chunks())
def test_a_decoder_keeps_no_more_than_has_arrived_nor_than_a_frame(arriving: list[bytes]) -> None:
    decoder = FrameDecoder()
    arrived = 0
    with suppress(ProtocolError):
        for chunk in arriving:
            arrived += len(chunk)
            decoder.feed(chunk)
            assert decoder.pending <= arrived
            assert decoder.pending <= decoder.wanted <= HEADER.size + MAX_BODY


@given(body=st.one_of(ARRIVALS, ARRIVALS.map(lambda data: data[HEADER.size :])))
@example(body=b"\xff\xff\xff\xff")
@example(body=b"\xff\xff\xff\xff" * 3)
def test_a_batch_is_its_own_bytes_or_refused(body: bytes) -> None:
    try:
        inputs = decode_predict(body)
    except ProtocolError:
        return
    assert encode_predict(0, inputs)[HEADER.size :] == body


@given(body=st.one_of(ARRIVALS, ARRIVALS.map(lambda data: data[HEADER.size :])))
@example(body=b"\xff\xff\xff\xff" * 4)
def test_answers_are_their_own_bytes_or_refused(body: bytes) -> None:
    try:
        answers, compute_us = decode_answers(body)
    except ProtocolError:
        return
    again = encode_answers(0, answers, compute_us=compute_us)
    # What was no output, or no message, has been replaced by one, for good.
    assert decode_answers(again[HEADER.size :]) == (answers, compute_us)
    outputs = [answer.payload for answer in answers if answer.status is AnswerStatus.OK]
    assert all(output in body for output in outputs)
    assert all(json.dumps(json.loads(output)) for output in outputs)


@given(
    body=st.one_of(
        ARRIVALS,
        mutated(st.just(encode_hello(HELLO)[HEADER.size :])),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=9),
            lambda inner: st.dictionaries(st.sampled_from([*HELLO.__struct_fields__, "x"]), inner),
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_a_hello_is_complete_or_refused(body: bytes) -> None:
    try:
        hello = decode_hello(body)
    except ProtocolError:
        return
    assert decode_hello(encode_hello(hello)[HEADER.size :]) == hello


@given(data=ARRIVALS, limit=st.integers(0, 400))
def test_a_limit_on_the_first_frame_holds(data: bytes, limit: int) -> None:
    try:
        cut = first_frame(data, max_body=limit)
    except ProtocolError:
        return
    if cut is None:
        assert len(data) < HEADER.size + limit
    else:
        assert len(cut[0].body) <= limit
        assert data.endswith(cut[1])


def unauthenticated() -> list[Handshake]:
    """Both ends, facing somebody who does not know their secret."""
    hello = encode_hello(HELLO)[HEADER.size :]
    return [
        ContainerHandshake(secret=CREDENTIALS.secret, replica="r1", hello=hello, nonce=bytes(32)),
        WebHandshake(secret=CREDENTIALS.secret, replica="r1", nonce=bytes(32)),
    ]


@given(frames=st.lists(FRAMES, max_size=6))
def test_no_frames_make_a_handshake_believe_a_stranger(frames: list[Frame]) -> None:
    for handshake in unauthenticated():
        with suppress(ProtocolError):
            for frame in frames:
                handshake.receive(frame)
        assert not handshake.is_done


@given(data=mutated(), which=st.sampled_from(["secret", "replica"]))
def test_a_handshake_between_two_that_differ_ends_in_a_refusal(data: bytes, which: str) -> None:
    """One end has another secret, or means another replica, and bytes are changed besides."""
    secret = STRANGERS.secret if which == "secret" else CREDENTIALS.secret
    far = unauthenticated()[0]
    near = WebHandshake(secret=secret, replica="r2", nonce=data[:32].ljust(32))
    (challenge,) = FrameDecoder().feed(far.opening)
    (proof,) = FrameDecoder().feed(near.receive(challenge))
    with pytest.raises(ProtocolError):
        far.receive(proof)
    with suppress(ProtocolError):
        cut = first_frame(data, max_body=MAX_HANDSHAKE_BODY)
        if cut is not None:
            far.receive(cut[0])
    assert not far.is_done
