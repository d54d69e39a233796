"""Changes of a moment ago, which hold for the next query."""

from collections.abc import Iterator

import httpx
import pytest

from tests.integration.conftest import Digits
from tests.integration.stack import Stack, eventually


@pytest.fixture
def manager(stack: Stack) -> Iterator[httpx.Client]:
    with stack.client() as client:
        yield client


def test_feedback_teaches_the_policy_that_its_sender_has_just_chosen(
    manager: httpx.Client, digits: Digits
) -> None:
    path = "/api/v1/applications/just-chosen"
    routes = [{"model": "knn"}, {"model": "svm-linear"}]
    body = {"input_type": "doubles", "slo_ms": 10_000, "policy": "static", "routes": routes}
    assert manager.put(path, json=body).status_code == 201
    labelled = [{"input": image, "label": label} for image, label in zip(*digits, strict=True)]
    # Each of them has weights of its own, and none of them has learned for another.
    for _ in range(3):
        assert manager.patch(path, json={"policy": "exp4"}).status_code == 200
        told = manager.post(f"{path}/feedback", json={"feedback": labelled[:60]})
        assert told.json()["accepted"] == 60, told.text
        first, second = manager.get(f"{path}/selection").json()["arms"]
        assert first["reward"] != second["reward"]
        assert first["weight"] != second["weight"]
        assert manager.delete(f"{path}/selection?all=true").status_code == 204
        assert manager.patch(path, json={"policy": "static"}).status_code == 200
    assert manager.delete(path).status_code == 204


REVOKE = """
from registry.models import ApiKey
from registry.services import SYSTEM, revoke_api_key
revoke_api_key(key=ApiKey.objects.get(name="short-lived"), by=SYSTEM)
"""


def test_a_key_works_as_soon_as_it_is_made_and_no_longer_than_until_it_is_revoked(
    stack: Stack, digits: Digits
) -> None:
    key = stack.new_key("short-lived", scopes="predict")
    path, body = "/api/v1/applications/digits/predict", {"input": digits[0][0]}
    with stack.client(headers={"Authorization": f"Api-Key {key}"}) as client:
        assert client.post(path, json=body).status_code == 200
        stack.manage("shell", "-c", REVOKE)
        eventually(
            lambda: client.post(path, json=body).status_code == 401, seconds=90, what="revoked"
        )


def test_without_a_model_or_a_default_it_says_when_to_try_again(
    stack: Stack, manager: httpx.Client, digits: Digits
) -> None:
    body = {"name": "waiting", "input_type": "doubles", "slo_ms": 10_000, "policy": "static"}
    assert manager.post("/api/v1/applications/", json=body).status_code == 201
    path, question = "/api/v1/applications/waiting", {"input": digits[0][0]}

    refused = manager.post(f"{path}/predict", json=question)
    assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
    assert int(refused.headers["retry-after"]) >= 1

    routes = [{"model": "knn", "version": "1"}]
    assert manager.put(f"{path}/routes", json=routes).status_code == 200
    eventually(
        lambda: manager.post(f"{path}/predict", json=question).status_code == 200,
        seconds=90,
        what="the new route is asked",
    )
    assert manager.delete(path).status_code == 204
