"""The stack is restarted under load as an operator does it, and nobody notices."""

import asyncio
import subprocess
import threading
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from clipper_client import AsyncClient
from tests.integration.conftest import Digits
from tests.integration.stack import PAUSE_S, Load, Stack, eventually, post

# Clients that keep their connections and never try again.
CLIENTS = 4
ROUNDS = 2
NO_REPLICAS = ("predict", "console", "control")
# The demo's.
MODELS = ("knn", "mlp", "naive-bayes", "svm-linear", "svm-rbf")


def restart(stack: Stack, *options: str) -> str:
    """Return the output of `make restart`, which must succeed."""
    done = ordered(stack, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ordered(stack: Stack, *options: str) -> subprocess.CompletedProcess[str]:
    script = f'. "{stack.var}/env.sh" && exec .venv/bin/python -m clipper_site.stack.restart "$@"'
    return subprocess.run(
        ["bash", "-c", script, "restart", "--var", str(stack.var), *options],
        cwd=stack.root,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def wait_for_more(load: Load) -> None:
    seen = load.count()
    eventually(lambda: load.count() > seen + 20, seconds=60, what="load afterwards")


def test_restarts_under_load_cause_no_error_and_no_default(
    stack: Stack, patient: str, digits: Digits
) -> None:
    control = stack.pid_of("control")
    only = [option for program in NO_REPLICAS for option in ("--only", program)]
    with Load(stack, application=patient, inputs=digits[0], threads=CLIENTS) as load:
        eventually(lambda: load.count() > 50, seconds=60, what="load")
        for _ in range(ROUNDS):
            (before,) = stack.web_processes()
            restart(stack, *only)
            (after,) = stack.web_processes()
            assert after.pid != before.pid
            wait_for_more(load)
    assert load.errors == []
    assert load.defaults == []
    assert stack.pid_of("control") not in (0, control)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_workers_are_replaced_under_load_and_no_model_is_away_for_a_moment(
    stack: Stack, digits: Digits
) -> None:
    """Five models of one replica each, and an application for each that asks nothing else."""
    lonely = [make_lonely(stack, model) for model in MODELS]
    with ExitStack() as running:
        loads = [
            running.enter_context(Load(stack, application=name, inputs=digits[0], threads=1))
            for name in lonely
        ]
        for load in loads:
            wait_for_more(load)
        for options in (["--only", "cpu-worker"], []):
            before = {replica["pid"] for replica in all_replicas(stack)}
            said = restart(stack, *options)
            assert "cpu-worker: restarted in" in said
            assert before.isdisjoint(replica["pid"] for replica in all_replicas(stack))
        for load in loads:
            wait_for_more(load)
    assert [load.errors for load in loads] == [[]] * len(loads)
    assert [load.defaults for load in loads] == [[]] * len(loads)


def make_lonely(stack: Stack, model: str) -> str:
    body = {
        "name": f"only-{model}",
        "input_type": "doubles",
        "slo_ms": 1000,
        "default_output": -1,
        "policy": "exp4",
        "routes": [{"model": model}],
    }
    with stack.client() as client:
        assert client.post("/api/v1/applications/", json=body).status_code == 201
    return f"only-{model}"


def all_replicas(stack: Stack) -> list[dict[str, Any]]:
    return [replica for model in MODELS for replica in stack.replicas(model)]


def test_connections_that_wait_for_their_next_request_outlive_their_process(
    stack: Stack, patient: str, digits: Digits
) -> None:
    clients = [stack.client(limits=httpx.Limits(max_connections=1)) for _ in range(50)]
    for client in clients:
        post(client, f"{patient}/predict", {"input": digits[0][0]})
    restart(stack, "--only", "predict")
    (process,) = stack.web_processes()
    for client in clients:
        response = client.post(
            f"/api/v1/applications/{patient}/predict", json={"input": digits[0][0]}
        )
        assert response.status_code == 200
        assert "connection" not in response.headers
    # They are the same connections, at the other process.
    assert len([c for c in process.net_connections("tcp") if c.status == "ESTABLISHED"]) >= 50
    for client in clients:
        client.close()


async def test_a_websocket_client_goes_on_in_the_next_process(
    stack: Stack, patient: str, digits: Digits
) -> None:
    ended = threading.Event()

    def restart_it() -> None:
        restart(stack, "--only", "predict")
        ended.set()

    async with (
        AsyncClient(stack.url, stack.demo["api_key"], timeout=30) as client,
        client.session(patient) as session,
    ):
        restarting = asyncio.create_task(asyncio.to_thread(restart_it))
        asked = 0
        while not ended.is_set() or asked < 50:
            asked += 1
            await asyncio.sleep(PAUSE_S)
            answer = await session.predict([*digits[0][0][:-1], asked * 1e-9])
            assert not answer.default
        await restarting
