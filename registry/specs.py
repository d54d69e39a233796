"""The frozen values of one registry snapshot: all that the prediction path needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

PREDICT, FEEDBACK, MANAGE = "predict", "feedback", "manage"
SCOPES = (PREDICT, FEEDBACK, MANAGE)

ARM_ROLE = "arm"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSpec:
    """One version of a model: what a replica loads.

    `generation` grows each time the version's replicas are started afresh; it is part of the
    cache key, so that nothing a former load answered outlives it.
    """

    id: int
    model_id: int
    model: str
    version: str
    runtime: str
    input_type: str
    digest: str
    device: str
    replicas: int
    allow_pickle: bool
    generation: int

    @property
    def arm(self) -> str:
        """The name under which selection knows this version, `model:version`."""
        return f"{self.model}:{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model and the version that its unpinned routes follow (None before the first deploy)."""

    id: int
    name: str
    input_type: str
    live_version_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSpec:
    """One arm of an application: a model's live version, or the version it is pinned to."""

    model_id: int
    model: str
    role: str
    weight: float
    pinned_version_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSpec:
    """An application as the prediction path sees it. `default_output` is JSON text or None."""

    id: int
    name: str
    input_type: str
    slo_ms: float
    slo_target: float
    default_output: bytes | None
    policy: str
    policy_params: Mapping[str, Any]
    combine: str
    confidence_threshold: float
    public: bool
    feedback_window_s: int
    routes: tuple[RouteSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeySpec:
    """A key as the prediction path checks it; `application_ids` None means every application."""

    id: int
    name: str
    digest: str
    scopes: frozenset[str]
    application_ids: frozenset[int] | None
    expires_at: float | None

    def allows(self, *, scope: str, application_id: int) -> bool:
        bound = self.application_ids is not None and application_id not in self.application_ids
        return scope in self.scopes and not bound


def _nothing() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything the prediction path knows of the registry at one moment.

    `versions` is indexed by primary key, `versions_by_arm` by `model:version`, `keys` by the
    sha256 hex digest of the key.
    """

    applications: Mapping[str, ApplicationSpec] = field(default_factory=_nothing)
    models: Mapping[int, ModelSpec] = field(default_factory=_nothing)
    versions: Mapping[int, VersionSpec] = field(default_factory=_nothing)
    versions_by_arm: Mapping[str, VersionSpec] = field(default_factory=_nothing)
    keys: Mapping[str, ApiKeySpec] = field(default_factory=_nothing)
