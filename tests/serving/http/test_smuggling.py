"""The boundary between requests: no content of a body is ever read as a request."""

import asyncio
import json

import pytest

from tests.serving.http.front_server import (
    KEY,
    PATH,
    Client,
    Front,
    client_of,
    request,
    running,
    sent,
)

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: here\r\n\r\n"
NEXT = request(path=b"/next", body=b"next")
OTHER = b"/other"
SPLITS = ("at once", "head first", "byte by byte")


def pieces(data: bytes, *, split: str) -> list[bytes]:
    if split == "head first":
        head, end, rest = data.partition(b"\r\n\r\n")
        return [head + end, rest]
    return [data] if split == "at once" else [data[at : at + 1] for at in range(len(data))]


async def send(client: Client, data: bytes, *, split: str) -> None:
    for piece in pieces(data, split=split):
        await client.send(piece)
        # Gives the server its turn, so that it reads a piece at a time more often than not.
        await asyncio.sleep(0)


def upgrade(value: bytes, *, connection: bytes = b"Upgrade") -> bytes:
    return b"Connection: %b\r\nUpgrade: %b\r\n" % (connection, value)


IGNORED = {
    "h2c": upgrade(b"h2c", connection=b"Upgrade, HTTP2-Settings") + b"HTTP2-Settings: AAMAAABk\r\n",
    "another protocol": upgrade(b"x"),
    "a list": upgrade(b"websocket, h2c"),
    "a websocket by POST": upgrade(b"websocket"),
    "a websocket with all that belongs to it": upgrade(b"websocket")
    + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
    "two offers": upgrade(b"h2c") + b"Upgrade: websocket\r\n",
    "upgrade without connection": b"Upgrade: h2c\r\n",
    "connection without upgrade": b"Connection: Upgrade\r\n",
    "an empty offer": upgrade(b""),
}


@pytest.mark.parametrize("path", [PATH, OTHER], ids=["predict", "other"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
@pytest.mark.parametrize("offer", IGNORED.values(), ids=IGNORED)
async def test_an_offer_to_upgrade_that_is_not_taken_leaves_its_body_a_body(
    offer: bytes, chunked: bool, path: bytes
) -> None:
    it = Front()
    body, framing = HIDDEN, None
    if chunked:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
        framing = b"Transfer-Encoding: chunked\r\n"
    data = request(body, path=path, extra=offer, framing=framing)
    async with running(it):
        for split in SPLITS:
            it.asked.clear()
            async with client_of(it) as client:
                await send(client, data + NEXT, split=split)
                assert [(await client.response())[2] for _ in range(2)] == [b"ASGI", b"ASGI"]
            assert it.asked == [("POST", path.decode(), HIDDEN), ("POST", "/next", b"next")]


async def test_a_websocket_offered_with_a_body_is_an_ordinary_request() -> None:
    it = Front()
    data = request(HIDDEN, method=b"GET", path=OTHER, extra=upgrade(b"websocket"))
    async with running(it), client_of(it) as client:
        await client.send(data + NEXT)
        assert [(await client.response())[2] for _ in range(2)] == [b"ASGI", b"ASGI"]
    assert [asked[2] for asked in it.asked] == [HIDDEN, b"next"]


async def test_a_prediction_that_offers_an_upgrade_is_not_told_of_it() -> None:
    """The fields of an offer that isn't taken are gone; everything else is as it came."""
    it = Front()
    async with running(it), client_of(it) as client:
        await client.send(request(b"abc", extra=upgrade(b"h2c") + b"X-Mine: \xe9 ; a\r\n"))
        assert (await client.response())[0] == 200
    names = [name for name, _ in it.headers[0]]
    assert names == [b"host", b"content-length", b"authorization", b"connection", b"x-mine"]
    assert dict(it.headers[0])[b"x-mine"] == b"\xe9 ; a"


async def test_connect_is_refused_and_nothing_after_it_is_read() -> None:
    it = Front()
    async with running(it), client_of(it) as client:
        await client.send(b"CONNECT here:1 HTTP/1.1\r\nHost: here\r\n\r\n" + HIDDEN)
        status, headers, body = await client.response()
        assert (status, json.loads(body)["code"]) == (405, "method_not_allowed")
        assert headers[b"connection"] == b"close"
        assert await client.closed()
    assert it.asked == []


def framed(fields: bytes, body: bytes = HIDDEN) -> bytes:
    return request(body, framing=fields)


CHUNKED = b"Transfer-Encoding: chunked\r\n"
REFUSED = {
    "two lengths that differ": framed(b"Content-Length: 3\r\nContent-Length: 70\r\n"),
    "two lengths alike": framed(b"Content-Length: 3\r\nContent-Length: 3\r\n"),
    "a list of lengths": framed(b"Content-Length: 3, 3\r\n"),
    "a length with a sign": framed(b"Content-Length: +3\r\n"),
    "a length past all numbers": framed(b"Content-Length: 18446744073709551619\r\n"),
    "a length of none": framed(b"Content-Length: \r\n"),
    "a space before the colon": framed(b"Content-Length : 3\r\n"),
    "chunks and a length": framed(CHUNKED + b"Content-Length: 3\r\n"),
    "a length and chunks": framed(b"Content-Length: 3\r\n" + CHUNKED),
    "chunks that are none": framed(b"Transfer-Encoding: xchunked\r\n"),
    "chunks inside": framed(b"Transfer-Encoding: chunked, identity\r\n"),
    "chunks twice": framed(CHUNKED + b"Transfer-Encoding: chunked\r\n"),
    "a folded field": framed(b"Transfer-Encoding:\r\n chunked\r\n"),
    "a folded field of no meaning": framed(b"X: a\r\n b\r\nContent-Length: 3\r\n"),
    "a bare line feed": framed(b"X: a\nContent-Length: 3\r\n"),
    "a bare carriage return": framed(b"X: a\rContent-Length: 3\r\n"),
    "a bare line feed at the end": framed(b"Content-Length: 3\r\n\nabc\r\n"),
    "a NUL": framed(b"X: a\0b\r\nContent-Length: 3\r\n"),
    "a chunk past all numbers": framed(CHUNKED, b"fffffffffffffffff\r\nabc\r\n"),
    "a chunk with a prefix": framed(CHUNKED, b"0x3\r\nabc\r\n0\r\n\r\n"),
    "a chunk with a sign": framed(CHUNKED, b"-3\r\nabc\r\n0\r\n\r\n"),
    "a chunk longer than it says": framed(CHUNKED, b"3\r\nabcdef\r\n0\r\n\r\n"),
    "a chunk's extension with a line feed": framed(CHUNKED, b"3;a\nabc\r\n0\r\n\r\n"),
    "a chunk that ends with a line feed": framed(CHUNKED, b"3\nabc\r\n0\r\n\r\n"),
    "a length after the chunks": framed(CHUNKED, b"0\r\nContent-Length: 5\r\n\r\n"),
    "HTTP/2 by prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
async def test_a_request_whose_end_is_in_doubt_is_refused_with_the_connection(data: bytes) -> None:
    it = Front()
    async with running(it):
        for split in ("at once", "head first"):
            async with client_of(it) as client:
                await send(client, data, split=split)
                status, headers, body = await client.response()
                assert (status, json.loads(body)["code"]) == (400, "malformed")
                assert headers[b"connection"] == b"close"
    assert [asked for asked in it.asked if asked[0] == "GET"] == []


async def test_what_is_wrong_with_the_next_request_is_said_after_the_answer_to_the_first() -> None:
    it = Front()
    async with running(it), client_of(it) as client:
        await client.send(NEXT + REFUSED["two lengths that differ"])
        assert (await client.response())[2] == b"ASGI"
        assert (await client.response())[0] == 400
        assert await client.closed()
    assert it.asked == [("POST", "/next", b"next")]


async def test_what_is_wrong_with_a_body_behind_another_request_is_said_last() -> None:
    it = Front()
    async with running(it), client_of(it) as client:
        await client.send(NEXT + NEXT + REFUSED["a chunk with a prefix"])
        assert [(await client.response())[0] for _ in range(3)] == [200, 200, 400]
        assert await client.closed()
    assert it.asked == [("POST", "/next", b"next")] * 2


async def test_fields_after_the_chunks_are_not_those_of_the_request() -> None:
    it = Front()
    body = b"3\r\nabc\r\n0\r\nAuthorization: Api-Key forged\r\nX-More: 1\r\n\r\n"
    async with running(it), client_of(it) as client:
        await client.send(request(body, framing=CHUNKED, path=OTHER, key=None) + NEXT)
        assert [(await client.response())[0] for _ in range(2)] == [200, 200]
    assert {name for name, _ in it.headers[0]} == {b"host", b"transfer-encoding"}
    assert dict(it.headers[1])[b"authorization"] == b"Api-Key " + KEY


async def test_chunks_with_extensions_and_blank_lines_before_a_request_are_read() -> None:
    it = Front()
    body = b"3;name=value\r\nabc\r\n0;last\r\n\r\n"
    data = b"\r\n\r\n" + request(body, framing=CHUNKED) + NEXT
    async with running(it):
        for split in SPLITS:
            async with client_of(it) as client:
                await send(client, data, split=split)
                assert [(await client.response())[2] for _ in range(2)] == [b"ASGI", b"ASGI"]
    assert [asked[2] for asked in it.asked] == [b"abc", b"next"] * 3


async def test_a_hidden_request_in_a_prediction_is_part_of_its_input() -> None:
    it = Front(input_type="strings")
    hidden = json.dumps({"input": HIDDEN.decode()}).encode()
    async with running(it), client_of(it) as client:
        await client.send(request(hidden))
        await sent(it)
        it.model.answer()
        status, _, body = await client.response()
        assert (status, json.loads(body)["output"]) == (200, HIDDEN.decode())
        await client.send(NEXT)
        assert (await client.response())[2] == b"ASGI"
    assert it.asked == [("POST", "/next", b"next")]


async def test_empty_lines_before_a_request_say_nothing() -> None:
    """RFC 9112, section 2.2."""
    it = Front()
    async with running(it), client_of(it) as client:
        for before in (b"\r\n", b"\n\r\n\r", b"\r\n" * 1000):
            await client.send(before + request())
            assert (await client.response())[0] == 200
    assert it.asked == [("POST", PATH.decode(), b'{"input":[1]}')] * 3
