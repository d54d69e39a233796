"""The judge counts each entry once, and says what keeps it from judging."""

from typing import Any

import pytest
import redis
from django.utils import timezone

from core.redis.redis_client import redis_client
from registry import services
from registry.models import Application, AuditEntry, Model, Rollout
from serving.cluster.control.rollouts.judge import EVIDENCE, LOST, Judge
from serving.metrics.rollout_rows import ERRORS, GOOD, STREAM, RolloutRow, StreamEntry, write_entry
from tests.serving.cluster.control.rounds import BY, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def rollout(server_redis: redis.Redis) -> Rollout:
    live = make_version("ocr", "1", validated_at=timezone.now())
    Model.objects.filter(pk=live.model_id).update(live_version=live)
    services.create_application(
        name="letters",
        input_type="doubles",
        slo_ms=100.0,
        routes=[services.RouteRequest(model="ocr")],
        by=BY,
    )
    version = make_version("ocr", "2", validated_at=timezone.now())
    release = services.deploy(version=version, by=BY, rollout="quick")
    services.begin_release(release=release)
    Judge().look()  # evidence begins before the first query
    services.begin_rollout(release.rollout, now=timezone.now())
    return Rollout.objects.with_release().get()


def seen(rollout: Rollout, gate: str, count: int, *, canary: bool, **fields: Any) -> None:
    key = Application.objects.get().pk
    row = RolloutRow(rollout.pk, key, gate, canary, 0.1, **fields)
    redis_client().xadd(STREAM, {"seen": write_entry(StreamEntry([(row, count)]))})


def test_each_entry_counts_once_whatever_judges(rollout: Rollout) -> None:
    seen(rollout, GOOD, 90, canary=False)
    seen(rollout, GOOD, 10, canary=True)
    for judge in (Judge(), Judge()):
        judge.look()
        judge.look()
    rollout.refresh_from_db()
    gate = next(gate for gate in rollout.gates if gate["gate"] == ERRORS)
    assert (gate["canary"]["calls"], gate["live"]["calls"]) == (10, 90)


def test_a_version_proved_worse_goes_back_with_its_evidence(rollout: Rollout) -> None:
    seen(rollout, GOOD, 90, canary=False)
    seen(rollout, ERRORS, 5, canary=True, loss=1.0)
    Judge().look()
    rollout.refresh_from_db()
    model = Model.objects.get()
    assert (rollout.state, rollout.release.state) == ("rolled_back", "failed")
    assert "errors in letters: proved worse" in rollout.reason
    assert (model.canary_version_id, model.canary_share) == (None, 0.0)
    assert rollout.gates[0]["verdict"] == "worse"
    assert AuditEntry.objects.filter(action="roll_out").exists()


@pytest.mark.parametrize("left", [None, b"of another release"])
def test_evidence_that_is_lost_holds(rollout: Rollout, left: bytes | None) -> None:
    seen(rollout, GOOD, 10, canary=True)
    Judge().look()
    redis_client().delete(f"{EVIDENCE}{rollout.pk}")
    if left:
        redis_client().set(f"{EVIDENCE}{rollout.pk}", left)
    Judge().look()
    rollout.refresh_from_db()
    assert (rollout.state, rollout.reason, rollout.paused) == ("held", LOST, True)


def test_a_rollout_that_cannot_be_judged_is_held_with_the_reason(rollout: Rollout) -> None:
    Rollout.objects.update(overruled=0)  # as nobody writes it
    seen(rollout, GOOD, 90, canary=False)
    Judge().look()
    held = Rollout.objects.values().get()
    assert held["state"] == "held"
    assert "it can't be judged" in held["reason"]
    Rollout.objects.update(overruled=[])
    seen(rollout, GOOD, 10, canary=True)
    Judge().look()
    rollout.refresh_from_db()
    assert (rollout.state, rollout.reason) == ("canary", "")
