"""Builders of what the registry tells the prediction path: only what a test is about is said."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from core.specs import (
    ARM_ROLE,
    PREDICT,
    ApiKeySpec,
    ApplicationSpec,
    ModelSpec,
    RouteSpec,
    Snapshot,
    VersionSpec,
)
from serving.rpc.frames.hello import Hello

MODELS = (1, 2, 3)


def version_spec(id: int = 1, **changes: Any) -> VersionSpec:
    """Return version 1 of model `m1`, of `m2` with the id 2, and so on."""
    version = VersionSpec(
        id=id,
        model_id=id,
        model=f"m{id}",
        version="1",
        runtime="sklearn",
        input_type="doubles",
        digest="0" * 64,
        device="cpu",
        replicas=1,
        allow_pickle=False,
        generation=1,
    )
    return replace(version, **changes)


def routes_to(*model_ids: int) -> tuple[RouteSpec, ...]:
    """Arms of equal weight that follow the live versions of `m1`, `m2` and so on."""
    return tuple(
        RouteSpec(model_id=n, model=f"m{n}", role=ARM_ROLE, weight=1.0, pinned_version_id=None)
        for n in model_ids
    )


def application_spec(**changes: Any) -> ApplicationSpec:
    """Return `digits`: `exp4` over three models, a second to answer, with some fields changed."""
    application = ApplicationSpec(
        id=1,
        name="digits",
        input_type="doubles",
        slo_ms=1000.0,
        slo_target=0.99,
        default_output=b"-1",
        policy="exp4",
        policy_params={},
        combine="vote",
        confidence_threshold=0.0,
        public=False,
        feedback_window_s=3600,
        routes=routes_to(*MODELS),
    )
    return replace(application, **changes)


def key_spec(text: str = "clp_secret", **changes: Any) -> ApiKeySpec:
    """An API key of that text, which may ask every application; `changes` are its fields."""
    key = ApiKeySpec(
        id=1,
        name="k",
        digest=hashlib.sha256(text.encode()).hexdigest(),
        scopes=frozenset({PREDICT}),
        application_ids=None,
        expires_at=None,
    )
    return replace(key, **changes)


def snapshot_of(
    *applications: ApplicationSpec,
    versions: Iterable[VersionSpec] | None = None,
    keys: Iterable[ApiKeySpec] = (),
) -> Snapshot:
    """Return a registry of these, and versions 1 to 3 unless others are said."""
    versions = [version_spec(n) for n in MODELS] if versions is None else list(versions)
    return Snapshot(
        applications={application.name: application for application in applications},
        models={
            version.model_id: ModelSpec(
                id=version.model_id,
                name=version.model,
                input_type=version.input_type,
                live_version_id=version.id,
            )
            for version in versions
        },
        versions={version.id: version for version in versions},
        versions_by_arm={version.arm: version for version in versions},
        keys={key.digest: key for key in keys},
    )


def hello_of(version: VersionSpec, *, replica: str = "r1", concurrency: int = 1) -> Hello:
    """Return the HELLO of a replica of this version."""
    return Hello(
        replica=replica,
        model=version.model,
        version=version.version,
        version_id=version.id,
        generation=version.generation,
        input_type=version.input_type,
        concurrency=concurrency,
    )
