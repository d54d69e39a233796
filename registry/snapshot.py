"""What the prediction path knows of the registry, of all of it or of single rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from operator import attrgetter
from types import MappingProxyType
from typing import Any, TypeVar

from django.db.models import Model as DjangoModel

from core.arms import arms_of, weights_of
from core.errors import NotFound
from core.specs import ApplicationSpec, BatchingSpec, RouteSpec, Snapshot, VersionSpec
from registry.models import Application, ModelVersion, Route
from registry.reading import PRIORITIES, compare
from registry.row_changes import KINDS, START, Known, RowChange, RowPlace, changed, in_order

S = TypeVar("S")


def build_snapshot() -> Snapshot:
    """Read everything, a few hundred rows at a time. Blocking: call it in a thread."""
    changes: list[RowChange] = []
    nothing: Known = {kind: {} for kind in KINDS}
    place: RowPlace | None = START
    while place is not None:
        found, place = compare(place, known=nothing)
        changes += found
    return changed(Snapshot(), in_order(changes))


def application_with_arms(application: Application) -> tuple[ApplicationSpec, dict[str, float]]:
    """Read one application anew, and the weights of its arms' routes, as registered.

    Raises NotFound where it is gone.
    """
    row = _read_anew(application)
    routes = row.routes.with_versions()
    versions = [v for r in routes for v in (r.pinned_version, r.model.live_version) if v]
    spec = application_spec(row)
    arms = arms_of(
        spec,
        versions={version.pk: version_spec(version) for version in versions},
        live={route.model_id: route.model.live_version_id for route in routes},
    )
    return spec, weights_of(arms)


def registered(application: Application) -> ApplicationSpec:
    """Read one application anew. Raises NotFound where it is gone."""
    return application_spec(_read_anew(application))


def _read_anew(application: Application) -> Application:
    row = Application.objects.for_snapshot().filter(pk=application.pk).first()
    if row is None:
        raise NotFound(f"There is no application {application.name} any more.")
    return row


def version_spec(version: ModelVersion) -> VersionSpec:
    return _copied(
        VersionSpec,
        version,
        model=version.model.name,
        input_type=version.model.input_type,
        batching=BatchingSpec(
            controller=version.batching,
            max_size=version.max_batch_size,
            wait_ms=version.batch_wait_ms,
        ),
    )


def application_spec(application: Application) -> ApplicationSpec:
    default = application.default_output
    return _copied(
        ApplicationSpec,
        application,
        slo_ms=application.slo.latency_ms,
        slo_target=application.slo.target,
        default_output=default.encode() if default else None,
        policy_params=MappingProxyType(dict(application.policy_params)),
        priority=PRIORITIES.index(application.priority),
        routes=tuple(route_spec(route) for route in application.routes.all()),
    )


def route_spec(route: Route) -> RouteSpec:
    return _copied(RouteSpec, route, model=route.model.name)


def _copied(spec: Callable[..., S], row: DjangoModel, **other: Any) -> S:
    """A spec with the row's values by their names; `other` are those that the row has otherwise."""
    names, values = _columns(spec, tuple(other))
    return spec(**dict(zip(names, values(row), strict=True)), **other)


@cache
def _columns(spec: Any, other: tuple[str, ...]) -> tuple[tuple[str, ...], Callable[[Any], Any]]:
    """The names that are copied, at least two, and what reads them from a row at one go."""
    names = tuple(field.name for field in fields(spec) if field.name not in other)
    return names, attrgetter(*names)
