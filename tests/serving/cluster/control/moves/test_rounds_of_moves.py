"""A worker that retires, round by round, against a real Redis and database."""

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.models import AuditEntry, ModelVersion
from serving.cluster.membership.records import ReplicaState
from tests.serving.cluster.control.rounds import UNREACHED, Rounds, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def retiring(rounds: Rounds, live: ModelVersion) -> Rounds:
    """The one replica of a version has a slot of a worker that retires; another one is there."""
    rounds.dismiss("h1")
    rounds.employ("h1", id="old", slots=1, retiring=True)
    rounds.employ("h1", id="new", slots=1)
    rounds.announce(live, "r1", worker="old")
    rounds.see("r1")
    return rounds


def test_its_replica_leaves_when_another_one_has_answered_every_web_process(
    retiring: Rounds, live: ModelVersion
) -> None:
    retiring.run()
    ((started, queue),) = retiring.started
    assert queue == "replicas.cpu.h1"
    assert not retiring.run()

    retiring.announce(live, started, worker="new", state=ReplicaState.LOADING)
    assert not retiring.run()
    retiring.announce(live, started, worker="new")
    retiring.see("r1", web="w1", **{started: UNREACHED})
    assert not retiring.run()
    retiring.see("r1", started)
    assert retiring.run().drains == ("r1",)
    assert not retiring.run()  # it drains
    moved = AuditEntry.objects.get(action="move")
    assert (moved.name, moved.topic, moved.repeats) == (str(live), "scaling", None)
    retiring.directory.remove(["r1"])
    assert not retiring.run()


def test_what_waits_for_a_slot_beside_it_ends_nobody_s_grace(
    retiring: Rounds, live: ModelVersion
) -> None:
    until = timezone.now() + timedelta(hours=1)
    warm = make_version("tree", warm_until=until)
    retiring.announce(warm, "r2", worker="new")
    retiring.run()
    retiring.run(after_s=5.0)
    warm.refresh_from_db()
    assert warm.warm_until == until
