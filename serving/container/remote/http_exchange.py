"""One connection to a server: a request at a time, its answer parsed and bounded (llhttp)."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple, cast

import httptools

from serving.container.remote.failures import (
    BrokenAnswer,
    ClosedWithoutAnswer,
    RemoteFailure,
    TooLargeAnswer,
)

LARGEST_BODY = 64 << 20


class HttpAnswer(NamedTuple):
    """Names of headers are in small letters; of several with one name the last stands."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpExchange(asyncio.Protocol):
    """One connection's requests and answers, one after the other.

    After a failure, or an answer that ends the connection, it is `closed`.
    """

    def __init__(self, *, to: str) -> None:
        self.closed = False
        self._to = to
        self._most = LARGEST_BODY
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[HttpAnswer] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._begin()

    def ask(self, request: bytes, *, most: int = LARGEST_BODY) -> asyncio.Future[HttpAnswer]:
        """Send a request; the future is the answer's, or has a RemoteFailure."""
        self._most = min(most, LARGEST_BODY)
        assert self._transport is not None  # noqa: S101  # it is connected
        self._begin()
        self._waiting = asyncio.get_running_loop().create_future()
        if self.closed:
            self._end(ClosedWithoutAnswer(f"{self._to} closed the connection"))
        else:
            self._transport.write(request)
        return self._waiting

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._waiting is None or self._waiting.done():
            self.close()  # nobody has asked
            return
        self._arrived += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("another protocol than HTTP/1.1")
        except httptools.HttpParserError as error:
            if not self.closed:
                self._fail(f"no HTTP: {error}")
        else:
            if not self._head_complete and self._arrived > 64 << 10:
                self._fail("a head of more than 65536 bytes")
            elif self._arrived - self._size > LARGEST_BODY:  # such as fields after the body
                self._fail(f"more than {LARGEST_BODY} bytes beside its body")

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self._waiting is None or self._waiting.done():
            return
        if not self._arrived:
            self._end(ClosedWithoutAnswer(f"{self._to} closed the connection without an answer"))
        elif self._head_complete and self._ends_with_connection and error is None:
            self._complete()
        else:
            self._fail(f"an answer that broke off after {self._arrived} bytes")

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._waiting is not None and self._waiting.done():
            self.close()  # a second answer to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        self._head_complete = True
        self._status = self._parser.get_status_code()
        announced = self._headers.get("content-length", "0")
        if announced.isdigit() and int(announced[:20]) > self._most:
            self._fail_as_too_large()

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > self._most:
            self._fail_as_too_large()
        elif not self.closed:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._status < 200:  # it is about to answer
            self._begin(arrived=self._arrived)
            return
        if not self._parser.should_keep_alive():
            self.close()
        self._complete()

    # Ends.

    @property
    def _ends_with_connection(self) -> bool:
        return not {"content-length", "transfer-encoding"} & set(self._headers)

    def _begin(self, *, arrived: int = 0) -> None:
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._arrived = arrived
        self._head_complete = False

    def _complete(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            answer = HttpAnswer(self._status, self._headers, b"".join(self._body))
            self._waiting.set_result(answer)

    def _fail_as_too_large(self) -> None:
        self._fail(f"more than {self._most} bytes", as_a=TooLargeAnswer)

    def _fail(self, what: str, *, as_a: type[BrokenAnswer] = BrokenAnswer) -> None:
        self.close()
        self._body.clear()
        self._end(as_a(f"{self._to} sent {what}"))

    def _end(self, failure: RemoteFailure) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(failure)
