"""Scoring: many rows through the same arms, behind everybody, and nothing learned from it."""

import asyncio
import json
from time import monotonic
from typing import Any

import msgspec
import pytest

from core.errors import BadRequest, NotReady
from core.loop.loop_slices import Slice
from serving.endpoints.predictions.score import ScoreRequest, score_rows
from serving.query import large_batches
from serving.query.large_batches import LEAST_OPEN
from serving.rpc.frames.codec import Answer, AnswerStatus
from serving.testing import (
    PlayedReplica,
    PlayedServing,
    application_spec,
    batch_by,
    connect,
    routes_to,
    turn,
)
from tests.serving.endpoints.predictions.test_input_batches import computed_for_one_who_leaves

ROWS = 4
MANY = 3 * LEAST_OPEN


class Scorer:
    """Scores rows of an application of one model or several, each taking four rows at a time."""

    def __init__(self, *, models: int = 1, queue_capacity: int = 10_000, **changes: Any) -> None:
        ids = range(1, models + 1)
        spec = application_spec(routes=routes_to(*ids), slo_ms=60_000.0, **changes)
        self.serving = PlayedServing(spec, queue_capacity=queue_capacity)
        batch_by(self.serving.engine, rows=ROWS)
        self.replicas = {id: connect(self.serving.engine, version_id=id) for id in ids}

    @property
    def replica(self) -> PlayedReplica:
        return self.replicas[1]

    def score(self, rows: list[Any], **fields: Any) -> asyncio.Task[bytes]:
        raw = [msgspec.Raw(json.dumps(row).encode()) for row in rows]
        return asyncio.create_task(
            score_rows(
                self.serving.runtime,
                self.serving.application,
                request=ScoreRequest(input_batch=raw, **fields),
                slice=Slice(self.serving.processor.resources.turns),
            )
        )

    async def scored(self, rows: list[Any], **fields: Any) -> dict[str, Any]:
        """Return the reply once each replica has answered all that it was sent."""
        sent = self.score(rows, **fields)
        async with asyncio.timeout(30):
            while not sent.done():
                for id, replica in self.replicas.items():
                    while replica.batches:
                        answer_all(replica, times=id + 1)
                        await turn()
                await asyncio.sleep(0.001)
        return json.loads(await sent)


def answer_all(replica: PlayedReplica, *, times: int = 2) -> None:
    """Answer a batch with a multiple of each input's number."""
    inputs = replica.batches[0][1]
    replica.answer({input: b"%d" % (times * json.loads(input)[0]) for input in inputs})


def numbers(count: int) -> list[list[int]]:
    return [[n] for n in range(count)]


async def test_every_row_has_its_output_in_order() -> None:
    answer = await Scorer().scored(numbers(MANY))
    assert answer == {
        "outputs": [2 * n for n in range(MANY)],
        "failed": [],
        "models": ["m1:1"],
    }


async def test_it_leaves_the_cache_and_what_is_counted_of_queries_alone() -> None:
    scorer = Scorer()
    await scorer.scored(numbers(MANY))
    again = scorer.score([[1]])
    await turn()
    assert scorer.replica.batches  # the model is asked again
    answer_all(scorer.replica)
    await again
    stats = scorer.serving.metrics.of_application("digits")
    assert (stats.scored, stats.queries, stats.errors, stats.endings) == (MANY + 1, 0, 0, {})


async def test_a_row_of_another_type_fails_alone() -> None:
    answer = await Scorer().scored([[1], "two", [3]])
    assert answer["outputs"] == [2, None, 6]
    assert answer["failed"] == [
        {
            "index": 1,
            "error": 'input: expected an array of numbers, got "two".',
            "code": "invalid_input",
        }
    ]


async def test_a_row_that_the_model_fails_on_says_why_and_gets_no_default_output() -> None:
    scorer = Scorer(default_output=b"-1")
    sent = scorer.score([[1], [2]])
    await turn()
    negative = Answer(AnswerStatus.MODEL_FAILED, b"negative")
    scorer.replica.answer_with(negative, Answer(AnswerStatus.OK, b"4"))
    answer = json.loads(await sent)
    assert answer["outputs"] == [None, 4]
    assert [(row["index"], row["code"]) for row in answer["failed"]] == [(0, "model_failed")]
    assert "negative" in answer["failed"][0]["error"]


async def test_no_more_than_its_window_is_open_at_once() -> None:
    scorer = Scorer()
    sent = scorer.score(numbers(MANY))
    open_rows = []
    await turn()
    while scorer.replica.batches:
        open_rows.append(scorer.replica.replica.load)
        answer_all(scorer.replica)
        await turn()
    assert len(json.loads(await sent)["outputs"]) == MANY
    assert 0 < max(open_rows) <= LEAST_OPEN


async def test_a_query_goes_before_it() -> None:
    scorer = Scorer()
    sent = scorer.score(numbers(MANY))
    await turn()
    query = scorer.serving.begin(input=b"[1000]", arrived=monotonic())
    answer_all(scorer.replica)  # one of two that were on their way
    await turn()
    assert b"[1000]" in scorer.replica.batches[1][1]
    while not sent.done():
        answer_all(scorer.replica)
        await turn()
    assert query.prediction().output == b"2000"


async def test_rows_that_find_no_room_are_asked_about_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(large_batches, "REFUSED_PAUSE_S", 0.001)
    scorer = Scorer(queue_capacity=4)
    answer = await scorer.scored(numbers(MANY))
    assert scorer.serving.engine.stats[1].saturated > 0
    assert answer["outputs"] == [2 * n for n in range(MANY)]


async def test_what_is_not_answered_in_time_fails() -> None:
    scorer = Scorer(default_output=b"-1")
    async with asyncio.timeout(30):
        answer = json.loads(await scorer.score(numbers(3), timeout_ms=1.0))
    assert answer["outputs"] == [None] * 3
    assert {row["code"] for row in answer["failed"]} == {"deadline_exceeded"}


async def test_a_cancelled_one_asks_nothing_more() -> None:
    scorer = Scorer()
    sent = scorer.score(numbers(MANY))
    # Two batches were sent.
    assert await computed_for_one_who_leaves(sent, replica=scorer.replica) == 2 * ROWS


async def test_it_asks_all_arms_where_the_policy_does_and_combines_them() -> None:
    answer = await Scorer(models=3, policy="exp4", combine="mean").scored([[10]])
    assert answer["models"] == ["m1:1", "m2:1", "m3:1"]
    assert answer["outputs"] == [30.0]  # of 20, 30 and 40


async def test_it_asks_one_and_the_same_arm_where_the_policy_draws_one() -> None:
    scorer = Scorer(models=3, policy="exp3")
    answer = await scorer.scored(numbers(MANY))
    assert len(answer["models"]) == 1
    factor = int(answer["models"][0][1]) + 1
    assert answer["outputs"] == [factor * n for n in range(MANY)]


async def test_without_a_connected_model_it_is_refused_as_a_whole() -> None:
    scorer = Scorer()
    scorer.serving.engine.close()
    spec = application_spec(routes=routes_to(1))
    with pytest.raises(NotReady):
        await score_rows(
            PlayedServing(spec).runtime,
            spec,
            request=ScoreRequest(input_batch=[msgspec.Raw(b"[1]")]),
            slice=Slice(scorer.serving.processor.resources.turns),
        )


async def test_a_policy_by_features_has_a_version_named() -> None:
    scorer = Scorer(models=2, policy="auto", policy_params={"dimensions": 2})
    with pytest.raises(BadRequest, match="features"):
        await scorer.score([[1]])
    assert (await scorer.scored([[1]], version="m1:1"))["outputs"] == [2]
