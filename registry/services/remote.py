"""Versions whose model lives behind HTTP already: a configuration in the place of an artifact."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from typing import Any

import msgspec

from core.errors import BadRequest
from registry.following.recording import registry_write
from registry.models import Model, ModelVersion
from registry.security.sealing import seal
from registry.services.actor import Actor
from registry.services.audit import audited
from registry.services.rows import locked
from registry.services.versions import REMOTE, create_version, try_version
from registry.versions.extensions import remote_artifact

# What says where the model lives and how it is asked, beside the secret.
CONFIGURATION = (
    *("url", "protocol", "timeout_ms", "concurrency", "template", "output"),
    "secret_header",
)


def create_remote_version(
    *,
    model: Model,
    version: str,
    configuration: Mapping[str, Any],
    by: Actor,
    secret: str = "",
    **other: Any,
) -> ModelVersion:
    """Register a version that is asked over HTTP; it isn't deployed yet.

    `configuration` are fields of CONFIGURATION; a None is one not given. The secret is kept sealed,
    and nobody is shown it again. Raises what `create_version` does; BadRequest also where the
    operator's list doesn't have the host.
    """
    artifact = _artifact_of(configuration, model=model, secret=secret)
    return create_version(
        model=model,
        version=version,
        runtime=REMOTE,
        artifact=io.BytesIO(artifact),
        by=by,
        remote=msgspec.json.decode(artifact),
        secret=seal(secret),
        **other,
    )


def try_remote_version(
    *,
    model: Model,
    version: str,
    configuration: Mapping[str, Any],
    by: Actor,
    secret: str = "",
    **other: Any,
) -> ModelVersion:
    """Register one for a transaction that is rolled back; raises as `create_remote_version`."""
    artifact = _artifact_of(configuration, model=model, secret=secret)
    return try_version(
        model=model,
        version=version,
        runtime=REMOTE,
        digest=hashlib.sha256(artifact).hexdigest(),
        by=by,
        remote=msgspec.json.decode(artifact),
        secret=seal(secret),
        **other,
    )


def _artifact_of(configuration: Mapping[str, Any], *, model: Model, secret: str) -> bytes:
    given = {name: value for name, value in configuration.items() if value is not None}
    return remote_artifact(given, input_type=model.input_type, secret=secret)


@registry_write
def set_secret(*, version: ModelVersion, secret: str, by: Actor) -> ModelVersion:
    """Give a remote version another secret, or none (""); its replicas take it up when it commits.

    Raises BadRequest for a version that isn't remote, or what no header can hold.
    """
    current = locked(version)
    if current.remote is None:
        raise BadRequest(f"secret: Expected none, {version} isn't a remote version.")
    remote_artifact(current.remote, input_type=current.model.input_type, secret=secret)
    with audited(version, by=by):
        version.secret = seal(secret)
        version.save(update_fields=["secret"])
    return version
