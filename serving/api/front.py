"""Uvicorn's HTTP/1.1 protocol, with a short cut for predictions.

What a server, a router and a task an inquiry cost is more than what a query costs. A plain request
for a prediction (`serving.api.heads`), which is nearly all that a busy process gets, is answered
right here: from the bytes that arrived to those of the answer, without a task or a future.
Anything else takes uvicorn's way to the ASGI application, which answers predictions all the same:
several inputs at once, bodies in chunks, HTTP/1.0, pipelined requests, and whatever is wrong.

    python -m uvicorn clipper_site.asgi:application --http serving.api.front:FrontProtocol
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import Any

from registry.errors import ClipperError, Saturated
from serving.api import heads
from serving.api.connection import Connection
from serving.api.heads import PredictionHead
from serving.api.http import UNEXPECTED
from serving.query import Query

# Further connections are turned away. Each may have one query open.
MAX_CONNECTIONS = 4096
BUSY_RETRY_S = 1.0

logger = logging.getLogger(__name__)


class FrontProtocol(Connection):
    """One connection. A prediction that takes the short cut is `_asked`; what comes meanwhile
    waits in `_ahead`, unread beyond one chunk.
    """

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # A request whose body has not arrived as a whole, and what there is of it.
        self._head: PredictionHead | None = None
        self._length = self._missing = 0
        self._chunks: list[bytes] = []
        self._asked: Query | None = None
        self._body = b""
        self._ahead = b""
        self._active_at = 0.0

    # What the event loop calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse(Saturated("Too many connections.", retry_after_s=BUSY_RETRY_S))
            return
        self._active_at = monotonic()
        self._close_when_idle_after(self.timeout_keep_alive)

    def data_received(self, data: bytes) -> None:
        arrived = self._active_at = monotonic()
        if self._asked is not None:
            self._ahead += data
            self.transport.pause_reading()
        elif self._head is not None:
            self._take_more(self._head, data, arrived=arrived)
        elif self._parsing or self._responding:
            self._pass_on(data)
        else:
            self._take_first(data, arrived=arrived)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._chunks.clear()
        self._ahead = b""

    def shutdown(self) -> None:
        """Close the connection, once the prediction that it waits for is answered."""
        if self._asked is None:
            super().shutdown()
        else:
            self._keep_alive = False

    # What uvicorn's parser calls.

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._active_at = monotonic()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one that was active meanwhile gets the rest of its time.

        A client that takes so long over the next bytes of its request counts as idle.
        """
        working = self._asked is not None or (self._responding and not self._parsing)
        left = self._active_at + self.timeout_keep_alive - monotonic()
        if working:
            left = float(self.timeout_keep_alive)
        if left > 0.0:
            self._close_when_idle_after(left)
        else:
            super().timeout_keep_alive_handler()

    def _close_when_idle_after(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def _pass_on(self, data: bytes) -> None:
        """Go uvicorn's way, which may lead to another protocol."""
        self._unset_keepalive_if_required()
        self._feed(data)
        timed = self.timeout_keep_alive_task is not None
        if not timed and not self.transport.is_closing() and self.transport.get_protocol() is self:
            self._close_when_idle_after(self.timeout_keep_alive)

    # The short cut.

    def _take_first(self, data: bytes, *, arrived: float) -> None:
        """Take the beginning of a request."""
        end = data.find(heads.END, 0, heads.MAX_BYTES)
        found = None if end < 0 else self._predictions.heads.find(data[: end + 4])
        if found is None:
            self._pass_on(data)
            return
        head, self._length = found
        missing = end + 4 + self._length - len(data)
        if missing < 0 or self._length > self._predictions.max_body_bytes:
            self._pass_on(data)
        elif missing == 0:
            self._predict(head, data, arrived=arrived)
        else:
            self._head, self._missing = head, missing
            self._chunks.append(data)

    def _take_more(self, head: PredictionHead, data: bytes, *, arrived: float) -> None:
        """Take the next part of a body."""
        self._chunks.append(data)
        self._missing -= len(data)
        if self._missing > 0:
            return
        whole = b"".join(self._chunks)
        self._chunks.clear()
        self._head = None
        if self._missing < 0:
            self._pass_on(whole)
        else:
            self._predict(head, whole, arrived=arrived)

    def _predict(self, head: PredictionHead, request: bytes, *, arrived: float) -> None:
        """Ask, and answer at once where the cache knows."""
        body = request[len(request) - self._length :]
        self._keep_alive = head.keep_alive
        try:
            query = self._predictions.begin(head, body, arrived=arrived)
        except Exception:
            logger.exception("unexpected error application=%s", head.application.name)
            self._send_error(UNEXPECTED)
            return
        if query is None:
            self._pass_on(request)
            return
        self._asked, self._body = query, body
        query.when_settled(self._answer)

    def _answer(self) -> None:
        """Send what the query came to, then go on with what arrived meanwhile."""
        query, self._asked = self._asked, None
        asked, self._body = self._body, b""
        assert query is not None  # noqa: S101
        try:
            answer = self._predictions.answer(query, body=asked)
        except ClipperError as error:
            self._send_error(error)
        except Exception:
            logger.exception("unexpected error application=%s", query.application.name)
            self._send_error(UNEXPECTED)
        else:
            self._send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n", answer)
        if self._ahead:
            # Not from here: whoever settles queries must not meet what this may lead to.
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Take what came while an answer was awaited; nothing was read since."""
        data, self._ahead = self._ahead, b""
        if data and not self.transport.is_closing():
            self.transport.resume_reading()
            self.data_received(data)
