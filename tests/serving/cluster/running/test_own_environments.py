"""Versions in environments of their own, side by side, with real packages from uv's cache."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from registry.models import ModelVersion
from serving.cluster.host_environments import own_environments
from serving.environments.spec import EnvironmentSpec, environment_of, stack_python
from serving.environments.store import Environments
from serving.testing import version_spec
from tests.serving.cluster.peer import Peer
from tests.serving.cluster.running_stack import Stack

pytestmark = pytest.mark.timeout(600)

OLD = "scikit-learn==1.5.2"
PYTHON = b"""
import sys

class Predictor:
    def __init__(self, path):
        pass

    def pred_batch(self, inputs):
        return [sys.version[:4]] * len(inputs)
"""
TRAIN = """
import sys
import skops.io
from sklearn.linear_model import LinearRegression

model = LinearRegression().fit([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0.0, 1.0, 2.0])
skops.io.dump(model, sys.argv[1])
"""


def answer_of(stack: Stack, version: ModelVersion) -> object:
    (record,) = stack.wait_for_replicas(version, within_s=180)
    with Peer(record.address) as peer:
        (answer,) = peer.ask(b"[1.0, 1.0]")
    return json.loads(answer.payload)


def environments_of(stack: Stack) -> Environments:
    """Those of the stack, as this test sees them."""
    return Environments(stack.var / "environments", rules=own_environments().rules)


def spec_of(requirements: str, *, runtime: str, python: str = "") -> EnvironmentSpec:
    version = version_spec(model="m", runtime=runtime, requirements=requirements, python=python)
    spec = environment_of(version)
    assert spec is not None
    return spec


@pytest.mark.long
def test_an_estimator_trained_with_another_scikit_learn_answers_in_it(
    stack: Stack, tmp_path: Path
) -> None:
    held = environments_of(stack).prepare(spec_of(OLD, runtime="sklearn"))
    artifact = tmp_path / "model.skops"
    subprocess.run([held.folder / "bin" / "python", "-c", TRAIN, artifact], check=True)
    held.release()
    old = stack.add_artifact(
        "linear", runtime="sklearn", content=artifact.read_bytes(), requirements=OLD
    )
    subprocess.run([sys.executable, "-c", TRAIN, artifact], check=True)
    new = stack.add_artifact("linear", runtime="sklearn", content=artifact.read_bytes())

    stack.deploy_and_wait(old)
    assert answer_of(stack, old) == pytest.approx(3.0)
    (replica,) = stack.replicas(old)
    assert [str(held.folder) in " ".join(child.cmdline()) for child in children(replica.pid)] == [
        True
    ]
    stack.deploy_and_wait(new)
    assert answer_of(stack, new) == pytest.approx(3.0)
    (own,) = stack.replicas(new)
    assert children(own.pid) == []
    stack.retire("linear")


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children()


def test_another_python_serves_beside_the_stack_s(stack: Stack) -> None:
    other = next(text for text in ("3.13", "3.11") if text != stack_python())
    if shutil.which(f"python{other}") is None:
        pytest.skip(f"this machine has no Python {other}")
    version = stack.add_artifact("other", runtime="python", content=PYTHON, python=other)
    stack.deploy_and_wait(version)
    assert answer_of(stack, version) == other
    stack.retire("other")
