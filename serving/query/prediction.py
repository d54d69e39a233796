"""Prediction: a query's answer; and Choice: the arms that it asks."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from core.specs import VersionSpec
from selection.policies import Prepared, Selection
from selection.policies.policy import ask_all
from serving.engine.engine import Engine, Target
from serving.query.rollouts.canaries import Draw


class Prediction(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One answer, and those of the `models` that came in time; outputs are JSON text."""

    query_id: str
    output: bytes
    confidence: float
    models: Mapping[str, bytes]
    asked: int
    latency_ms: float
    default_explanation: str | None = None
    breakdown: Mapping[str, Any] | None = None


class Choice(NamedTuple):
    """Arms that a query asks, by the policy unless its caller `forced` the choice.

    `held_out`: by the routes' weights; feedback doesn't move the policy. `draws` put canaries in
    the places of arms.
    """

    targets: Mapping[str, Target]
    selection: Selection
    prepared: Prepared
    forced: bool
    held_out: bool = False
    draws: tuple[Draw, ...] = ()

    def is_connected(self, engine: Engine) -> bool:
        """Return whether any of the arms has a replica."""
        return any(engine.connected(self.targets[arm].version.id) for arm in self.selection.arms)


def forced_on(version: VersionSpec) -> Choice:
    """Return the choice of a caller who names a version."""
    prepared = ask_all(weights={version.arm: 1.0})
    return Choice({version.arm: Target.of(version)}, prepared.selections[0], prepared, True)


_NONE = ask_all(weights={})
NOBODY = Choice({}, _NONE.selections[0], _NONE, False)
