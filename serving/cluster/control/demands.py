"""The replicas that the registry demands of each version."""

from dataclasses import replace
from datetime import datetime

from registry.models import ModelVersion, Release, Route
from registry.models.release import wanted
from serving.capture.models import TrafficReplay
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
    found = {
        version.pk: _demand(
            version,
            at_least=1 if version.pk in starting else 0,
            only_warm=not (version.is_live or version.pk in starting or version.pk in pinned),
        )
        for version in wanted(ModelVersion.objects.all(), now=moment)
    }
    # One replica for what is replayed; its slot is the first that goes to others.
    replays = TrafficReplay.objects.filter(state__in=TrafficReplay.OPEN)
    replayed = ModelVersion.objects.filter(pk__in=replays.values("version"))
    for version in replayed.exclude(pk__in=found).select_related("model"):
        one = _demand(version, at_least=1, only_warm=True)
        found[version.pk] = replace(one, replicas=1, warm_until=moment.timestamp())
    return list(found.values())


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
