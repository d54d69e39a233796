"""Learned state of a running stack: read the same everywhere, lost and found again, forgotten."""

import redis

from tests.integration.conftest import Digits
from tests.integration.stack import Stack, post

USERS = ("", "ann", "bob")


def teach(stack: Stack, application: str, digits: Digits, *, rounds: int = 10) -> None:
    inputs, labels = digits
    with stack.client() as client:
        for number in range(rounds):
            queries = [
                {"input": inputs[number], **({"context": user} if user else {})} for user in USERS
            ]
            items = [
                {
                    "query_id": post(client, f"{application}/predict", query)["query_id"],
                    "label": (labels[number] + (user == "bob")) % 10,
                }
                for user, query in zip(USERS, queries, strict=True)
            ]
            assert post(client, f"{application}/feedback", {"feedback": items})["accepted"] == 3


def known(stack: Stack, application: str) -> dict[str, dict[str, tuple[float, int]]]:
    """Weight and feedback of every arm, by context."""
    return {
        user: {
            f"{arm['model']}:{arm['version']}": (arm["weight"], arm["feedback"])
            for arm in stack.learned(application, context=user)
        }
        for user in USERS
    }


def test_what_redis_lost_is_learned_again_and_served_at_once(
    stack: Stack, patient_single: str, digits: Digits
) -> None:
    teach(stack, patient_single, digits)
    before = known(stack, patient_single)
    assert before["ann"] != before["bob"]
    with redis.Redis.from_url(stack.redis_url) as client:
        # The application's own state alone, as other tests go on with theirs.
        number = stack.application_id(patient_single)
        client.delete(f"clipper:contexts:{number}", *client.keys(f"clipper:selection:{number}:*"))
    assert known(stack, patient_single) != before
    said = stack.rebuilt(patient_single)
    assert said.endswith(", the global one.")
    assert known(stack, patient_single) == before
    assert stack.rebuilt(patient_single, "--dry-run").endswith("; Redis has the same.")


def test_what_was_reset_stays_forgotten(stack: Stack, patient: str, digits: Digits) -> None:
    teach(stack, patient, digits, rounds=3)
    path = f"/api/v1/applications/{patient}"
    with stack.client() as client:
        assert "ann" in [row["context"] for row in client.get(f"{path}/contexts").json()]
        assert client.delete(f"{path}/selection", params={"context": "ann"}).status_code == 204
        assert "ann" not in [row["context"] for row in client.get(f"{path}/contexts").json()]
        refused = client.post(f"{path}/selection")
        assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, DELETE")
    assert {arm["feedback"] for arm in stack.learned(patient, context="ann")} == {0}
    assert {arm["feedback"] for arm in stack.learned(patient, context="bob")} != {0}
    assert stack.rebuilt(patient).endswith("; Redis has the same.")
    assert {arm["feedback"] for arm in stack.learned(patient, context="ann")} == {0}
