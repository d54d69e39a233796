"""Silence counts once as the default reward, although the web process is killed on the way."""

import os
import signal
import sqlite3
from collections import Counter

import redis

from tests.integration.conftest import Digits
from tests.integration.stack import Stack, eventually, post

PREDICTIONS, LABELLED = 60, 20
WINDOW_S = 3
# One that no other test of the shared stack teaches.
CONTEXT = "quiet"


def kinds(stack: Stack, *, context: str) -> Counter[tuple[str, float | None]]:
    """Rows of the feedback table by kind and reward."""
    database = sqlite3.connect(f"file:{stack.var / 'clipper.sqlite3'}?mode=ro", uri=True)
    try:
        query = "SELECT kind, reward FROM selection_feedback WHERE context = ?"
        return Counter(database.execute(query, (context,)).fetchall())
    finally:
        database.close()


def test_silence_counts_once_although_the_web_process_is_killed(
    stack: Stack, digits: Digits
) -> None:
    inputs, labels = digits
    body = {
        "name": "silent",
        "input_type": "doubles",
        "slo_ms": 1000,
        "default_output": -1,
        "policy": "exp4",
        "default_reward": 0.75,
        "feedback_window_s": WINDOW_S,
        "routes": [{"model": "knn"}],
    }
    with stack.client() as client:
        created = client.post("/api/v1/applications/", json=body)
        assert created.status_code == 201, created.text
        application = created.json()["name"]
        asked = {"input_batch": inputs[:PREDICTIONS], "context": CONTEXT}
        answers = post(client, f"{application}/predict", asked)["batch_predictions"]
        told = [
            {"query_id": answer["query_id"], "label": label}
            for answer, label in list(zip(answers, labels, strict=False))[:LABELLED]
        ]
        assert post(client, f"{application}/feedback", {"feedback": told})["accepted"] == LABELLED

    with redis.Redis.from_url(stack.redis_url) as kept:
        (key,) = kept.scan_iter("clipper:due:*")
        eventually(lambda: kept.zcard(key) == PREDICTIONS, seconds=90, what="receipts written")
        os.kill(stack.web_processes()[0].pid, signal.SIGKILL)
        eventually(lambda: not kept.exists(key), seconds=60, what="all of them settled")

    stack.feedback_rows(context=CONTEXT, wait_for=PREDICTIONS)
    assert kinds(stack, context=CONTEXT) == {
        ("receipt", None): LABELLED,
        ("default", 0.75): PREDICTIONS - LABELLED,
    }
    eventually(stack.ready, seconds=90, what="ready again")
