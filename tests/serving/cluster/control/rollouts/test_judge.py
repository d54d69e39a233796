"""The judge counts each entry once, and says what keeps it from judging."""

from datetime import timedelta
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
    return begun("ocr")


def begun(model: str) -> Rollout:
    """Return the rollout of version 2 of a model with a live one."""
    version = make_version(model, "2", validated_at=timezone.now())
    release = services.deploy(version=version, by=BY, rollout="quick")
    services.begin_release(release=release)
    Judge().look()  # evidence begins before the first query
    services.begin_rollout(release.rollout, now=timezone.now())
    return Rollout.objects.with_release().get(release=release)


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


@pytest.mark.parametrize("changes", [{"state": "planned"}, {"overruled": 0}])
def test_a_rollout_that_is_not_judged_keeps_no_other_from_it(
    rollout: Rollout, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr("serving.cluster.control.rollouts.judge.MOST_ENTRIES", 2)
    Rollout.objects.update(**changes)
    live = make_version("faces", "1", validated_at=timezone.now())
    Model.objects.filter(pk=live.model_id).update(live_version=live)
    other, judge = begun("faces"), Judge()
    for number in range(1, 7):
        seen(other, GOOD, number, canary=False)
        judge.look()
    client: Any = redis_client()
    [(last, _)] = client.xrevrange(STREAM, count=1)
    for one in (rollout, other):
        assert last in client.get(f"{EVIDENCE}{one.pk}")


def test_a_rollout_that_cannot_be_judged_is_held_again(rollout: Rollout) -> None:
    judge = Judge()
    Rollout.objects.update(overruled=0)
    for _ in range(2):
        seen(rollout, GOOD, 9, canary=False)
        judge.look()
        assert Rollout.objects.filter(state="held").exists()
        Rollout.objects.update(state="canary")


def test_why_evidence_is_gone_stays_the_reason(rollout: Rollout) -> None:
    seen(rollout, GOOD, 10, canary=True)
    judge = Judge()
    judge.look()
    redis_client().delete(f"{EVIDENCE}{rollout.pk}")
    before = timezone.now() - timedelta(minutes=2)
    Rollout.objects.update(began_at=before, step_at=before)
    judge.look()
    judge.look()
    rollout.refresh_from_db()
    assert (rollout.state, rollout.reason, rollout.paused) == ("held", LOST, True)


def test_a_pause_is_not_undone_by_a_look_that_had_begun(rollout: Rollout) -> None:
    services.hold_rollout(rollout, reason="wait", by=BY, paused=True)
    services.promote_rollout(rollout, reason="proved")
    services.resume_rollout(rollout)
    found = Rollout.objects.get()
    assert (found.state, found.paused, found.reason) == ("held", True, "wait")
