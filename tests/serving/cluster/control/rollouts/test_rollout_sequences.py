"""Whatever happens in whichever order: no forbidden transition, one open rollout a model."""

from collections.abc import Callable

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ClipperError
from registry import services
from registry.models import Model, ModelVersion, Release, Rollout
from tests.serving.cluster.control.rounds import BY, make_version

pytestmark = pytest.mark.django_db

State = Rollout.State
# From each state, those that may come next.
NEXT = {
    State.PLANNED: {State.SHADOW, State.CANARY, State.ROLLED_BACK, State.ABORTED},
    State.SHADOW: {State.CANARY, State.HELD, *Rollout.ENDED},
    State.CANARY: {State.CANARY, State.HELD, *Rollout.ENDED},
    State.HELD: {State.SHADOW, State.CANARY, *Rollout.ENDED},
    State.PROMOTED: set(),
    State.ROLLED_BACK: set(),
    State.ABORTED: set(),
}


def deploying(plan: str) -> Callable[[Model], object]:
    def deploy(model: Model) -> object:
        spare = ModelVersion.objects.filter(model=model).exclude(pk=model.live_version_id or 0)
        version = spare.order_by("?").first()
        assert version is not None
        return services.deploy(version=version, by=BY, rollout=plan, anyway=True)

    return deploy


def on_rollout(act: Callable[[Rollout], object]) -> Callable[[Model], object]:
    def do(model: Model) -> object:
        rollout = Rollout.objects.with_release().filter(model=model).first()
        return None if rollout is None else act(rollout)

    return do


def on_release(act: Callable[[Release], object]) -> Callable[[Model], object]:
    def do(model: Model) -> object:
        release = Release.objects.filter(model=model).open().with_versions().first()
        return None if release is None else act(release)

    return do


def begin(rollout: Rollout) -> object:
    return services.begin_rollout(rollout, now=timezone.now())


def advance(rollout: Rollout) -> object:
    if rollout.step + 1 == len(rollout.plan.steps) and rollout.state == State.CANARY:
        return services.promote_rollout(rollout, reason="proved")
    return services.advance_rollout(rollout, now=timezone.now(), reason="proved")


def complete(release: Release) -> object:
    if Rollout.objects.open().filter(release=release).exists():
        return None
    return services.complete_release(release=release)


EVENTS: dict[str, Callable[[Model], object]] = {
    "at once is ready": on_release(complete),
    "deploy at once": deploying("at-once"),
    "deploy quick": deploying("quick"),
    "deploy usual": deploying("usual"),
    "replicas start": on_release(lambda release: services.begin_release(release=release)),
    "replicas fail": on_release(lambda release: services.fail_release(release=release, error="x")),
    "replicas are ready": on_rollout(begin),
    "proved no worse": on_rollout(advance),
    "proved worse": on_rollout(lambda one: services.roll_back_rollout(one, reason="worse")),
    "no traffic": on_rollout(lambda one: services.hold_rollout(one, reason="held: no traffic")),
    "traffic again": on_rollout(lambda one: services.resume_rollout(one)),
    "pause": on_rollout(lambda one: services.hold_rollout(one, reason="p", by=BY, paused=True)),
    "resume": on_rollout(lambda one: services.resume_rollout(one, by=BY)),
    "promote": on_rollout(lambda one: services.promote_rollout(one, reason="now", by=BY)),
    "abort": on_rollout(lambda one: services.abort_rollout(one, reason="no", by=BY)),
    "roll back": lambda model: services.roll_back(model=model, by=BY),
}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(sorted(EVENTS)), max_size=14))
def test_any_sequence(events: list[str]) -> None:
    with transaction.atomic():
        model = make_version("ocr").model
        for name in ("2", "3"):
            ModelVersion.objects.create(
                model=model, version=name, runtime="sklearn", digest=name * 64
            )
        Model.objects.filter(pk=model.pk).update(live_version=model.versions.first())
        model.versions.update(validated_at=timezone.now())
        before: dict[int, str] = {}
        for event in events:
            model.refresh_from_db()
            try:
                with transaction.atomic():
                    EVENTS[event](model)
            except ClipperError:
                pass
            check(model, event, before)
        transaction.set_rollback(True)


def check(model: Model, event: str, before: dict[int, str]) -> None:
    model.refresh_from_db()
    rollouts = list(Rollout.objects.filter(model=model).with_release())
    for rollout in rollouts:
        was = before.get(rollout.pk, State.PLANNED)
        assert rollout.state == was or rollout.state in NEXT[State(was)], (event, was)
        before[rollout.pk] = rollout.state
        release = rollout.release
        assert rollout.is_open == release.is_open, (event, rollout.state, release.state)
        if rollout.state == State.PROMOTED:
            assert release.live_at is not None
    is_open = [rollout for rollout in rollouts if rollout.is_open]
    assert len(is_open) <= 1
    begun = [rollout for rollout in is_open if rollout.state != State.PLANNED]
    routed = (model.rollout_id, model.canary_version_id, model.canary_share)
    if begun:
        [rollout] = begun
        assert routed == (rollout.pk, rollout.release.version_id, rollout.percent / 100.0), event
    else:
        assert routed == (None, None, 0.0), event
