"""An application's arms: its pinned versions, or its models' live ones."""

from collections.abc import Mapping
from typing import NamedTuple

from core.specs import ARM_ROLE, ApplicationSpec, Snapshot, VersionSpec


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
    """Return an application's arms in the order of its routes; a route to no version has none.

    `live` says, by model, which version its routes without a pin follow.
    """
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
