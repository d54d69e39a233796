"""Reads the registry into one immutable snapshot for the prediction path."""

from __future__ import annotations

from types import MappingProxyType

from django.utils import timezone

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


def version_spec(version: ModelVersion) -> VersionSpec:
    return VersionSpec(
        id=version.pk,
        model_id=version.model_id,
        model=version.model.name,
        version=version.version,
        runtime=version.runtime,
        input_type=version.model.input_type,
        digest=version.digest,
        device=version.device,
        replicas=version.replicas,
        allow_pickle=version.allow_pickle,
        generation=version.generation,
        batching=BatchingSpec(
            controller=version.batching,
            max_size=version.max_batch_size,
            wait_ms=version.batch_wait_ms,
        ),
        memory_limit_mb=version.memory_limit_mb,
        threads=version.threads,
        load_timeout_s=version.load_timeout_s,
        replica_bounds=version.replica_bounds,
    )


def model_spec(model: Model) -> ModelSpec:
    return ModelSpec(
        id=model.pk,
        name=model.name,
        input_type=model.input_type,
        live_version_id=model.live_version_id,
    )


def application_spec(application: Application) -> ApplicationSpec:
    default = application.default_output
    return ApplicationSpec(
        id=application.pk,
        name=application.name,
        input_type=application.input_type,
        slo_ms=application.slo.latency_ms,
        slo_target=application.slo.target,
        default_output=default.encode() if default else None,
        policy=application.policy,
        policy_params=MappingProxyType(dict(application.policy_params)),
        combine=application.combine,
        confidence_threshold=application.confidence_threshold,
        public=application.public,
        feedback_window_s=application.feedback_window_s,
        routes=tuple(route_spec(route) for route in application.routes.all()),
        cache=application.cache,
        cache_ttl_s=application.cache_ttl_s,
        priority=PRIORITIES.index(application.priority),
        loss=application.loss,
        loss_expression=application.loss_expression,
        loss_scale=application.loss_scale,
        missing_loss=application.missing_loss,
        default_reward=application.default_reward,
        context_ttl_s=application.context_ttl_s,
        max_contexts=application.max_contexts,
        keep_outputs_s=application.keep_outputs_s,
    )


def route_spec(route: Route) -> RouteSpec:
    return RouteSpec(
        model_id=route.model_id,
        model=route.model.name,
        role=route.role,
        weight=route.weight,
        pinned_version_id=route.pinned_version_id,
    )


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
