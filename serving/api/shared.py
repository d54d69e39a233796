"""What all connections of one web process share: counts of refusals, and headers as bytes."""

from __future__ import annotations

from collections.abc import Sequence

from serving.metrics.published import Metrics

# Where the application's lifespan leaves it for each connection to find.
STATE_KEY = "connections"

DefaultHeaders = Sequence[tuple[bytes, bytes]]


class SharedByConnections:
    """What a connection asks of its process, whatever comes over it."""

    def __init__(self, metrics: Metrics) -> None:
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
