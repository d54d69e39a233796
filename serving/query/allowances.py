"""What the rows of a large batch may take, and how many of them go to the models at once."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from core.specs import ApplicationSpec, VersionSpec
from serving.engine.engine import Engine
from serving.engine.gather import LAST_PRIORITY, CallOptions
from serving.query.budget import batch_objective_ms, seconds_to_answer
from serving.query.routing import Router

# So many rows of a large batch are open at once: as many as keep the replicas busy.
LEAST_OPEN, BATCHES_OPEN, MOST_OPEN = 64, 3, 1024
# A row that is scored carries less, and holds the loop for less when its batch is settled.
MOST_SCORED = 3072


class Allowance(NamedTuple):
    """What a row of a large batch may take: the batch's objective and deadline, and its terms."""

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
    """Return on which terms the rows of a large batch are asked, behind every single query."""
    objective_ms = batch_objective_ms(application.slo_ms, inputs=inputs)
    if timeout_ms is not None:
        objective_ms = min(objective_ms, timeout_ms)
    return Allowance(
        objective_ms,
        arrived + seconds_to_answer(objective_ms),
        replace(router.options(application), priority=LAST_PRIORITY),
    )


def rows_open(
    application: ApplicationSpec,
    *,
    router: Router,
    engine: Engine,
    version: VersionSpec | None,
    most: int = MOST_OPEN,
) -> int:
    """Return how many rows may be open at once: some batches of the arm that takes most."""
    targets = router.arms(application).targets.values()
    asked = [target.version for target in targets] if version is None else [version]
    at_once = max((engine.rows_at_once(arm.id) for arm in asked), default=0)
    return max(LEAST_OPEN, min(BATCHES_OPEN * at_once, most))
