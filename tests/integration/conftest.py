"""One running stack for all tests of this folder."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.demo.digits import held_out
from tests.integration.stack import Stack

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
    """The demo's five models with an objective of a second.

    What is late here was dropped; within the demo's 50 ms a busy test machine looks like a fault.
    """
    return make_application(stack, name="patient", policy="exp4")


@pytest.fixture(scope="session")
def patient_single(stack: Stack) -> str:
    """The same, asking one model a query."""
    return make_application(stack, name="patient-single", policy="exp3")


def make_application(stack: Stack, *, name: str, policy: str) -> str:
    body = {
        "name": name,
        "input_type": "doubles",
        "slo_ms": 1000,
        "default_output": -1,
        "policy": policy,
        "routes": [{"model": model} for model in stack.demo["models"]],
    }
    with stack.client() as client:
        created = client.post("/api/v1/applications/", json=body)
    assert created.status_code == 201, created.text
    return name
