"""A connection that moves between the kinds of web process, to where its next request is answered.

Clients have one address, and may ask both kinds over one connection. Where the head of a request
says that the other kind answers it (`serving.api.whose`), the socket itself goes there with what
was read (`serving.api.passage`): what follows, be it 2 GiB, costs this process nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from core.errors import ProcessAway
from serving.api.connection import HttpConnection
from serving.api.passage import SECONDS, passed
from serving.api.whose import Kind, whose

# Where the application's lifespan leaves where connections may move to.
MOVES_KEY = "moves"
RETRY_AFTER_S = 2.0
# So many wait to be taken at most, with so many bytes of all that a process holds for its clients:
# where nobody takes any, there is room for queries all the same.
LEAVING_AT_ONCE = 1024
LEAVING_BYTES = 32 << 20
# A process that has just started takes an idle connection in milliseconds.
MOVE_ON_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """What kind of process this is, and the path of the Unix socket where the other kind listens.

    A connection is given back to its client, with an error, where nobody takes it within `seconds`.
    """

    own: Kind
    other: str
    seconds: float = SECONDS


class MovingConnection(HttpConnection):
    """One connection. It leaves with the head of a request that is the other kind's to answer; the
    answers to those before it are sent by then.
    """

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # None where whatever is asked is answered here.
        self._moves: Moves | None = app_state.get(MOVES_KEY)
        self._leaves = False
        self._moving: asyncio.Task[None] | None = None
        # What was read of it by the process that it comes from.
        self._brought = b""

    def brings(self, data: bytes) -> None:
        """Begin with what another process has read. To be called before it is connected."""
        self._brought = data

    def begin(self) -> None:
        """Take up what it brought. To be called right behind `connection_made`: not from there, as
        uvloop reads from then on, whatever it was told, and not later, as it would have read.

        The first request stays here, whosever it is: of two processes that don't agree, as they may
        while the stack is upgraded, each would send it back to the other.
        """
        if self._brought and self.transport is not None:
            self._go_on()
            self._brought = b""

    # What the event loop calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._flow.ahead = self._brought

    @property
    def _waits(self) -> bool:
        return self._leaves or super()._waits

    # What the parser calls.

    def on_headers_complete(self) -> None:
        self._leaves = self._is_the_others()
        if not self._leaves:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._leaves:
            super().on_message_complete()

    def _is_the_others(self) -> bool:
        if self._moves is None or self._brought:
            return False
        return whose(self.parser.get_method(), self.url) not in (self._moves.own, None)

    def _offered(self, rest: bytes) -> bytes:
        return rest if self._leaves else super()._offered(rest)

    # To the other kind.

    def _pass_on(self, data: bytes) -> None:
        super()._pass_on(data)
        if self._leaves and not self._refusing:
            self._leave()

    def _account(self, size: int) -> None:
        if self._leaves:
            self._head_since = 0.0
            self.unfinished.hold(self.unfinished.held + size)
        else:
            super()._account(size)

    def _take_up(self) -> None:
        if self._leaves and not self._refusing:
            self._leave()
        else:
            super()._take_up()

    def _leave(self) -> None:
        """Move, once what was answered has left this process."""
        self._flow.pause_reading()
        if self._moving is not None:
            return
        if self.transport.get_write_buffer_size():
            # Tells when nothing is left, by `resume_writing`.
            self.transport.set_write_buffer_limits(high=0)
        else:
            self._moving = self.loop.create_task(self._move())
            self.tasks.add(self._moving)
            self._moving.add_done_callback(self.tasks.discard)

    async def _move(self) -> None:
        """Hand over the connection with all that was read of its request."""
        if self._moves is None or self.transport.is_closing():
            return
        if await self._is_taken(self._moves):
            # Closes no more than this process' end: nothing is sent.
            self.transport.abort()
        else:
            self._flow.ahead = b""
            self._give_up(
                ProcessAway(
                    "The process that answers this isn't there, or has no time.",
                    retry_after_s=RETRY_AFTER_S,
                )
            )

    async def _is_taken(self, moves: Moves) -> bool:
        shared = self._shared
        data = bytes(self._raw_head) + self._flow.ahead
        held = shared.leaving_bytes + len(data)
        if shared.leaving >= LEAVING_AT_ONCE or held > LEAVING_BYTES:
            return False
        connection = self.transport.get_extra_info("socket").fileno()
        shared.leaving += 1
        shared.leaving_bytes += len(data)
        try:
            return await passed(connection, data, to=moves.other, seconds=moves.seconds)
        finally:
            shared.leaving -= 1
            shared.leaving_bytes -= len(data)

    # To the process that takes this one's place.

    async def move_on(self, *, to: str) -> bool:
        """Move to another process of this kind, which listens at `to`, where nothing is under way;
        tell whether that process may be offered others.

        Its client notices nothing. Where nobody takes it, it stays. What still comes over one that
        was refused is the rest of what was wrong with it, and nobody's to read as a request.
        """
        if self._refusing or not self.is_idle or self.transport.get_write_buffer_size():
            return True
        self._leaves = True
        self._flow.pause_reading()
        connection = self.transport.get_extra_info("socket").fileno()
        if self.transport.is_closing():
            return True
        taken = await passed(connection, b"", to=to, seconds=MOVE_ON_S)
        if taken:
            self.transport.abort()
        else:
            self._leaves = False
            self._take_up()
        return taken
