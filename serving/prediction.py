"""What a query is given in the end, and what it began with: whom to ask and how far to trust."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from selection.policies import Prepared, Selection
from serving.routing import Target


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


class Choice(NamedTuple):
    """Whom a query asks, and the policy by which; None where there is none to choose among, or
    where its caller `forced` the choice.
    """

    targets: Mapping[str, Target]
    selection: Selection
    prepared: Prepared | None
    forced: bool

    @property
    def weights(self) -> Mapping[str, float]:
        """How far each arm is trusted."""
        if self.prepared is None:
            return dict.fromkeys(self.selection.arms, 1.0)
        return self.prepared.weights

    @property
    def down(self) -> frozenset[str]:
        """Arms that were asked as probes alone."""
        return frozenset() if self.prepared is None else self.prepared.down


NOBODY = Choice({}, Selection((), ()), None, False)
