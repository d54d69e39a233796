"""Checks of versions: made after an upload, and reused while their limits hold."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.utils import timezone

from core.errors import CheckFailed
from core.specs import VERSION
from registry.following.recording import record_changes, registry_write
from registry.models import AuditEntry, ModelVersion, Release, VersionCheck
from registry.models.version_check import limits_of
from registry.services.audit_trail import record_event

# A remote model's server may be another one a moment later.
REMOTE_HOLDS = timedelta(seconds=60)


@registry_write
def request_check(version: ModelVersion) -> VersionCheck:
    """Have a version checked, unless that is under way."""
    check = VersionCheck.objects.filter(version=version).first()
    if check is not None and check.is_open:
        return check
    if check is not None:
        check.delete()  # a check has its own number, by which it is counted how often it was begun
    return VersionCheck.objects.create(version=version)


def needs_check(release: Release) -> bool:
    """Say whether a release waits for a check: a rollback to a checked version doesn't."""
    return release.kind == Release.Kind.DEPLOY or release.target.validated_at is None


def check_holds(version: ModelVersion) -> bool:
    """Say whether a version has passed the check that would be made now."""
    passed = VersionCheck.objects.filter(version=version, state=VersionCheck.State.PASSED)
    check = passed.first() if version.validated_at else None
    return check is not None and _holds(check, version=version)


def failed_check(version: ModelVersion) -> VersionCheck | None:
    """Return the check that a version failed, unless one that is made now may end otherwise."""
    failed = VersionCheck.objects.filter(version=version, state=VersionCheck.State.FAILED)
    check = failed.first()
    return check if check is not None and _holds(check, version=version) else None


def check_not_failed(version: ModelVersion) -> None:
    """Raises CheckFailed with the check's error."""
    if (check := failed_check(version)) is not None:
        raise CheckFailed(
            f"{version} failed its check, so it isn't deployed without `anyway`: {check.error}",
            model=version.model.name,
            version=version.version,
        )


def _holds(check: VersionCheck, *, version: ModelVersion) -> bool:
    """Say whether the check was made within the limits, and of the server, of today."""
    if check.limits != limits_of(version):
        return False
    ended_at = check.ended_at or check.created_at
    return version.remote is None or timezone.now() < ended_at + REMOTE_HOLDS


@registry_write
def pass_check(
    *,
    check: VersionCheck,
    n_features: int | None = None,
    signature: str = "",
    output: str = "",
    report: Mapping[str, Any] | None = None,
) -> None:
    """Record that the version loads, unless the check was replaced."""
    values = {"report": dict(report or {}), "output": output}
    if not _end(check, state=VersionCheck.State.PASSED, **values):
        return
    version = ModelVersion.objects.filter(pk=check.version_id)
    version.filter(validated_at=None).update(validated_at=timezone.now(), load_error="")
    if n_features is not None:
        version.update(n_features=n_features)
    if signature:
        version.update(signature=signature)
        record_changes(VERSION, [check.version_id])


@registry_write
def fail_check(*, check: VersionCheck, error: str, output: str = "") -> None:
    """Record that the version can't be served, unless the check was replaced."""
    if _end(check, state=VersionCheck.State.FAILED, error=error, output=output):
        ModelVersion.objects.filter(pk=check.version_id).update(load_error=error)


def _end(check: VersionCheck, *, state: str, **values: Any) -> bool:
    """Record how it ended; return whether it was still under way."""
    version = check.version
    values["limits"] = limits_of(version)
    rows = VersionCheck.objects.filter(pk=check.pk, state=VersionCheck.State.PENDING)
    if not rows.update(state=state, ended_at=timezone.now(), **values):
        return False
    record_event(
        action=AuditEntry.Action.CHECK,
        kind="model version",
        name=str(version),
        model_id=version.model_id,
        object_id=version.pk,
        changes={"check": [VersionCheck.State.PENDING, state]},
        reason=values.get("error", ""),
    )
    return True
