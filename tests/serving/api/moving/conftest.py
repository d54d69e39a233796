"""Every test on both event loops: what they do with a socket that leaves them is their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from tests.serving.api.moving.two_kinds import TwoKinds


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def two(tmp_path: Path) -> TwoKinds:
    return TwoKinds(tmp_path)
