"""A replay goes on where it was killed, asks a version that has no replica, and starts it."""

import os
import signal
import time

import httpx
import pytest

from tests.integration.processes.test_rollouts import api, done, toy, upload
from tests.integration.stack import Stack, eventually

__all__ = ["api", "toy"]

pytestmark = pytest.mark.long

ROWS = 1000
# Otherwise than version 1 for one input in ten, which it gets wrong.
WORSE = "        return [int(x[0] > 8.0) if x[1] < 9 else 2 for x in inputs]\n"


def test_each_row_is_asked_once_though_control_is_killed(
    stack: Stack, api: httpx.Client, toy: str
) -> None:
    done(api.patch(f"/api/v1/applications/{toy}", json={"capture_rate": 1.0}))
    upload(api, toy, "worse", WORSE)
    eventually(lambda: check_of(api, toy) == "passed", seconds=60, what="its check")
    for first in range(0, ROWS, 100):
        rows = [[float(n), float(n % 10)] + [0.0] * 62 for n in range(first, first + 100)]
        answers = done(api.post(f"/api/v1/applications/{toy}/predict", json={"input_batch": rows}))
        feedback = [
            {"query_id": one["query_id"], "label": int(row[0] > 8.0)}
            for one, row in zip(answers["batch_predictions"], rows, strict=True)
        ]
        done(api.post(f"/api/v1/applications/{toy}/feedback", json={"feedback": feedback}))
        time.sleep(0.3)
    path = f"/api/v1/models/{toy}/versions/worse/replays"
    eventually(lambda: begun(api, path, toy)["total"] >= ROWS, seconds=60, what="captured rows")
    newest = done(api.get(path))[0]
    for other in done(api.get(path))[1:]:
        if other["state"] in ("queued", "running"):
            done(api.post(f"{path}/{other['id']}", json={"action": "cancel"}))

    began = time.monotonic()
    mine = f"{path}/{newest['id']}"
    eventually(lambda: done(api.get(mine))["done"] > 0, seconds=60, what="its first rows")
    done(api.post(mine, json={"action": "cancel"}))
    done(api.post(mine, json={"action": "resume"}))
    os.kill(stack.pid_of("control"), signal.SIGKILL)
    eventually(lambda: done(api.get(mine))["state"] == "done", seconds=60, what="its end")
    print(f"{newest['total']} rows in {time.monotonic() - began:.1f} s, with a kill")

    found = done(api.get(mine))
    result = found["result"]
    assert found["done"] == found["total"] == result["answered"] == result["labels"]
    assert result["failed"] == 0
    assert result["agreement_with_live"] == result["agreement_with_given"] == 0.9
    assert result["gain"]["high"] < 0.0 < -result["gain"]["low"]
    assert {row["now"] for row in found["changed"]} == {"2"}
    assert all(row["input"].split(",")[1] == "9.0" for row in found["changed"])
    assert api.post(mine, json={"action": "cancel"}).status_code == 409

    # The live version answers its own rows as it did.
    path = f"/api/v1/models/{toy}/versions/1/replays"
    same = f"{path}/{begun(api, path, toy)['id']}"
    eventually(lambda: done(api.get(same))["state"] == "done", seconds=60, what="its end")
    assert done(api.get(same))["result"]["agreement_with_given"] == 1.0


def check_of(api: httpx.Client, model: str) -> str:
    state = done(api.get(f"/api/v1/models/{model}/versions/worse"))["check"]
    return str(state["state"] if state else "")


def begun(api: httpx.Client, path: str, application: str) -> dict[str, int]:
    answer = api.post(path, json={"application": application})
    return answer.json() if answer.status_code == 201 else {"total": 0}
