"""The replicas that the registry demands of each version."""

from datetime import datetime

from registry.models import ModelVersion, Release, Route
from registry.models.release import wanted
from serving.cluster.control.replica_plan import Demand


def read_demands(*, moment: datetime) -> list[Demand]:
    """Return a demand for each version that should have replicas."""
    starting = set(
        Release.objects.filter(state=Release.State.STARTING).values_list("version_id", flat=True)
    )
    pinned = set(
        Route.objects.filter(pinned_version__isnull=False).values_list(
            "pinned_version_id", flat=True
        )
    )
    return [
        _demand(
            version,
            at_least=1 if version.pk in starting else 0,
            only_warm=not (version.is_live or version.pk in starting or version.pk in pinned),
        )
        for version in wanted(ModelVersion.objects.all(), now=moment)
    ]


def _demand(version: ModelVersion, *, at_least: int, only_warm: bool) -> Demand:
    return Demand(
        version_id=version.pk,
        model=version.model.name,
        version=version.version,
        generation=version.generation,
        device=version.device,
        replicas=max(version.replicas, at_least),
        warm_until=version.warm_until.timestamp() if only_warm and version.warm_until else None,
    )
