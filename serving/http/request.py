"""One HTTP/1.1 request: its head parsed at once, its body taken as it arrives.

Clients behind a proxy share connections with strangers. So the parser gets the bytes of one request
only, and an offer of another protocol is ignored, as RFC 9110 §7.8 allows.
"""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

import httptools

from core.errors import BadRequest, ClipperError, HeadTooLarge, MethodNotAllowed
from serving.http.limits import MAX_FIELDS, MAX_HEAD_BYTES

END_OF_HEAD = b"\r\n\r\n"
# The id that a caller gives a request is sent back with its answer.
REQUEST_ID = b"x-request-id"
# Longer ids, and those of other characters, are not sent back.
_plain = re.compile(rb"[!-~]{1,128}").fullmatch
_in_head = re.compile(rb"\r\nx-request-id:[ \t]*([!-~]{1,128})[ \t]*\r\n", re.IGNORECASE).search

# A size has fewer digits; what comes behind them in its line says nothing here.
LINE_BYTES = 32
LINE_END = b"\r\n"

Fields = list[tuple[bytes, bytes]]


def head_too_large() -> HeadTooLarge:
    return HeadTooLarge(f"Expected a head of at most {MAX_HEAD_BYTES} bytes, {MAX_FIELDS} fields.")


class Chunks:
    """A body in chunks, as far as it has come (RFC 9112 §7.1).

    The parser must not be fed what is behind it, but alone says what is wrong with it.
    """

    def __init__(self) -> None:
        # What the chunk still lacks, with the line end behind it.
        self._left = 0
        self._line = b""
        self._in_trailers = False

    def end_in(self, data: bytes) -> int:
        """Return how many of the next bytes are the body's and may be parsed at once."""
        at, size, lines = 0, len(data), 0
        # A chunk of one byte costs 2.5 µs: so many are parsed in one turn of the loop.
        while at < size and lines < 256:
            if self._left:
                step = min(self._left, size - at)
                self._left -= step
                at += step
                continue
            end = data.find(b"\n", at) + 1
            line = self._line + data[at : min(end or size, at + LINE_BYTES)]
            if not end:
                self._line = line[:LINE_BYTES]
                return size
            self._line, at, lines = b"", end, lines + 1
            if not self._in_trailers:
                self._begin(line)
            elif not line.strip(LINE_END):
                break
        return at

    def _begin(self, line: bytes) -> None:
        """Take the line that a chunk begins with; the parser refuses one that is none."""
        try:
            length = int(line[:LINE_BYTES].partition(b";")[0], 16)
        except ValueError:
            return
        self._in_trailers = length == 0
        self._left = length + len(LINE_END) if length > 0 else 0


class Request:
    """One request, made of the bytes of its head with the empty line; raises ClipperError.

    `has_offer`: the client offers another protocol.
    """

    def __init__(self, raw: bytes) -> None:
        self.target = self.path = self.query = b""
        self.fields: Fields = []
        self.is_chunked = False
        # The bytes that the body still lacks, if its length is known.
        self.left = 0
        self.complete = False
        self.has_offer = self.opens_websocket = False
        self.expects_continue = False
        self._has_head = False
        self._size = 0
        self._body: list[bytes] = []
        self._chunks = Chunks()
        self._parser = httptools.HttpRequestParser(self)
        self._feed(raw)
        self.method: bytes = self._parser.get_method()
        self.version: str = self._parser.get_http_version()
        if not self._has_head:
            raise BadRequest("Expected the head of an HTTP/1.1 request.")
        self.keep_alive: bool = self.version == "1.1" and self._parser.should_keep_alive()
        self._read_target()
        self._read_fields()

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the part of the body in these bytes, and the bytes that are not taken yet."""
        if not self.is_chunked:
            part, rest = (data, b"") if len(data) <= self.left else _cut(data, self.left)
            self.left -= len(part)
            self.complete = not self.left
            return part, rest
        part, rest = _cut(data, self._chunks.end_in(data))
        self._feed(part)
        body = b"".join(self._body)
        self._body.clear()
        return body, rest

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._stopped()
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, ClipperError):
                raise error.__context__ from None
            raise BadRequest("Expected an HTTP/1.1 request, got something else.") from None

    def _stopped(self) -> None:
        """Go on where the parser stopped, as another protocol may follow the head."""
        method = self._parser.get_method()
        if method == b"CONNECT":
            raise MethodNotAllowed("Expected a method of a web server, got CONNECT.")
        version = self._parser.get_http_version()
        offered = b"".join(value.lower() for name, value in self.fields if name == b"upgrade")
        fields = [field for field in self.fields if field[0] != b"upgrade"]
        start = b"%b %b HTTP/%b" % (method, self.target, version.encode())
        lines = [b"%b: %b" % field for field in fields]
        self.target, self.fields, self._size = b"", [], 0
        self._has_head = False
        # Without the offer the body, if there is one, is read.
        self._parser = httptools.HttpRequestParser(self)
        self._feed(b"\r\n".join((start, *lines, b"", b"")))
        self.has_offer = True
        is_bare = self.complete and method == b"GET" and version == "1.1"
        self.opens_websocket = is_bare and offered == b"websocket"

    def _read_target(self) -> None:
        try:
            url: Any = httptools.parse_url(self.target)  # a part that it lacks is None
            self.path, self.query = url.path or b"", url.query or b""
            self.path.decode("ascii")
        except (httptools.HttpParserError, UnicodeError):
            self.path = b""
        if not self.path.startswith(b"/"):
            raise BadRequest("Expected a target that is a path, as in GET /path HTTP/1.1.")

    def _read_fields(self) -> None:
        for name, value in self.fields:
            if name == b"transfer-encoding":
                self.is_chunked = True
            elif name == b"content-length":
                self.left = int(value)  # the parser refuses what isn't one number
            elif name == b"connection":  # the parser overlooks it beside another word
                self.keep_alive &= b"close" not in value.lower()
            elif name == b"expect":
                self.expects_continue = value.lower() == b"100-continue"

    @property
    def routed_path(self) -> str:
        path = self.path.decode("ascii")
        return unquote(path) if "%" in path else path

    # Called by the parser.

    def on_message_begin(self) -> None:
        if self._has_head:
            raise BadRequest("Expected a request that ends where HTTP/1.1 says.")

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._has_head:
            # Fields behind chunks are counted and dropped: nobody vouches for them.
            self._size += len(name) + len(value) + len(b": \r\n")
        else:
            self.fields.append((name.lower(), value))
        if self._size > MAX_HEAD_BYTES or len(self.fields) > MAX_FIELDS:
            raise head_too_large()

    def on_headers_complete(self) -> None:
        self._has_head = True

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        # False while the parser stops at an offer, whose request may have a body.
        self.complete = not self._parser.should_upgrade()


def _cut(data: bytes, at: int) -> tuple[bytes, bytes]:
    return data[:at], data[at:]


def request_id_in(head: bytes) -> bytes:
    """Return the id in the bytes of a head; b"" without one."""
    found = _in_head(head)
    return found[1] if found else b""


def request_id_of(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the id among fields, whose names are in lower case; b"" without one."""
    for name, value in fields:
        if name == REQUEST_ID:
            return value if _plain(value) else b""
    return b""
