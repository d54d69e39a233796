"""Uvicorn's HTTP/1.1 protocol, with a short cut for predictions.

A server, a router and a task per request cost more than the query does. A plain request for a
prediction (`serving.api.heads`), which is nearly all that a busy process gets, is answered right
here: from the bytes that arrived to those of the answer, without a task or a future.
Anything else takes uvicorn's way to the ASGI application, which answers predictions all the same:
several inputs at once, bodies in chunks, HTTP/1.0, and whatever is wrong.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import Any

from core.errors import ClipperError, InvalidInput, Saturated
from serving.api import heads
from serving.api.failures import identify
from serving.api.heads import Heads, PredictionHead
from serving.api.http import UNEXPECTED
from serving.api.moving import MovingConnection
from serving.api.plain import plain_input
from serving.api.predict import begin, render
from serving.api.requests import PredictRequest, parse_predict
from serving.api.shared import STATE_KEY, SharedByConnections
from serving.api.splitting import has_batch
from serving.query.processor import QueryProcessor
from serving.query.query import Query

# What a body asks that names an input and nothing else.
PLAIN = PredictRequest()

logger = logging.getLogger(__name__)


class DirectPredictions(SharedByConnections):
    """The short cut: from a body to the JSON of its answer, with nothing to await.

    A web process has one, which its connections also share the rest by.
    """

    def __init__(self, processor: QueryProcessor, *, max_body_bytes: int) -> None:
        super().__init__(processor.resources.metrics)
        self.heads = Heads(lambda: processor.resources.router.snapshot)
        self.max_body_bytes = max_body_bytes
        self._processor = processor

    def begin(self, head: PredictionHead, body: bytes, *, arrived: float) -> Query | None:
        """Ask the models; None, and nothing was asked, where the ordinary way has to be taken.

        It renders many answers into one, waits for versions that were made a moment ago, and says
        what is wrong with a request.
        """
        try:
            request = PLAIN
            input = plain_input(body, input_type=head.application.input_type)
            if input is None:
                if has_batch(body):
                    return None
                request = parse_predict(body)
                plain = request.input_batch is None and request.version is None
                if not plain or not request.models:
                    return None
                input = bytes(request.input)
                if not input:
                    return None
            return begin(
                self._processor,
                head.application,
                request=request,
                input=input,
                arrived=arrived,
                version=None,
            )
        except ClipperError:
            return None

    def answer(self, query: Query, *, body: bytes) -> bytes:
        """Return the JSON of the answer to a settled query; raises what it fails with."""
        try:
            return render(query.prediction())
        except ClipperError as error:
            if isinstance(error, InvalidInput):
                # It may be no JSON at all: its model was the first to look.
                parse_predict(body)
            identify(error, query=query)
            raise


class FrontProtocol(MovingConnection):
    """One connection. A prediction that takes the short cut is `_asked`; what comes meanwhile
    waits, unread beyond one chunk.
    """

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._predictions: DirectPredictions = app_state[STATE_KEY]
        # A request whose body has not arrived as a whole, and what there is of it.
        self._head: PredictionHead | None = None
        self._length = self._missing = 0
        self._chunks: list[bytes] = []
        self._asked: Query | None = None
        self._body = b""

    # What the event loop calls.

    def data_received(self, data: bytes) -> None:
        if self._asked is not None or self._flow.write_paused or self._flow.ahead:
            self._keep(data)
        elif self._head is not None:
            self._take_more(self._head, data)
        elif self._parsing or self._current is not None:
            super().data_received(data)
        else:
            self._take_first(data)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._chunks.clear()
        if self._asked is not None:
            asked, self._asked = self._asked, None
            asked.abandon()

    @property
    def _waits(self) -> bool:
        return self._asked is not None or super()._waits

    # The short cut.

    def _take_first(self, data: bytes) -> None:
        """Take the beginning of a request."""
        arrived = self._active_at = monotonic()
        end = data.find(heads.END, 0, heads.MAX_BYTES)
        found = None if end < 0 else self._predictions.heads.find(data[: end + 4])
        if found is None or self._head_since:
            self._pass_on(data)
            return
        head, self._length, self._request_id = found
        missing = end + 4 + self._length - len(data)
        if self._length > self._predictions.max_body_bytes:
            self._pass_on(data)
        elif missing > 0:
            self._head, self._missing = head, missing
            self._take_part(data)
        else:
            self._predict(head, self._only(data, missing), arrived=arrived)

    def _take_more(self, head: PredictionHead, data: bytes) -> None:
        """Take the next part of a body."""
        arrived = self._active_at = monotonic()
        self._missing -= len(data)
        if self._missing > 0:
            self._take_part(data)
            return
        whole = b"".join((*self._chunks, data))
        self._chunks.clear()
        self._head = None
        self._awaits_nothing()
        self._predict(head, self._only(whole, self._missing), arrived=arrived)

    def _only(self, data: bytes, missing: int) -> bytes:
        """Return what is the request's, and keep what is behind it."""
        if missing == 0:
            return data
        self._keep(data[missing:])
        return data[:missing]

    def _take_part(self, data: bytes) -> None:
        """Keep what there is of a body."""
        try:
            self.unfinished.hold(self.unfinished.held + len(data))
        except Saturated as error:
            self._chunks.clear()
            self._give_up(error)
            return
        self._chunks.append(data)
        self._await_body(len(data))

    def _predict(self, head: PredictionHead, request: bytes, *, arrived: float) -> None:
        """Ask, and answer at once where the cache knows."""
        body = request[len(request) - self._length :]
        self._keep_alive = head.keep_alive
        try:
            query = self._predictions.begin(head, body, arrived=arrived)
        except Exception:
            logger.exception("unexpected error application=%s", head.application.name)
            self._send_error(UNEXPECTED)
            self._take_up()
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
        if self._shared.closing and self._is_last:
            self._keep_alive = False
        try:
            answer = self._predictions.answer(query, body=asked)
        except ClipperError as error:
            self._send_error(error)
        except Exception:
            logger.exception("unexpected error application=%s", query.application.name)
            self._send_error(UNEXPECTED)
        else:
            self._send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n", answer)
        if self._flow.ahead:
            # Not from here: whoever settles queries must not meet what this may lead to.
            self.loop.call_soon(self._go_on)
