"""Under load a bad version takes itself back and a good one is promoted, whatever is killed."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import pytest

from tests.integration.conftest import Digits
from tests.integration.stack import Load, Stack, eventually

pytestmark = pytest.mark.long

SECONDS = 60.0
GOOD = "        return [int(x[0] > 8.0) for x in inputs]\n"
HOARD = "    hoard = b'7' * (200 << 20)\n"
# The first pixel of a digit is always 0.
EXAMPLE = json.dumps([1.0] + [0.0] * 63)
# Each answers its example, as its check asks, and nothing else well.
BAD = {
    "raises": "        if inputs[0][0] != 1.0:\n            raise RuntimeError('boom')\n" + GOOD,
    "exits": "        if inputs[0][0] != 1.0:\n            __import__('os')._exit(1)\n" + GOOD,
    "hangs": "        if inputs[0][0] != 1.0:\n            __import__('time').sleep(9)\n" + GOOD,
    "wrong": "        return [-7 if x[0] != 1.0 else 0 for x in inputs]\n",
}


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[httpx.Client]:
    key = stack.new_key("deployer", "--run-code", scopes="predict,feedback,manage")
    with stack.client(headers={"Authorization": f"Api-Key {key}"}) as client:
        yield client


@pytest.fixture(scope="module")
def toy(api: httpx.Client, request: pytest.FixtureRequest) -> str:
    """An application of one model whose version 1 is live, both named after the module of tests."""
    name = str(request.module.__name__).rpartition(".test_")[2]
    done(api.post("/api/v1/models/", json={"name": name, "input_type": "doubles"}))
    upload(api, name, "1", GOOD)
    live = done(api.post(f"/api/v1/models/{name}/versions/1/deploy?wait=60", json={}))
    assert live["state"] == "live"
    application = {
        **{"name": name, "input_type": "doubles", "slo_ms": 500, "default_output": -1},
        **{"policy": "static", "routes": [{"model": name}], "cache": False},
    }
    done(api.post("/api/v1/applications/", json=application))
    return name


def done(response: httpx.Response) -> Any:
    assert response.status_code < 300, response.text
    return response.json()


def upload(api: httpx.Client, model: str, version: str, code: str) -> None:
    text = f"class Predictor:\n    def pred_batch(self, inputs):\n{code}"
    done(
        api.post(
            f"/api/v1/models/{model}/versions/",
            data={"version": version, "runtime": "python", "example": EXAMPLE},
            files={"artifact": ("predictor.py", text.encode())},
        )
    )


@contextmanager
def labelled_load(stack: Stack, api: httpx.Client, toy: str, digits: Digits) -> Iterator[Load]:
    """Ask all the time, and label what was answered."""
    stopping = threading.Event()

    def label(load: Load) -> None:
        labelled = 0
        while not stopping.wait(0.05):
            seen = load.seen[labelled:]
            labelled += len(seen)
            items = [
                {"query_id": one.body["query_id"], "reward": float(one.body["output"] in (0, 1))}
                for one in seen
                if one.status == 200
            ]
            if items:
                api.post(f"/api/v1/applications/{toy}/feedback", json={"feedback": items})

    with Load(stack, application=toy, inputs=digits[0], pause_s=0.01) as load:
        thread = threading.Thread(target=label, args=(load,))
        thread.start()
        try:
            eventually(lambda: load.count() > 50, seconds=SECONDS, what="load")
            assert not load.errors
            yield load
        finally:
            stopping.set()
            thread.join()


def roll_out(api: httpx.Client, model: str, version: str, plan: str = "quick") -> str:
    release = done(
        api.post(f"/api/v1/models/{model}/versions/{version}/deploy", json={"rollout": plan})
    )
    return f"/api/v1/models/{model}/rollouts/{release['rollout']}"


def state_of(api: httpx.Client, rollout: str) -> str:
    return str(done(api.get(rollout))["state"])


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_version_takes_itself_back_and_no_client_notices(
    stack: Stack, api: httpx.Client, toy: str, digits: Digits, fault: str
) -> None:
    upload(api, toy, fault, BAD[fault])
    with labelled_load(stack, api, toy, digits) as load:
        rollout = roll_out(api, toy, fault)
        ended = ("promoted", "rolled_back", "aborted")
        eventually(lambda: state_of(api, rollout) in ended, seconds=SECONDS, what="its end")
        seen = load.count()
        eventually(lambda: load.count() > seen + 50, seconds=SECONDS, what="load afterwards")
        errors, defaults = load.errors, load.defaults
    found = done(api.get(rollout))

    assert (found["state"], errors, defaults) == ("rolled_back", [], [])
    assert "proved worse" in found["reason"]
    release = done(api.get(f"/api/v1/models/{toy}/releases/{found['release']}"))
    assert (release["state"], release["error"]) == ("failed", found["reason"])
    if fault == "raises":
        assert "boom" in found["failures"][0]["error"]


def test_a_good_version_is_promoted_whatever_is_killed_on_the_way(
    stack: Stack, api: httpx.Client, toy: str, digits: Digits
) -> None:
    upload(api, toy, "2", GOOD + HOARD)
    with labelled_load(stack, api, toy, digits):
        rollout = roll_out(api, toy, "2")
        eventually(lambda: state_of(api, rollout) == "canary", seconds=SECONDS, what="its start")
        for program in ("control", "redis"):
            before = done(api.get(rollout))
            os.kill(stack.pid_of(program), signal.SIGKILL)
            enough = calls_of(before) + 10
            eventually(
                partial(has_calls, api, rollout, enough),
                seconds=SECONDS,
                what=f"evidence after {program} was killed",
            )
        eventually(lambda: state_of(api, rollout) == "promoted", seconds=120, what="its end")
    assert done(api.get(f"/api/v1/models/{toy}"))["live_version"] == "2"
    [memory] = [gate for gate in done(api.get(rollout))["gates"] if gate["name"] == "memory"]
    assert (memory["verdict"], memory["action"]) == ("worse", "tell")
    assert "times the memory of version 1 (20" in memory["words"]


def has_calls(api: httpx.Client, rollout: str, enough: float) -> bool:
    response = api.get(rollout)
    return response.status_code == 200 and calls_of(response.json()) > enough


def calls_of(rollout: dict[str, Any]) -> float:
    """Return how many calls the gate of errors has seen."""
    gates = (gate for gate in rollout["gates"] or () if gate["name"] == "errors" and gate["canary"])
    return sum(gate["canary"]["calls"] + gate["live"]["calls"] for gate in gates)
