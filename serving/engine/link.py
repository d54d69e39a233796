"""A replica's connection, as far as an engine uses it (the real one: `serving.rpc.connection`)."""

from __future__ import annotations

from typing import Protocol


class Link(Protocol):
    """What frames are sent over; what comes back is handed to the replica's `on_frame`.

    However it ends, the replica's `on_lost` is called once.
    """

    @property
    def writable(self) -> bool: ...

    def send(self, data: bytes) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...
