"""The storage of artifacts, by the environment."""

import json
from typing import Any

from clipper_site.settings.env import Environment

LOCAL = "registry.artifacts.artifact_store.LocalArtifacts"


def artifact_storage(env: Environment) -> dict[str, Any]:
    """Return the entry of STORAGES: a folder of this host, unless another place is named."""
    nothing: dict[str, Any] = {}
    options = env.parsed(
        "CLIPPER_ARTIFACTS_OPTIONS", default=nothing, parse=_object, expected="a JSON object"
    )
    return {"BACKEND": env.text("CLIPPER_ARTIFACTS_BACKEND") or LOCAL, "OPTIONS": options}


def _object(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(text)
    return found
