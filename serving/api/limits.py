"""What a client may take before its request is there: time, and memory of the web process."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from core.errors import Saturated

# Where the application's lifespan leaves the limits, for connections and endpoints to find.
LIMITS_KEY = "limits"
RETRY_AFTER_S = 1.0
# What a head may have: bytes, and fields.
MAX_HEAD_BYTES = 64 << 10
MAX_FIELDS = 200


@dataclass(slots=True, kw_only=True)
class Limits:
    """The limits of a web process, and the bytes that all its connections hold at the moment of
    requests that have not arrived as a whole.

    A head has to be there within `head_s`. Of a body, each `body_s` have to bring its end or at
    least `body_rate` bytes per second. A websocket has `authentication_s` to name a key.
    """

    head_s: float = 20.0
    body_s: float = 30.0
    body_rate: float = 1024.0
    authentication_s: float = 10.0
    unfinished_bytes: int = 128 << 20
    held: int = field(default=0, init=False)

    def hold(self, size: int) -> None:
        """Count bytes that came. Raises Saturated, and counts nothing, where they are too many."""
        if self.held + size > self.unfinished_bytes:
            raise Saturated(
                "Too much is held for requests that have not arrived as a whole.",
                retry_after_s=RETRY_AFTER_S,
            )
        self.held += size

    def release(self, size: int) -> None:
        self.held -= size


def limits_of(state: MutableMapping[str, Any]) -> Limits:
    """Return the limits of a process whose lifespan left this state."""
    limits: Limits = state.setdefault(LIMITS_KEY, Limits())
    return limits
