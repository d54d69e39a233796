"""What all connections of one web process share: counts of refusals, and headers as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.loop.turns import LaterWork
from serving.metrics.published import Metrics

# Where the application's lifespan leaves it for each connection to find.
STATE_KEY = "connections"
# Where the lifespan finds whether another process does the work until this one is ready.
REPLACES_KEY = "replaces"

DefaultHeaders = Sequence[tuple[bytes, bytes]]


def shared_by_connections(state: Mapping[str, Any]) -> SharedByConnections:
    """Return what the process's lifespan left for its connections and endpoints."""
    shared: SharedByConnections = state[STATE_KEY]
    return shared


class SharedByConnections:
    """What a connection asks of its process, whatever comes over it."""

    def __init__(self, metrics: Metrics) -> None:
        # The process is to end: `lame_duck_s` later it takes no more connections, and ends once
        # these have moved or have their answers; then (`closing`) none moves any more, and each
        # answer is the last one of its connection.
        self.draining = self.closing = False
        self.lame_duck_s = 0.0
        # Connections that wait for a process of the other kind to take them, and what was read.
        self.leaving = self.leaving_bytes = 0
        # What was read of a burst, and is parsed in later turns of the loop.
        self.later = LaterWork()
        self._metrics = metrics
        self._headers: DefaultHeaders = []
        self._rendered = b""

    def count_refusal(self, reason: str) -> None:
        """Count a connection that is ended for what its client does."""
        self._metrics.refusals[reason] += 1

    def rendered(self, headers: DefaultHeaders) -> bytes:
        """Return headers of every response as bytes; uvicorn makes a new list once a second."""
        if headers is not self._headers:
            self._headers = headers
            self._rendered = b"".join([b"%b: %b\r\n" % field for field in headers])
        return self._rendered
