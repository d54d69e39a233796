"""Selection state: peeking never waits, copies follow Redis, and Redis may be away."""

import logging
import math

import pytest
from redis.asyncio import Redis
from redis.typing import EncodableT, FieldT

from core.errors import Unavailable
from core.specs import ApplicationSpec
from selection.policies.arithmetic.sums import State
from selection.store.redis_keys import FEEDBACK, pack_vector
from selection.store.selection_store import SelectionStore
from serving.testing import application_spec
from tests.redis_server import redis_server
from tests.selection.eventually import eventually
from tests.selection.hashes import log_weights, rewards

ARMS = {"svm:2": 1.0, "tree:1": 1.0}
MOVED = State({"log": {"svm:2": (0.0,), "tree:1": (-50.0,)}})
# A context that has learned nothing trusts as everybody does.
GENERAL = log_weights(svm=0, tree=-5) | rewards("svm:2", seen=100.0, mean=0.9)
FROM_GLOBAL = pytest.approx(1 / (1 + math.exp(-5.0)))
GLOBAL, ANN = "clipper:selection:1:", "clipper:selection:1:ann"


@pytest.fixture
def application() -> ApplicationSpec:
    return application_spec(policy="exp3")


def weight(
    store: SelectionStore, application: ApplicationSpec, *, context: str = "", arm: str = "svm:2"
) -> float:
    return store.peek(application, context=context, arms=ARMS).weights[arm]


async def test_a_peek_brings_the_copy_behind_it_up_to_date_with_what_others_learn(
    store: SelectionStore, application: ApplicationSpec, aredis: Redis
) -> None:
    await aredis.hset(GLOBAL, mapping=log_weights(svm=-50, tree=0))
    assert weight(store, application) == 0.5
    await eventually(lambda: weight(store, application) < 0.01)
    await aredis.hset(GLOBAL, mapping=log_weights(tree=-100))
    await eventually(lambda: weight(store, application) > 0.99)


async def test_a_copy_is_not_read_again_before_its_time(
    aredis: Redis, application: ApplicationSpec
) -> None:
    now = 100.0
    store = SelectionStore(aredis, refresh_interval_s=0.2, clock=lambda: now)
    await store.start()
    weight(store, application)
    await eventually(lambda: not store.to_read)
    await aredis.hset(GLOBAL, mapping=log_weights(svm=-50))
    prepared = store.peek(application, context="", arms=ARMS)
    assert not store.to_read
    assert store.peek(application, context="", arms=ARMS) is prepared
    now = 100.3
    weight(store, application)
    assert list(store.to_read) == [(1, "")]
    await store.stop()


async def test_a_context_that_only_counted_queries_still_starts_from_the_global_one(
    store: SelectionStore, application: ApplicationSpec, aredis: Redis
) -> None:
    await aredis.hset(GLOBAL, mapping=GENERAL)
    await aredis.hset(ANN, mapping={"q:svm:2": "3"})
    await eventually(lambda: weight(store, application, context="ann") == FROM_GLOBAL)


async def test_a_read_begun_before_something_was_learned_does_not_undo_it(
    aredis: Redis, application: ApplicationSpec
) -> None:
    now = 100.0
    store = SelectionStore(aredis, clock=lambda: now)
    weight(store, application)
    await aredis.hset(GLOBAL, mapping=log_weights(svm=0, tree=0))
    store.learned(1, context="", state=MOVED)
    await store.refresh([(1, "")])
    assert weight(store, application) > 0.99


async def test_a_changed_application_or_other_arms_are_seen_at_once(
    store: SelectionStore, application: ApplicationSpec
) -> None:
    together = application_spec(policy="exp4")
    assert len(store.peek(together, context="", arms=ARMS).selections) == 1
    assert len(store.peek(application, context="", arms=ARMS).selections) == 2
    assert list(store.peek(application, context="", arms={"knn:1": 1.0}).weights) == ["knn:1"]


async def test_the_number_of_copies_is_bounded(aredis: Redis, application: ApplicationSpec) -> None:
    store = SelectionStore(aredis, copies=10)
    for number in range(50):
        weight(store, application, context=f"user-{number}")
    assert store.copies == 10


async def test_a_flood_of_new_contexts_waits_in_a_bounded_line(
    aredis: Redis, application: ApplicationSpec
) -> None:
    store = SelectionStore(aredis)
    for number in range(3000):
        weight(store, application, context=f"user-{number}")
    assert len(store.to_read) <= 1025


async def test_contexts_are_read_in_one_call_that_a_new_redis_learns(
    aredis: Redis, application: ApplicationSpec
) -> None:
    store = SelectionStore(aredis)
    contexts = [f"user-{number}" for number in range(20)]
    for number, context in enumerate(contexts):
        weight(store, application, context=context)
        own = log_weights(svm=0, tree=-number)
        await aredis.hset(f"clipper:selection:1:{context}", mapping=own)
    await aredis.script_flush()
    await store.refresh([(1, context) for context in contexts])
    seen = [weight(store, application, context=context) for context in contexts]
    assert seen == sorted(set(seen))


async def test_it_describes_weights_chances_and_counts(
    store: SelectionStore, aredis: Redis
) -> None:
    application = application_spec(policy="exp3", policy_params={"floor": 0.2})
    await aredis.hset(
        GLOBAL,
        mapping=log_weights(svm=0, tree=-100)
        | rewards("svm:2", seen=4.0, mean=0.75)
        | {"n:svm:2": "5", "t": "1700000000.5"},
    )
    store.count_queries(application, context="", arms=("svm:2",))
    description = await store.describe(application, context="", arms=ARMS)
    assert description == {
        "policy": "exp3",
        "context": "",
        "arms": [
            {"model": "svm", "version": "2", "weight": 1.0, "probability": 0.9}
            | {"queries": 1, "feedback": 5, "reliability": 1.0, "reward": 0.75}
            | {"reward_interval": None},
            {"model": "tree", "version": "1", "weight": pytest.approx(0, abs=1e-9)}
            | {"probability": pytest.approx(0.1), "queries": 0, "feedback": 0}
            | {"reliability": 1.0, "reward": None, "reward_interval": None},
        ],
        "reason": "",
        "recommendation": {
            "arm": "svm:2",
            "state": "undecided",
            "confidence": 0.0,
            "since": None,
            "labels": 0,
        },
        "updated_at": "2023-11-14T22:13:20.500000+00:00",
    }


# A hundred people each.
ONE_IS_BETTER: dict[FieldT, EncodableT] = {
    f"person:{arm}": pack_vector((100.0, total, 100.0, total, total, 100.0, *(0.0,) * 4))
    for arm, total in (("svm:2", 95.0), ("tree:1", 5.0))
}


async def test_sums_by_person_reach_the_policy_that_goes_by_them_and_those_who_look(
    store: SelectionStore, aredis: Redis
) -> None:
    await aredis.hset(GLOBAL, mapping=ONE_IS_BETTER)
    settling = application_spec(policy="track_and_stop")
    await eventually(lambda: weight(store, settling) > 0.99)

    other = application_spec(policy="thompson")
    assert weight(store, other) == 0.5
    description = await store.describe(other, context="", arms=ARMS)
    assert description["recommendation"]["state"] == "best"
    assert description["arms"][0]["reward_interval"]["low"] > 0.8


async def test_a_route_that_nobody_is_sent_to_is_no_other_choice(
    store: SelectionStore, aredis: Redis
) -> None:
    await aredis.hset(GLOBAL, mapping=ONE_IS_BETTER)
    split, arms = application_spec(policy="ab_split"), {**ARMS, "off:1": 0.0}
    described = await store.describe(split, context="", arms=arms)
    assert described["recommendation"]["state"] == "best"
    assert len(described["arms"]) == 3


async def test_without_redis_the_last_copies_serve_and_the_log_says_so_once(
    application: ApplicationSpec, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "selection.store.selection_store")
    with redis_server() as server:
        async with Redis.from_url(server.url, retry=None) as client:
            store = SelectionStore(client, refresh_interval_s=0.0, flush_interval_s=0.01)
            await store.start()
            await client.hset(GLOBAL, mapping=log_weights(svm=0, tree=-50))
            await eventually(lambda: weight(store, application) > 0.99)
            server.kill()
            await eventually(lambda: weight(store, application) > 0.99 and bool(caplog.records))
            for _ in range(100):
                store.count_queries(application, context="", arms=("svm:2",))
                assert weight(store, application) > 0.99
            with pytest.raises(Unavailable):
                await store.describe(application, context="", arms=ARMS)
            assert [r.levelname for r in caplog.records] == ["WARNING"]

            server.start()
            await eventually(lambda: weight(store, application) == 0.5 and len(caplog.records) == 2)
            assert [r.levelname for r in caplog.records] == ["WARNING", "INFO"]

            async def counted() -> bool:
                return await client.hget(GLOBAL, "q:svm:2") == b"100"

            await eventually(counted)
            await store.stop()


async def test_what_cannot_be_read_ends_no_task_and_is_said_once(
    store: SelectionStore,
    application: ApplicationSpec,
    aredis: Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="selection.store.selection_store")
    await aredis.hset(GLOBAL, mapping={**log_weights(svm=-50, tree=0), f"{FEEDBACK}svm:2": "many"})
    assert weight(store, application) == 0.5
    await eventually(lambda: "can't be read, going on" in caplog.text)
    weight(store, application)
    await aredis.hset(GLOBAL, f"{FEEDBACK}svm:2", 3)

    await eventually(lambda: weight(store, application) < 0.01)
    assert caplog.text.count("can't be read, going on") == 1
    assert caplog.text.count("can be read again") == 1
