"""Uploading, configuring, scaling and deleting versions."""

import hashlib
import io
import logging
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, BinaryIO

import msgspec
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from core.errors import BadRequest, ClipperError, Conflict, NotFound, Unavailable
from core.specs import VERSION
from registry.artifacts.artifact_store import ArtifactStore
from registry.artifacts.incoming import IncomingArtifact
from registry.following.recording import record_changes, registry_write
from registry.models import AuditEntry, Model, ModelVersion, Release
from registry.models.models import FEWEST_REPLICAS, MOST_REPLICAS
from registry.models.release import superfluous
from registry.models.settable_columns import settable
from registry.releases.slots import check_device, check_scale
from registry.security.sealing import seal
from registry.services.actor import SYSTEM, Actor, check_may_run
from registry.services.audit_trail import audited, record_created, record_deleted, record_event
from registry.services.row_writes import check_changeable, checked, locked, refresh, save_new
from registry.services.version_checks import request_check
from registry.versions.extensions import (
    check_inputs,
    check_method,
    check_needs,
    check_runtime,
    extensions,
)
from registry.versions.package_requirements import python_for

logger = logging.getLogger(__name__)

# What a version is, said when it is uploaded and never changed.
UPLOADED = (
    *("version", "runtime", "device", "method", "requirements", "python", "example", "signature"),
    *("allow_stale_libraries", "allow_pickle"),
)
# Asked over HTTP: its artifact is its configuration, which these fields make, beside the secret.
REMOTE = "remote"
CONFIGURATION = (
    *("url", "protocol", "timeout_ms", "concurrency", "template", "output"),
    "secret_header",
)
# How it runs, which may change while it serves.
CONFIGURABLE = settable(ModelVersion, but=("model", *UPLOADED))


def create_version(
    *,
    model: Model,
    version: str,
    runtime: str,
    artifact: BinaryIO | IncomingArtifact,
    by: Actor,
    sha256: str = "",
    **other: Any,
) -> ModelVersion:
    """Store the artifact, and register the version with its check. Raises Forbidden, Conflict."""
    row, taken = _new_row(model=model, version=version, runtime=runtime, by=by, **other)
    store = ArtifactStore.default()
    with store.received(artifact) as incoming:
        if sha256 and incoming.digest != sha256.lower():
            raise BadRequest(
                f"sha256: Expected an artifact with the digest {sha256}, got one with "
                f"{incoming.digest}: it was changed on its way.",
                fields=["sha256"],
            )
        store.send(incoming)
        try:
            with registry_write:
                row.digest, row.size = incoming.digest, incoming.received
                locked(model)
                save_new(row, conflict=taken)
                store.settle(incoming)
                record_created(row, by=by)
                request_check(row)
        except ClipperError:
            remove_unused_artifacts([incoming.digest])
            raise
    return row


@registry_write
def try_version(
    *, model: Model, version: str, runtime: str, by: Actor, digest: str = "", **other: Any
) -> ModelVersion:
    """Register a version without its artifact, for a transaction that is rolled back."""
    row, taken = _new_row(model=model, version=version, runtime=runtime, by=by, **other)
    row.digest = digest
    locked(model)
    save_new(row, conflict=taken)
    return row


def _new_row(
    *,
    model: Model,
    version: str,
    runtime: str,
    by: Actor,
    requires_python: str = "",
    **other: Any,
) -> tuple[ModelVersion, Conflict]:
    """Return the row of a valid new version, and the error for a taken name."""
    own = (*UPLOADED, "remote", "secret")
    said = {name: other.pop(name) for name in own if name in other}
    row = ModelVersion(model=model, version=version, runtime=runtime, created_by=by.user, **said)
    row.device = ModelVersion.Device.named(row.device)
    _set(row, other)
    taken = Conflict(
        f"{row} exists already; versions are immutable, choose a new one.",
        model=model.name,
        version=version,
    )
    if model.versions.filter(version=version).exists():
        raise taken
    check_runtime(runtime)
    if runtime == REMOTE and row.remote is None:
        raise BadRequest(
            "artifact: Expected none with the runtime remote, which takes url and protocol."
        )
    if runtime == REMOTE and row.allow_pickle:
        raise BadRequest("allow_pickle: Expected false with the runtime remote, got true.")
    check_method(row.method, runtime=runtime)
    check_needs(
        row.requirements, python=row.python, requires_python=requires_python, runtime=runtime
    )
    row.signature = check_inputs(model.input_type, signature=row.signature, example=row.example)
    # That its model is there still is known once that is locked.
    checked(row, exclude=("digest", "model"))
    check_device(row.device)
    row.python = python_for(requires_python, asked=row.python, there=extensions.pythons)
    check_may_run(row, by=by)
    return row, taken


@registry_write
def configure_version(*, version: ModelVersion, by: Actor, **changes: Any) -> ModelVersion:
    """Change CONFIGURABLE fields live; limits hold for new replicas. Raises BadRequest."""
    current = locked(version)
    for field in CONFIGURABLE:
        setattr(version, field, getattr(current, field))
    with audited(version, by=by):
        written = _set(version, changes)
        checked(version)
        check_scale(version, replicas=version.replicas, before=current.replicas)
        version.save(update_fields=written)
    return version


@registry_write
def autoscale(*, version_id: int, replicas: int, seen: int | None = None, reason: str = "") -> bool:
    """Set the replicas within the bounds, if still as `seen`; return whether that did anything."""
    rows = ModelVersion.objects.filter(
        Q(min_replicas__lte=replicas) | Q(min_replicas__isnull=True),
        pk=version_id,
        max_replicas__gte=replicas,
    ).exclude(replicas=replicas)
    if seen is not None:
        rows = rows.filter(replicas=seen)
    version = rows.select_related("model").first()
    if replicas < FEWEST_REPLICAS or version is None:
        return False
    rows.update(replicas=replicas)
    record_changes(VERSION, [version_id])
    record_event(
        action=AuditEntry.Action.SCALE,
        kind="model version",
        name=str(version),
        model_id=version.model_id,
        object_id=version_id,
        changes={"replicas": [version.replicas, replicas]},
        reason=reason,
    )
    return True


def _set(version: ModelVersion, changes: Mapping[str, Any]) -> list[str]:
    """Set the fields on the row, and return the names of those to write."""
    check_changeable(changes, fields=CONFIGURABLE)
    changes = dict(changes)
    if changes.get("max_replicas", ...) is None:
        # Bounds go together: half of them would look like autoscaling and be none.
        changes.setdefault("min_replicas", None)
    for field, value in changes.items():
        setattr(version, field, value)
    bounds = version.replica_bounds
    if bounds is not None and "replicas" not in changes:
        low, high = bounds
        within = min(MOST_REPLICAS, max(low, min(version.replicas, high)))
        changes["replicas"] = version.replicas = within
    return sorted(changes)


def note_load_error(version_ids: Collection[int], *, error: str) -> None:
    """Record why replicas of these versions can't load, "" once they can."""
    rows = ModelVersion.objects.filter(pk__in=version_ids).exclude(load_error=error)
    # Asked each second: an update that finds nothing would still take SQLite's write lock.
    if rows.exists():
        with registry_write:
            rows.update(load_error=error)


@registry_write
def keep_warm(version_ids: Collection[int], *, until: datetime | None) -> None:
    """Keep versions that are warm until then, or no longer (None)."""
    warm = ModelVersion.objects.filter(pk__in=version_ids, warm_until__isnull=False)
    warm.update(warm_until=until)


def live_version_of(model: Model) -> ModelVersion:
    """Return the live version. Raises Conflict for none."""
    if model.live_version is None:
        raise Conflict(f"{model.name} has no live version; deploy one first.", model=model.name)
    version: ModelVersion = model.live_version
    version.model = model  # it is named by it, also once both are gone
    return version


@registry_write
def delete_version(
    *,
    version: ModelVersion,
    by: Actor,
    action: str = AuditEntry.Action.DELETE,
    reason: str = "",
) -> None:
    """Delete an unused version; its releases stay. Raises Conflict or NotFound."""
    model = locked(version.model)
    refresh(version, fields=("digest",))
    if model.live_version_id == version.pk:
        raise Conflict(f"{version} is live; deploy another version first.")
    pinning = list(version.pinning_routes.values_list("application__name", flat=True).distinct())
    if pinning:
        raise Conflict(
            f"{version} is pinned by a route of {', '.join(pinning)}; change the route first.",
            applications=pinning,
        )
    if Release.objects.filter(version=version).open().exists():
        raise Conflict(f"{version} is being deployed.")
    record_deleted(version, by=by, action=action, reason=reason)
    version.delete()
    remove_unused_artifacts([version.digest])


def prune_versions(
    *, kept: int, but: QuerySet[Any], by: Actor = SYSTEM, dry_run: bool = False
) -> list[ModelVersion]:
    """Delete all versions that are superfluous, `but` these; return them.

    `kept` is how many of each model stay because they are the newest; 0: all.
    """
    why = f"neither in use, nor a way back, nor one of the {kept} newest of its model"
    found: list[ModelVersion] = []
    for model in Model.objects.order_by("pk") if kept > 0 else ():
        for version in superfluous(model, kept=kept, now=timezone.now()).exclude(pk__in=but):
            with suppress(NotFound), registry_write:  # unless somebody else deletes it
                rows = superfluous(locked(model), kept=kept, now=timezone.now())
                if rows.filter(pk=version.pk).exclude(pk__in=but).exists():
                    if not dry_run:
                        action = AuditEntry.Action.PRUNE
                        delete_version(version=version, by=by, action=action, reason=why)
                    found.append(version)
    return found


def remove_unused_artifacts(digests: Iterable[str]) -> None:
    """Remove, after the commit, artifacts without a version."""
    candidates = set(digests)

    def remove() -> None:
        for digest in sorted(candidates):
            with registry_write:
                if ModelVersion.objects.filter(digest=digest).exists():
                    continue
                try:
                    ArtifactStore.default().remove(digest)
                except Unavailable as error:
                    # The same bytes, uploaded again, find it there.
                    logger.warning("artifact left behind digest=%s: %s", digest, error)

    transaction.on_commit(remove)


def create_remote_version(
    *,
    model: Model,
    version: str,
    configuration: Mapping[str, Any],
    by: Actor,
    secret: str = "",
    tried: bool = False,
    **other: Any,
) -> ModelVersion:
    """Register a version that is asked over HTTP, or only try it. Raises as `create_version`."""
    given = {name: value for name, value in configuration.items() if value is not None}
    artifact = extensions.remote_artifact(given, model.input_type, secret)
    fields = {
        **{"model": model, "version": version, "runtime": REMOTE, "by": by},
        **{"remote": msgspec.json.decode(artifact), "secret": seal(secret)},
        **other,
    }
    if tried:
        return try_version(digest=hashlib.sha256(artifact).hexdigest(), **fields)
    return create_version(artifact=io.BytesIO(artifact), **fields)


@registry_write
def set_secret(*, version: ModelVersion, secret: str, by: Actor) -> ModelVersion:
    """Give a remote version another secret, or none (""). Raises BadRequest for another version."""
    current = locked(version)
    if current.remote is None:
        raise BadRequest(f"secret: Expected none, {version} isn't a remote version.")
    extensions.remote_artifact(current.remote, current.model.input_type, secret)
    with audited(version, by=by):
        version.secret = seal(secret)
        version.save(update_fields=["secret"])
    return version
