"""Frozen values of a registry snapshot, for the prediction path."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

PREDICT, FEEDBACK, READ, MANAGE = "predict", "feedback", "read", "manage"
SCOPES = (PREDICT, FEEDBACK, READ, MANAGE)

ARM_ROLE = "arm"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchingSpec:
    """Batching of a version's queries, as a person set it.

    `max_size` None: as large as the engine allows. `wait_ms` None: learned; 0: send at once.
    """

    controller: str = "aimd"
    max_size: int | None = None
    wait_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSpec:
    """One version of a model: what a replica loads.

    `generation` grows each time the version's replicas are started afresh; it is part of the
    cache key, so that nothing a former load answered outlives it. `method` is what of the model is
    asked ("": its runtime's first); `requirements` are the lines that say what it needs, and
    `python` is the version that it needs ("": the stack's). `signature` and `example`, each JSON or
    "", say what its inputs are. `batching` may change while replicas run; `memory_limit_mb` (None:
    no limit), `threads` and `load_timeout_s` hold for those started later.
    `cost` is what a query of it costs, in a unit of its owner's.
    Autoscaling moves `replicas` within `replica_bounds`, fewest and most; None where it is off.
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
    """An application as the prediction path sees it. `default_output` is JSON text or None.

    `cache_ttl_s` None: answers are kept until they are evicted. `priority`: 0 high, 1 normal, 2
    low. Selection keeps a state for up to `max_contexts` contexts, for `context_ttl_s` seconds
    after the last use of each. `loss` says how feedback judges answers; an arm that gave none in
    time has `missing_loss` (None: isn't moved), and a prediction that got no feedback counts as
    `default_reward` (None: not at all). Off rewards go `lateness_price` for each second that an arm
    took and `cost_price` for each unit of its version's `cost`. Where the one arm asked is less
    sure than `cascade_below` (None: never), a dearer one is asked as well. Outputs too large for a
    receipt are kept for `keep_outputs_s` seconds, at most as long as feedback is taken. Pages of
    the `allowed_origins`, with spaces between them, may ask from a browser. Where it says
    `keep_inputs`, a sample of inputs and outputs is kept for the checks of new versions. Feedback
    leaves the table after `keep_feedback_s` (None: never).
    """

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
    context_ttl_s: int = 90 * 86_400
    max_contexts: int = 100_000
    keep_outputs_s: int = 3600
    keep_feedback_s: int | None = None
    allowed_origins: str = ""
    keep_inputs: bool = False


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
