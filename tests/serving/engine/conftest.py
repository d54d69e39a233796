"""The engine that its tests begin with."""

import pytest

from serving.engine.engine import Engine, EngineSpec


@pytest.fixture
def engine() -> Engine:
    """Return an engine whose version 1 is expected."""
    made = Engine(EngineSpec())
    made.expect([1])
    return made
