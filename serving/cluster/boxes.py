"""What the process is told that a version is loaded in, at its check and as a replica."""

from __future__ import annotations

from pathlib import Path

from registry.specs import VersionSpec
from serving.container.boxed import Box


def box_of(
    version: VersionSpec, *, artifact: Path, device: str = "cpu", search_s: float | None = None
) -> Box:
    return Box(
        runtime=version.runtime,
        artifact=artifact,
        sha256=version.digest,
        input_type=version.input_type,
        allow_pickle=version.allow_pickle,
        device=device,
        threads=version.threads,
        memory_limit_mb=version.memory_limit_mb,
        search_s=search_s,
    )
