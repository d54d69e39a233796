"""The batch controllers by name, and the one place that makes one."""

from __future__ import annotations

from typing import Protocol

from serving.engine.batching.aimd import Aimd
from serving.engine.batching.base import BatchController
from serving.engine.batching.none import Unbatched
from serving.engine.batching.quantile_regression import QuantileRegression
from serving.engine.batching.static import FullBatches


class NewController(Protocol):
    """How a controller is made."""

    def __call__(self, *, budget: float, max_size: int) -> BatchController: ...


CONTROLLERS: dict[str, NewController] = {
    "aimd": Aimd,
    "quantile_regression": QuantileRegression,
    "static": FullBatches,
    "none": Unbatched,
}


def new_controller(name: str, *, budget: float, max_size: int) -> BatchController:
    """Make the named controller for one replica; KeyError where there is none of that name.

    `budget` is in seconds, `max_size` in rows, at least 1.
    """
    return CONTROLLERS[name](budget=budget, max_size=max_size)
