"""A rollout with a replay waits for it, passes with it, and goes back if it proves it worse."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from django.utils import timezone

from registry import services
from registry.models import Application, Rollout
from registry.models.rollouts.rollout_plans import PLANS, definition_of
from registry.services import RouteRequest
from serving.capture.models import CapturedBody, CapturedInput, TrafficReplay
from serving.capture.replay_sums import ReplaySums
from serving.capture.services import MOST_OPEN, begin_replay
from serving.cluster.control.rollouts.replay_gate import judge_replays
from tests.serving.cluster.control.rounds import BY, make_version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("server_redis")]


@pytest.fixture
def rollout() -> Rollout:
    live = make_version("ocr")
    model = live.model
    model.live_version = live
    model.save()
    version = model.versions.create(version="2", runtime="sklearn", digest="2" * 64)
    services.create_application(
        name="shop", input_type="doubles", slo_ms=50.0, routes=[RouteRequest(model="ocr")], by=BY
    )
    release = model.releases.create(
        version=version, previous_version=live, kind="deploy", state="starting"
    )
    plan = msgspec.structs.replace(PLANS["quick"], replay=True)
    return Rollout.objects.create(
        release=release, model=model, plan_name="own", definition=definition_of(plan)
    )


def judged(rollout: Rollout) -> tuple[list[Any], list[str]]:
    return judge_replays(rollout, following=Application.objects.all(), alpha=0.01)


def capture(number: int) -> None:
    CapturedInput.objects.create(
        application=Application.objects.get(), uid=str(number), chance=1.0, confidence=1.0,
        at=timezone.now() - timedelta(minutes=number), latency_ms=1.0, disagreed=False, late=False,
        failed=False, body=CapturedBody(input=msgspec.Raw(b"[1]")).packed(), size=600,
    )  # fmt: skip


def test_without_captured_queries_it_waits_and_says_why(rollout: Rollout) -> None:
    worse, waits = judged(rollout)
    assert worse == []
    assert "capture" in waits[0]


def test_it_waits_for_its_replay_and_passes_with_it(rollout: Rollout) -> None:
    for number in range(3):
        capture(number)
    assert judged(rollout) == ([], ["replay in shop queued: 0 of 3 rows"])
    assert judged(rollout) == ([], ["replay in shop queued: 0 of 3 rows"])
    replay = TrafficReplay.objects.get()
    assert (replay.version, replay.by) == (rollout.release.version, services.SYSTEM.label)
    TrafficReplay.objects.update(state="done", done=3)
    assert judged(rollout) == ([], [])


def test_one_proved_worse_is_stopped_before_its_replay_has_ended(rollout: Rollout) -> None:
    capture(1)
    judged(rollout)
    sums = msgspec.to_builtins(ReplaySums(answered=200, labels=200, lost=60.0), str_keys=True)
    TrafficReplay.objects.update(state="running", sums=sums)
    [worse], waits = judged(rollout)
    assert (worse.gate, worse.application, worse.verdict) == ("replay", "shop", "worse")
    assert worse.action == "roll back"
    assert "200 labels" in worse.words
    assert waits == []


def test_it_says_that_too_many_replays_are_under_way(rollout: Rollout) -> None:
    capture(1)
    shop, version = Application.objects.get(), rollout.release.target
    for _ in range(MOST_OPEN):
        begin_replay(application=shop, version=version, by=BY)
    rollout.created_at = timezone.now()  # they are of an earlier one
    worse, [wait] = judged(rollout)
    assert worse == []
    assert wait.startswith("replay in shop: ")
    assert "replays under way" in wait
