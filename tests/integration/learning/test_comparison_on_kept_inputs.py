"""A new version is compared with the live one on what that one was really asked."""

from typing import Any

import httpx
import redis
import skops.io
from sklearn.dummy import DummyClassifier

from tests.integration.stack import Stack, eventually, post

NAME = "keeping"


def test_a_check_tells_how_far_it_agrees_on_kept_inputs(stack: Stack) -> None:
    with stack.client() as client, redis.Redis.from_url(stack.redis_url) as server:
        model = {"name": NAME, "input_type": "doubles"}
        assert client.post("/api/v1/models/", json=model).status_code == 201
        assert "kept" not in deployed(client, version="1", answer=3)["report"]
        body = model | {"slo_ms": 1000, "keep_inputs": True, "routes": [{"model": NAME}]}
        assert client.post("/api/v1/applications/", json=body).status_code == 201

        def asked() -> bool:
            return not post(client, f"{NAME}/predict", {"input": [1.0]})["default"]

        eventually(asked, seconds=90, what="an answer")
        found = "clipper:input-sample:*:keeping:1"
        eventually(lambda: server.keys(found), seconds=90, what="an input is kept")
        kept = deployed(client, version="2", answer=5)["report"]["kept"]
    assert kept.pop("inputs") == kept.pop("answered") > 0
    assert kept == {"with": f"{NAME}:1", "same": 0, "largest_difference": 2.0}


def deployed(client: httpx.Client, *, version: str, answer: int) -> Any:
    """Its release, which is live, of a version that always answers the same."""
    fitted = DummyClassifier(strategy="constant", constant=answer).fit([[0.0], [1.0]], [3, 5])
    path = f"/api/v1/models/{NAME}/versions/"
    made = client.post(
        path,
        data={"version": version, "runtime": "sklearn"},
        files={"artifact": ("model.skops", skops.io.dumps(fitted))},
    )
    assert made.status_code == 201, made.text
    release = client.post(f"{path}{version}/deploy?wait=60", json={}).json()
    assert release["state"] == "live", release
    return release
