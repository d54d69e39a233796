"""A replica's process hands the streams of web processes over to its model's process.

It authenticates peers and says HELLO. Through the channel goes one byte: a stream with it
(SCM_RIGHTS), or the request to drain. Its end is the end of the work.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from typing import cast

STREAM, DRAIN = b"s", b"d"

logger = logging.getLogger(__name__)


class PassedOn(asyncio.Protocol):
    """Says HELLO on a peer's stream and hands it over, without reading anything from it."""

    def __init__(self, admit: Callable[[int], None], *, greeting: bytes) -> None:
        self._admit = admit
        self._greeting = greeting
        self._descriptor = -1
        self._spoke = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods, not the base class.
        stream = cast("asyncio.Transport", transport)
        try:
            self._descriptor = os.dup(stream.get_extra_info("socket").fileno())
        except OSError as error:
            logger.warning("peer not admitted: %s", error)
            stream.abort()
            return
        stream.write(self._greeting)
        # Only this process's hold on it, once all is written; until then nothing is read.
        stream.close()

    def data_received(self, data: bytes) -> None:
        """Over TCP, what came with its proof: too soon, as it knows nobody here yet."""
        self._spoke = True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._descriptor < 0:
            return
        try:
            if exc is None and not self._spoke:
                self._admit(self._descriptor)
        except OSError as error:
            logger.warning("peer not admitted: %s", error)
        finally:
            os.close(self._descriptor)
