"""The script that counts feedback does what the arithmetic says, to the bit, whoever runs it."""

import asyncio
import multiprocessing
from typing import Any

import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from selection.feedback.persistence.journal import FeedbackJournal, States
from selection.feedback.rebuild.replay import Replay, ReplayedContext
from selection.feedback.rebuild.replay_source import from_stream
from selection.feedback.rebuild.state_swap import fields_of, rows_of
from selection.policies import Policy, make_policy
from selection.policies.arithmetic.answer_sums import ANSWERS, AnswerSeen
from selection.policies.arithmetic.sums import BOTH, EVIDENCE, PEOPLE, REWARDS, State, Update
from selection.store.query_counts import QueryCounts
from selection.store.redis_keys import pack_vector, state_key
from selection.store.state_record import StateRecord, parse_record
from tests.selection.observer import ARMS, POLICY, observe_many
from tests.selection.updates import alike, feedback_update, journal_update, learned

CONTEXTS = "clipper:contexts:1"
EXP4 = make_policy("exp4", {})


def bits(state: State) -> dict[str, dict[str, bytes]]:
    """All numbers of a state as bytes: 0.0 isn't -0.0 here."""
    return {
        name: {arm: pack_vector(vector) for arm, vector in statistics.items()}
        for name, statistics in state.sums.items()
    }


def rows(client: redis.Redis, context: str = "") -> dict[bytes, bytes]:
    """The sums of each group of people."""
    found: Any = client.hgetall(f"clipper:people:1:{context}")
    return dict(found)


def stored(client: redis.Redis, context: str = "") -> StateRecord:
    return parse_record(client.hgetall(state_key(1, context)))


def test_evidence_begins_anew_at_the_same_label_both_ways(
    server_redis: redis.Redis, redis_socket: str
) -> None:
    rewards = [1.0, 0.8, 1.0, 0.9] * 15 + [0.1, 0.0] * 20 + [0.7] * 5
    entries = [
        feedback_update(
            EXP4,
            {"svm:1": 1.0 - r, "knn:1": 0.5},
            context="ann" if n % 3 else "",
            key=f"u{n % 7}" if n % 2 else "",
            at_ms=10 + n,
        )
        for n, r in enumerate(rewards)
    ]

    async def append() -> None:
        async with Redis(unix_socket_path=redis_socket) as client:
            await FeedbackJournal(client).append(entries)

    asyncio.run(append())

    states = learned([(entry.event.context, entry.update) for entry in entries if entry.update])
    for context, state in states.items():
        assert bits(stored(server_redis, context).state) == bits(state)
        assert rows(server_redis, context) == rows_of(ReplayedContext(state))
        assert state.of(PEOPLE)["svm:1"][5] == state.of(EVIDENCE)["svm:1"][0]
    changed, same = (states[""].of(EVIDENCE)[arm] for arm in ("svm:1", "knn:1"))
    assert changed[4] == same[4] == 1.0
    assert changed[0] == same[0] > 0.0
    assert 70.0 < changed[5] == same[5] == 115.0 - changed[0] - 1.0


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(alike(most=4), min_size=1, max_size=5))
def test_script_and_arithmetic_agree_to_the_bit(
    redis_socket: str, runs: list[list[tuple[str, Update]]]
) -> None:
    sequence = [one for run in runs for one in run]

    async def write() -> list[States | None]:
        async with Redis(unix_socket_path=redis_socket) as client:
            await client.flushall()
            return await FeedbackJournal(client).append([journal_update(*one) for one in sequence])

    left = asyncio.run(write())
    expected = learned(sequence)
    with redis.Redis(unix_socket_path=redis_socket) as client:
        for context, state in expected.items():
            assert bits(stored(client, context).state) == bits(state)
            assert rows(client, context) == rows_of(ReplayedContext(state))
    last: dict[str, tuple[Update, State]] = {}
    for (context, one), made in zip(sequence, left, strict=True):
        assert made is not None
        assert set(made) == {context, ""}
        last |= {name: (one, state) for name, state in made.items()}
    for context, (one, state) in last.items():
        written = bits(expected[context])
        assert bits(state) == {
            name: {arm: written[name][arm] for arm in one.arms} for name in state.sums
        }
        kinds = {kind.name for kind in one.deltas if not (context and kind.everybody)}
        assert kinds == state.sums.keys() - {"pairs", PEOPLE.name, BOTH.name}


async def test_many_arms_that_are_asked_together_count_whole(
    aredis: Redis, stream: redis.Redis
) -> None:
    losses = {f"m{number}:1": number / 128 for number in range(128)}
    for _ in range(2):
        await FeedbackJournal(aredis).append(
            [feedback_update(EXP4, losses, context="ann", key="u1")]
        )
    for context, expected in replayed(stream, EXP4).contexts.items():
        assert len(expected.state.of(BOTH)) == 128 * 127 / 2
        assert stream.hgetall(state_key(1, context)) == fields_of(expected)
        assert rows(stream, context) == rows_of(expected)


async def test_sums_by_person_begin_anew_when_an_arm_leaves_and_when_it_returns(
    aredis: Redis, stream: redis.Redis
) -> None:
    labels: list[float] = []
    for arms in (ARMS, ARMS, ARMS[:1], ARMS[:1], ARMS):
        one = feedback_update(EXP4, dict.fromkeys(arms, 0.5), context="ann", key="u1", routed=arms)
        await FeedbackJournal(aredis).append([one])
        labels.append(stored(stream, "ann").state.of(PEOPLE)[ARMS[0]][5])
        for context, expected in replayed(stream, EXP4).contexts.items():
            assert stream.hgetall(state_key(1, context)) == fields_of(expected)
            assert rows(stream, context) == rows_of(expected)
    assert labels == [1.0, 2.0, 1.0, 2.0, 1.0]


async def test_a_new_version_has_no_part_in_the_answers_of_the_one_before(
    aredis: Redis, stream: redis.Redis
) -> None:
    for version, right in (("svm:1", 1.0), ("svm:2", 0.0)):
        answer = AnswerSeen((8.0, 8.0), (right, right), (3,))
        one = feedback_update(EXP4, {version: 1.0 - right}, answer=answer)
        await FeedbackJournal(aredis).append([one])
    state = stored(stream).state
    assert bits(state) == bits(replayed(stream, EXP4).contexts[""].state)
    assert sum(state.of(ANSWERS)["svm:1"]) == 5.0
    assert sum(state.of(ANSWERS)["svm:2"]) == 3.0
    assert state.of(REWARDS)["svm:2"][0] > 1.0


async def test_of_two_predecessors_known_alike_the_last_by_its_bytes_is_followed(
    aredis: Redis, stream: redis.Redis
) -> None:
    before = {"tree:a1": 0.25, "tree:a-1": 0.25, "knn:1": 1.0}  # a locale may sort them otherwise
    journal = FeedbackJournal(aredis)
    await journal.append([feedback_update(EXP4, before)])
    await journal.append([feedback_update(EXP4, {"tree:b": 0.5}, routed=("tree:b", "knn:1"))])
    replay = replayed(stream, EXP4)
    assert replay.contexts[""].state == stored(stream).state


# --- several at once --------------------------------------------------------------------------


def replayed(stream: redis.Redis, policy: Policy) -> Replay:
    replay = Replay(policy)
    replay.follow(from_stream(stream.xrange("clipper:feedback"), application_id=1))
    return replay


def test_processes_that_observe_at_once_equal_one_that_does_it_all_in_their_order(
    stream: redis.Redis, redis_socket: str
) -> None:
    spawned = multiprocessing.get_context("spawn")
    workers = [
        spawned.Process(target=observe_many, args=(redis_socket, seed, 100)) for seed in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=150)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    replay = replayed(stream, POLICY)
    assert replay.observed == 300
    assert set(replay.contexts) == {"", "ann"}
    for context, expected in replay.contexts.items():
        assert stream.hgetall(state_key(1, context)) == fields_of(expected)


def unseen(stream: redis.Redis) -> list[bytes]:
    """All that there is but the marks of what was seen."""
    return [key for key in stream.scan_iter() if b"seen" not in key]


async def test_what_was_counted_changes_nothing_when_it_comes_again(
    aredis: Redis, stream: redis.Redis
) -> None:
    one = feedback_update(EXP4, {"svm:2": 1.0}, context="ann")
    journal = FeedbackJournal(aredis)
    await journal.append([one])
    before = {key: stream.dump(key) for key in unseen(stream)}
    assert await journal.append([one, one]) == [None, None]
    assert {key: stream.dump(key) for key in unseen(stream)} == before


async def test_of_two_alike_in_one_request_one_counts(aredis: Redis, stream: redis.Redis) -> None:
    one, other = (feedback_update(EXP4, {"svm:2": 1.0}, context="ann") for _ in range(2))
    left = await FeedbackJournal(aredis).append([one, one, other, one])
    assert [states is not None for states in left] == [True, False, True, False]
    assert stored(stream, "ann").feedback == stored(stream).feedback == {"svm:2": 2}
    replay = replayed(stream, EXP4)
    assert (replay.observed, replay.contexts["ann"].state) == (2, stored(stream, "ann").state)


async def test_what_teaches_nothing_counts_between_what_does(
    aredis: Redis, stream: redis.Redis
) -> None:
    entries = [
        feedback_update(EXP4, {"svm:2": 1.0}),
        journal_update("", None),
        feedback_update(EXP4, {"svm:2": 0.0}),
    ]
    first, second, third = await FeedbackJournal(aredis).append(entries)
    assert (second, first is None, third is None) == ({}, False, False)
    assert await FeedbackJournal(aredis).append(entries) == [None, None, None]
    assert stream.xlen("clipper:feedback") == 3
    assert stored(stream).feedback == {"svm:2": 2}


# --- contexts: how many, how long -------------------------------------------------------------


NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000


async def teach(aredis: Redis, *contexts: str, at_ms: int = NOW_MS, **bounds: Any) -> None:
    journal = FeedbackJournal(aredis)
    for number, context in enumerate(contexts):
        one = feedback_update(EXP4, {"svm:2": 1.0}, context=context, at_ms=at_ms + number, **bounds)
        await journal.append([one])


def known(stream: redis.Redis) -> list[str]:
    """The contexts in their order, last used last, each of which must have a state."""
    names = [name.decode() for name in stream.zrange(CONTEXTS, 0, -1)]
    states = {key.decode().rpartition(":")[2] for key in stream.keys("clipper:selection:1:?*")}
    assert states == set(names)
    return names


async def test_a_context_too_many_makes_the_one_that_was_used_longest_ago_go(
    aredis: Redis, stream: redis.Redis
) -> None:
    await teach(aredis, "ann", "bob", "cid", "ann", "dan", max_contexts=3)
    assert known(stream) == ["cid", "ann", "dan"]


async def test_a_query_is_a_use_too(aredis: Redis, stream: redis.Redis) -> None:
    await teach(aredis, "ann", "bob", max_contexts=2)
    counts = QueryCounts(aredis)
    counts.add((1, 90 * 86_400, "ann", ARMS), 1)
    await counts.flush()
    await teach(aredis, "cid", max_contexts=2)
    assert "bob" not in known(stream)


async def test_fewer_allowed_than_there_are_go_little_by_little(
    aredis: Redis, stream: redis.Redis
) -> None:
    await teach(aredis, *(f"user-{number:03}" for number in range(250)))
    for left in (151, 52, 2):
        await teach(aredis, f"new-{left}", at_ms=NOW_MS + 10_000 - left, max_contexts=2)
        assert stream.zcard(CONTEXTS) == left
    assert known(stream) == ["new-52", "new-2"]


async def test_one_that_was_not_used_for_so_long_starts_anew(
    aredis: Redis, stream: redis.Redis
) -> None:
    await teach(aredis, "", "ann", "ann", "bob")
    later = NOW_MS + 2 * DAY_MS
    await teach(aredis, "ann", at_ms=later, context_ttl_s=86_400)
    assert known(stream) == ["ann"]
    assert stored(stream, "ann").feedback == {"svm:2": 1}
    assert replayed(stream, EXP4).contexts["ann"].state == stored(stream, "ann").state


async def test_the_global_context_is_never_among_them(aredis: Redis, stream: redis.Redis) -> None:
    await teach(aredis, "", "ann", at_ms=NOW_MS, max_contexts=1)
    await teach(aredis, "", at_ms=NOW_MS + 1000 * DAY_MS, max_contexts=1)
    assert stored(stream).feedback == {"svm:2": 3}
    assert known(stream) == ["ann"]
    assert stream.ttl(state_key(1, "")) == -1


async def test_a_replay_forgets_contexts_where_live_feedback_did(
    aredis: Redis, stream: redis.Redis
) -> None:
    await teach(aredis, "", "ann", "bob", "ann", "cid", "bob", "dan", "ann", max_contexts=2)
    replay = replayed(stream, EXP4)
    assert set(replay.contexts) == {"", *known(stream)}
    for context, state in replay.contexts.items():
        assert stream.hgetall(state_key(1, context)) == fields_of(state)
    assert replay.contexts["ann"].state.of(REWARDS)["svm:2"][0] < 2.5
