"""Effects of an application's terms: use of the cache, queries to join, answers."""

from time import monotonic

import pytest

from serving.engine.engine import Engine
from serving.engine.gather import CallOptions, Gather
from serving.engine.outcome import Status
from serving.testing import PlayedReplica, ask, batch_by, cache_key, connect, turn

UNCACHED = CallOptions(tenant=1, cached=False)
HIGH, NORMAL, LOW = (CallOptions(tenant=priority, priority=priority) for priority in (0, 1, 2))


@pytest.fixture
def replica(engine: Engine) -> PlayedReplica:
    batch_by(engine, rows=8)
    return connect(engine)


async def answered(replica: PlayedReplica, output: bytes) -> None:
    """Answer everything that is open with the same output."""
    await turn()
    while replica.batches:
        replica.answer(dict.fromkeys(replica.batches[0][1], output))
        await turn()


def payload(gather: Gather) -> bytes:
    outcome = gather.outcomes[0]
    assert outcome is not None
    assert outcome.status == Status.OK
    return outcome.payload


async def test_past_the_cache_every_query_costs_the_model_one(
    engine: Engine, replica: PlayedReplica
) -> None:
    gathers = [ask(engine, b"[1]", options=UNCACHED) for _ in range(3)]
    await turn()
    assert replica.sizes == [3]
    await answered(replica, b"7")
    assert [payload(gather) for gather in gathers] == [b"7"] * 3
    assert engine.stats[1].joined == engine.stats[1].hits == 0


async def test_nobody_joins_a_query_that_goes_past_the_cache(
    engine: Engine, replica: PlayedReplica
) -> None:
    past, ordinary = ask(engine, b"[1]", options=UNCACHED), ask(engine, b"[1]")
    await turn()
    assert replica.sizes == [2]
    await answered(replica, b"7")
    assert payload(past) == payload(ordinary) == b"7"


async def test_each_application_says_how_old_an_answer_may_be(
    engine: Engine, replica: PlayedReplica
) -> None:
    engine.cache.put(cache_key(b"[1]"), b"7", now=monotonic() - 100.0)
    assert payload(ask(engine, b"[1]")) == b"7"
    assert payload(ask(engine, b"[1]", options=CallOptions(max_age=200.0))) == b"7"
    strict = ask(engine, b"[1]", options=CallOptions(max_age=50.0))
    assert not strict.answered
    await answered(replica, b"8")
    assert payload(strict) == b"8"


@pytest.mark.parametrize(("waits", "comes"), [(LOW, NORMAL), (NORMAL, HIGH), (LOW, HIGH)])
async def test_who_goes_first_does_not_wait_with_who_goes_later(
    engine: Engine, replica: PlayedReplica, waits: CallOptions, comes: CallOptions
) -> None:
    replica.writable = False
    later, first = ask(engine, b"[1]", options=waits), ask(engine, b"[1]", options=comes)
    assert engine.waiting(1) == 2
    assert engine.stats[1].joined == 0

    batch_by(engine, rows=1)
    replica.writable = True
    replica.replica.on_writable()
    await turn()
    replica.answer({b"[1]": b"7"})
    assert payload(first) == b"7"
    assert not later.answered
    await answered(replica, b"7")
    assert payload(later) == b"7"
    assert not engine.joinable


async def test_a_query_joins_one_of_another_application_only_once_that_is_sent(
    engine: Engine, replica: PlayedReplica
) -> None:
    """Until then it waits in the other's lane, which may be a flooded one."""
    gathers = [ask(engine, b"[1]", options=HIGH), ask(engine, b"[1]", options=LOW)]
    assert engine.stats[1].joined == 0
    await turn()
    gathers.append(ask(engine, b"[1]", options=NORMAL))
    assert engine.stats[1].joined == 1
    await answered(replica, b"7")
    await answered(replica, b"7")
    assert [payload(gather) for gather in gathers] == [b"7"] * 3


async def test_a_joined_query_lives_as_long_as_the_more_patient_caller(
    engine: Engine, replica: PlayedReplica
) -> None:
    replica.writable = False
    hasty, patient = ask(engine, b"[1]", seconds=0.02), ask(engine, b"[1]", seconds=60.0)
    await hasty.settled(seconds=0.02)
    engine.sweep()
    assert not patient.answered
    replica.writable = True
    replica.replica.on_writable()
    await answered(replica, b"7")
    assert payload(patient) == b"7"


async def test_nobody_joins_a_query_whose_deadline_has_passed(
    engine: Engine, replica: PlayedReplica
) -> None:
    replica.writable = False
    hasty = ask(engine, b"[1]", seconds=0.0)
    patient = ask(engine, b"[1]", seconds=60.0)
    replica.writable = True
    replica.replica.on_writable()
    await answered(replica, b"7")
    assert hasty.outcomes[0].status == Status.EXPIRED
    assert payload(patient) == b"7"
    assert not engine.joinable
