"""The storage of artifacts, by the environment."""

import json
from typing import Any

from clipper_site.settings.env import Environment

LOCAL = "registry.artifacts.artifact_store.LocalArtifacts"
S3 = "registry.artifacts.s3.S3Artifacts"


def artifact_storage(env: Environment) -> dict[str, Any]:
    """Return the entry of STORAGES: a folder of this host, unless another place is named."""
    backend = env.text("CLIPPER_ARTIFACTS_BACKEND")
    nothing: dict[str, Any] = {}
    options = env.parsed(
        "CLIPPER_ARTIFACTS_OPTIONS", default=nothing, parse=_object, expected="a JSON object"
    )
    bucket = env.text("CLIPPER_S3_BUCKET")
    of_bucket = {
        option: text
        for option, text in (
            ("endpoint_url", env.text("CLIPPER_S3_ENDPOINT")),
            ("region_name", env.text("CLIPPER_S3_REGION")),
            ("location", env.text("CLIPPER_S3_PREFIX")),
        )
        if text
    }
    if bucket and backend:
        env.reject("CLIPPER_ARTIFACTS_BACKEND", expected="unset where CLIPPER_S3_BUCKET is set")
    if bucket:
        return {"BACKEND": S3, "OPTIONS": {"bucket_name": bucket, **of_bucket, **options}}
    if of_bucket:
        env.reject("CLIPPER_S3_BUCKET", expected="a bucket, as something else of it is set")
    return {"BACKEND": backend or LOCAL, "OPTIONS": options}


def _object(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(text)
    return found
