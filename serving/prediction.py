"""What a query comes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Prediction(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One answer. `output` and the values of `models` (by `model:version`) are JSON text.

    `models` are those that answered in time, of the number `asked`.
    """

    query_id: str
    output: bytes
    confidence: float
    models: Mapping[str, bytes]
    asked: int
    latency_ms: float
    default_explanation: str | None = None
    breakdown: Mapping[str, Any] | None = None
