"""Real scikit-learn models, fitted once."""

import asyncio
import warnings
from pathlib import Path
from typing import Any

# Whole: runtimes import these without what tests have to train a model, for whoever comes first.
import lightgbm  # noqa: F401
import numpy as np
import pytest
import uvloop
import xgboost  # noqa: F401
from sklearn.datasets import load_digits
from sklearn.svm import LinearSVC


@pytest.fixture(scope="session")
def digits() -> tuple[Any, Any]:
    inputs, labels = load_digits(return_X_y=True)
    return inputs, labels


@pytest.fixture(scope="session")
def svm(digits: tuple[Any, Any]) -> LinearSVC:
    images, labels = digits
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # good enough without converging
        return LinearSVC(max_iter=50, random_state=0).fit(images, labels)


@pytest.fixture(scope="session")
def rows(digits: tuple[Any, Any]) -> list[bytes]:
    """The first 64 images, each as the JSON that a client would send."""
    return [repr(np.asarray(image).tolist()).encode() for image in digits[0][:64]]


@pytest.fixture
def artifact_file(tmp_path: Path) -> Path:
    return tmp_path / "artifact"


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Any]:
    """Return uvloop for the process that hands streams over, any loop for all else."""
    if item.path.stem == "test_child_server":
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
