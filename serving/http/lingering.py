"""The end of a connection whose client is still sending."""

import asyncio


class Lingering(asyncio.Protocol):
    """Drops what comes until the client closes its side too, or 5 s are over.

    Closed at once with bytes unread, the connection would be reset and the answer lost.
    """

    def __init__(self, before: asyncio.Protocol, *, transport: asyncio.Transport) -> None:
        self._before = before
        self._end = asyncio.get_running_loop().call_later(5.0, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.cancel()
        self._before.connection_lost(exc)

    def pause_writing(self) -> None:
        self._before.pause_writing()

    def resume_writing(self) -> None:
        self._before.resume_writing()


def linger(protocol: asyncio.Protocol, *, transport: asyncio.Transport) -> None:
    """Close what `protocol` served; a client that is still sending may read the answer first."""
    if transport.is_closing():
        return
    transport.set_protocol(Lingering(protocol, transport=transport))
    try:
        transport.write_eof()
    except OSError:  # the client has left
        transport.abort()
    else:
        transport.resume_reading()
