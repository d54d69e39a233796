"""Large batches: the terms of their rows, and how many are open at once."""

from dataclasses import replace
from typing import NamedTuple

from core.errors import Saturated
from core.specs import ApplicationSpec, VersionSpec
from serving.engine.engine import Engine
from serving.engine.gather import LAST_PRIORITY, CallOptions
from serving.query.budget import batch_objective_ms, seconds_to_answer
from serving.query.routing import Router

# Rows open at once: three batches of the arm that takes most keep its replicas busy.
LEAST_OPEN, BATCHES_OPEN, MOST_OPEN = 64, 3, 1024
# A scored row carries less than a query.
MOST_SCORED = 3072
# Each holds its inputs and answers in memory until the last one has come.
MAX_LARGE_BATCHES = 16


class Allowance(NamedTuple):
    """Objective and deadline of a large batch, and the terms of its rows."""

    objective_ms: float
    deadline: float
    options: CallOptions


def allowance_for(
    application: ApplicationSpec,
    *,
    router: Router,
    inputs: int,
    arrived: float,
    timeout_ms: float | None,
) -> Allowance:
    """Return the terms of a large batch, whose rows go behind every single query."""
    objective_ms = batch_objective_ms(application.slo_ms, inputs=inputs)
    if timeout_ms is not None:
        objective_ms = min(objective_ms, timeout_ms)
    return Allowance(
        objective_ms,
        arrived + seconds_to_answer(objective_ms),
        replace(router.arms(application).options, priority=LAST_PRIORITY),
    )


def rows_open(
    application: ApplicationSpec,
    *,
    router: Router,
    engine: Engine,
    version: VersionSpec | None,
    most: int = MOST_OPEN,
) -> int:
    """Return how many rows may be open at once."""
    targets = router.arms(application).targets.values()
    asked = [target.version for target in targets] if version is None else [version]
    at_once = max((engine.rows_at_once(arm.id) for arm in asked), default=0)
    return max(LEAST_OPEN, min(BATCHES_OPEN * at_once, most))


class LargeBatches:
    """Counts the large batches being answered; entering one too many raises Saturated."""

    def __init__(self) -> None:
        self._open = 0

    def __enter__(self) -> None:
        if self._open >= MAX_LARGE_BATCHES:
            raise Saturated(
                f"Expected at most {MAX_LARGE_BATCHES} large batches at once.", retry_after_s=1.0
            )
        self._open += 1

    def __exit__(self, *_: object) -> None:
        self._open -= 1
