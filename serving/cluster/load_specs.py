"""The specification of a version for the process that loads it, at its check and as a replica."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from core.specs import VersionSpec
from serving.container.spec import LoadSpec

# What both have under the same name.
SHARED = tuple(
    {field.name for field in fields(LoadSpec)}
    & {field.name for field in fields(VersionSpec)}
    - {"device"}  # a version says which kind, a replica which one
)


def load_spec(version: VersionSpec, *, artifact: Path, **here: Any) -> LoadSpec:
    """`here` are fields of LoadSpec that hold for this process alone."""
    shared = {name: getattr(version, name) for name in SHARED}
    return LoadSpec(artifact=artifact, sha256=version.digest, **(shared | here))
