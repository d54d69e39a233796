"""Autoscaling: the counts of web processes move the number of replicas in the registry."""

import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.utils import timezone

from registry import services
from registry.models import Application, Model, ModelVersion, Release, Route, ServiceLevelObjective
from registry.releases.control import Slots, note_round
from serving.cluster.control.scaling.autoscaler import SETTLE_S, WINDOW_DOWN_S
from serving.cluster.control.scaling.autoscaling import Scaling
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from tests.serving.cluster.control.rounds import make_version
from tests.serving.cluster.control.scaling.played_web import Web
from tests.serving.cluster.samples import a_record

pytestmark = pytest.mark.django_db

SLO_MS = 100.0
# Enough for what was before the change to settle, and for three readings.
ROUNDS_UP = int(SETTLE_S) + 4
ROUNDS_DOWN = int(SETTLE_S + WINDOW_DOWN_S) + 2


@pytest.fixture
def version() -> ModelVersion:
    """Live, with two replicas of 1 to 8, asked by an application with an objective of 100 ms."""
    model = Model.objects.create(name="svm", input_type="doubles")
    version = ModelVersion.objects.create(
        model=model, version="1", runtime="sklearn", digest="0" * 64, generation=1,
        replicas=2, max_replicas=8,
    )  # fmt: skip
    Model.objects.update(live_version=version)
    application = Application.objects.create(name="digits", input_type="doubles")
    ServiceLevelObjective.objects.create(application=application, latency_ms=SLO_MS)
    Route.objects.create(application=application, model=model)
    return version


@pytest.fixture
def web(client: redis.Redis) -> Web:
    return Web(client, now=time.time())


@pytest.fixture
def scaling(client: redis.Redis) -> Scaling:
    return Scaling(client)


def replicas(version: ModelVersion) -> int:
    version.refresh_from_db()
    return version.replicas


def ready(version: ModelVersion, count: int = 2) -> list[ReplicaRecord]:
    return [
        a_record(f"r{n}", version_id=version.pk, generation=1, state=ReplicaState.READY)
        for n in range(count)
    ]


def rounds(
    scaling: Scaling, web: Web, version: ModelVersion, *, number: int, **second: float
) -> Iterator[int]:
    for _ in range(number):
        web.second(**second)
        scaling.run(records=ready(version), now=web.now)
        yield replicas(version)


def test_queries_that_wait_too_long_get_more_replicas_and_the_log_says_why(
    scaling: Scaling, web: Web, version: ModelVersion,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO, logger="serving.cluster.control.scaling.autoscaling")

    seen = list(rounds(scaling, web, version, number=ROUNDS_UP, waited_s=0.08, busy_s=1.9))

    assert seen[0] == 2
    assert seen[-1] == 4
    (line,) = {m for m in caplog.messages if "arm=" in m}
    assert "arm=svm:1 from=2 to=4: waits 7" in line
    assert "of 100 ms, 0.0% lost, busy for 95% of the time" in line


def test_no_more_replicas_are_added_than_leave_a_slot_free(
    scaling: Scaling, web: Web, version: ModelVersion, server_redis: redis.Redis
) -> None:
    make_version("tree")
    Model.objects.filter(name="tree").update(
        live_version=ModelVersion.objects.get(model__name="tree")
    )
    needed = {"svm:1": 2, "tree:1": 1}
    note_round(server_redis, slots={"cpu": Slots(total=5, replicas=needed)})

    seen = list(rounds(scaling, web, version, number=ROUNDS_UP, waited_s=0.08, busy_s=1.9))

    assert seen[-1] == 3


def test_what_is_too_long_depends_on_the_tightest_objective(
    scaling: Scaling, web: Web, version: ModelVersion
) -> None:
    patient = Application.objects.create(name="patient", input_type="doubles")
    ServiceLevelObjective.objects.create(application=patient, latency_ms=10_000.0)
    Route.objects.create(application=patient, model=version.model, pinned_version=version)
    ServiceLevelObjective.objects.filter(application__name="digits").update(latency_ms=1000.0)

    seen = list(rounds(scaling, web, version, number=ROUNDS_UP, waited_s=0.08, busy_s=1.9))

    assert set(seen) == {2}


def test_an_idle_version_goes_down_to_its_fewest(
    scaling: Scaling, web: Web, version: ModelVersion
) -> None:
    assert list(rounds(scaling, web, version, number=ROUNDS_DOWN))[-1] == 1


@pytest.mark.parametrize("how", ["off", "starting", "dead", "warm"])
def test_a_number_that_nothing_speaks_for_is_left_alone(
    scaling: Scaling, web: Web, version: ModelVersion, how: str
) -> None:
    if how == "off":
        ModelVersion.objects.update(max_replicas=None)
    if how == "warm":
        Model.objects.update(live_version=None)
        ModelVersion.objects.update(warm_until=timezone.now() + timedelta(seconds=600))
    if how == "starting":
        Release.objects.create(
            model=version.model, version=version, kind="deploy", state=Release.State.STARTING
        )
    for _ in range(ROUNDS_DOWN):
        web.second()
        if how == "dead":
            web.die()
        scaling.run(records=ready(version), now=web.now)

    assert replicas(version) == 2


def test_a_number_that_a_person_set_meanwhile_stays(
    scaling: Scaling, web: Web, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    autoscale = services.autoscale

    def late(**arguments: Any) -> bool:
        ModelVersion.objects.update(replicas=5)
        return autoscale(**arguments)

    monkeypatch.setattr(services, "autoscale", late)

    seen = list(rounds(scaling, web, version, number=ROUNDS_UP, waited_s=0.08, busy_s=1.9))

    assert seen[-1] == 5
