"""Reads the registry into one immutable snapshot for the prediction path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from operator import attrgetter
from types import MappingProxyType
from typing import Any, TypeVar

from django.db.models import Model as DjangoModel
from django.utils import timezone

from registry.arms import arms_of, weights_of
from registry.models import ApiKey, Application, Model, ModelVersion, Route
from registry.models.applications import Priority
from registry.specs import (
    ApiKeySpec,
    ApplicationSpec,
    BatchingSpec,
    ModelSpec,
    RouteSpec,
    Snapshot,
    VersionSpec,
)

S = TypeVar("S")

PRIORITIES = tuple(Priority.values)


def build_snapshot() -> Snapshot:
    """Read everything in a handful of queries. Blocking: call it in a thread."""
    versions = {v.pk: version_spec(v) for v in ModelVersion.objects.select_related("model")}
    keys = ApiKey.objects.usable(now=timezone.now()).prefetch_related("applications")
    return Snapshot(
        applications=MappingProxyType(
            {a.name: application_spec(a) for a in Application.objects.for_snapshot()}
        ),
        models=MappingProxyType({m.pk: model_spec(m) for m in Model.objects.all()}),
        versions=MappingProxyType(versions),
        versions_by_arm=MappingProxyType({v.arm: v for v in versions.values()}),
        keys=MappingProxyType({k.digest: api_key_spec(k) for k in keys}),
    )


def application_with_arms(application: Application) -> tuple[ApplicationSpec, dict[str, float]]:
    """Read one application anew, and the weights of its arms' routes, as registered."""
    row = Application.objects.for_snapshot().get(pk=application.pk)
    routes = row.routes.with_versions()
    versions = [v for r in routes for v in (r.pinned_version, r.model.live_version) if v]
    spec = application_spec(row)
    arms = arms_of(
        spec,
        versions={version.pk: version_spec(version) for version in versions},
        live={route.model_id: route.model.live_version_id for route in routes},
    )
    return spec, weights_of(arms)


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


def model_spec(model: Model) -> ModelSpec:
    return _copied(ModelSpec, model)


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


def api_key_spec(key: ApiKey) -> ApiKeySpec:
    bound_to = frozenset(application.pk for application in key.applications.all())
    return ApiKeySpec(
        id=key.pk,
        name=key.name,
        digest=key.digest,
        scopes=key.scopes,
        application_ids=bound_to if key.bound else None,
        expires_at=None if key.expires_at is None else key.expires_at.timestamp(),
    )


def _copied(spec: Callable[..., S], row: DjangoModel, **other: Any) -> S:
    """A spec with the row's values by their names; `other` are those that the row has otherwise."""
    names, values = _columns(spec, tuple(other))
    return spec(**dict(zip(names, values(row), strict=True)), **other)


@cache
def _columns(spec: Any, other: tuple[str, ...]) -> tuple[tuple[str, ...], Callable[[Any], Any]]:
    """The names that are copied, at least two, and what reads them from a row at one go."""
    names = tuple(field.name for field in fields(spec) if field.name not in other)
    return names, attrgetter(*names)
