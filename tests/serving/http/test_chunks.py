"""The end of a body in chunks: as the parser finds it, without a look into the chunks."""

import httptools
from hypothesis import given
from hypothesis import strategies as st

from serving.http.request import Chunks

HEAD = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET / HTTP/1.1\r\n\r\n"
# Among them what looks like the end of a body.
DATA = st.one_of(st.binary(min_size=1, max_size=40), st.sampled_from([b"0\r\n\r\n", b"\r\n\r\n"]))
SIZES = st.sampled_from([b"%x", b"%X", b"000%x"])
EXTENSIONS = st.sampled_from([b"", b";a=b", b';a="' + b"x" * 60 + b'"'])
TRAILERS = st.lists(st.sampled_from([b"A: b\r\n", b"Long: " + b"x" * 60 + b"\r\n"]), max_size=3)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Bodies in chunks, with extensions and trailers."""
    chunks = [
        b"%b%b\r\n%b\r\n"
        % (draw(st.sampled_from([b"%x", b"%X", b"000%x"])) % len(data), more, data)
        for data in draw(st.lists(DATA, max_size=5))
        for more in (draw(EXTENSIONS),)
    ]
    end = draw(st.sampled_from([b"0", b"000"])) + draw(EXTENSIONS) + b"\r\n"
    return b"".join([*chunks, end, *draw(TRAILERS), b"\r\n"])


class Ends:
    """Notes that a message has ended."""

    ended = False

    def on_message_complete(self) -> None:
        self.ended = True


@given(body=bodies(), cuts=st.lists(st.integers(1, 400), max_size=8))
def test_the_end_is_where_the_parser_has_it(body: bytes, cuts: list[int]) -> None:
    message, chunks = Ends(), Chunks()
    parser = httptools.HttpRequestParser(message)
    parser.feed_data(HEAD)
    places = sorted({cut for cut in cuts if cut < len(body)})
    whole = body + NEXT
    parts = [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]
    for part in parts[:-1]:
        assert chunks.end_in(part) == len(part)
        parser.feed_data(part)
        assert not message.ended
    last = parts[-1]
    end = chunks.end_in(last)
    assert end == len(last) - len(NEXT)
    parser.feed_data(last[:end])
    assert message.ended


def test_what_a_chunk_holds_is_passed_over() -> None:
    """However many empty lines are in it: each piece that the parser gets costs as much again."""
    data = b"\r\n\r\n0\r\n\r\n" * 10_000
    chunks, body = Chunks(), b"%x\r\n%b\r\n" % (len(data), data)
    assert chunks.end_in(body) == len(body)


def test_what_is_no_chunk_is_left_to_the_parser() -> None:
    assert Chunks().end_in(b"no number\r\n\r\n") == len(b"no number\r\n\r\n")
