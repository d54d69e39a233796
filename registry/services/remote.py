"""Versions whose model lives behind HTTP: their configuration is their artifact."""

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
from registry.services.audit_trail import audited
from registry.services.rows import locked
from registry.services.versions import REMOTE, create_version, try_version
from registry.versions.extensions import extensions

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
    tried: bool = False,
    **other: Any,
) -> ModelVersion:
    """Register a version that is asked over HTTP; it isn't deployed yet.

    `configuration` are fields of CONFIGURATION, None for those not given. `tried`: only as
    `try_version` does. Raises what `create_version` does; BadRequest also for a host that the
    operator's list lacks.
    """
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
