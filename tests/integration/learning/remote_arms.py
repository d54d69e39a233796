"""Remote models as arms of an application, and who answered while one of them was away."""

import time
from collections import Counter
from typing import Any

import httpx

from tests.integration.stack import Load, Seen, Stack, eventually, post

# Enough queries for a policy to have shown what it thinks of an arm.
PHASE = 300
# What it thinks takes queries, and an arm that comes back is asked in few of them.
HARDLY_S = 0.01


def live(client: httpx.Client, name: str, **said: Any) -> None:
    """Register a remote model, deploy it, and wait until it is live."""
    body = {"version": "1", "runtime": "remote", **said}
    models = "/api/v1/models/"
    assert client.post(models, json={"name": name, "input_type": "doubles"}).status_code == 201
    made = client.post(f"{models}{name}/versions/", json=body)
    assert made.status_code == 201, made.text
    deployed = client.post(f"{models}{name}/versions/1/deploy?wait=60", json={})
    assert deployed.json()["state"] == "live", deployed.text


def application(
    stack: Stack, name: str, *, policy: str, models: list[str], slo_ms: int = 1000
) -> str:
    body = {
        "name": name,
        "input_type": "doubles",
        "slo_ms": slo_ms,
        "default_output": -1,
        "policy": policy,
        "cache": False,
        "routes": [{"model": model} for model in models],
    }
    with stack.client() as client:
        created = client.post("/api/v1/applications/", json=body)
        assert created.status_code == 201, created.text
        eventually(
            lambda: not post(client, f"{name}/predict", {"input": [0.0] * 64})["default"],
            seconds=90,
            what="answers",
        )
    return name


def phase(load: Load) -> Counter[str]:
    """Return how many of the next queries each arm answered; `default` is the default output."""
    began, before = time.monotonic(), load.count()
    eventually(lambda: load.count() >= before + PHASE, seconds=60, what=f"{PHASE} queries")
    answered: Counter[str] = Counter()
    for one in load.after(began):
        arms = [arm for arm, output in one.body.get("models", {}).items() if output is not None]
        answered.update(["default"] if one.default else arms)
    return answered


def answered_by(arm: str, *, load: Load, since: float) -> list[Seen]:
    return [
        one
        for one in load.after(since)
        if not one.default and one.body.get("models", {}).get(arm) is not None
    ]
