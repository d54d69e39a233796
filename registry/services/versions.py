"""Uploading, scaling and deleting versions."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import BinaryIO

from django.db import transaction

from registry.artifacts.store import ArtifactStore
from registry.errors import Conflict, Forbidden
from registry.extensions import check_runtime
from registry.models import Model, ModelVersion, Release
from registry.services.actor import Actor
from registry.services.validation import checked, save_new


def create_version(
    *,
    model: Model,
    version: str,
    runtime: str,
    artifact: BinaryIO,
    by: Actor,
    device: str = ModelVersion.Device.CPU,
    replicas: int = 1,
    allow_pickle: bool = False,
    notes: str = "",
) -> ModelVersion:
    """Store the artifact under its sha256 and register the version; it is not deployed yet.

    Raises Forbidden where pickle is asked for without the permission, Conflict where the version
    exists, BadRequest where a field is wrong.
    """
    if allow_pickle and not by.may_allow_pickle:
        raise Forbidden("Loading pickle needs the permission registry.allow_pickle.")
    row = ModelVersion(
        model=model,
        version=version,
        runtime=runtime,
        device=device,
        replicas=replicas,
        allow_pickle=allow_pickle,
        notes=notes,
        created_by=by.user,
    )
    taken = Conflict(
        f"{row} exists already; versions are immutable, choose a new one.",
        model=model.name,
        version=version,
    )
    if model.versions.filter(version=version).exists():
        raise taken
    check_runtime(runtime)
    checked(row, exclude=("digest",))
    row.digest, row.size = ArtifactStore.default().add(artifact)
    save_new(row, conflict=taken)
    return row


@transaction.atomic
def scale(*, version: ModelVersion, replicas: int) -> ModelVersion:
    """Set how many replicas serve this version; the reconciler starts or drains the difference."""
    version.replicas = replicas
    checked(version)
    version.save(update_fields=["replicas"])
    return version


def note_load_error(version_ids: Collection[int], *, error: str) -> None:
    """Say why replicas of these versions can't load; "" once they can."""
    rows = ModelVersion.objects.filter(pk__in=version_ids).exclude(load_error=error)
    # Asked each second: an update that finds nothing would still take SQLite's write lock.
    if rows.exists():
        rows.update(load_error=error)


def keep_warm(version_ids: Collection[int], *, until: datetime | None) -> None:
    """Keep replicas of replaced versions until then, or (None) no longer.

    One that is no longer warm stays so: only a release warms a version.
    """
    warm = ModelVersion.objects.filter(pk__in=version_ids, warm_until__isnull=False)
    warm.update(warm_until=until)


def live_version_of(model: Model) -> ModelVersion:
    """The version that is live now. Raises Conflict where none has been deployed yet."""
    if model.live_version is None:
        raise Conflict(f"{model.name} has no live version; deploy one first.", model=model.name)
    return model.live_version


@transaction.atomic
def delete_version(*, version: ModelVersion) -> None:
    """Delete a version that nothing uses. Raises Conflict where it is live, pinned or deploying."""
    model = Model.objects.select_for_update().get(pk=version.model_id)
    if model.live_version_id == version.pk:
        raise Conflict(f"{version} is live; deploy another version first.")
    if version.pinning_routes.exists():
        raise Conflict(f"{version} is pinned by a route; change the route first.")
    if Release.objects.filter(version=version).open().exists():
        raise Conflict(f"{version} is being deployed.")
    version.delete()
    remove_unused_artifacts([version.digest])


def remove_unused_artifacts(digests: Iterable[str]) -> None:
    """After the commit, remove those of the artifacts that no version refers to any more."""
    candidates = set(digests)

    def remove() -> None:
        used = ModelVersion.objects.filter(digest__in=candidates).values_list("digest", flat=True)
        for digest in candidates - set(used):
            ArtifactStore.default().remove(digest)

    transaction.on_commit(remove)
