"""One running stack for all tests of this folder."""

import logging
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from registry.demo.digits import held_out
from tests.integration.stack import Stack, eventually, post

# What all stacks have learned that went on from the first one.
FIRST_CONTEXT = "at the first start"

# One line a request would bury what a failing test has to say.
logging.getLogger("httpx").setLevel(logging.WARNING)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.timeout(600))


# Held-out inputs, and their labels.
Digits = tuple[list[list[float]], list[int]]


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack after its first start; the others go on from a copy of it."""
    started = Stack(var=tmp_path_factory.mktemp("a-rather-long-name-" * 6) / "var")
    try:
        started.start()
        learn_once(started)
        stop_cleanly(started, by=signal.SIGTERM)
        yield started
    finally:
        started.end()


def copy_of(stopped: Stack, *, to: Path) -> Path:
    shutil.copytree(stopped.var, to, symlinks=True)
    return to


def learn_once(stack: Stack) -> None:
    """Ask the demo one question and give its feedback."""
    inputs, labels = held_out()
    with stack.client() as client:
        asked = {"input": inputs[0].tolist(), "context": FIRST_CONTEXT}
        answer = post(client, "digits/predict", asked)
        item = {"query_id": answer["query_id"], "label": int(labels[0])}
        assert post(client, "digits/feedback", item)["accepted"] == 1


def times_learned(stack: Stack) -> list[int]:
    """Return how often each arm of the demo has learned as `learn_once` has it learn."""
    return [arm["feedback"] for arm in stack.learned("digits", context=FIRST_CONTEXT)]


def stop_cleanly(stack: Stack, *, by: signal.Signals) -> None:
    eventually(lambda: len(stack.descendants()) > 10, seconds=60, what="its processes")
    started = stack.descendants()
    assert stack.stop(by=by) == 0, stack.text
    assert [process for process in started if _lives(process)] == []


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="package")
def stack(first: Stack) -> Iterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="clipper-stack-"))
    hosts = {"CLIPPER_REMOTE_HOSTS": "127.0.0.1"}
    running = Stack(var=copy_of(first, to=folder / "var"), settings=hosts)
    try:
        running.start()
        yield running
        stop_cleanly(running, by=signal.SIGINT)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        running.end()


@pytest.fixture(scope="session")
def digits() -> Digits:
    """Held-out digits and their labels."""
    inputs, labels = held_out()
    return inputs.tolist(), labels.tolist()


@pytest.fixture(scope="package")
def patient(stack: Stack) -> str:
    """The demo's five models with an objective of three seconds."""
    return make_application(stack, name="patient", policy="exp4")


@pytest.fixture(scope="package")
def patient_single(stack: Stack) -> str:
    """The same, asking one model a query."""
    return make_application(stack, name="patient-single", policy="exp3")


def make_application(stack: Stack, *, name: str, policy: str) -> str:
    body = {
        "name": name,
        "input_type": "doubles",
        "slo_ms": 3000,
        "default_output": -1,
        "policy": policy,
        "routes": [{"model": model} for model in stack.demo["models"]],
    }
    with stack.client() as client:
        created = client.post("/api/v1/applications/", json=body)
    assert created.status_code == 201, created.text
    return name
