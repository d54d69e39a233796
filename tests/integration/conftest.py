"""One running stack for all tests of this folder."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.demo.digits import held_out
from tests.integration.stack import Stack, eventually

# One line a request would bury what a failing test has to say.
logging.getLogger("httpx").setLevel(logging.WARNING)


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


@pytest.fixture(scope="session")
def patient(stack: Stack) -> str:
    """An application over the demo's five models with an objective of a second.

    What is late here was dropped; within the demo's 50 ms a busy test machine looks like a fault.
    """
    body = {
        "name": "patient",
        "input_type": "doubles",
        "slo_ms": 1000,
        "default_output": -1,
        "policy": "exp4",
        "routes": [{"model": model} for model in stack.demo["models"]],
    }
    with stack.client() as client:
        created = client.post("/api/v1/applications/", json=body)
        assert created.status_code == 201, created.text
        path = f"/api/v1/applications/{body['name']}/selection"
        eventually(lambda: client.get(path).status_code == 200, seconds=10, what="it is known")
    return str(body["name"])
