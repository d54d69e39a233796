"""A query that is asked to explain itself tells where its time went."""

import json
from typing import Any

import pytest

from serving.endpoints.predictions.predict import render
from serving.query.query import Query
from serving.rpc.frames.codec import failed
from serving.testing import PlayedServing, application_spec, connect, turn


@pytest.fixture
def it() -> PlayedServing:
    return PlayedServing(application_spec(), queue_capacity=10)


def body_of(query: Query) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(render(query.prediction()))
    return body


async def test_every_arm_is_explained_by_itself(it: PlayedServing) -> None:
    connect(it.engine, version_id=3)
    first, second = connect(it.engine, version_id=1, name="a"), connect(it.engine, version_id=2)
    query = it.begin(traced=True, timeout_ms=200.0)
    await turn()
    first.answer({b"[1]": b"7"})
    second.answer_with(failed("ValueError: no"))
    await query.settled()
    told = body_of(query)["explain"]

    assert told["models"]["m1:1"]["from"] == "model"
    assert told["models"]["m1:1"]["replica"] == "a"
    assert told["models"]["m1:1"]["batch_size"] == 1
    assert told["models"]["m2:1"]["why"] == "ValueError: no"
    assert told["models"]["m3:1"]["from"] == "nowhere"
    assert told["wait_ms"] >= 10.0


async def test_a_second_query_tells_that_the_cache_answered(it: PlayedServing) -> None:
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    it.begin()
    await turn()
    for replica in replicas:
        replica.answer({b"[1]": b"7"})
    told = body_of(it.begin(traced=True))["explain"]
    assert told["models"] == {f"m{n}:1": {"from": "cache"} for n in (1, 2, 3)}


async def test_an_identical_query_tells_that_it_joined_the_first(it: PlayedServing) -> None:
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    first, second = it.begin(traced=True), it.begin(traced=True)
    await turn()
    for replica in replicas:
        replica.answer({b"[1]": b"7"})
    assert body_of(first)["explain"]["models"]["m1:1"]["from"] == "model"
    assert body_of(second)["explain"]["models"]["m1:1"]["from"] == "joined"


async def test_its_stages_make_up_the_latency(it: PlayedServing) -> None:
    replicas = [connect(it.engine, version_id=n) for n in (1, 2, 3)]
    query = it.begin(traced=True)
    await turn()
    for replica in replicas:
        replica.answer({b"[1]": b"7"})
    body = body_of(query)
    told = body["explain"]
    stages = told["prepare_ms"] + told["wait_ms"] + told["combine_ms"]
    assert stages >= body["latency_ms"] - 0.01
    assert told["objective_ms"] == 1000.0
