"""One running stack for all tests of this folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.demo.digits import held_out
from tests.integration.stack import Stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.timeout(240))


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="clipper-stack-"))
    running = Stack(var=folder / "var")
    try:
        running.start()
        yield running
        assert running.stop() == 0, running.text
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        running.end()


@pytest.fixture(scope="session")
def digits() -> tuple[list[list[float]], list[int]]:
    """Held-out digits and their labels."""
    inputs, labels = held_out()
    return inputs.tolist(), labels.tolist()
