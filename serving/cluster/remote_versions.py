"""Remote versions under the operator's settings."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from core.errors import BadRequest
from core.specs import VersionSpec
from registry.security.sealing import unseal
from registry.services.versions import REMOTE
from serving.container.failures.container_errors import ArtifactInvalid
from serving.container.remote.configuration import RemoteConfiguration, check_secret
from serving.container.remote.failures import HostRefused
from serving.container.remote.hosts import AllowedHosts


def artifact_of(configuration: Mapping[str, Any], input_type: str, secret: str) -> bytes:
    """Return the artifact of a remote version; raises BadRequest for a forbidden host."""
    # It loads NumPy, without which other processes do.
    from serving.container.remote.protocols import dialect_of

    try:
        parsed = RemoteConfiguration.parse(configuration)
        check_secret(secret)
        dialect_of(parsed, input_type=input_type)
        hosts = AllowedHosts.parse(settings.CLIPPER_REMOTE_HOSTS)
        place = parsed.place
        hosts.check_now(place.host, port=place.port)
    except ArtifactInvalid as error:
        raise BadRequest(str(error)) from error
    except HostRefused as error:
        raise BadRequest(f"url: {error}.") from error
    return parsed.artifact


def secret_fields(version: VersionSpec, *, sealed: str) -> dict[str, Any]:
    """Return the fields of a LoadSpec that a version's spec lacks: allowed hosts, and the secret.

    Raises Unsealable.
    """
    if version.runtime != REMOTE:
        return {}
    return {"remote_hosts": settings.CLIPPER_REMOTE_HOSTS, "secret": unseal(sealed)}
