"""A websocket connection: bounded in what it holds for a client, and in time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import cast

from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS, Request
from websockets.server import ServerProtocol

from core.errors import BadRequest, Saturated
from serving.http.connections import Connections, linger
from serving.http.exchange import last_answer
from serving.http.limits import Limits, Unfinished

# The largest message; before the key is known, enough for a key.
MOST_BYTES, FIRST_BYTES = 16 << 20, 4096
# Each part of a message costs more than its bytes, and there may be parts of none.
MAX_PARTS = 1024
# What is in flight has so long to be answered if the server stops, and then the client to close its
# side; together less than the process waits.
END_S, CLOSE_S = 7.0, 2.0
# Bytes of the lengths that two short ones stand for.
_MORE_LENGTH = {126: 2, 127: 8}


class FrameCounter:
    """Counts frames by their beginnings (RFC 6455 §5.2), and those since that were no messages.

    The parser takes all it is fed at once; it alone says what is wrong with a frame.
    """

    def __init__(self) -> None:
        self.count = self.control = 0
        # What the frame still lacks behind its head, and what has come of a head.
        self._left = 0
        self._head = b""

    def end_in(self, data: bytes | bytearray, *, most: int) -> int:
        """Return how many of the bytes that come next hold no more than `most` frames."""
        at, size, last = 0, len(data), self.count + most
        while at < size:
            if self._left:
                step = min(self._left, size - at)
                self._left -= step
                at += step
                continue
            if self.count == last:
                break
            begun = len(self._head)
            head = self._head + data[at : at + 14 - begun]  # the longest has 14 bytes
            length_bytes = _MORE_LENGTH.get(head[1] & 0x7F, 0) if len(head) > 1 else 0
            end = 2 + length_bytes
            masked_end = end + 4 * (len(head) > 1 and head[1] >= 0x80)  # with a mask
            if len(head) < masked_end:
                self._head = bytes(head)
                return size
            self._head = b""
            at += masked_end - begun
            self._left = int.from_bytes(head[2:end], "big") if length_bytes else head[1] & 0x7F
            self.count += 1
            self.control += bool(head[0] & 0x08)
        return at


class WebSocket(asyncio.Protocol):
    """A connection's messages; of up to FIRST_BYTES until `trust` is called."""

    transport: asyncio.Transport

    def __init__(
        self, shared: Connections, *, talk: Callable[[WebSocket, Request], Awaitable[None]]
    ) -> None:
        self.limits: Limits = shared.limits
        # False once it is closed, or the server stops.
        self.goes_on = True
        self._shared = shared
        self._talk = talk
        self._protocol = ServerProtocol(max_size=FIRST_BYTES)
        self.is_closed = self._is_open = self._trusted = False
        # Messages to receive; a part of the next one.
        self._messages: deque[tuple[bytes, bool]] = deque()
        self._parts: list[bytes] = []
        self._is_text = False
        self._unfinished = Unfinished(shared.limits)
        # What was read and waits to be parsed, and whether a later turn of the loop goes on.
        self._ahead = bytearray()
        self._is_due = False
        self._frames = FrameCounter()
        self.writable = asyncio.Event()
        self.writable.set()
        self._news: asyncio.Future[None] | None = None
        self._heard_at = monotonic()
        self._has_asked = False

    # For who talks.

    def trust(self) -> None:
        """Take messages of any size that the server takes: the key is known."""
        self._protocol.max_message_size = MOST_BYTES
        self._trusted = True

    async def receive(self) -> tuple[bytes, bool] | None:
        """Return the next message and if it is text, once the client reads; None if it has left."""
        await self.writable.wait()
        while self.goes_on and not self._messages:
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        if not self.goes_on:
            return None
        message = self._messages.popleft()
        self._read_on()
        return message

    async def send(self, text: bytes) -> None:
        # Another sender may have been the first to go on.
        while not self.writable.is_set():
            await self.writable.wait()
        if self.is_closed:
            return
        try:
            self._protocol.send_text(text)
        except InvalidState:
            return
        self._write()

    def close_with(self, code: int, *, is_refusal: bool = False) -> None:
        """Close, and leave the client time to close its side."""
        if is_refusal:
            self._shared.count_refusal(f"websocket_{code}")
        if self.is_closed or not self._is_open:
            return
        self.is_closed = True
        self._stop()
        with suppress(InvalidState):  # the client has begun to close it
            self._protocol.send_close(code)
        self._write()
        self.transport.resume_reading()
        asyncio.get_running_loop().call_later(CLOSE_S, self.transport.close)

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._shared.open.add(self)

    def data_received(self, data: bytes) -> None:
        """Take the head, or some frames; what is behind those waits for later turns of the loop."""
        self._heard_at = monotonic()
        self._has_asked = False
        if not self._is_open:
            self._open(data)
            return
        self._ahead += data
        if not self._is_due:
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.leave(self)
        self.is_closed = True
        self._stop()

    def pause_writing(self) -> None:
        """Read nothing more from a client that doesn't read: each ping has an answer."""
        self.writable.clear()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.writable.set()
        self._read_on()

    # Called by the server.

    @property
    def is_idle(self) -> bool:
        return False

    def end(self) -> None:
        """Have the talk answer what is in flight and close."""
        self._wake(goes_on=False)
        asyncio.get_running_loop().call_later(END_S + CLOSE_S, self.transport.abort)

    def close(self) -> None:
        self.transport.close()

    def check(self, now: float) -> None:
        """Ask a client that is silent for 20 s if it is there; end one that isn't, or is slow."""
        if self._unfinished.since and now >= self._unfinished.until:
            if self._unfinished.enough or self._ahead or self._waits:
                self._unfinished.begin_window(now=now)
            else:
                self._fail(CloseCode.POLICY_VIOLATION, "Expected the rest of the message sooner.")
        if self.is_closed or not self._is_open or now < self._heard_at + 20.0:
            return
        if self._messages:
            self._heard_at = now  # it is not read from
        elif self._has_asked or not self.writable.is_set():
            self._shared.count_refusal("unread")
            self._fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout", is_counted=False)
        else:
            self._heard_at, self._has_asked = now, True
            self._protocol.send_ping(b"ping")
            self._write()

    # The beginning and the end.

    def _open(self, head: bytes) -> None:
        self._protocol.receive_data(head)
        requests = self._protocol.events_received()
        if requests and self._protocol.handshake_exc is None:
            request = cast(Request, requests[0])
            response = self._protocol.accept(request)
            if response.status_code == 101:
                self._is_open = True
                self._protocol.send_response(response)
                self._write()
                self._shared.start(self._talk(self, request))
                return
        self._refuse()

    def _refuse(self) -> None:
        """Say that this opens no websocket, and end the connection."""
        error = BadRequest(
            f"Expected a head that opens a websocket, of at most {MAX_NUM_HEADERS} fields with"
            f" {MAX_LINE_LENGTH} bytes each."
        )
        self._shared.count_refusal(error.code)
        self.is_closed = True
        self.transport.write(last_answer(error))
        self.transport.close()

    def _fail(self, code: CloseCode, reason: str, *, is_counted: bool = True) -> None:
        self._protocol.fail(code, reason)
        self._end_failed(is_counted=is_counted)

    def _end_failed(self, *, is_counted: bool = True) -> None:
        """Send the close that the fault calls for, and leave the client time to read it."""
        close = self._protocol.close_sent
        if is_counted and close is not None:
            self._shared.count_refusal(f"websocket_{close.code}")
        self._write()
        self.is_closed = True
        self._stop()
        linger(self, transport=self.transport)

    def _stop(self) -> None:
        """Receive nothing more, and let go of what came."""
        self._ahead.clear()
        self._messages.clear()
        self._parts.clear()
        self._unfinished.end()
        self.writable.set()
        self._wake(goes_on=False)

    def _wake(self, *, goes_on: bool) -> None:
        self.goes_on &= goes_on
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _write(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"".join(self._protocol.data_to_send()))

    # Frames, a few in each turn of the loop.

    @property
    def _waits(self) -> bool:
        """Return whether the talk, or the client, has to go on first."""
        return bool(self._messages) or not self.writable.is_set()

    def _read_on(self) -> None:
        """Go on with what was read, before anything else is read."""
        if self.transport.is_closing() or self.is_closed:
            return
        if self._ahead or self._waits:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()
        if self._ahead and not self._waits and not self._is_due:
            self._is_due = True
            self._shared.later.add(self._go_on)

    def _go_on(self) -> None:
        self._is_due = False
        if self._ahead and not self._waits:
            # The first may name a key: what is behind that is known to be somebody's.
            end = self._frames.end_in(self._ahead, most=64 if self._trusted else 1)
            part = bytes(self._ahead[:end])
            del self._ahead[:end]
            self._parse(part)
            self._judge_frames()
        self._read_on()

    def _parse(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            self._take_frame(cast(Frame, frame))
        has_failed = self._protocol.parser_exc is not None
        if self.is_closed:
            if has_failed or self._protocol.close_rcvd is not None:
                self.transport.close()
        elif has_failed:
            self._end_failed()
        elif self._protocol.close_rcvd is not None:
            self._write()
            self._stop()
            self.transport.close()
        else:
            self._write()
            self._account(len(data))

    def _take_frame(self, frame: Frame) -> None:
        if self.is_closed or frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        self._parts.append(bytes(frame.data))
        if len(self._parts) > MAX_PARTS:
            self._fail(CloseCode.MESSAGE_TOO_BIG, f"Expected at most {MAX_PARTS} parts.")
        elif frame.fin:
            body = b"".join(self._parts)
            self._parts.clear()
            if self._is_text and not _is_utf8(body):
                self._fail(CloseCode.INVALID_DATA, "Expected UTF-8.")
                return
            self._messages.append((body, self._is_text))
            self._wake(goes_on=True)

    def _judge_frames(self) -> None:
        """End a connection that brings more frames than any client needs."""
        frames = self._frames
        if not self._ahead:
            frames.control = 0
        unknown = not self._trusted and frames.count > 64
        if (unknown or frames.control > 256) and not self.transport.is_closing():
            if self.is_closed:
                self.transport.abort()
            else:
                self._fail(CloseCode.POLICY_VIOLATION, "Expected fewer frames.")

    def _account(self, size: int) -> None:
        """Count what is held of a message that has not arrived as a whole."""
        held = len(self._protocol.reader.buffer) + sum(map(len, self._parts))
        if not held and not self._parts:
            self._unfinished.end()
            return
        self._unfinished.bring(size)
        try:
            self._unfinished.hold(held)
        except Saturated as error:
            self._fail(CloseCode.TRY_AGAIN_LATER, error.message)
            return
        if not self._unfinished.since:
            self._unfinished.begin_window(now=monotonic())


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
