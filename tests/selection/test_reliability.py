"""Reliability: charged at once, fading per ask, and moved into selection with exact chances."""

import pytest
from redis.asyncio import Redis

from selection.policies import POLICIES, Prepared, make_policy
from selection.policies.arithmetic.sums import State
from selection.reliability import EVERYTHING, Reliability, redistributed
from selection.store.asks import Asks
from selection.store.redis_keys import REDIS_ERRORS, reliability_key
from selection.store.state_record import prepared
from tests.long import beginning_of
from tests.redis_server import redis_server

ARMS = {"a:1": 1.0, "b:1": 1.0, "c:1": 2.0}
DOWN = {"a:1": 0.0}


def after(*, answers: str) -> Reliability:
    """Return the reliability known after these: '+' an answer, '-' none."""
    known = Reliability()
    for mark in answers:
        known.note("a:1", answered=mark == "+")
    return known


def test_an_arm_that_answers_nothing_is_down_after_a_dozen_asks() -> None:
    assert after(answers="-" * 12).factors == {"a:1": 0.0}


def test_an_arm_that_answers_again_is_forgiven() -> None:
    known = after(answers="-" * 30 + "+" * 60)
    assert known.factors == EVERYTHING
    assert known.missed == {}


def test_where_all_arms_fail_alike_none_pays() -> None:
    shares = {"a:1": 0.7, "b:1": 0.3}
    assert redistributed(shares, factors=dict.fromkeys(shares, 0.0)) == shares
    assert redistributed(shares, factors=dict.fromkeys(shares, 0.2)) == shares


def test_an_arm_that_is_down_is_left_a_probe_however_much_it_was_trusted() -> None:
    shares = redistributed({"a:1": 0.9999, "b:1": 0.0001}, factors=DOWN)
    assert shares == {"a:1": 0.01, "b:1": pytest.approx(0.99)}


def ready(name: str) -> Prepared:
    return prepared(make_policy(name, {}), State(), ARMS)


# Spread evenly over what a draw may be.
DRAWS = 1_000


@pytest.mark.parametrize("name", [name for name in POLICIES if name not in ("exp4", "ab_split")])
@pytest.mark.parametrize("factor", beginning_of([0.3, 0.0], rows=1))
def test_the_chances_are_those_really_drawn_from(name: str, factor: float) -> None:
    moved = ready(name).reweighted({"a:1": factor})
    drawn = dict.fromkeys(ARMS, 0)
    for number in range(DRAWS):
        (arm,), (chance,), _ = moved.select((number + 0.5) / DRAWS)
        assert chance == moved.chances()[arm]
        drawn[arm] += 1
    for arm, count in drawn.items():
        assert count / DRAWS == pytest.approx(moved.chances()[arm], abs=2 / DRAWS)
    assert moved.chances()["a:1"] < 0.2


def test_an_ensemble_goes_on_asking_all_but_trusts_them_less() -> None:
    moved = ready("exp4").reweighted(DOWN)
    assert moved.selections == ready("exp4").selections
    assert moved.weights["a:1"] == 0.01
    assert moved.down == {"a:1"}


def test_while_an_arm_is_down_trust_in_the_others_keeps_its_proportions() -> None:
    arms = {"a:1": 1.0, "b:1": 1.0, "c:1": 1.0}
    rewards = {
        "a:1": (300.0, 285.0, 285.0),
        "b:1": (300.0, 276.0, 276.0),
        "c:1": (300.0, 177.0, 177.0),
    }
    for name in ("exp4", "thompson", "ucb1"):
        before = prepared(make_policy(name, {}), State({"rew": rewards}), arms)
        after = before.reweighted(DOWN)
        assert after.weights["a:1"] <= 0.01
        assert after.weights["c:1"] * before.weights["b:1"] == pytest.approx(
            after.weights["b:1"] * before.weights["c:1"]
        )


def test_contexts_of_an_arm_that_is_down_have_another_meanwhile_and_no_others_move() -> None:
    split = ready("ab_split")
    moved = split.reweighted(DOWN)
    keys = [f"7:{number}" for number in range(6000)]
    before = {key: split.assigned(key).arms[0] for key in keys}
    now = {key: moved.assigned(key).arms[0] for key in keys}
    assert all(now[key] == arm for key, arm in before.items() if arm != "a:1")
    assert "a:1" not in now.values()
    assert {key: moved.reweighted(EVERYTHING).assigned(key).arms[0] for key in keys} == before


# The exchange.


async def test_two_processes_know_the_same(aredis: Redis) -> None:
    one, two = Asks(aredis), Asks(aredis)
    two.known[7]
    for _ in range(30):
        one.known[7].note("a:1", answered=False)
    await one.flush()
    await two.flush()
    assert two.known[7].missed == pytest.approx(one.known[7].missed)
    assert two.known[7].factors == {"a:1": 0.0}


async def test_what_several_saw_adds_up_as_if_one_had_seen_it_all(aredis: Redis) -> None:
    one, two = Asks(aredis), Asks(aredis)
    for _ in range(3):
        one.known[7].note("a:1", answered=False)
    await one.flush()
    for _ in range(4):
        two.known[7].note("a:1", answered=True)
    two.known[7].note("a:1", answered=False)
    await two.flush()
    stored = float(await aredis.hget(reliability_key(7), "a:1"))
    assert stored == pytest.approx(after(answers="---++++-").missed["a:1"])


async def test_a_link_that_one_process_lost_is_not_held_against_the_arm_by_others(
    aredis: Redis,
) -> None:
    one, two = Asks(aredis), Asks(aredis)
    for _ in range(12):
        one.known[7].note("a:1", answered=False)
    await one.flush()
    for _ in range(500):
        two.known[7].all_answered(("a:1",))
    await two.flush()
    await one.flush()
    await two.flush()
    assert two.known[7].factors == EVERYTHING


async def test_what_redis_did_not_take_is_told_later() -> None:
    with redis_server() as server:
        async with Redis.from_url(server.url, retry=None) as client:
            asks = Asks(client)
            asks.known[7].note("a:1", answered=False)
            server.kill()
            with pytest.raises(REDIS_ERRORS):
                await asks.flush()
            asks.known[7].note("a:1", answered=True)
            server.start()
            await asks.flush()
            assert float(await client.hget(reliability_key(7), "a:1")) == pytest.approx(0.09)
