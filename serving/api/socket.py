"""Uvicorn's websocket protocol: with bounds on what it holds for a client, and an orderly end."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import msgspec
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS

from core.errors import BadRequest, Saturated
from serving.api.framing import error_start
from serving.api.limits import limits_of
from serving.api.lingering import LINGER_S, linger
from serving.api.shared import STATE_KEY, SharedByConnections
from serving.api.unfinished import Unfinished
from serving.api.websocket_frames import FrameCounter

# Where a connection's state has its protocol, and its application says that it ends when told to.
SOCKET_KEY = "socket"
ENDS_KEY = "ends"
# A message before the key is known: enough for a key, and too little to hold much.
FIRST_BYTES = 4096
# Frames before it is known: each costs some µs, each message an answer.
FIRST_FRAMES = 64
# Each part of a message costs more than its bytes, and there may be parts of none.
MAX_PARTS = 1024
# Frames of one connection that are parsed in one turn of the loop, and those of a burst that may be
# pings and pongs.
FRAMES_AT_ONCE = 64
MAX_CONTROL_FRAMES = 256
# A server that stops gives its applications so long for what is in flight, and then its clients to
# close their side; together less than the process waits (`serving.api.server.ANSWER_S`).
END_S = 7.0
CLOSE_S = 2.0


class Socket(WebSocketsSansIOProtocol):
    """One websocket. Until it is `trust`ed it takes messages of up to FIRST_BYTES."""

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits_of(app_state)
        self._shared: SharedByConnections = app_state[STATE_KEY]
        self._most_bytes = self.conn.max_message_size
        self.conn.max_message_size = FIRST_BYTES
        # Of a message that has not arrived as a whole.
        self._unfinished = Unfinished(self._limits)
        # What was read and waits to be parsed; whether a later turn of the loop goes on with it.
        self._ahead = bytearray()
        self._goes_on = False
        self._frames = FrameCounter()
        self._trusted = False
        self._window: asyncio.TimerHandle | None = None

    def trust(self) -> None:
        """Take messages of any size that the server takes: the key is known."""
        self.conn.max_message_size = self._most_bytes
        self._trusted = True

    def count_refusal(self, code: int) -> None:
        self._shared.count_refusal(f"websocket_{code}")

    # What the event loop calls.

    def data_received(self, data: bytes) -> None:
        """Take the head, or some frames; what is behind those waits for later turns of the loop."""
        if not self.handshake_initiated:
            self._parse(data)
            return
        self._ahead += data
        if not self._goes_on:
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._ahead.clear()
        self._awaits_nothing()

    def pause_writing(self) -> None:
        """Read nothing more from a client that doesn't read: each ping has an answer."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._read_on()

    def shutdown(self) -> None:
        """Have the application answer what is in flight and close, where it can."""
        state = self.scope["state"] if self.handshake_initiated and self.handshake_complete else {}
        if self.close_sent or not state.get(ENDS_KEY):
            super().shutdown()
            return
        self.stop_keepalive()
        self.close_timeout = CLOSE_S
        self.loop.call_later(END_S + CLOSE_S, self.transport.abort)
        end: Any = {"type": "websocket.end"}
        self.queue.put_nowait(end)

    # What uvicorn's protocol calls.

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["state"][SOCKET_KEY] = self

    def handle_cont(self, event: Frame) -> None:
        super().handle_cont(event)
        if len(self.frames) > MAX_PARTS and not self.close_sent:
            self._fail(CloseCode.MESSAGE_TOO_BIG, f"Expected at most {MAX_PARTS} parts.")

    def handle_parser_exception(self) -> None:
        """Send the close that the fault calls for, and leave the client time to read it."""
        close = self.conn.close_sent
        if close is None:
            self._refuse()
            return
        self.count_refusal(close.code)
        self.queue.put_nowait(
            {"type": "websocket.disconnect", "code": close.code, "reason": close.reason}
        )
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._ahead.clear()
        self._awaits_nothing()
        # As long as there is one, the end of the application doesn't close the connection.
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.close)
        linger(self, transport=self.transport)

    def _refuse(self) -> None:
        """Say that this opens no websocket, and end the connection."""
        error = BadRequest(
            f"Expected a head that opens a websocket, of at most {MAX_NUM_HEADERS} fields with"
            f" {MAX_LINE_LENGTH} bytes each, and nothing but frames behind it."
        )
        self._shared.count_refusal(error.code)
        body = msgspec.json.encode(error.body())
        length = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(error_start(error) + length + body)
        self.transport.close()

    def keepalive_timeout(self) -> None:
        """Let go of a client that doesn't answer; it may not read the end of it either."""
        super().keepalive_timeout()
        self._shared.count_refusal("unread")
        self.loop.call_later(LINGER_S, self.transport.abort)

    async def send(self, message: Any) -> None:
        # Whoever waits with others is not the first to go on: there may be no room any more.
        while not self.writable.is_set():
            await self.writable.wait()
        await super().send(message)
        if self._ahead:  # it may have opened the websocket, or closed it
            self._read_on()

    async def receive(self) -> Any:
        """Return the next message, once the client has read the answers to those before."""
        await self.writable.wait()
        message = await super().receive()
        if self._ahead:
            self._read_on()
        return message

    # Frames, a few in each turn of the loop.

    @property
    def _waits(self) -> bool:
        """Whether the application, or the client, has to go on first."""
        return self.read_paused or not self.writable.is_set()

    def _read_on(self) -> None:
        """Go on with what was read, before anything else is read."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        if self._ahead or self._waits:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()
        if self._ahead and not self._waits and not self._goes_on:
            self._goes_on = True
            self._shared.later.add(self._go_on)

    def _go_on(self) -> None:
        self._goes_on = False
        if self._ahead and not self._waits:
            # The first may name a key: what is behind that is known to be somebody's.
            end = self._frames.end_in(self._ahead, most=FRAMES_AT_ONCE if self._trusted else 1)
            part = bytes(self._ahead[:end])
            del self._ahead[:end]
            self._parse(part)
            self._judge_frames()
        self._read_on()

    def _parse(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing() or self.close_sent:
            return
        if self.conn.handshake_exc is None:
            self._account(len(data))
        else:
            self._refuse()  # whatever comes now is passed over, and nobody would end it

    def _judge_frames(self) -> None:
        """End a connection that brings more frames than any client needs."""
        frames = self._frames
        if not self._ahead:
            frames.control = 0
        unknown = not self._trusted and frames.count > FIRST_FRAMES
        if (unknown or frames.control > MAX_CONTROL_FRAMES) and not self.transport.is_closing():
            if self.close_sent:
                self.transport.abort()
            else:
                self._fail(CloseCode.POLICY_VIOLATION, "Expected fewer frames.")

    # Messages that have not arrived as a whole.

    def _account(self, size: int) -> None:
        held = len(self.conn.reader.buffer) + sum(map(len, self.frames))
        if not held and not self.frames:
            self._awaits_nothing()
            return
        self._unfinished.bring(size)
        try:
            self._unfinished.hold(held)
        except Saturated as error:
            self._fail(CloseCode.TRY_AGAIN_LATER, error.message)
            return
        if not self._unfinished.since:
            self._begin_window()

    def _awaits_nothing(self) -> None:
        self._unfinished.end()
        if self._window is not None:
            self._window.cancel()
            self._window = None

    def _begin_window(self) -> None:
        self._unfinished.begin_window(now=monotonic())
        self._window = self.loop.call_later(self._limits.body_s, self._judge)

    def _judge(self) -> None:
        """Go on where enough of the message came, or where it wasn't read."""
        if self._unfinished.enough or self._ahead or self._waits:
            self._begin_window()
        else:
            self._fail(CloseCode.POLICY_VIOLATION, "Expected the rest of the message sooner.")

    def _fail(self, code: CloseCode, reason: str) -> None:
        self.conn.fail(code, reason)
        self.handle_parser_exception()
