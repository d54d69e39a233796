"""Checks of versions: each is tried out as soon as it is there, and releases go by what that told.

What nothing has changed of isn't tried out again: the artifact and the environment of a version
never change, and its limits are kept with its check.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.utils import timezone

from core.changes import VERSION
from registry.following.recording import record_changes, registry_write
from registry.models import ModelVersion, Release, VersionCheck
from registry.models.checks import limits_of

# A remote model's server may be another one a moment later.
REMOTE_HOLDS = timedelta(seconds=60)


@registry_write
def request_check(version: ModelVersion) -> VersionCheck:
    """Have a version tried out, unless that is under way."""
    check = VersionCheck.objects.filter(version=version).first()
    if check is not None and check.is_open:
        return check
    if check is not None:
        check.delete()  # a check has its own number, by which it is counted how often it was begun
    return VersionCheck.objects.create(version=version)


def needs_check(release: Release) -> bool:
    """Whether it has to wait for a check, and fails with it.

    Who goes back is in a hurry, and that version has passed one before.
    """
    return release.kind == Release.Kind.DEPLOY or release.target.validated_at is None


def check_holds(version: ModelVersion) -> bool:
    """Whether a version has passed its check, and the same one would be made now."""
    if version.validated_at is None:
        return False
    check = VersionCheck.objects.filter(version=version).first()
    if (
        check is None
        or check.state != VersionCheck.State.PASSED
        or not check.is_within_limits_of(version)
    ):
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
    """`check.version`, as it was when this began, has proved loadable; it takes `n_features`.

    `signature` is what is known of its inputs, as JSON; `report` what its model made of sample
    inputs (`samples`) and how quickly (`latency`). Does nothing where the check was replaced.
    """
    told = {"report": dict(report or {}), "output": output}
    if not _end(check, state=VersionCheck.State.PASSED, **told):
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
    """`check.version`, as it was when this began, can't be served. Does nothing where the check was
    replaced.
    """
    if _end(check, state=VersionCheck.State.FAILED, error=error, output=output):
        ModelVersion.objects.filter(pk=check.version_id).update(load_error=error)


def _end(check: VersionCheck, *, state: str, **told: Any) -> bool:
    """Keep how it ended, and within which limits; returns whether it was still under way."""
    told["limits"] = limits_of(check.version)
    rows = VersionCheck.objects.filter(pk=check.pk, state=VersionCheck.State.PENDING)
    return bool(rows.update(state=state, ended_at=timezone.now(), **told))
