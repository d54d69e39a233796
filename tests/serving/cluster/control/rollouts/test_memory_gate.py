"""A version that takes more memory than the live one says so; what nobody reported says nothing."""

from typing import Any

import pytest
import redis

from registry.models import ModelVersion, Rollout
from registry.models.rollouts.rollout_plans import PLANS, definition_of
from serving.cluster.control.rollouts.memory_gate import MemoryGate, judged_memory
from serving.cluster.membership.directory import own_directory
from serving.cluster.membership.records import ReplicaState
from tests.serving.cluster.control.rounds import make_version
from tests.serving.cluster.samples import a_record

pytestmark = [pytest.mark.django_db]

MIB = 1 << 20


@pytest.fixture
def rollout() -> Rollout:
    live = make_version("ocr", "4")
    version = live.model.versions.create(version="5", runtime="sklearn", digest="2" * 64)
    release = live.model.releases.create(
        version=version, previous_version=live, kind="deploy", state="starting"
    )
    plan = definition_of(PLANS["usual"])
    return Rollout.objects.create(
        release=release, model=live.model, plan_name="usual", definition=plan
    )


def judged(rollout: Rollout, *, new: int, live: int) -> tuple[str, str, str]:
    found = judged_memory(rollout, new=new * MIB, live=live * MIB)
    return found.verdict, found.action, found.words


def test_it_says_how_many_times_the_memory_it_uses(rollout: Rollout) -> None:
    assert judged(rollout, new=1209, live=390) == (
        "worse",
        "tell",
        "memory: uses 3.1 times the memory of version 4 (1,209 MiB against 390 MiB)",
    )
    assert judged(rollout, new=480, live=390)[0] == "no_worse"


def test_a_small_model_is_not_compared_by_its_buffers(rollout: Rollout) -> None:
    assert judged(rollout, new=50, live=10)[0] == "no_worse"
    assert judged(rollout, new=80, live=10)[0] == "worse"


@pytest.mark.parametrize(("new", "live"), [(0, 390), (390, 0), (0, 0)])
def test_without_a_report_it_is_not_known_yet(rollout: Rollout, new: int, live: int) -> None:
    assert judged(rollout, new=new, live=live) == ("open", "tell", "memory: not known yet")


def test_it_says_if_it_alone_comes_near_its_limit(rollout: Rollout) -> None:
    ModelVersion.objects.update(memory_limit_mb=512)
    rollout = Rollout.objects.with_release().get()
    verdict, _, words = judged(rollout, new=420, live=400)
    assert verdict == "worse"
    assert "less than 25 % to its limit of 512 MiB" in words
    assert judged(rollout, new=420, live=415)[0] == "no_worse"


def test_a_plan_sets_its_margin_and_action(rollout: Rollout) -> None:
    plan = {**rollout.definition, "gates": {"memory": {"margin": 50, "action": "hold"}}}
    rollout.definition = plan
    assert judged(rollout, new=580, live=390)[0] == "no_worse"
    assert judged(rollout, new=590, live=390)[:2] == ("worse", "hold")


def test_the_largest_ready_replica_counts_and_its_peak_stays(
    rollout: Rollout, server_redis: redis.Redis
) -> None:
    release = rollout.release

    def report(name: str, version_id: Any, taken: int | None, **fields: Any) -> None:
        record = a_record(name, version_id=version_id, memory_bytes=taken, **fields)
        own_directory().announce(record)

    report("live", release.previous_version_id, 390 * MIB)
    report("small", release.version_id, 100 * MIB)
    report("large", release.version_id, 700 * MIB)
    report("silent", release.version_id, None)
    report("loads", release.version_id, 900 * MIB, state=ReplicaState.LOADING)
    peaks, found = MemoryGate().judge(rollout, known=(0, 0))
    assert (peaks, found.verdict) == ((700 * MIB, 390 * MIB), "worse")
    own_directory().remove(["large"])
    assert MemoryGate().judge(rollout, known=peaks) == (peaks, found)
