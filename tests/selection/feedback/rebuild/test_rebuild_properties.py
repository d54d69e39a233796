"""Whatever happens to an application, its feedback table teaches again what it had learned."""

import multiprocessing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.models import Application
from selection.feedback.persistence.resets import reset
from selection.feedback.rebuild.state_rebuild import rebuild
from selection.models import Feedback, StateReset
from selection.policies import make_policy
from selection.store.redis_keys import state_key
from tests.selection.live import Live
from tests.selection.observer import POLICY, observe_many
from tests.selection.updates import ARMS, answers

pytestmark = pytest.mark.django_db(transaction=True)


contexts = st.sampled_from(["", "ann", "bob", "cid", "dan"])
keys = st.sampled_from(["", "u1", "u2"])
losses = st.dictionaries(st.sampled_from(ARMS), st.floats(0.0, 1.0), min_size=1, max_size=3)
routed = st.lists(st.sampled_from(ARMS), min_size=1, max_size=4, unique=True).map(tuple)
steps = st.lists(
    st.one_of(
        *[st.tuples(st.just("teach"), losses, contexts, routed, keys, answers)] * 5,
        st.tuples(st.just("ask"), contexts),
        st.tuples(st.just("reset"), contexts),
        st.tuples(st.sampled_from(["reset all", "force", "persist"])),
    ),
    min_size=1,
    max_size=20,
)


def take(live: Live, step: tuple[Any, ...]) -> None:
    match step:
        case ("teach", losses, context, routed, key, answer):
            more = {"max_contexts": 3, "key": key, "answer": answer}
            live.teach(losses, context=context, routed=routed, **more)
        case ("ask", context):
            live.ask(context)
        case ("reset", context):
            reset(live.stream, live.application, context=context, by="a test")
        case ("reset all",):
            reset(live.stream, live.application, context=None, by="a test")
        case ("force",):
            live.force()
        case ("persist",):
            live.persist()


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(sequence=steps, policy=st.sampled_from(["exp3", "exp4", "static", "thompson"]))
def test_whatever_was_taught_asked_and_reset_it_comes_out_the_same_to_the_bit(
    live: Live, sequence: list[Any], policy: str
) -> None:
    live.lose()
    Feedback.objects.all().delete()
    StateReset.objects.all().delete()
    Application.objects.update(policy=policy)
    live.policy = make_policy(policy, {})
    for step in sequence:
        take(live, step)
    before = live.states()

    assert rebuild(live.stream, live.application, dry_run=True).differing == ()
    assert rebuild(live.stream, live.application).differing == ()
    assert live.states() == before

    live.lose()
    rebuild(live.stream, live.application)
    assert live.states() == before


def test_while_processes_teach_it_repairs_what_is_wrong_and_loses_nothing(live: Live) -> None:
    live.policy = POLICY
    Application.objects.update(policy="exp3")
    live.teach()
    live.persist()
    key = state_key(live.application.pk, "")
    live.stream.hset(key, "n:svm:1", 999)
    spawned = multiprocessing.get_context("spawn")
    arguments = [(live.socket, seed, 400, live.application.pk) for seed in range(2)]
    workers = [spawned.Process(target=observe_many, args=given) for given in arguments]
    for worker in workers:
        worker.start()
    rebuild(live.stream, live.application)
    while any(worker.is_alive() for worker in workers):
        rebuild(live.stream, live.application)
    for worker in workers:
        worker.join(timeout=150)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert live.stream.hget(key, "n:svm:1") == b"1"
    last = rebuild(live.stream, live.application, dry_run=True)
    assert (last.observed, last.differing) == (801, ())
    assert Feedback.objects.count() == 801
