"""The batch controllers by name, and the one place that makes one."""

from collections.abc import Callable

from serving.engine.batching.aimd import Aimd
from serving.engine.batching.base import BatchController
from serving.engine.batching.quantile_regression import QuantileRegression
from serving.engine.batching.static import FullBatches

UNBATCHED = "none"
CONTROLLERS: dict[str, Callable[..., BatchController]] = {
    "aimd": Aimd,
    "quantile_regression": QuantileRegression,
    "static": FullBatches,
    UNBATCHED: FullBatches,  # of one row
}


def new_controller(name: str, *, budget: float, max_size: int) -> BatchController:
    """Make the named controller for one replica; `budget` is in seconds, `max_size` in rows."""
    return CONTROLLERS[name](budget=budget, max_size=max_size)
