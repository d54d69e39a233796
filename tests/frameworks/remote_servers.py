"""A bandit over a local model and over MLServer, Triton and MLflow as they are, each away once."""

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from registry.demo.digits import held_out
from tests.frameworks.running import TESTED_WITHIN_S
from tests.frameworks.servers import KINDS, Server, running_server
from tests.integration.learning.remote_arms import (
    HARDLY_S,
    PHASE,
    answered_by,
    application,
    live,
    phase,
)
from tests.integration.stack import Load, Seen, Stack, eventually, post

LOCAL = "svm-linear"
# Answers after which a server that was away is one among others again.
TRUSTED_AFTER = 20
# One line a request would bury what a failing test has to say.
logging.getLogger("httpx").setLevel(logging.WARNING)
pytestmark = pytest.mark.timeout(TESTED_WITHIN_S)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    with ExitStack() as running:
        yield {name: running.enter_context(running_server(name)) for name in KINDS}


@pytest.fixture(scope="module")
def stack(servers: dict[str, Server]) -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="clipper-remote-") as folder:
        settings = {"CLIPPER_REMOTE_HOSTS": "127.0.0.1"}
        running = Stack(var=Path(folder) / "var", settings=settings)
        try:
            running.start()
            with running.client() as client:
                for name, server in servers.items():
                    live(client, name, **server.registration())
            yield running
            assert running.stop() == 0, running.text
        finally:
            running.end()


@pytest.fixture(scope="module")
def bandit(stack: Stack) -> str:
    return application(stack, "near-and-far", policy="exp3", models=[LOCAL, *KINDS])


@pytest.mark.parametrize("name", KINDS)
def test_it_answers_many_rows_as_well_as_one(stack: Stack, bandit: str, name: str) -> None:
    images, labels = held_out()
    with stack.client() as client:
        asked = {"input": images[0].tolist(), "version": f"{name}:1"}
        one = post(client, f"{bandit}/predict", asked)
        batch = {"input_batch": images[:300].tolist(), "version": f"{name}:1"}
        many = post(client, f"{bandit}/predict", batch)["batch_predictions"]
        refused = client.post(
            f"/api/v1/applications/{bandit}/predict",
            json={"input": [1.0, 2.0], "version": f"{name}:1"},
        )
    outputs = [answer["output"] for answer in many]
    assert one["output"] == outputs[0]
    assert np.mean(np.array(outputs) == labels[:300]) > 0.8
    if name == "mlflow":  # it says of none of its inputs what they are like before it is asked
        assert refused.json()["default"]
        assert "Shape of input (1, 2)" in refused.json()["default_explanation"]
    else:
        assert refused.status_code == 400


@pytest.mark.parametrize("name", KINDS)
def test_callers_hardly_notice_that_it_is_killed(
    stack: Stack, servers: dict[str, Server], bandit: str, name: str
) -> None:
    images, _ = held_out()
    arm = f"{name}:1"
    with Load(stack, application=bandit, inputs=images.tolist(), pause_s=HARDLY_S) as load:
        together = phase(load)
        killed_at = time.monotonic()
        servers[name].kill()
        first, away = phase(load), phase(load)
        servers[name].start()
        back_at = time.monotonic()
        eventually(
            lambda: often_answered_by(arm, load=load, since=back_at), seconds=60, what="it is back"
        )
    assert load.errors == []
    assert together["default"] <= PHASE * 0.1  # a busy machine is late now and then
    assert set(together) >= {arm, f"{LOCAL}:1"}
    assert away[arm] == 0
    assert first["default"] + away["default"] <= 2 * PHASE * 0.1
    reasons = {one.body["default_explanation"] for one in load.after(killed_at) if one.default}
    assert any(servers[name].place in reason for reason in reasons), reasons


def often_answered_by(arm: str, *, load: Load, since: float) -> list[Seen]:
    """Return the answers of an arm that is trusted again: a probe is one, and says little."""
    seen = answered_by(arm, load=load, since=since)
    return seen if len(seen) >= TRUSTED_AFTER else []
