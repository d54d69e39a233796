"""Bytes that a peer might send: valid streams, and what becomes of them on a bad day."""

from itertools import pairwise

from hypothesis import strategies as st

from serving.rpc.frames.codec import (
    Answer,
    AnswerStatus,
    FrameType,
    encode_answers,
    encode_frame,
    encode_predict,
)
from serving.rpc.frames.hello import encode_hello
from tests.serving.rpc.conftest import HELLO

U32 = st.integers(0, 2**32 - 1)
BODIES = st.binary(max_size=60)
ANSWERS = st.lists(st.builds(Answer, st.sampled_from(AnswerStatus), BODIES), max_size=6)

# Each valid in itself.
MESSAGES = st.one_of(
    st.builds(encode_frame, st.sampled_from(FrameType), U32, st.binary(max_size=100)),
    st.builds(encode_predict, U32, st.lists(BODIES, max_size=6)),
    st.builds(lambda r, a, t: encode_answers(r, a, compute_us=t), U32, ANSWERS, U32),
    st.just(encode_hello(HELLO)),
)
STREAMS = st.lists(MESSAGES, min_size=1, max_size=6).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn, streams: st.SearchStrategy[bytes] = STREAMS) -> bytes:
    """A valid stream after a few of: flipped bits, lost, doubled, inserted or overwritten bytes."""
    data = bytearray(draw(streams))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.integers(1, 16))
        match draw(st.integers(0, 5)):
            case 0 if at < len(data):
                data[at] ^= 1 << (size % 8)
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = data[at : at + size]
            case 3:
                data[at:at] = draw(st.binary(min_size=size, max_size=size))
            case 4:
                # Lengths and counts at their bounds are where arithmetic goes wrong.
                data[at : at + 4] = draw(st.sampled_from([b"\xff" * 4, bytes(4), b"\0\0\0\x04"]))
            case _:
                del data[at:]
    return bytes(data)


# What arrives: noise, noise behind a good header, and good streams gone bad.
ARRIVALS = st.one_of(
    st.binary(max_size=300),
    st.builds(encode_frame, st.sampled_from(FrameType), U32, st.binary(max_size=300)),
    STREAMS,
    mutated(),
)


@st.composite
def chunks(draw: st.DrawFn, arrivals: st.SearchStrategy[bytes] = ARRIVALS) -> list[bytes]:
    """Draw the bytes that arrive, in the pieces in which they do."""
    data = draw(arrivals)
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=12))
    return [data[start:end] for start, end in pairwise(sorted({0, len(data), *cuts}))]
