"""Frozen values of a registry snapshot, for the prediction path, and an application's arms.

The help texts of the tables in `registry/models` say what each field means.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

# A message says only that something has changed; receivers read what is newer, and look again now
# and then because one may be lost.
CHANGES_CHANNEL = "clipper:changes"
# The kinds of rows that the prediction path follows.
APPLICATION, MODEL, VERSION, KEY = "application", "model", "version", "key"

PREDICT, FEEDBACK, READ, MANAGE = "predict", "feedback", "read", "manage"
SCOPES = (PREDICT, FEEDBACK, READ, MANAGE)
# All that a join token may do, and no other key.
JOIN = "join"
# URLs that lead other hosts to them, by how they begin: no file is among them.
SERVERS = {"REDIS_URL": ("redis:", "rediss:"), "DATABASE_URL": ("postgres:", "postgresql:")}
# Settings that a host which joins gets as the console has them, and those that it has to have.
JOINED_SETTINGS = (
    *(*SERVERS, "CLIPPER_CLUSTER_SECRET", "CLIPPER_REMOTE_HOSTS", "CLIPPER_HUNG_S"),
    *(f"CLIPPER_PIP_{name}" for name in ("INDEX_URL", "NO_INDEX", "SOURCES", "URLS")),
)
OWN_SETTINGS = ("CLIPPER_TLS_CA", "CLIPPER_ARTIFACTS_BACKEND")

ARM_ROLE = "arm"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchingSpec:
    """Batching as a person set it; None: the engine's largest size, or a wait that it learns."""

    controller: str = "aimd"
    max_size: int | None = None
    wait_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSpec:
    """One version of a model: what a replica loads.

    `generation` grows each time its replicas are started afresh; it is part of the cache key, so
    that nothing a former load answered outlives it. Autoscaling moves `replicas` within
    `replica_bounds`, fewest and most; None where it is off.
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
    method: str = ""
    requirements: str = ""
    python: str = ""
    signature: str = ""
    example: str = ""
    allow_stale_libraries: bool = False
    batching: BatchingSpec = BatchingSpec()
    memory_limit_mb: int | None = None
    threads: int = 1
    load_timeout_s: int = 120
    cost: float = 0.0
    replica_bounds: tuple[int, int] | None = None

    @property
    def arm(self) -> str:
        """The name under which selection knows this version, `model:version`."""
        return f"{self.model}:{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model and the version that its unpinned routes follow (None before the first deploy).

    While a rollout is open, `canary_share` of what the live version would be asked goes to the
    canary instead; if `canary_hedged`, the live version is asked as well. `shadow_share` of it is
    sent to the canary without any influence on the answer.
    """

    id: int
    name: str
    input_type: str
    live_version_id: int | None
    previous_version_id: int | None = None
    rollout_id: int | None = None
    canary_version_id: int | None = None
    canary_share: float = 0.0
    canary_hedged: bool = False
    shadow_share: float = 0.0


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
    """An application; `default_output` is JSON text or None, `priority` 0 high, 1 normal, 2 low."""

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
    cache: bool = True
    cache_ttl_s: float | None = None
    priority: int = 1
    loss: str = "auto"
    loss_expression: str = ""
    loss_scale: float = 1.0
    missing_loss: float | None = 1.0
    default_reward: float | None = None
    lateness_price: float = 0.0
    cost_price: float = 0.0
    cascade_below: float | None = None
    holdout_share: float = 0.0
    context_ttl_s: int = 90 * 86_400
    max_contexts: int = 100_000
    keep_outputs_s: int = 3600
    keep_feedback_s: int | None = None
    allowed_origins: str = ""
    keep_inputs: bool = False
    capture_rate: float = 0.0
    capture_redact: str = ""
    max_wrong_share: float | None = None
    promise_confidence: float = 0.95


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
    """Everything the prediction path knows of the registry at one moment; keys by their sha256."""

    applications: Mapping[str, ApplicationSpec] = field(default_factory=_nothing)
    models: Mapping[int, ModelSpec] = field(default_factory=_nothing)
    versions: Mapping[int, VersionSpec] = field(default_factory=_nothing)
    versions_by_arm: Mapping[str, VersionSpec] = field(default_factory=_nothing)
    keys: Mapping[str, ApiKeySpec] = field(default_factory=_nothing)


class Arm(NamedTuple):
    """A version that may be asked, and the weight of its route."""

    version: VersionSpec
    weight: float


def arms_of(
    application: ApplicationSpec,
    *,
    versions: Mapping[int, VersionSpec],
    live: Mapping[int, int | None],
) -> list[Arm]:
    """Return an application's arms in the order of its routes; `live`: live version by model."""
    return [
        Arm(version, route.weight)
        for route in application.routes
        if route.role == ARM_ROLE
        and (version_id := route.pinned_version_id or live.get(route.model_id)) is not None
        and (version := versions.get(version_id)) is not None
    ]


def weights_of(arms: list[Arm]) -> dict[str, float]:
    """Return the weights of the routes by the names of their arms, `model:version`."""
    return {arm.version.arm: arm.weight for arm in arms}


def registered_arms(snapshot: Snapshot) -> list[tuple[ApplicationSpec, Mapping[str, float]]]:
    """Return each application with its arms' weights, as registered: connected or not."""
    live = {model.id: model.live_version_id for model in snapshot.models.values()}
    return [
        (spec, weights_of(arms_of(spec, versions=snapshot.versions, live=live)))
        for spec in snapshot.applications.values()
    ]
