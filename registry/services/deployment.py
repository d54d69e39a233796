"""Deploy and roll back: making a version live, with nothing dropped on the way.

pending → starting → live → superseded, or → failed with the old version still serving.
A version whose replicas are still warm goes live at once: that is a change of one pointer.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, Subquery
from django.utils import timezone

from core.errors import Conflict, NotFound
from core.specs import VERSION
from registry.following.recording import record_changes, registry_write
from registry.models import (
    Application,
    AuditEntry,
    Model,
    ModelVersion,
    Release,
    Rollout,
    VersionCheck,
)
from registry.models.release import earlier, wanted
from registry.models.rollouts.rollout_plans import AT_ONCE
from registry.models.version_check import LIMITS
from registry.releases.slots import check_room
from registry.services.actor import SYSTEM, Actor, check_may_run_version
from registry.services.audit_trail import record_done
from registry.services.plans import plan_named
from registry.services.rollouts import end_rollouts, plan_rollout
from registry.services.row_writes import locked, refresh
from registry.services.signatures import ALLOW, signature_fault
from registry.services.version_checks import (
    check_holds,
    check_not_failed,
    needs_check,
    request_check,
)

EXAMPLE_WANTED = "Give a version an example of its inputs, and its check has it answer that."


@registry_write
def deploy(
    *,
    version: ModelVersion,
    by: Actor,
    reason: str = "",
    allow_signature_change: bool = False,
    anyway: bool = False,
    rollout: str = AT_ONCE,
) -> Release:
    """Ask for `version` to go live, superseding a release under way. Raises Conflict, NotFound.

    One that failed its check raises CheckFailed, or is checked again where `anyway` is True.
    `rollout` names the plan by which it goes live.
    """
    how = {"reason": reason, "allow_signature_change": allow_signature_change}
    release = Release(version=version, kind=Release.Kind.DEPLOY, **how)
    return _release(release, by=by, anyway=anyway, rollout=rollout)


@registry_write
def roll_back(
    *,
    model: Model,
    to: ModelVersion | None = None,
    by: Actor,
    reason: str = "",
    allow_signature_change: bool = False,
) -> Release:
    """Make the version that was live before, or `to`, live again. Raises Conflict for none.

    Without `to`, a release under way is superseded instead, and the live version stays; the live
    release is returned then, or else the superseded one.
    """
    if to is None and (called_off := _call_off(model, by=by, reason=reason)) is not None:
        return Release.objects.filter(model=model).live().with_versions().first() or called_off
    target = to or earlier_versions(model, most=1)[0]
    if target.model_id != model.pk:
        raise NotFound(f"Expected a version of {model.name}, got {target}.")
    how = {"reason": reason, "allow_signature_change": allow_signature_change}
    return _release(Release(version=target, kind=Release.Kind.ROLLBACK, **how), by=by)


def earlier_versions(model: Model, *, most: int) -> list[ModelVersion]:
    """Return the versions to go back to, the latest first. Raises Conflict for none."""
    versions = list(earlier(ModelVersion.objects.filter(model=model))[:most])
    if not versions:
        raise Conflict(
            f"{model.name} has no earlier live version to roll back to.", model=model.name
        )
    return versions


def may_go_back(model: Model) -> bool:
    """Say whether a version of the model was live before."""
    return earlier(ModelVersion.objects.filter(model=model)).exists()


def check_not_live(version: ModelVersion, *, model: Model) -> None:
    """Raises Conflict where `model`, which the version belongs to, has it live already."""
    if model.live_version_id == version.pk:
        raise Conflict(f"{version} is live already.", model=model.name, version=version.version)


@registry_write
def begin_release(*, release: Release) -> None:
    """Let replicas start, or fail by signature, unless the release was superseded."""
    if not _refresh(release) or fails_by_signature(release):
        return
    now = timezone.now()
    version = ModelVersion.objects.filter(pk=release.target.pk)
    if not wanted(version, now=now).exists():
        version.update(generation=F("generation") + 1)
        record_changes(VERSION, [release.target.pk])
    version.update(load_error="")
    release.state = Release.State.STARTING
    release.started_at = now
    release.save(update_fields=["state", "started_at"])


def end_releases(model: Model, *, reason: str) -> None:
    """End all releases of a model that goes, within its transaction."""
    now = timezone.now()
    releases = Release.objects.filter(model=model)
    end_rollouts(releases.open(), reason=reason)
    ended = {"state": Release.State.SUPERSEDED, "ended_at": now}
    releases.open().update(error=reason, **ended)
    releases.live().update(**ended)


def note_progress(*, release: Release, progress: str) -> None:
    """Write down what a release waits for, if it is news."""
    if release.progress != progress:
        release.progress = progress
        Release.objects.filter(pk=release.pk).update(progress=progress)


def note_check(*, release: Release, check: VersionCheck) -> None:
    """Keep a check's output and report with a release, with `warnings`."""
    release.output = check.output
    if check.state == VersionCheck.State.PASSED:
        report = check.report
        slow = _too_slow_for(release, latency=report.get("latency", ()))
        release.report = report | {"warnings": [*_unanswered(report), *slow]}
    release.save(update_fields=["output", "report"])


def _unanswered(report: Mapping[str, Any]) -> list[str]:
    """Warn if the check got no answer."""
    samples, kept = report.get("samples", ()), report.get("kept", {})
    if kept.get("answered") or any("output" in sample for sample in samples):
        return []
    if not samples:
        return [f"Its check asked it nothing: no inputs can be made up for it. {EXAMPLE_WANTED}"]
    found = samples[0]
    return [
        f"It answered none of the inputs that were made up for its check: {found['input']} → "
        f"{found.get('error', '')}. {EXAMPLE_WANTED}"
    ]


def _too_slow_for(release: Release, *, latency: Sequence[Mapping[str, Any]]) -> list[str]:
    if not latency:
        return []
    single = latency[0]["p99_ms"]
    asking = Application.objects.filter(
        routes__model=release.model_id, routes__pinned_version=None, slo__latency_ms__lt=single
    )
    return [
        f"One query took up to {single:g} ms in the check, longer than the objective of "
        f"{application}, {application.slo.latency_ms:g} ms."
        for application in asking.select_related("slo").distinct().order_by("name")
    ]


@registry_write
def complete_release(*, release: Release) -> None:
    """Switch traffic to ready replicas, or fail by signature, unless it was superseded."""
    if _refresh(release) and not fails_by_signature(release):
        go_live(release)


@registry_write
def fail_release(*, release: Release, error: str) -> None:
    """Give it up with the reason; the old version goes on serving."""
    if _refresh(release):
        fail(release, error=error)
        ModelVersion.objects.filter(pk=release.target.pk).update(load_error=error)


def fail(release: Release, *, error: str) -> None:
    """End a release with its reason, within a transaction; an open rollout ends with it."""
    failed = Release.objects.filter(pk=release.pk)
    end_rollouts(failed, reason=error, state=Rollout.State.ROLLED_BACK)
    _end(release, state=Release.State.FAILED, error=error)
    model = Model.objects.get(pk=release.target.model_id)
    changes = {"asked_version": [release.arm, "failed"]}
    _record_end(release, model=model, action=AuditEntry.Action.FAIL, changes=changes, reason=error)


def _record_end(
    release: Release, *, model: Model, action: str, changes: Mapping[str, Any], reason: str
) -> None:
    """Record how a release ended, as the completion of the entry that asked for it."""
    asking = (AuditEntry.Action.DEPLOY, AuditEntry.Action.ROLL_BACK)
    asked = AuditEntry.objects.of(model).filter(action__in=asking, at__gte=release.created_at)
    cause_id = asked.order_by("id").values_list("pk", flat=True).first()
    record_done(model, by=SYSTEM, action=action, changes=changes, reason=reason, cause_id=cause_id)


def _end(release: Release, *, state: str, error: str) -> None:
    release.state, release.error, release.ended_at = state, error, timezone.now()
    release.save(update_fields=["state", "error", "ended_at"])


def fails_by_signature(release: Release) -> bool:
    """Fail a release whose version takes what it may not; return whether it did."""
    fault = signature_fault(release)
    if fault:
        fail(release, error=fault)
    return bool(fault)


def _refresh(release: Release) -> bool:
    """Read the release's state again; return whether it is under way."""
    current = Release.objects.filter(pk=release.pk).first()
    if current is None:
        return False
    release.state = current.state
    return current.is_open


def _release(
    release: Release, *, by: Actor, anyway: bool = True, rollout: str = AT_ONCE
) -> Release:
    """Insert a release, and go live if its version's replicas are running and it may at once."""
    version = release.target
    model = locked(version.model)
    deploys = release.kind == Release.Kind.DEPLOY
    # A version that was started and not yet let go needs no start: its replicas are running.
    refresh(version, fields=("warm_until", "validated_at", *LIMITS))
    running = version.is_warm
    check_not_live(version, model=model)
    check_may_run_version(version, by=by)
    _check_way(release, model=model, at_once=rollout == AT_ONCE)
    if not (running or anyway):
        check_not_failed(version)
    under_way = Release.objects.filter(model=model).open().filter(version=version).first()
    if under_way is not None:
        raise Conflict(
            f"{version} is on its way already: release {under_way.pk} is {under_way.state}.",
            model=model.name,
            version=version.version,
            release=under_way.pk,
        )
    open_releases = Release.objects.filter(model=model).open()
    end_rollouts(open_releases, reason=f"{version} was asked for instead.", by=by)
    open_releases.update(state=Release.State.SUPERSEDED, ended_at=timezone.now())
    if not running:
        # The way back is open with as many replicas as find a slot.
        check_room(version, model=model, replicas=version.replicas if deploys else 1)
    release.model, release.previous_version_id = model, model.live_version_id
    release.by, release.by_label = by.user, by.label
    release.save()
    if (plan := plan_named(rollout)) is not None:
        plan_rollout(release=release, plan=plan, name=rollout)
    # It may fail: that the live version has changed is an entry of its own (`go_live`).
    live = None if model.live_version is None else str(model.live_version)
    changes: dict[str, list[Any]] = {"asked_version": [live, str(version)]}
    if release.allow_signature_change:
        changes[ALLOW] = [False, True]
    if rollout != AT_ONCE:
        changes["rollout"] = [None, rollout]
    action = AuditEntry.Action.DEPLOY if deploys else AuditEntry.Action.ROLL_BACK
    record_done(model, by=by, action=action, changes=changes, reason=release.reason)
    if running and rollout == AT_ONCE:
        if not fails_by_signature(release):
            go_live(release)
    elif not running and needs_check(release) and not check_holds(version):
        request_check(version)
    return release


def _check_way(release: Release, *, model: Model, at_once: bool) -> None:
    """Raise Conflict for a way past the approvals that a model wants: back is always free."""
    if not model.approvals or model.live_version_id is None:
        return
    goes_back = release.kind == Release.Kind.ROLLBACK
    if goes_back and not earlier(model.versions.filter(pk=release.target.pk)).exists():
        raise Conflict(
            f"{release.target} was never live, and {model} wants approvals: roll it out by a plan."
        )
    if at_once and not goes_back:
        raise Conflict(
            f"{model} wants {model.approvals} approvals: deploy by a plan, such as quick."
        )


def _call_off(model: Model, *, by: Actor, reason: str) -> Release | None:
    """Supersede the model's release under way; return it, if there is one."""
    current = locked(model)
    release = Release.objects.filter(model=model).open().with_versions().first()
    if release is not None:
        why = f"Called off by {by.label}" + (f": {reason}" if reason else ".")
        end_rollouts(Release.objects.filter(pk=release.pk), reason=why, by=by)
        _end(release, state=Release.State.SUPERSEDED, error=why)
        record_done(
            current,
            by=by,
            action=AuditEntry.Action.ROLL_BACK,
            changes={f"release {release.pk}": [release.version_name, "called off"]},
            reason=reason,
        )
    return release


def go_live(release: Release) -> None:
    """Switch the model's pointer; only the version to go back to stays warm, for its slots."""
    now = timezone.now()
    model = Model.objects.get(pk=release.target.model_id)
    Release.objects.filter(model=model).live().update(state=Release.State.SUPERSEDED, ended_at=now)
    kept = _kept_warm(model, but=release.version_id)
    model.versions.filter(warm_until__isnull=False).update(warm_until=None)
    if kept is not None:
        ModelVersion.objects.filter(pk=kept).update(
            warm_until=now + timedelta(seconds=settings.CLIPPER_WARM_SECONDS)
        )
    before = None if model.live_version is None else str(model.live_version)
    model.previous_version_id, model.live_version_id = model.live_version_id, release.version_id
    model.save(update_fields=["live_version", "previous_version"])
    _record_end(
        release,
        model=model,
        action=AuditEntry.Action.GO_LIVE,
        changes={"live_version": [before, release.arm]},
        reason=f"release {release.pk}, asked by {release.by_label}",
    )
    release.state = Release.State.LIVE
    release.live_at = now
    release.save(update_fields=["state", "live_at"])


def _kept_warm(model: Model, *, but: int | None) -> int | None:
    """Return the version that stays warm: the one left, unless only a warm one before did well."""
    ran = Q(warm_until__gt=timezone.now()) | Q(pk=model.live_version_id or 0)
    well = Release.objects.filter(version=OuterRef("pk"), did_well=True)
    running = model.versions.filter(ran).exclude(pk=but or 0).annotate(well=Exists(well))
    latest = Release.objects.filter(version=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    found = running.filter(well=True).annotate(latest=Subquery(latest)).order_by("-latest")
    return found.values_list("pk", flat=True).first() or model.live_version_id
