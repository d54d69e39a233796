"""One running stack without the demo, and a client that may do everything there."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from clipper_client import Client
from tests.clients.sources import Rows, predictor
from tests.clients.terminal import Terminal
from tests.integration.stack import Stack

FEATURES = 30


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="package")
def stack(django_db_setup: Path) -> Iterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="clipper-clients-"))
    var = folder / "var"
    var.mkdir()
    shutil.copy(django_db_setup, var / "clipper.sqlite3")
    # Each test leaves its model live.
    settings = {"CLIPPER_REMOTE_HOSTS": "127.0.0.1", "CLIPPER_CPU_SLOTS": "40"}
    running = Stack(var=var, demo=False, settings=settings)
    try:
        running.start()
        yield running
        assert running.stop() == 0, running.text
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        running.end()


@pytest.fixture(scope="package")
def key(stack: Stack) -> str:
    return stack.new_key("tests", "--run-code", scopes="predict,feedback,manage")


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


@pytest.fixture
def known(stack: Stack, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPPER_URL", stack.url)
    monkeypatch.setenv("CLIPPER_KEY", key)


@pytest.fixture(scope="package")
def client(stack: Stack, key: str) -> Iterator[Client]:
    with Client(stack.url, key) as made:
        yield made


@pytest.fixture(scope="session")
def rows() -> Rows:
    return np.random.default_rng(7).normal(size=(2_000, FEATURES))


@pytest.fixture(scope="session")
def linear(rows: Rows) -> LogisticRegression:
    return LogisticRegression().fit(rows, (rows[:, 0] > 0).astype(int))


@pytest.fixture(scope="package")
def churn(client: Client, linear: LogisticRegression, rows: Rows) -> str:
    """An application, and its model of the same name, that is deployed by the client."""
    client.deploy("churn", linear, example=rows[:5], app="churn", slo_ms=1_000)
    return "churn"


@pytest.fixture(scope="package")
def echo(client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An application whose model answers with what it was asked."""
    source = tmp_path_factory.mktemp("echo") / "echo.py"
    source.write_text(predictor())
    client.deploy("echo", source, input_type="json", app="echo", slo_ms=1_000)
    return "echo"
