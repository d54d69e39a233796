"""One image and one stack of containers for all tests of this folder, made from nothing."""

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sklearn.svm import LinearSVC

from registry.demo.digits import held_out, training
from tests.containers.composed import DIGITS, Composed
from tests.containers.podman import DATABASES, HERE, Podman


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.stack)
        item.add_marker(pytest.mark.timeout(1500))


@pytest.fixture(scope="session")
def podman() -> Iterator[Podman]:
    """Podman with the images, of which none was there before."""
    made = Podman(Path(tempfile.mkdtemp(prefix="clipper-podman-")))
    try:
        made.make_base()
        databases = HERE / "databases.Containerfile"
        with ThreadPoolExecutor() as pool:
            beside = pool.submit(made.build, DATABASES, databases, HERE)
            made.build_clipper()
            beside.result()
        made.start()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="session")
def composed(podman: Podman) -> Iterator[Composed]:
    """All of deploy/compose.yaml, with a model that the application `digits` asks."""
    stack = Composed(podman)
    try:
        begun = time.monotonic()
        stack.start()
        print(f"Compose: healthy after {time.monotonic() - begun:.0f} s")
        images, labels = training()
        with stack.managing() as client:
            model = LinearSVC(max_iter=300).fit(images, labels)
            example = images[0].tolist()
            client.deploy("svc", model, example=example, app=DIGITS, slo_ms=1000, default_output=-1)
        yield stack
    finally:
        logs = stack.compose("logs", "--no-color", "--tail", "200")
        Path(tempfile.gettempdir(), "clipper-compose.log").write_text(logs)
        stack.compose("down", "--volumes", "--timeout", "2")


@pytest.fixture(scope="session")
def inputs() -> list[list[float]]:
    return [image.tolist() for image in held_out()[0]]
