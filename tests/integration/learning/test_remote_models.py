"""A bandit over a local model and two that live behind HTTP, one of which stops and comes back."""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from sklearn.linear_model import Perceptron, RidgeClassifier

from registry.demo.digits import training
from tests.integration.conftest import Digits
from tests.integration.learning.remote_arms import (
    HARDLY_S,
    PHASE,
    answered_by,
    application,
    live,
    phase,
)
from tests.integration.stack import Load, Stack, eventually, post
from tests.processes import command_of
from tests.serving.container.remote.servers import Inference, Mlflow
from tests.serving.container.remote.stand_in import StandIn

SECRET = "s3cr3t-of-the-model"
TRITON, MLFLOW, LOCAL = "far-triton:1", "far-mlflow:1", "svm-linear:1"
# So many answers come when its probes have shown that it answers.
AGAIN = 5


@pytest.fixture(scope="module")
def triton() -> Iterator[StandIn]:
    inputs, labels = training()
    model = RidgeClassifier().fit(inputs, labels)
    server = StandIn(Inference(model.predict, width=64, name="digits", datatype="FP64"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def mlflow() -> Iterator[StandIn]:
    inputs, labels = training()
    model = Perceptron(random_state=0).fit(inputs, labels)
    server = StandIn(Mlflow(lambda asked: model.predict(np.array(asked["inputs"])).tolist()))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def remote_stack(stack: Stack, triton: StandIn, mlflow: StandIn) -> Iterator[Stack]:
    """The shared stack, with the two as models that it has until the end of this module."""
    with stack.client() as client:
        place = triton.url("/v2/models/digits")
        live(client, "far-triton", protocol="open-inference", url=place, secret=SECRET)
        live(client, "far-mlflow", url=mlflow.url(), protocol="mlflow")
        yield stack
        for name in ("near-and-far", "together", "secretive"):
            client.delete(f"/api/v1/applications/{name}")  # where its test has made it
        for name in ("far-triton", "far-mlflow"):
            scaled = client.patch(f"/api/v1/models/{name}/versions/1", json={"replicas": 0})
            scaled.raise_for_status()


def test_callers_hardly_notice_that_one_of_three_is_away(
    remote_stack: Stack,
    digits: Digits,
    triton: StandIn,
    mlflow: StandIn,
    record_property: Callable[[str, object], None],
) -> None:
    inputs, _ = digits
    models = ["svm-linear", "far-triton", "far-mlflow"]
    # Nobody is late, however busy the machine: who gives no answer is away.
    name = application(remote_stack, "near-and-far", policy="exp3", models=models, slo_ms=60_000)
    with Load(remote_stack, application=name, inputs=inputs, pause_s=HARDLY_S) as load:
        together = phase(load)
        triton.stop()
        stopped_at = time.monotonic()
        first = phase(load)
        away = phase(load)
        triton.start()
        back_at = time.monotonic()
        eventually(
            lambda: len(answered_by(TRITON, load=load, since=back_at)) >= AGAIN,
            seconds=60,
            what="it answers again and again",
        )
        back_s = answered_by(TRITON, load=load, since=back_at)[0].at - back_at
        back = phase(load)
    latencies = [one.seconds * 1000 for one in load.after(stopped_at)]
    told = {
        "all three": dict(together),
        "the first second without": dict(first),
        "without": dict(away),
        "back": dict(back),
        "answers again after s": round(back_s, 2),
        "median ms": round(statistics.median(latencies), 1),
    }
    record_property("remote", told)
    print("\n", told)
    assert load.errors == []
    assert min(together[arm] for arm in (TRITON, MLFLOW, LOCAL)) > 0
    assert together["default"] == 0
    # Nobody has told the policy: an arm that gives no answer loses its traffic by itself.
    assert away[TRITON] == 0
    assert away["default"] <= PHASE * 0.15
    assert back[TRITON] > 0
    reasons = {one.body["default_explanation"] for one in load.after(stopped_at) if one.default}
    assert any(f"127.0.0.1:{triton.port}" in reason for reason in reasons), reasons
    with remote_stack.client() as client:
        errors = client.get("/api/v1/models/far-triton/versions/1/errors").json()
    assert any("127.0.0.1" in kind["error"] for kind in errors)


def test_the_secret_is_nowhere_but_in_the_request(remote_stack: Stack, triton: StandIn) -> None:
    assert any(asked.headers.get("authorization") == f"Bearer {SECRET}" for asked in triton.asked)
    hidden = [path for path in remote_stack.var.rglob("*") if path.is_file()]
    assert any(path.name == "clipper.sqlite3" for path in hidden)
    assert [path for path in hidden if _holds(path, SECRET.encode())] == []
    told = [" ".join(command_of(process)) for process in remote_stack.descendants()]
    assert len(told) > 10
    assert [command for command in told if SECRET in command] == []
    with remote_stack.client() as client:
        texts = [
            client.get(path).text
            for path in (
                "/metrics",
                "/api/v1/models/far-triton/versions/1",
                "/api/v1/models/far-triton/versions/1/errors",
                "/api/v1/audit/",
                "/api/v1/replicas/",
            )
        ]
    assert all(texts)
    assert [text for text in [*texts, remote_stack.text] if SECRET in text] == []


def _holds(path: Path, text: bytes) -> bool:
    return text in path.read_bytes()


def test_another_secret_reaches_the_replica_that_runs(
    remote_stack: Stack, digits: Digits, triton: StandIn
) -> None:
    def replicas(client: httpx.Client) -> list[str]:
        found = client.get("/api/v1/replicas/").json()
        return [one["id"] for one in found if one["model"] == "far-triton"]

    name = application(remote_stack, "secretive", policy="static", models=["far-triton"])
    with remote_stack.client() as client:
        before = replicas(client)
        changed = client.patch(
            "/api/v1/models/far-triton/versions/1", json={"secret": "another-secret"}
        )
        assert changed.status_code == 200, changed.text

        def sent_now() -> str:
            post(client, f"{name}/predict", {"input": digits[0][0]})
            return triton.asked[-1].headers["authorization"]

        eventually(lambda: sent_now() == "Bearer another-secret", seconds=90, what="it is sent")
        assert replicas(client) == before != []
