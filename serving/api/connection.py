"""One connection: how much of it is read at a time, and how long a client may take.

Whatever a client sends is bounded in bytes and time before it is known who sends it
(`serving.api.limits`), and nothing is read from a client that doesn't read its answers.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl

from core.errors import ClipperError, HeadTooLarge, RequestTimeout, Saturated
from serving.api.framing import HEAD_LIMITS, StrictProtocol
from serving.api.http import WHEN_GONE
from serving.api.limits import MAX_HEAD_BYTES, limits_of
from serving.api.socket import Socket
from serving.api.unfinished import Unfinished

# Further connections are turned away. Each may have one query open.
MAX_CONNECTIONS = 4096
BUSY_RETRY_S = 1.0


class Flow(FlowControl):
    """Reads on only where nothing that was read is waiting (`ahead`), nor an answer to be read."""

    ahead = b""

    def resume_reading(self) -> None:
        if not self.ahead and not self.write_paused:
            super().resume_reading()


class HttpConnection(StrictProtocol):
    """One connection, on which requests go to the ASGI application, one after the other."""

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # Uvicorn's `flow`, and its time for keeping an idle connection, with types of their own.
        self._flow: Flow
        self._idle_s = float(config.timeout_keep_alive)
        self._limits = limits_of(app_state)
        if self.ws_protocol_class is not None:
            self.ws_protocol_class = Socket
        # Of a request that hasn't arrived as a whole.
        self.unfinished = Unfinished(self._limits)
        # When the last byte came or answer went; since when the client doesn't read.
        self._active_at = self._full_at = 0.0
        # Since when a head is awaited, 0 where none is.
        self._head_since = 0.0
        self._timer_at = 0.0

    # What the event loop calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = self._flow = Flow(transport)
        self._active_at = monotonic()
        self._look_at(self._active_at + self._idle_s)
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse(Saturated("Too many connections.", retry_after_s=BUSY_RETRY_S))
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Take bytes of requests, or keep them until those before are answered and read."""
        self._active_at = monotonic()
        if self._flow.ahead or self._waits:
            self._keep(data)
        else:
            self._pass_on(data)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self.unfinished.end()
        if self._current is not None:
            self._current.disconnected = True
            self._current.message_event.set()
            self._current.scope["state"].get(WHEN_GONE, _nothing)()
        self._flow.ahead = b""

    def pause_writing(self) -> None:
        """Read nothing more from a client that doesn't read."""
        super().pause_writing()
        self._full_at = monotonic()
        self._flow.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._take_up()

    @property
    def _waits(self) -> bool:
        """Whether the client has to wait, for an answer or to have read one.

        Of the request that is being answered the body is taken.
        """
        current = self._current
        answering = current is not None and not (self._in_body and self.cycle is current)
        return answering or self._flow.write_paused

    def _keep(self, data: bytes) -> None:
        self._flow.ahead += data
        self._flow.pause_reading()

    def _go_on(self) -> None:
        """Take what came meanwhile, where its turn has come; nothing was read since."""
        if not self._flow.ahead or self._waits or self._refusing:
            return
        data, self._flow.ahead = self._flow.ahead, b""
        if not self.transport.is_closing():
            self._flow.resume_reading()
            self.data_received(data)

    # The end of the process.

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way, nor a part of one."""
        begun = self._parsing or self._head_since or self._flow.ahead
        return not begun and not self._waits and not self.unfinished.held

    @property
    def _is_last(self) -> bool:
        return super()._is_last and not self._flow.ahead

    @property
    def _has_more(self) -> bool:
        return bool(self._flow.ahead)

    def shutdown(self) -> None:
        """Answer what is under way, or the next request: `closing` makes that the last one."""

    # What the parser calls.

    def on_response_complete(self) -> None:
        """Go on with what came meanwhile."""
        self.server_state.total_requests += 1
        self._active_at = monotonic()
        answered, self._current = self._current, None
        if answered is not None:
            answered.body.clear()
        if self.transport.is_closing():
            return
        self._take_up()

    def _take_up(self) -> None:
        """Read on, and give what has begun to come its time from now on."""
        if self._head_since:
            self._head_since = 0.0
            self._await_head()
        if self._flow.ahead:
            self.loop.call_soon(self._go_on)
        else:
            self._flow.resume_reading()

    # Requests, one after the other.

    def _give_up(self, error: ClipperError) -> None:
        self._awaits_nothing()
        super()._give_up(error)

    def _become_websocket(self, rest: bytes) -> None:
        self._awaits_nothing()
        super()._become_websocket(rest)

    def _pass_on(self, data: bytes) -> None:
        """Go uvicorn's way, which may lead to another protocol; what is behind a request waits."""
        size = len(data)
        try:
            while data and not self._waits:
                data = self._feed(data)
                if self._in_chunks:
                    break
            if self.transport.get_protocol() is not self:
                return
            later = bool(data) and self._in_chunks
            self._account(size - len(data) if later else size)
            if data:
                self._keep(data)
            if later:
                # First whoever answers sees the head: it may refuse the body.
                self._shared.later.add(self._go_on)
        except ClipperError as error:
            self._give_up(error)

    def _account(self, size: int) -> None:
        """Note what is held of a request that isn't there yet, and since when it is awaited."""
        unfinished = self.unfinished
        if self._in_body:
            unfinished.hold(len(self.cycle.body))
            self._await_body(size)
        elif self._current is not None and not self._parsing:
            self._awaits_nothing()
        else:
            unfinished.await_nothing()
            unfinished.hold(unfinished.held + size)
            if unfinished.held > 2 * MAX_HEAD_BYTES:
                raise HeadTooLarge(HEAD_LIMITS)
            self._await_head()

    def _awaits_nothing(self) -> None:
        self.unfinished.end()
        self._head_since = 0.0

    def _await_head(self) -> None:
        if not self._head_since:
            self._head_since = monotonic()
            self._look_at(self._head_since + self._limits.head_s)

    def _await_body(self, size: int) -> None:
        self.unfinished.bring(size)
        if not self.unfinished.since:
            self._begin_window()

    def _begin_window(self) -> None:
        self._head_since = 0.0
        self.unfinished.begin_window(now=monotonic())
        self._look_at(self.unfinished.until)

    # Time.

    def timeout_keep_alive_handler(self) -> None:
        """End what has had its time; look again later where it has some left."""
        self.timeout_keep_alive_task = None
        now, due = monotonic(), self._due_at()
        if now < due:
            self._look_at(min(due, now + self._idle_s))
        elif self._flow.write_paused or self.transport.is_closing():
            self._shared.count_refusal("unread")
            self.transport.abort()
        elif self.unfinished.since:
            self._judge_body()
        elif self._head_since:
            self._give_up(RequestTimeout("Expected the head of a request sooner."))
        else:
            self.transport.close()

    def _due_at(self) -> float:
        """Return when what is going on has had its time; a client's own time doesn't count."""
        if self._flow.write_paused:
            return self._full_at + self._idle_s
        if self._waits:
            return float("inf")
        if self.unfinished.since:
            return self.unfinished.until
        if self._head_since:
            return self._head_since + self._limits.head_s
        return self._active_at + self._idle_s

    def _judge_body(self) -> None:
        """Go on where enough came, or where the application didn't take what came."""
        if self.unfinished.enough or self._flow.read_paused:
            self._begin_window()
        else:
            self._give_up(RequestTimeout("Expected the body of the request sooner."))

    def _look_at(self, when: float) -> None:
        """Look whether time is up at `when`, or before."""
        if self.timeout_keep_alive_task is not None and self._timer_at <= when:
            return
        self._unset_keepalive_if_required()
        self._timer_at = when
        self.timeout_keep_alive_task = self.loop.call_later(
            when - monotonic(), self.timeout_keep_alive_handler
        )


def _nothing() -> None:
    """Nobody wants to know."""
